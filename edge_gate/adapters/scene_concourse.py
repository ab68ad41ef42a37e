"""The empty station hall behind the actors of a scene: painted once, out of focus.

A gate's lens is focused at arm's length, so the hall is soft and its lamps are discs. That and
the colours matter beyond looks: the liveness model of the `open` pack takes sharp edges, noise
above one grey level, or a hall all in grey behind a face for a print or a screen.
"""

import cv2
import numpy as np
import numpy.typing as npt

from edge_gate.face import Image

Light = npt.NDArray[np.float32]
"""Linear light, BGR, shape (H, W, 3); lamps are far above 255, so that they keep their discs."""

_FAR = (0.39, 0.61, 0.28, 0.53)
"""The far end of the hall: left, right, top, floor, shares of the frame."""


def concourse(width: int, height: int, *, seed: int) -> Image:
    """Paint the hall as seen from a gate at the height of a face.

    Args:
        width: Of the frame, pixels.
        height: Of the frame, pixels.
        seed: Places the people's worth of colour far behind.

    Returns:
        BGR uint8, shape (height, width, 3).
    """
    rng = np.random.default_rng(seed)
    hall = np.zeros((height, width, 3), np.float32)
    _surfaces(hall)
    _joints(hall)
    _distance(hall, rng)
    soft = _defocused(hall, radius=max(2, round(width / 54)))
    _cabinets(soft)
    soft = cv2.GaussianBlur(soft, (0, 0), width / 250)
    rows, columns = np.indices((height, width), np.float32)
    falloff = 1 - 0.7 * ((columns / width - 0.5) ** 2 + (rows / height - 0.45) ** 2)
    image: Image = np.clip(soft * falloff[:, :, None], 0, 250).astype(np.uint8)
    return image


def _fill(hall: Light, colour: tuple[float, ...], *corners: tuple[float, float]) -> None:
    """Fill a polygon whose corners are shares of the frame."""
    spots = np.array(corners) * (hall.shape[1], hall.shape[0])
    cv2.fillPoly(hall, [spots.round().astype(np.int32)], colour)


def _surfaces(hall: Light) -> None:
    """Paint ceiling, floor, walls and the far end."""
    left, right, top, floor = _FAR
    _fill(hall, (118, 104, 92), (0, 0), (1, 0), (right, top), (left, top))
    _fill(hall, (84, 104, 122), (0, 1), (1, 1), (right, floor), (left, floor))
    _fill(hall, (142, 116, 84), (0, 0), (left, top), (left, floor), (0, 1))
    _fill(hall, (122, 112, 92), (1, 0), (right, top), (right, floor), (1, 1))
    _fill(hall, (132, 126, 104), (left, top), (right, top), (right, floor), (left, floor))


def _joints(hall: Light) -> None:
    """Paint wall panels, pillars and lamp strips, all towards one vanishing point."""
    left, right, top, floor = _FAR
    for depth in (0.05, 0.35, 0.6, 0.8, 0.92):  # nearer pillars stand farther apart
        thick = 0.05 * (1 - depth)
        for x, side in ((depth * left, 1.0), (1 - depth * (1 - right), -1.0)):
            y0, y1 = depth * top, 1 - depth * (1 - floor)
            inner = x + side * thick
            colour = (96, 66, 38) if side > 0 else (74, 84, 110)
            _fill(hall, colour, (x, y0), (inner, y0), (inner, y1), (x, y1))
    for share in (0.28, 0.72):
        near, end = 0.5 + (share - 0.5) * 1.5, left + share * (right - left)
        _fill(hall, (420, 420, 400), (near - 0.035, 0), (near + 0.035, 0), (end, top), (end, top))
    _fill(hall, (150, 90, 20), (0.37, 0.10), (0.63, 0.10), (0.63, 0.19), (0.37, 0.19))
    _fill(hall, (330, 330, 330), (0.41, 0.125), (0.50, 0.125), (0.50, 0.165), (0.41, 0.165))
    _fill(hall, (60, 190, 300), (0.54, 0.125), (0.585, 0.125), (0.585, 0.165), (0.54, 0.165))


def _distance(hall: Light, rng: np.random.Generator) -> None:
    """Paint shops' lamps and passers-by far behind: spots of colour, no more."""
    height, width = hall.shape[:2]
    for _ in range(26):
        x, y = rng.uniform(0.02, 0.98), rng.uniform(0.16, 0.5)
        warm = rng.uniform(0.4, 1.0)
        colour = tuple(float(c) for c in rng.uniform(380, 900) * np.array([warm * 0.7, 0.85, 1.0]))
        spot = (round(x * width), round(y * height))
        cv2.circle(hall, spot, max(1, round(width * rng.uniform(0.003, 0.007))), colour, -1)
    for _ in range(7):
        x, size = rng.uniform(0.3, 0.7), rng.uniform(0.012, 0.02)
        cloth = tuple(float(c) for c in rng.uniform(30, 130, 3))
        _fill(hall, cloth, (x - size, 0.43), (x + size, 0.43), (x + size, 0.56), (x - size, 0.56))


def _defocused(hall: Light, *, radius: int) -> Light:
    """Return the picture as a lens out of focus gives it: each point a disc."""
    side = 2 * radius + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)).astype(np.float32)
    soft: Light = cv2.filter2D(hall, -1, disc / disc.sum(), borderType=cv2.BORDER_REFLECT)
    return soft


def _cabinets(hall: Light) -> None:
    """Paint the two gate cabinets beside the lane, with their green lamps."""
    height, width = hall.shape[:2]
    for side in (-1, 1):
        inner, outer = 0.5 + side * 0.36, 0.5 + side * 0.52
        top = ((inner, 0.84), (outer, 0.76), (outer, 0.83), (inner + side * 0.012, 0.89))
        _fill(hall, (172, 166, 158), *top)
        front = ((inner + side * 0.012, 0.89), (outer, 0.83), (outer, 1.0), (inner, 1.0))
        _fill(hall, (66, 58, 52), *front)
        lamp = (round((0.5 + side * 0.43) * width), round(0.92 * height))
        cv2.circle(hall, lamp, max(2, round(width * 0.011)), (120, 235, 100), -1)
