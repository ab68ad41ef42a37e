"""The figures of a scene: a head cut out of a portrait, a drawn body, prints, screens, phones.

Photos in, sprites out; everything is made once an actor and kept. Proportions are in widths of
the face, counted from its centre: a face 0.15 m wide on a body 1.7 m tall.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import segno

from edge_gate.adapters.scene_paint import Sprite, sprite
from edge_gate.face import Box, Image

_OUTFITS = (
    (92, 74, 58), (60, 62, 70), (70, 92, 120), (48, 44, 96), (110, 104, 84),
    (66, 84, 62), (128, 120, 112), (44, 50, 58), (96, 66, 88),
)  # fmt: skip
"""Clothes, BGR: muted, as a crowd in a station is dressed."""
Colour = tuple[float, float, float]
"""Blue, green, red, 0 to 255."""
_BODY_UNIT = 64
"""Pixels of a face's width in the drawn body: flat colours need no more."""
_UNIT_RANGE = (64, 200)
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
    unit = min(max(face.width, _UNIT_RANGE[0]), _UNIT_RANGE[1])
    patch = _around(photo, face, unit)
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


def _around(photo: Image, face: Box, unit: float) -> Image:
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


def printed(photo: Image, face: Box) -> Sprite:
    """Return the photo as a paper print: paler, dotted, glossy, with a white margin."""
    inside, centre, unit = _sheet(photo, face)
    grey = cv2.cvtColor(cv2.cvtColor(inside, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    pale = cv2.addWeighted(inside, 0.62, grey, 0.18, 34.0).astype(np.float32)
    rows, columns = np.indices(inside.shape[:2], np.float32)
    dots = 5 * np.cos(rows * 2.1) * np.cos(columns * 2.1)
    gloss = 46 * np.exp(-(((columns + 0.6 * rows) / unit - 1.1) ** 2) / 0.05)
    look = np.clip(pale + (dots + gloss)[:, :, None], 0, 255).astype(np.uint8)
    return _framed(look, centre, unit, border=0.14, colour=(232, 236, 238))


def screened(photo: Image, face: Box) -> Sprite:
    """Return the photo on a tablet: bluish, bright, with bands of moire and a dark frame."""
    inside, centre, unit = _sheet(photo, face)
    rows, columns = np.indices(inside.shape[:2], np.float32)
    moire = 1 + 0.035 * np.sin(0.55 * columns + 0.16 * rows) + 0.025 * np.sin(0.9 * rows)
    glare = 24 * np.exp(-(((columns - 0.5 * rows) / unit - 0.5) ** 2) / 0.09)
    tint = np.array([1.12, 1.02, 0.94], np.float32)
    bright = inside.astype(np.float32) * tint * moire[:, :, None] + glare[:, :, None] + 12
    look = np.clip(bright, 0, 255).astype(np.uint8)
    return _framed(look, centre, unit, border=0.22, colour=(24, 22, 22))


def _sheet(photo: Image, face: Box) -> tuple[Image, tuple[float, float], float]:
    """Return the part of the photo that is held up, the face's centre in it and its width."""
    unit = min(max(face.width, _UNIT_RANGE[0]), _UNIT_RANGE[1])
    return _around(photo, face, unit), (1.25 * unit, 1.45 * unit), unit


def _framed(
    look: Image,
    centre: tuple[float, float],
    unit: float,
    *,
    border: float,
    colour: tuple[int, int, int],
) -> Sprite:
    edge = round(border * unit)
    sheet = cv2.copyMakeBorder(look, edge, edge, edge, edge, cv2.BORDER_CONSTANT, value=colour)
    alpha = np.zeros(sheet.shape[:2], np.uint8)
    alpha[2:-2, 2:-2] = 255
    anchor = (centre[0] + edge, centre[1] + edge)
    return sprite(sheet, cv2.GaussianBlur(alpha, (0, 0), 0.8), anchor=anchor, unit_px=unit)


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


def phone(payload: bytes, *, side_px: int = 200) -> Sprite:
    """Draw a phone that shows the bytes as a QR code; its unit is one pixel of the frame.

    Args:
        payload: Content of the code, bytes mode, at most 1,000.
        side_px: About how wide the code with its quiet zone shall be.

    Raises:
        ValueError: The payload is empty or too long for a code that a camera could read.
    """
    if not 0 < len(payload) <= 1000:
        raise ValueError("a code holds 1 to 1,000 bytes")
    symbol = segno.make(payload, mode="byte", error="m", micro=False)
    modules = np.array([list(row) for row in symbol.matrix], np.uint8)
    light = np.pad(255 * (1 - modules), 4, constant_values=255).astype(np.uint8)
    size = max(2, side_px // light.shape[0])
    code = cv2.resize(light, None, fx=size, fy=size, interpolation=cv2.INTER_NEAREST)
    side = code.shape[0]
    wide, high, top = side + 28, round(side * 1.9), 40
    glass = np.full((high, wide, 3), (26, 24, 23), np.uint8)
    cv2.rectangle(glass, (8, 14), (wide - 9, high - 15), (250, 250, 250), -1)
    glass[top : top + side, 14 : 14 + side] = cv2.cvtColor(code, cv2.COLOR_GRAY2BGR)
    alpha = np.zeros(glass.shape[:2], np.uint8)
    cv2.rectangle(alpha, (16, 2), (wide - 17, high - 3), 255, -1)
    cv2.rectangle(alpha, (2, 16), (wide - 3, high - 17), 255, -1)
    for x in (16, wide - 17):
        for y in (16, high - 17):
            cv2.circle(alpha, (x, y), 14, 255, -1, cv2.LINE_AA)
    return sprite(glass, alpha, anchor=(wide / 2, top + side / 2), unit_px=1.0)
