"""Layers with soft edges, and how one is laid into a frame: the brush of the scene camera."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from edge_gate.face import Image

Layer = npt.NDArray[np.uint8]
"""Blue, green, red, each already multiplied by alpha, and alpha; uint8, shape (H, W, 4)."""


@dataclass(frozen=True, slots=True, eq=False)
class Sprite:
    """A picture cut free, in several sizes, with the point and the length that place it."""

    levels: tuple[Layer, ...]
    """Each half the size of the one before, so that a far figure does not flicker."""
    anchor: tuple[float, float]
    """The point that is laid on the target, pixels of the first level."""
    unit_px: float
    """The length that becomes `width_px`, in pixels of the first level: a face's width."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where and how a sprite is laid into a frame."""

    x: float
    y: float
    """Target of the anchor, pixels of the frame."""
    width_px: float
    """What the sprite's unit becomes, pixels of the frame."""
    roll_deg: float = 0.0
    """Turn in the picture, degrees, positive clockwise."""
    gain: float = 1.0
    """Light: factor on the colours."""
    blur_px: float = 0.0
    """Defocus, standard deviation in pixels of the frame."""
    smear_px: float = 0.0
    """Motion blur along the rows, pixels of the frame."""


def sprite(colours: Image, alpha: Image, *, anchor: tuple[float, float], unit_px: float) -> Sprite:
    """Build a sprite from a picture and its mask.

    Args:
        colours: BGR uint8, shape (H, W, 3).
        alpha: uint8, shape (H, W), 255 is opaque.
        anchor: The point to lay by, pixels.
        unit_px: The length to scale by, pixels.
    """
    left, top, wide, high = cv2.boundingRect(alpha)
    # Every pixel is paid for in each frame, so the clear margin goes; two stay for soft edges.
    left, top = max(0, left - 2), max(0, top - 2)
    part = (slice(top, top + high + 4), slice(left, left + wide + 4))
    premultiplied = cv2.multiply(colours[part], cv2.merge([alpha[part]] * 3), scale=1 / 255)
    level = np.dstack((premultiplied, alpha[part]))
    anchor = (anchor[0] - left, anchor[1] - top)
    levels: list[Layer] = [level]
    while min(level.shape[:2]) >= 32 and len(levels) < 5:
        level = cv2.resize(level, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        levels.append(level)
    return Sprite(tuple(levels), anchor, unit_px)


def lay(frame: Image, what: Sprite, place: Place) -> None:
    """Lay a sprite over the frame, in place; what reaches outside is cut off.

    Args:
        frame: BGR uint8, shape (H, W, 3); changed.
        what: The sprite.
        place: Where and how.
    """
    scale = place.width_px / what.unit_px
    # One level down for each halving: linear sampling then never skips source pixels.
    depth = max(0, min(len(what.levels) - 1, math.floor(-math.log2(max(scale, 1e-6)) + 0.25)))
    layer = what.levels[depth]
    onto = _affine(what, place, scale, depth)
    window = _window(layer.shape, onto, frame.shape, margin=3 * place.blur_px + place.smear_px + 1)
    if window is None:
        return
    left, top, right, bottom = window
    onto[:, 2] -= (left, top)
    patch = cv2.warpAffine(layer, onto, (right - left, bottom - top), flags=cv2.INTER_LINEAR)
    if place.blur_px > 0.2:
        patch = cv2.GaussianBlur(patch, (0, 0), place.blur_px)
    if place.smear_px >= 2:
        patch = cv2.blur(patch, (round(place.smear_px), 1))
    colours, alpha = cv2.cvtColor(patch, cv2.COLOR_BGRA2BGR), cv2.extractChannel(patch, 3)
    if place.gain != 1.0:
        colours = cv2.convertScaleAbs(colours, alpha=place.gain)
    rest = cv2.cvtColor(cv2.bitwise_not(alpha), cv2.COLOR_GRAY2BGR)
    below = frame[top:bottom, left:right]
    frame[top:bottom, left:right] = cv2.add(cv2.multiply(below, rest, scale=1 / 255), colours)


def _affine(what: Sprite, place: Place, scale: float, depth: int) -> npt.NDArray[np.float64]:
    """Return the 2x3 map from a level's pixels to the frame's."""
    turn, size = math.radians(place.roll_deg), scale * 2**depth
    a, b = size * math.cos(turn), size * math.sin(turn)
    x, y = what.anchor[0] / 2**depth, what.anchor[1] / 2**depth
    return np.array([[a, -b, place.x - a * x + b * y], [b, a, place.y - b * x - a * y]])


def _window(
    shape: tuple[int, ...],
    onto: npt.NDArray[np.float64],
    frame_shape: tuple[int, ...],
    *,
    margin: float,
) -> tuple[int, int, int, int] | None:
    """Return left, top, right, bottom of the part of the frame that is touched, if any."""
    high, wide = shape[:2]
    corners = np.array([[0, 0, 1], [wide, 0, 1], [0, high, 1], [wide, high, 1]], np.float64)
    spots = corners @ onto.T
    low, top_most = np.floor(spots.min(axis=0) - margin), np.ceil(spots.max(axis=0) + margin)
    left, top = max(0, int(low[0])), max(0, int(low[1]))
    right, bottom = min(frame_shape[1], int(top_most[0])), min(frame_shape[0], int(top_most[1]))
    return (left, top, right, bottom) if right > left and bottom > top else None
