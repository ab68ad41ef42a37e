"""Layers with soft edges, and how one is laid into a frame: the brush of the scene camera."""

import math
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import numpy.typing as npt

from edge_gate.face import Image

Layer = npt.NDArray[np.uint8]
"""Blue, green, red, each already multiplied by alpha, and alpha; uint8, shape (H, W, 4)."""

_STAMPS_MAX = 8


@dataclass(frozen=True, slots=True, eq=False)
class Sprite:
    """A picture cut free, in several sizes, with the point and the length that place it."""

    levels: tuple[Layer, ...]
    """Each half the size of the one before, so that a far figure does not flicker."""
    anchor: tuple[float, float]
    """The point that is laid on the target, pixels of the first level."""
    unit_px: float
    """The length that becomes `width_px`, in pixels of the first level: a face's width."""
    stamps: "dict[Place, Stamp | None]" = field(default_factory=dict)
    """Sizes and turns drawn before; None where only once. A cache, at most `_STAMPS_MAX`."""


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


@dataclass(frozen=True, slots=True, eq=False)
class Stamp:
    """A sprite at one size and turn, ready to be laid at whole pixels."""

    colours: Image
    """BGR uint8, premultiplied."""
    rest: Image
    """What is let through, uint8, same shape."""
    left: int
    top: int
    """Of the upper left corner from the target, pixels."""


def lay(frame: Image, what: Sprite, place: Place) -> None:
    """Lay a sprite over the frame, in place; what reaches outside is cut off.

    Whoever stands still is drawn at the same size and turn again and again: from the second time
    on a kept stamp is laid at whole pixels, at a third of the cost.

    Args:
        frame: BGR uint8, shape (H, W, 3); changed.
        what: The sprite.
        place: Where and how.
    """
    look = replace(place, x=0.0, y=0.0)
    if look in what.stamps:
        stamp = what.stamps[look]
        if stamp is None:
            reach = max(frame.shape)  # nothing farther from a target inside can be seen
            stamp = _stamp(what, look, -reach, -reach, reach, reach)
            what.stamps[look] = stamp
        _press(frame, stamp, round(place.x), round(place.y))
        return
    if len(what.stamps) >= _STAMPS_MAX:
        what.stamps.pop(next(iter(what.stamps)))
    what.stamps[look] = None
    high, wide = frame.shape[:2]
    _press(frame, _stamp(what, place, 0, 0, wide, high), 0, 0)


def _press(frame: Image, stamp: Stamp | None, x: int, y: int) -> None:
    """Blend a stamp into the frame with its target at (x, y)."""
    if stamp is None:
        return
    high, wide = stamp.colours.shape[:2]
    left, top = stamp.left + x, stamp.top + y
    inner = slice(max(0, -top), min(high, frame.shape[0] - top))
    across = slice(max(0, -left), min(wide, frame.shape[1] - left))
    if inner.stop <= inner.start or across.stop <= across.start:
        return
    rows = slice(inner.start + top, inner.stop + top)
    columns = slice(across.start + left, across.stop + left)
    seen_through = cv2.multiply(frame[rows, columns], stamp.rest[inner, across], scale=1 / 255)
    frame[rows, columns] = cv2.add(seen_through, stamp.colours[inner, across])


def _stamp(
    what: Sprite, place: Place, left: int, top: int, right: int, bottom: int
) -> Stamp | None:
    """Draw the part of a sprite within the bounds; None if there is none."""
    scale = place.width_px / what.unit_px
    # One level down for each halving: linear sampling then never skips source pixels.
    depth = max(0, min(len(what.levels) - 1, math.floor(-math.log2(max(scale, 1e-6)) + 0.25)))
    layer = what.levels[depth]
    onto = _affine(what, place, scale, depth)
    margin = 3 * place.blur_px + place.smear_px + 1
    corner, end = _bounds(layer.shape, onto, margin)
    left, top = max(left, corner[0]), max(top, corner[1])
    right, bottom = min(right, end[0]), min(bottom, end[1])
    if right <= left or bottom <= top:
        return None
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
    return Stamp(colours, rest, left, top)


def _affine(what: Sprite, place: Place, scale: float, depth: int) -> npt.NDArray[np.float64]:
    """Return the 2x3 map from a level's pixels to the frame's."""
    turn, size = math.radians(place.roll_deg), scale * 2**depth
    a, b = size * math.cos(turn), size * math.sin(turn)
    x, y = what.anchor[0] / 2**depth, what.anchor[1] / 2**depth
    return np.array([[a, -b, place.x - a * x + b * y], [b, a, place.y - b * x - a * y]])


def _bounds(
    shape: tuple[int, ...], onto: npt.NDArray[np.float64], margin: float
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the corners, left top and right bottom, of what a layer covers."""
    high, wide = shape[:2]
    corners = np.array([[0, 0, 1], [wide, 0, 1], [0, high, 1], [wide, high, 1]], np.float64)
    spots = corners @ onto.T
    low, far = np.floor(spots.min(axis=0) - margin), np.ceil(spots.max(axis=0) + margin)
    return (int(low[0]), int(low[1])), (int(far[0]), int(far[1]))
