"""A portrait to a picture of it held before the camera: paper or screen, made in numpy.

For measuring a liveness model where no real attacks are at hand. What the simulation leaves
out (lens, focus, real paper, real panels) is what real attacks are made of, so its figures
are an upper bound of what the model is worth.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from edge_gate.face import Image

Floats = npt.NDArray[np.floating]


class Instrument(StrEnum):
    """What the portrait is shown on."""

    PAPER = "paper"
    """Fewer tones, warm light, grain."""
    SCREEN = "screen"
    """Moire of the pixels, a blue cast, a reflection."""


@dataclass(frozen=True, slots=True)
class Presentation:
    """How the picture is held."""

    instrument: Instrument
    edges: bool
    """Whether the picture's edges and what is behind it are in view. A screen or sheet that
    fills the view is the harder case."""


def presented(portrait: Image, how: Presentation, random: np.random.Generator) -> Image:
    """Return the camera's view of a portrait shown to it.

    Args:
        portrait: BGR uint8, shape (H, W, 3).
        how: On what, and how near.
        random: Grain and reflection differ from call to call.

    Returns:
        BGR uint8; shape (H, W, 3), or with edges (3 * H // 2, 3 * W // 2, 3).
    """
    picture = portrait.astype(np.float32)
    picture = (
        _paper(picture, random) if how.instrument is Instrument.PAPER else _screen(picture, random)
    )
    shown = np.clip(picture, 0, 255).astype(np.uint8)
    return _held(shown, how.instrument, random) if how.edges else shown


def _paper(picture: Floats, random: np.random.Generator) -> Floats:
    # Office paper reflects 75 % and prints no black below about 12 %; lamps are warm.
    toned: Floats = (_softened(picture) * 0.75 + 35) * np.array([0.92, 1.0, 1.05], np.float32)
    grain: Floats = random.normal(0, 4, (*picture.shape[:2], 1))
    toned += grain
    return toned


def _screen(picture: Floats, random: np.random.Generator) -> Floats:
    down, across = np.indices(picture.shape[:2], dtype=np.float32)
    height, width = picture.shape[:2]
    # Panel pixels beat with camera pixels: waves of about three pixels, a tenth deep.
    beat = 1 + 0.10 * np.sin(across * 2.33) + 0.06 * np.sin(down * 2.03 + across * 0.2)
    bright = 255 * (picture / 255) ** 0.85 * beat[..., None]
    cold = bright * np.array([1.08, 1.0, 0.95], np.float32)
    spot_x, spot_y = random.uniform(0.2, 0.8) * width, 0.2 * height
    spot = np.exp(-(((across - spot_x) / (width / 4)) ** 2 + ((down - spot_y) / (height / 5)) ** 2))
    lit: Floats = _softened(cold) + 35 * spot[..., None]
    return lit


def _softened(picture: Floats) -> Floats:
    """Blur by a binomial of five pixels: the picture is photographed a second time."""
    for axis in (0, 1):
        near = np.roll(picture, 1, axis) + np.roll(picture, -1, axis)
        far = np.roll(picture, 2, axis) + np.roll(picture, -2, axis)
        picture = (6 * picture + 4 * near + far) / 16
    return picture


def _held(shown: Image, instrument: Instrument, random: np.random.Generator) -> Image:
    height, width = shown.shape[:2]
    wall = random.integers(140, 165, (height * 3 // 2, width * 3 // 2, 3), dtype=np.uint8)
    top, left, rim = height // 4, width // 4, max(4, width // 32)
    wall[top - rim : top + height + rim, left - rim : left + width + rim] = (
        245 if instrument is Instrument.PAPER else 15
    )
    wall[top : top + height, left : left + width] = shown
    return wall


def auc(live: Floats, attacks: Floats) -> float:
    """Return the chance that a live face scores higher than an attack; 0.5 is guessing.

    Args:
        live: Liveness scores, shape (L,).
        attacks: Liveness scores, shape (A,).
    """
    above = (live[:, None] > attacks[None, :]).mean()
    level = (live[:, None] == attacks[None, :]).mean()
    return float(above + level / 2)
