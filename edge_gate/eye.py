"""The gate's eye as four ports: detector, warp, liveness model, embedder.

Gate and enrollment are given the same eye, so probe and reference come from the same code.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from edge_gate.face import Embedding, Face, Image, Landmarks


class ModelRefused(Exception):
    """A model file is missing, corrupt, swapped or wrong-shaped; says which and why."""


class Detector(Protocol):
    """Finds faces."""

    def detect(self, image: Image) -> tuple[Face, ...]:
        """Return all faces in a BGR image, the largest first, in pixels of that image."""
        ...


class Warp(Protocol):
    """Cuts a face out of a frame onto the ArcFace template."""

    def __call__(self, image: Image, landmarks: Landmarks, /) -> Image:
        """Return a BGR crop, uint8, shape (112, 112, 3).

        Raises:
            DegenerateLandmarks: The five points lie on one line (see `edge_gate.align`).
        """
        ...


class LivenessModel(Protocol):
    """Scores one face against pictures and screens."""

    def live(self, image: Image, face: Face) -> float:
        """Return the probability, 0 to 1, that the face is a live person."""
        ...


class Embedder(Protocol):
    """Turns crops into embeddings."""

    @property
    def model_id(self) -> str:
        """The name of the embedding space, e.g. `open/fr_feature@sha256-prefix`."""
        ...

    def embed(self, crops: Sequence[Image]) -> npt.NDArray[np.float32]:
        """Return unit embeddings, float32, shape (N, D), for N crops of (112, 112, 3) BGR."""
        ...


@dataclass(frozen=True, slots=True)
class Eye:
    """All that sees."""

    detector: Detector
    warp: Warp
    liveness: LivenessModel
    embedder: Embedder

    def embedding(self, image: Image, face: Face) -> Embedding:
        """Return the embedding of one face of `image`, shape (D,), unit length."""
        crop = self.warp(image, face.landmarks)
        embedding: Embedding = self.embedder.embed((crop,))[0]
        return embedding
