"""What actors of a scene hold up: a print or a tablet with a photo, a phone with a code."""

import cv2
import numpy as np
import segno

from edge_gate.adapters.scene_head import FACE_PX, around
from edge_gate.adapters.scene_paint import Sprite, sprite
from edge_gate.face import Box, Image


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
    unit = min(max(face.width, FACE_PX[0]), FACE_PX[1])
    return around(photo, face, unit), (1.25 * unit, 1.45 * unit), unit


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
