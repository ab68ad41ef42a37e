"""Heads of a scene, cut free from portraits and turned a little.

Photos in, sprites out; made once an actor and kept. Lengths are in widths of the face, counted
from its centre.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from edge_gate.adapters.scene_paint import Sprite, sprite
from edge_gate.face import Box, Image

FACE_PX = (64, 200)
"""A portrait's face is kept at its own size within these pixels: frames show 34 to about 200."""


def guess_face(photo: Image) -> Box:
    """Return where the face of an ordinary portrait is: the middle, half as wide as the picture."""
    high, wide = photo.shape[:2]
    return Box(wide * 0.25, high * 0.27, wide * 0.5, min(high * 0.48, wide * 0.66))


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """A head cut out of a portrait, looking as in the portrait."""

    patch: Image
    """The face and what is round it, BGR uint8."""
    alpha: Image
    """What of it is head, hair and neck, uint8."""
    unit: float
    """Width of the face, pixels."""
    tone: tuple[int, int, int]
    """Colour of the skin, BGR."""


def cut(photo: Image, face: Box) -> Cut:
    """Cut the head with its hair and neck out of a portrait; takes a tenth of a second.

    Args:
        photo: BGR uint8, shape (H, W, 3).
        face: The face in it, pixels.
    """
    unit = min(max(face.width, FACE_PX[0]), FACE_PX[1])
    patch = around(photo, face, unit)
    return Cut(patch, _head_mask(patch, unit), unit, skin(photo, face))


