"""ONNX Runtime: model files to the ports of the gate's eye.

A file is read once; what is verified is what runs. Digest, tensor names and shapes are held
against the manifest, and a canary (a fixed input with a known answer) against the processor.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from edge_gate import align, detect, embed, liveness
from edge_gate.adapters import opencv
from edge_gate.detect import DetectConfig
from edge_gate.eye import ModelRefused
from edge_gate.face import Face, Image, Landmarks
from models.manifest import ModelFile, Shapes

_CANARY_TOLERANCE = 0.02
"""Largest difference from a canary's answer, in units of its largest value. Two processors
differ by 1e-5 in float32 and by 1e-2 in bf16; a swapped model differs by about 1."""


def open_session(path: Path, file: ModelFile, *, threads: int) -> onnxruntime.InferenceSession:
    """Load one model after verifying it.

    Args:
        path: The ONNX file.
        file: What the manifest says of it.
        threads: Threads that one inference may use, at least 1.

    Raises:
        ModelRefused: Missing, corrupt, swapped or wrong-shaped; says which file and why.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelRefused(f"{path.name}: cannot be read: {error.strerror}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != file.sha256:
        raise ModelRefused(
            f"{path.name}: wrong digest: SHA-256 is {found}, the manifest says {file.sha256}"
        )
    session = start(content, name=path.name, threads=threads)
    verify_shapes(session, file.inputs, file.outputs, name=path.name)
    if file.canary:
        _verify_canary(session, file.canary, name=path.name)
    return session


def start(content: bytes, *, name: str, threads: int) -> onnxruntime.InferenceSession:
    """Build a session on the processor.

    Args:
        content: The serialized model.
        name: Of the file, for the refusal.
        threads: Threads that one inference may use.

    Raises:
        ModelRefused: The bytes are not a model that the runtime can build.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # fatal only: what fails is raised and reported once
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's own error types share no documented base
        raise ModelRefused(f"{name}: not a model: {str(error).splitlines()[0]}") from error


def verify_shapes(
    session: onnxruntime.InferenceSession, inputs: Shapes, outputs: Shapes, *, name: str
) -> None:
    """Hold a session's tensors against what is expected.

    Args:
        session: The built model.
        inputs: Tensor name to shape, -1 for any size.
        outputs: The same for what comes out.
        name: Of the file, for the refusal.

    Raises:
        ModelRefused: A name or a shape differs.
    """
    for side, expected, tensors in (
        ("input", inputs, session.get_inputs()),
        ("output", outputs, session.get_outputs()),
    ):
        found = {tensor.name: _shape(tensor.shape) for tensor in tensors}
        if found != dict(expected):
            raise ModelRefused(f"{name}: {side} is {found}, the manifest says {dict(expected)}")


def canary_input(shape: Sequence[int]) -> npt.NDArray[np.float32]:
    """Return the fixed picture-like input that every canary answers to.

    Args:
        shape: The model's input shape; -1 becomes 1 for the batch and 64 for a side.
    """
    sizes = [size if size > 0 else (1 if axis == 0 else 64) for axis, size in enumerate(shape)]
    count = int(np.prod(sizes))
    # A slow wave and a fast one: smooth areas and edges, the same on every machine.
    steps = np.arange(count, dtype=np.float64)
    wave = 60 * np.sin(steps / 97) + 40 * np.sin(steps / 3.1)
    return np.asarray(wave.reshape(sizes), dtype=np.float32)


def canary_answer(session: onnxruntime.InferenceSession) -> list[float]:
    """Return the first eight values of the model's first output for the fixed input.

    Args:
        session: The built model.
    """
    tensor = session.get_inputs()[0]
    answer = session.run(None, {tensor.name: canary_input(_shape(tensor.shape))})[0]
    return [float(value) for value in answer.ravel()[:8]]


def _verify_canary(
    session: onnxruntime.InferenceSession, expected: Sequence[float], *, name: str
) -> None:
    found = np.array(canary_answer(session))
    apart = float(np.abs(found - expected).max() / np.abs(expected).max())
    if not apart <= _CANARY_TOLERANCE:
        raise ModelRefused(f"{name}: answers the canary {apart:.2g} away from what is known")


def _shape(shape: Sequence[object]) -> tuple[int, ...]:
    return tuple(size if isinstance(size, int) else -1 for size in shape)


class RetinaFace:
    """Detector port on RetinaFace-MobileNet0.25."""

    def __init__(
        self, session: onnxruntime.InferenceSession, *, width: int, config: DetectConfig
    ) -> None:
        """Wrap a verified session.

        Args:
            session: The detector.
            width: Pictures wider than this are searched at this width, pixels.
            config: What counts as a face.
        """
        self._session = session
        self._width = width
        self._config = config

    def detect(self, image: Image) -> tuple[Face, ...]:
        """Return all faces, the largest first, in pixels of `image`."""
        high, wide = image.shape[:2]
        scale = max(1.0, wide / self._width)
        if scale > 1:
            size = (self._width, max(1, round(high / scale)))
            image = opencv.resize(image, width=size[0], height=size[1])
        return tuple(detect.scaled(face, scale) for face in self.search(image))

    def search(self, image: Image) -> tuple[Face, ...]:
        """Return all faces, the largest first, searching every pixel of `image`."""
        blob = opencv.tensor(image, mean=detect.MEAN_BGR)
        offsets, confidences, points = self._session.run(
            ("loc", "conf", "landmarks"), {"input": blob}
        )
        size = (image.shape[1], image.shape[0])
        return detect.decode(offsets[0], confidences[0], points[0], size=size, config=self._config)


class SecondLook:
    """Warp port that finds the landmarks again, on the face alone and at full resolution.

    The frame is searched at reduced width to save time, which costs landmarks their
    precision. Looking once more at the one face that will be embedded gives it back: with
    frames of 640x480 searched at 320, 98.0 % of the shared faces' genuine pairs scored above
    the threshold of FMR 1e-4 with the second look, 97.2 % without it, and 97.6 % without it
    when every frame was searched at full width. It takes 2 ms, the full width 12 more.
    """

    _MARGIN = 16
    """Pixels around the template in the second look. Margins of 16 to 40 measured alike, and
    the smallest is the fastest."""
    _DRIFT_MAX = 15.0
    """Farthest that the middle of the landmarks may move, pixels of the template: half the
    distance between the eyes. Farther off is another face."""

    def __init__(self, detector: RetinaFace) -> None:
        """Look with this detector."""
        self._detector = detector

    def __call__(self, image: Image, landmarks: Landmarks, /) -> Image:
        """Return a BGR crop, uint8, shape (112, 112, 3).

        Raises:
            DegenerateLandmarks: The five points lie on one line.
        """
        return opencv.warp(image, self.refined(image, landmarks))

    def refined(self, image: Image, landmarks: Landmarks) -> Landmarks:
        """Return better landmarks, or the given ones where no face is seen at their place.

        Args:
            image: BGR uint8, shape (H, W, 3).
            landmarks: float32, shape (5, 2), pixels of `image`.

        Raises:
            DegenerateLandmarks: The five points lie on one line.
        """
        onto = align.onto_template(landmarks, margin=self._MARGIN)
        view = opencv.cut(image, onto, side=align.CROP_SIDE + 2 * self._MARGIN)
        middle = align.TEMPLATE.mean(axis=0) + self._MARGIN
        drifts = [
            (float(np.hypot(*(face.landmarks.mean(axis=0) - middle))), face.landmarks)
            for face in self._detector.search(view)
        ]
        if not drifts:
            return landmarks
        drift, found = min(drifts, key=lambda pair: pair[0])
        return align.back(onto, found) if drift <= self._DRIFT_MAX else landmarks


class FacepluginEmbedder:
    """Embedder port on the `open` pack's embedder."""

    def __init__(self, session: onnxruntime.InferenceSession, *, model_id: str) -> None:
        """Wrap a verified session.

        Args:
            session: The embedder.
            model_id: Name of the embedding space.
        """
        self._session = session
        self._model_id = model_id

    @property
    def model_id(self) -> str:
        """The name of the embedding space."""
        return self._model_id

    def embed(self, crops: Sequence[Image]) -> npt.NDArray[np.float32]:
        """Return unit embeddings, float32, shape (N, 512)."""
        # One by one: the model's batch is fixed at 1, and a lane embeds one face at a time.
        rows = [
            self._session.run(
                None,
                {"input": opencv.tensor(crop, mean=(127.5, 127.5, 127.5), scale=1 / 128)},
            )[0][0]
            for crop in crops
        ]
        return embed.normalise(np.stack(rows)) if rows else np.empty((0, 512), np.float32)


class FacepluginLiveness:
    """Liveness port on the `open` pack's model."""

    _SIDE = 128

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        """Wrap a verified session."""
        self._session = session

    def live(self, image: Image, face: Face) -> float:
        """Return the probability, 0 to 1, that the face is a live person."""
        high, wide = image.shape[:2]
        left, top, right, bottom = liveness.region(face.box, width=wide, height=high)
        crop = opencv.resize(image[top:bottom, left:right], width=self._SIDE, height=self._SIDE)
        logits = self._session.run(None, {"input": opencv.tensor(crop)})[0][0]
        odds = np.exp(logits - logits.max())
        return float(odds[0] / odds.sum())
