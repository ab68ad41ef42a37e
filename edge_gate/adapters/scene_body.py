"""The drawn bodies of a scene: clothes from the collar to the feet, and hands.

Proportions are in widths of the face, counted from its centre: a face 0.15 m wide on a body
1.7 m tall.
"""

import cv2
import numpy as np
import numpy.typing as npt

from edge_gate.adapters.scene_paint import Sprite, sprite
from edge_gate.face import Image

_OUTFITS = (
    (92, 74, 58), (60, 62, 70), (70, 92, 120), (48, 44, 96), (110, 104, 84),
    (66, 84, 62), (128, 120, 112), (44, 50, 58), (96, 66, 88),
)  # fmt: skip
"""Clothes, BGR: muted, as a crowd in a station is dressed."""
Colour = tuple[float, float, float]
"""Blue, green, red, 0 to 255."""
_BODY_UNIT = 64
"""Pixels of a face's width in the drawn body: flat colours need no more."""


class _Cloth:
    """A canvas for clothes: shapes in widths of a face, the middle of the body at 0."""

    def __init__(self, wide: float, high: float) -> None:
        self.shift = wide / 2
        shape = (round(high * _BODY_UNIT), round(wide * _BODY_UNIT))
        self.colours: Image = np.zeros((*shape, 3), np.uint8)
        self.alpha: Image = np.zeros(shape, np.uint8)

    def fill(self, colour: Colour, *points: tuple[float, float]) -> None:
        """Fill a polygon."""
        cv2.fillPoly(self.colours, [self._spots(points)], colour, cv2.LINE_AA)
        cv2.fillPoly(self.alpha, [self._spots(points)], 255, cv2.LINE_AA)

    def limb(self, colour: Colour, thick: float, *points: tuple[float, float]) -> None:
        """Draw a thick line."""
        spots, pixels = self._spots(points), max(1, round(thick * _BODY_UNIT))
        cv2.polylines(self.colours, [spots], False, colour, pixels, cv2.LINE_AA)
        cv2.polylines(self.alpha, [spots], False, 255, pixels, cv2.LINE_AA)

    def _spots(self, points: tuple[tuple[float, float], ...]) -> npt.NDArray[np.int32]:
        spots = (np.array(points) + np.array((self.shift, 0.0))) * _BODY_UNIT
        whole: npt.NDArray[np.int32] = spots.round().astype(np.int32)
        return whole


def clothes(*, seed: int) -> Sprite:
    """Draw a clothed body from the collar to the feet; laid over head and neck.

    Args:
        seed: Chooses the colours.
    """
    rng = np.random.default_rng(seed)
    cloth = np.array(_OUTFITS[seed % len(_OUTFITS)], float)
    main, dark = _colour(cloth), _colour(cloth * 0.72)
    trousers = _colour(rng.uniform(0.35, 0.55) * np.array([92, 84, 80]))
    canvas = _Cloth(4.4, 10.0)
    canvas.limb(trousers, 0.72, (-0.42, 4.2), (-0.45, 9.3))
    canvas.limb(trousers, 0.72, (0.42, 4.2), (0.45, 9.3))
    canvas.limb(dark, 0.52, (-1.05, 1.65), (-1.28, 3.1), (-1.2, 4.4))
    canvas.limb(dark, 0.52, (1.05, 1.65), (1.28, 3.1), (1.2, 4.4))
    canvas.fill(
        main, (-0.43, 0.98), (-0.95, 1.22), (-1.24, 1.52), (-1.2, 2.1), (-0.98, 2.8), (-1.0, 4.8),
        (1.0, 4.8), (0.98, 2.8), (1.2, 2.1), (1.24, 1.52), (0.95, 1.22), (0.43, 0.98),
        (0.3, 1.2), (0.0, 1.5), (-0.3, 1.2),
    )  # fmt: skip
    for side in (-1, 1):
        canvas.limb(dark, 0.14, (side * 0.45, 0.98), (side * 0.3, 1.22), (0.0, 1.54))
    canvas.limb(dark, 0.05, (0.0, 1.54), (0.0, 4.8))
    return _shaded(canvas.colours, canvas.alpha, rng, anchor=(canvas.shift * _BODY_UNIT, 0.0))


def _colour(values: npt.NDArray[np.float64]) -> Colour:
    blue, green, red = (float(value) for value in values)
    return blue, green, red


def _shaded(
    colours: Image, alpha: Image, rng: np.random.Generator, *, anchor: tuple[float, float]
) -> Sprite:
    """Give flat clothes folds, a lit middle and soft edges."""
    high, wide = alpha.shape
    across = np.cos(np.linspace(-1.25, 1.25, wide))[None, :] * 0.45 + 0.62
    folds = rng.normal(0, 1, (high // 24 + 1, wide // 12 + 1)).astype(np.float32)
    folds = cv2.resize(folds, (wide, high), interpolation=cv2.INTER_CUBIC) * 0.05
    light = (across + folds).astype(np.float32)[:, :, None]
    lit = np.clip(colours.astype(np.float32) * light, 0, 255).astype(np.uint8)
    soft = cv2.GaussianBlur(alpha, (0, 0), 1.2)
    return sprite(cv2.GaussianBlur(lit, (0, 0), 1.0), soft, anchor=anchor, unit_px=_BODY_UNIT)


def hand(tone: tuple[int, int, int]) -> Sprite:
    """Draw a closed hand, to hold a sheet or a phone by its edge; one width of a face is 1."""
    unit = _BODY_UNIT
    colours = np.full((unit, unit, 3), tone, np.uint8)
    alpha = np.zeros((unit, unit), np.uint8)
    for finger in range(4):
        middle = (unit // 2, round(unit * (0.2 + 0.19 * finger)))
        cv2.ellipse(alpha, middle, (round(unit * 0.3), round(unit * 0.11)), 0, 0, 360, 255, -1)
        cv2.ellipse(
            colours, middle, (round(unit * 0.3), round(unit * 0.11)), 0, 0, 360,
            tuple(c * 0.7 for c in tone), 2, cv2.LINE_AA,
        )  # fmt: skip
    return sprite(
        cv2.GaussianBlur(colours, (0, 0), 1.0),
        cv2.GaussianBlur(alpha, (0, 0), 1.0),
        anchor=(unit / 2, unit / 2),
        unit_px=unit,
    )
