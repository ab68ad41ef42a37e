"""A face and its crop to a quality score, or to the reason why it is not worth embedding.

Pure numpy on the 112x112 crop, so what is judged is what would be embedded. The score weighs
a picture in the fusion of several (`edge_gate.embed.fuse`).
"""

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from edge_gate.face import Face, Image
from edge_gate.pose import pitch_degrees, yaw_degrees


class PoorReason(StrEnum):
    """What is wrong with a picture, in the order in which it is looked for."""

    TOO_SMALL = "too_small"
    """The face is too few pixels wide: come closer."""
    TURNED_AWAY = "turned_away"
    """The head is turned to a side."""
    NODDING = "nodding"
    """The head looks up or down."""
    TOO_DARK = "too_dark"
    """The face has too little light."""
    TOO_BRIGHT = "too_bright"
    """Large parts of the face are burnt out."""
    BLURRED = "blurred"
    """The face is out of focus or smeared by motion."""


@dataclass(frozen=True, slots=True)
class QualityConfig:
    """What a face must have to be embedded.

    Each limit was set on the shared faces (1,140 photos) and on the portraits of
    `tests/people.py` under added blur and light: `models/README.md` has the table.
    """

    width_min_px: float = 60.0
    """Narrowest box, pixels of the frame, > 0. Below 60 the crop is enlarged."""
    yaw_max_deg: float = 42.0
    """Largest turn to a side, degrees, 0 to 90; 99 % of the shared faces are below 42."""
    pitch_max_deg: float = 45.0
    """Largest nod, degrees, 0 to 90; wide, since five points measure a nod only roughly."""
    light_min: float = 30.0
    """Lowest mean luminance of the face, 0 to 255. The darkest shared face has 57; at 25 an
    embedding still agrees with its own daylight self to 0.75, at 15 it does not."""
    burnt_max: float = 0.4
    """Largest share of pixels above 245, 0 to 1. The worst shared face has 0.29; from 0.5 on
    embeddings agree with their own well-lit selves to 0.7 only."""
    sharpness_min: float = 0.10
    """Lowest deviation of the Laplacian over that of the luminance, > 0. A sharp portrait has
    0.3 to 0.5, the softest shared face 0.105. A Gaussian blur of 2 pixels on a face of 100
    leaves 0.07 to 0.14 and an agreement of 0.75 to 0.96 with the sharp self; 3 pixels leave
    0.05 to 0.09 and as little as 0.46."""
    width_good_px: float = 90.0
    """Width from which on more pixels do not help, > 0: the crop's own scale."""
    sharpness_good: float = 0.25
    """Sharpness from which on more does not help, > 0."""

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ValueError: One is out of range.
        """
        angles = (self.yaw_max_deg, self.pitch_max_deg)
        positive = (self.width_min_px, self.sharpness_min, self.width_good_px, self.sharpness_good)
        if min(positive) <= 0 or not all(0 <= angle <= 90 for angle in angles):
            raise ValueError(f"out of range: {self}")
        if not (0 <= self.light_min <= 255 and 0 <= self.burnt_max <= 1):
            raise ValueError(f"out of range: {self}")


GATE = QualityConfig()
ENROLLMENT = QualityConfig(width_min_px=80.0, light_min=40.0, burnt_max=0.3, sharpness_min=0.13)
"""Stricter where the picture will be kept as a reference and another can be asked for."""


@dataclass(frozen=True, slots=True)
class Usable:
    """The face may be embedded."""

    score: float
    """Weight against other pictures of the same person, above 0, at most 1."""


@dataclass(frozen=True, slots=True)
class Poor:
    """The face is not worth embedding."""

    reason: PoorReason


Quality = Usable | Poor


def assess(face: Face, crop: Image, config: QualityConfig = GATE) -> Quality:
    """Judge one face.

    Args:
        face: As detected, in pixels of the frame.
        crop: The same face on the ArcFace template, BGR uint8, shape (112, 112, 3).
        config: The limits.
    """
    yaw, pitch = abs(yaw_degrees(face.landmarks)), abs(pitch_degrees(face.landmarks))
    luminance = _luminance(crop)
    sharp = sharpness(luminance)
    burnt = float((luminance > 245).mean())
    faults = (
        (face.box.width < config.width_min_px, PoorReason.TOO_SMALL),
        (yaw > config.yaw_max_deg, PoorReason.TURNED_AWAY),
        (pitch > config.pitch_max_deg, PoorReason.NODDING),
        (float(luminance.mean()) < config.light_min, PoorReason.TOO_DARK),
        (burnt > config.burnt_max, PoorReason.TOO_BRIGHT),
        (sharp < config.sharpness_min, PoorReason.BLURRED),
    )
    for found, reason in faults:
        if found:
            return Poor(reason)
    frontal = math.cos(math.radians(yaw)) * math.cos(math.radians(pitch))
    large = min(1.0, face.box.width / config.width_good_px)
    clear = min(1.0, sharp / config.sharpness_good)
    return Usable(max(0.01, frontal * large * clear * (1 - burnt)))


def sharpness(luminance: npt.NDArray[np.float32]) -> float:
    """Return the deviation of the Laplacian over the deviation of the luminance.

    The ratio does not change with light or contrast, only with how fine the detail is.

    Args:
        luminance: float32, shape (H, W), each side at least 3.

    Returns:
        0 for an even picture, about 0.3 to 0.5 for a sharp face, more for noise.
    """
    middle = 4 * luminance[1:-1, 1:-1]
    beside = luminance[1:-1, :-2] + luminance[1:-1, 2:]
    above = luminance[:-2, 1:-1] + luminance[2:, 1:-1]
    contrast = float(luminance.std())
    # An even picture has no detail; 1 of 255 is the step of one pixel value.
    return 0.0 if contrast < 1 else float((middle - beside - above).std()) / contrast


def _luminance(crop: Image) -> npt.NDArray[np.float32]:
    # The middle of the template: eyes to mouth, without hair, background and black corners.
    inner = crop[24:104, 20:92].astype(np.float32)
    # ITU-R BT.601 weights, blue first.
    weighed: npt.NDArray[np.float32] = inner @ np.array([0.114, 0.587, 0.299], np.float32)
    return weighed