def head(free: Cut, *, yaw_deg: float = 0.0) -> Sprite:
    """Return a head on a drawn neck, turned by `yaw_deg`, -30 to 30, positive to the right."""
    patch, alpha, unit = free.patch, free.alpha, free.unit
    centre = (1.25 * unit, 1.45 * unit)
    if yaw_deg:
        source = _turned(patch.shape, centre, unit, yaw_deg)
        patch = cv2.remap(patch, *source, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        alpha = cv2.remap(alpha, *source, cv2.INTER_LINEAR)
    share = alpha[:, :, None].astype(np.float32) / 255
    below = np.array(free.tone, np.float32) * 0.85
    whole = (patch * share + below * (1 - share)).astype(np.uint8)
    return sprite(whole, cv2.max(alpha, _neck(unit, alpha.shape)), anchor=centre, unit_px=unit)


def around(photo: Image, face: Box, unit: float) -> Image:
    """Return the surroundings of the face, 2.5 x 3.1 widths of it, `unit` pixels a width."""
    scale = unit / face.width
    x, y = face.centre
    onto = np.array([[scale, 0, 1.25 * unit - scale * x], [0, scale, 1.45 * unit - scale * y]])
    size = (round(2.5 * unit), round(3.1 * unit))
    if scale < 0.5:  # a large photo: shrink it properly first, or linear sampling skips pixels
        photo = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        onto[0, 0] = onto[1, 1] = 1.0
    patch: Image = cv2.warpAffine(
        photo, onto, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return patch


def _head_mask(patch: Image, unit: float) -> Image:
    """Return the soft mask of head, hair and neck, uint8, shape of the patch."""
    small = cv2.resize(patch, (160, 198), interpolation=cv2.INTER_AREA)[:176]
    middle = (80, 93)  # 1.25 and 1.45 widths of 64 pixels
    marks = np.full(small.shape[:2], cv2.GC_BGD, np.uint8)
    _oval(marks, middle, 1.05, 1.30, cv2.GC_PR_BGD)
    _oval(marks, (80, 88), 0.78, 1.10, cv2.GC_PR_FGD)
    cv2.rectangle(marks, (80 - 34, 93 + 40), (80 + 34, 175), cv2.GC_PR_FGD, -1)
    _oval(marks, middle, 0.44, 0.64, cv2.GC_FGD)
    cv2.rectangle(marks, (80 - 18, 93 + 36), (80 + 18, 93 + 56), cv2.GC_FGD, -1)
    cv2.setRNGSeed(1)  # the cut seeds its clusters at random; the same photo gives the same cut
    cv2.grabCut(small, marks, None, np.zeros((1, 65)), np.zeros((1, 65)), 4, cv2.GC_INIT_WITH_MASK)
    inside = np.isin(marks, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8) * 255
    inside = cv2.copyMakeBorder(inside, 0, 198 - 176, 0, 0, cv2.BORDER_REPLICATE)
    inside = _largest_part(inside)
    inside = cv2.morphologyEx(inside, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    soft = cv2.resize(inside, patch.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    soft = cv2.GaussianBlur(soft, (0, 0), unit * 0.02)
    # One pixel in from the edge, where the old background shines through.
    soft = cv2.convertScaleAbs(np.clip(soft.astype(np.float32) - 70, 0, 185), alpha=255 / 185)
    below = (np.arange(patch.shape[0]) / unit - 1.45 - 0.95) / 0.3
    fade = np.clip(1 - below, 0, 1)[:, None]
    mask: Image = (soft * fade).astype(np.uint8)
    return mask


def _oval(marks: Image, middle: tuple[int, int], wide: float, high: float, value: int) -> None:
    cv2.ellipse(marks, middle, (round(64 * wide), round(64 * high)), 0, 0, 360, value, -1)


def _largest_part(mask: Image) -> Image:
    """Keep only the largest connected part of a mask."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
    if count <= 2:
        return mask
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    kept: Image = (labels == largest).astype(np.uint8) * 255
    return kept


def _turned(
    shape: tuple[int, ...], centre: tuple[float, float], unit: float, yaw_deg: float
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return the maps that turn a head: an egg with a nose, turned about its vertical."""
    rows, columns = np.indices(shape[:2], np.float32)
    across, down = (columns - centre[0]) / unit, (rows - centre[1]) / unit
    depth = 0.45 * np.sqrt(np.clip(1 - (across / 0.72) ** 2 - (down / 1.05) ** 2, 0, 1))
    # The nose stands out by a sixth of the face's width, a little under the middle.
    depth += 0.16 * np.exp(-((across / 0.14) ** 2) - ((down - 0.08) / 0.2) ** 2)
    turn = math.radians(yaw_deg)
    narrowing = 1 + (1 / math.cos(turn) - 1) * (depth > 0)
    shift = -depth * math.sin(turn)
    source = (across * narrowing + shift) * unit + centre[0]
    return source.astype(np.float32), rows


def skin(photo: Image, face: Box) -> tuple[int, int, int]:
    """Return the colour of the skin, BGR, from the cheeks."""
    left, width = face.left, face.width
    top, high = face.top + 0.5 * face.height, 0.25 * face.height
    rows = slice(max(0, round(top)), max(1, round(top + high)))
    columns = slice(max(0, round(left + 0.2 * width)), max(1, round(left + 0.8 * width)))
    cheeks = photo[rows, columns].reshape(-1, 3)
    if cheeks.size == 0:
        return 130, 150, 185
    blue, green, red = np.median(cheeks, axis=0)
    return int(blue), int(green), int(red)


def _neck(unit: float, shape: tuple[int, ...]) -> Image:
    """Return the soft mask of a drawn neck and chest, uint8, in a patch of a head."""
    edge = ((-0.32, 0.2), (-0.34, 0.85), (-0.55, 1.05), (0.0, 1.64), (0.55, 1.05), (0.34, 0.85),
            (0.32, 0.2))  # fmt: skip
    spots = ((np.array(edge) + np.array((1.25, 1.45))) * unit).round().astype(np.int32)
    alpha = np.zeros(shape[:2], np.uint8)
    cv2.fillPoly(alpha, [spots], 255, cv2.LINE_AA)
    soft: Image = cv2.GaussianBlur(alpha, (0, 0), unit * 0.02)
    return soft
