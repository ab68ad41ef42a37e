"""InsightFace's packs, run by its own package, behind the ports of the gate's eye.

None of its objects leaves this file and nothing that it prints reaches the terminal. The
packs' weights are for non-commercial use only: `adapters/pack.py` asks before it comes here.
"""

import contextlib
import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
from insightface.model_zoo import model_zoo

from edge_gate import embed
from edge_gate.adapters import opencv
from edge_gate.align import CROP_SIDE
from edge_gate.detect import DetectConfig
from edge_gate.eye import Eye, LivenessModel, ModelRefused
from edge_gate.face import Box, Face, Image
from models import manifest
from models.manifest import Pack

_OUTPUTS = {"detector": 9, "embedder": 1}
"""SCRFD with landmarks has score, box and points at three strides; ArcFace one vector."""


def open_pack(
    pack: Pack, place: Path, *, liveness: LivenessModel, threads: int, detect_width: int
) -> Eye:
    """Load a pack whose digests were noted when it was installed.

    Args:
        pack: From the manifest; one with `insightface`.
        place: The folder that holds its files.
        liveness: From another pack; InsightFace's have none.
        threads: Threads that one inference may use, at least 1.
        detect_width: Width at which pictures are searched, pixels; rounded up to 32.

    Raises:
        ModelRefused: A file is missing, corrupt, swapped or wrong-shaped; says which and why.
    """
    noted = manifest.noted_digests(place)
    models = {
        role: _open(place / name, role, noted.get(name), threads=threads)
        for role, name in pack.insightface.items()
    }
    digest = noted[pack.insightface["embedder"]]
    return Eye(
        detector=Scrfd(models["detector"], width=detect_width, config=DetectConfig()),
        warp=opencv.warp,
        liveness=liveness,
        embedder=ArcFace(models["embedder"], model_id=f"{pack.space}@{digest[:12]}"),
    )


class Scrfd:
    """Detector port on InsightFace's SCRFD."""

    _STEP = 32
    """The input's sides must be multiples of the coarsest stride."""

    def __init__(self, model: Any, *, width: int, config: DetectConfig) -> None:
        """Wrap a verified model.

        Args:
            model: InsightFace's detector.
            width: Pictures are searched at this width, pixels.
            config: What counts as a face.
        """
        self._model = model
        self._width = -(-width // self._STEP) * self._STEP
        self._faces_max = config.faces_max
        # Its confidences run lower than RetinaFace's; 0.5 is the package's own default.
        model.prepare(-1, nms_thresh=config.overlap_max, det_thresh=0.5)

    def detect(self, image: Image) -> tuple[Face, ...]:
        """Return all faces, the largest first, in pixels of `image`."""
        high, wide = image.shape[:2]
        height = max(self._STEP, -(-high * self._width // (wide * self._STEP)) * self._STEP)
        boxes, points = self._model.detect(image, input_size=(self._width, height))
        faces = [
            Face(
                Box(float(x), float(y), float(right - x), float(bottom - y)),
                np.asarray(five, dtype=np.float32),
                float(confidence),
            )
            for (x, y, right, bottom, confidence), five in zip(boxes, points, strict=True)
        ]
        return tuple(sorted(faces, key=lambda face: -face.box.area)[: self._faces_max])


class ArcFace:
    """Embedder port on InsightFace's ArcFace."""

    def __init__(self, model: Any, *, model_id: str) -> None:
        """Wrap a verified model.

        Args:
            model: InsightFace's recognizer.
            model_id: Name of the embedding space.
        """
        self._model = model
        self._model_id = model_id

    @property
    def model_id(self) -> str:
        """The name of the embedding space."""
        return self._model_id

    def embed(self, crops: Sequence[Image]) -> npt.NDArray[np.float32]:
        """Return unit embeddings, float32, shape (N, 512)."""
        if not crops:
            return np.empty((0, 512), np.float32)
        return embed.normalise(np.asarray(self._model.get_feat(list(crops))))


def _open(path: Path, role: str, noted: str | None, *, threads: int) -> Any:
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ModelRefused(f"{path.name}: cannot be read: {error.strerror}") from error
    if noted is None:
        raise ModelRefused(f"{path.name}: its digest was never noted; run `python -m models.fetch`")
    if found != noted:
        raise ModelRefused(f"{path.name}: wrong digest: SHA-256 is {found}, noted was {noted}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            model = model_zoo.get_model(
                str(path),
                providers=["CPUExecutionProvider"],
                sess_options=options,
                # Else a second session, with options of its own, is made for each frame size.
                static_shape_sessions=False,
            )
    except Exception as error:  # the package and the runtime share no documented base error
        raise ModelRefused(f"{path.name}: not a model: {str(error).splitlines()[0]}") from error
    _verify(model, path.name, role)
    return model


def _verify(model: Any, name: str, role: str) -> None:
    wanted = {"detector": "detection", "embedder": "recognition"}[role]
    if model is None or model.taskname != wanted:
        raise ModelRefused(f"{name}: is no {role}")
    if len(model.output_names) != _OUTPUTS[role]:
        raise ModelRefused(f"{name}: {len(model.output_names)} outputs, not {_OUTPUTS[role]}")
    if role == "embedder":
        if tuple(model.input_size) != (CROP_SIDE, CROP_SIDE):
            raise ModelRefused(f"{name}: input is {model.input_size}, not 112 by 112")
        grey = np.full((CROP_SIDE, CROP_SIDE, 3), 128, np.uint8)
        answer = model.get_feat(grey)
        if answer.shape != (1, 512) or not np.isfinite(answer).all():
            raise ModelRefused(f"{name}: answers {answer.shape} to one crop, not (1, 512)")
