"""The rival of the bench: InsightFace's own `FaceAnalysis.get`, run on every frame.

Its method and its loop over all faces are the package's; detector and embedder behind it are the
same weights as the gate's, so that what differs is how they are used. The detector searches the
frame at 640 pixels, the package's usual size, aligns with the package's own `norm_crop`, and
embeds every face it finds. Scores are searched in `IndexFlatIP`.
"""

import warnings
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import faiss
import numpy as np
import numpy.typing as npt
from insightface.app import FaceAnalysis
from insightface.utils import face_align

from cloud_sync.gallery import Template
from edge_gate.eye import Detector, Embedder
from edge_gate.face import Image


class _Detection:
    """A detector as `FaceAnalysis` calls it."""

    taskname = "detection"

    def __init__(self, detector: Detector) -> None:
        self._detector = detector

    def detect(
        self, image: Image, max_num: int = 0, metric: str = "default"
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Return boxes with scores, shape (N, 5), and landmarks, shape (N, 5, 2)."""
        del max_num, metric
        faces = self._detector.detect(image)
        boxes = [
            (
                f.box.left,
                f.box.top,
                f.box.left + f.box.width,
                f.box.top + f.box.height,
                f.confidence,
            )
            for f in faces
        ]
        points = [face.landmarks for face in faces]
        return (
            np.array(boxes, np.float32).reshape(-1, 5),
            np.array(points, np.float32).reshape(-1, 5, 2),
        )


class _Recognition:
    """An embedder as `FaceAnalysis` calls it."""

    taskname = "recognition"

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    def get(self, image: Image, face: Any) -> npt.NDArray[np.float32]:
        """Align with the package's own function, embed, and note the embedding."""
        crop = face_align.norm_crop(image, landmark=face.kps, image_size=112)
        face.embedding = self._embedder.embed((crop,))[0]
        embedding: npt.NDArray[np.float32] = face.embedding
        return embedding


def face_analysis(detector: Detector, embedder: Embedder) -> FaceAnalysis:
    """Return a `FaceAnalysis` with these models; its `get` is the package's.

    Args:
        detector: At the package's usual size, 640.
        embedder: The gate's own.
    """
    # Its alignment calls a function that scikit-image has renamed; nobody here can change that.
    warnings.filterwarnings("ignore", category=FutureWarning, module="insightface")
    # The constructor only loads model files by the package's own names; `get` needs what is set.
    app = FaceAnalysis.__new__(FaceAnalysis)
    app.models = {"detection": _Detection(detector), "recognition": _Recognition(embedder)}
    app.det_model = app.models["detection"]
    app.addons = {}
    return app


@dataclass(frozen=True, slots=True)
class Hit:
    """What the rival found in a frame."""

    faces: int
    rider_ref: UUID | None
    """The best rider above the threshold over all faces; None if there is none."""


class Rival:
    """`get` and exhaustive search on every frame; the first score above the threshold opens."""

    def __init__(
        self, app: FaceAnalysis, templates: tuple[Template, ...], threshold: float
    ) -> None:
        self._app = app
        self._riders = [template.rider_ref for template in templates]
        self._index = faiss.IndexFlatIP(512)
        self._index.add(np.stack([template.vector for template in templates]))
        self._threshold = threshold

    def look(self, image: Image) -> Hit:
        """Return what one frame gives."""
        faces = self._app.get(image)
        if not faces:
            return Hit(0, None)
        scores, rows = self._index.search(np.stack([face.embedding for face in faces]), 1)
        best = int(scores[:, 0].argmax())
        found = scores[best, 0] >= self._threshold
        return Hit(len(faces), self._riders[rows[best, 0]] if found else None)
