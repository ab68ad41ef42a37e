"""When a lane looks for faces and for codes: always when somebody is there, seldom when not.

Comes in: thinned pictures and whether anybody is followed. Goes out: whether this frame is worth
a detector or a code reader. Without it four lanes cost two cores while the hall is empty.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_gate.face import Image

_STRIDE = 4
"""Every how many pixels a sample is taken."""


@dataclass(frozen=True, slots=True)
class PaceConfig:
    """How often a lane looks."""

    idle_period_s: float = 0.18
    """Between two searches for faces while nobody is followed and something moves, seconds,
    >= 0; just under three frames at 15 a second."""
    still_period_s: float = 1.0
    """The same while nothing moves: somebody may stand as still as the wall, seconds, >= 0."""
    code_period_s: float = 0.18
    """Between two searches for a code, seconds, >= 0: a phone is held for a second or more."""
    moved_min: float = 6.0
    """Change of a block's mean since the last searched picture that counts as movement, grey
    levels, > 0; noise of 4 levels changes the mean of 64 samples by 0.7, of the worst block in
    300 by about 2."""
    block_px: int = 32
    """Side of a block, pixels, >= 1: a face at the detector's reach is about as large."""

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ValueError: One is out of range.
        """
        if min(self.idle_period_s, self.still_period_s, self.code_period_s) < 0:
            raise ValueError(f"out of range: {self}")
        if self.moved_min <= 0 or self.block_px < 1:
            raise ValueError(f"out of range: {self}")


class Pace:
    """The rhythm of one lane."""

    def __init__(self, config: PaceConfig | None = None) -> None:
        self._config = config or PaceConfig()
        self._faces_s = self._codes_s = float("-inf")
        self._seen: Image | None = None

    def faces_due(self, image: Image, now_s: float, *, followed: bool) -> bool:
        """Tell whether to look for faces in this frame, and take it as looked at if so.

        Args:
            image: BGR uint8, shape (H, W, 3).
            now_s: Monotonic seconds.
            followed: Whether anybody is being followed.
        """
        waited_s = now_s - self._faces_s
        if not followed:
            if waited_s < self._config.idle_period_s:
                return False
            if waited_s < self._config.still_period_s and not self._moved(image):
                return False
        self._faces_s = now_s
        self._seen = self._thin(image)
        return True

    def codes_due(self, now_s: float, *, at_once: bool = False) -> bool:
        """Tell whether to look for a code in this frame, and take it as looked at if so."""
        if not at_once and now_s - self._codes_s < self._config.code_period_s:
            return False
        self._codes_s = now_s
        return True

    def _moved(self, image: Image) -> bool:
        thin = self._thin(image)
        if self._seen is None or self._seen.shape != thin.shape:
            return True
        difference = thin.astype(np.int16) - self._seen.astype(np.int16)
        side = max(1, self._config.block_px // _STRIDE)
        return _largest_block(difference, side) >= self._config.moved_min

    def _thin(self, image: Image) -> Image:
        return image[::_STRIDE, ::_STRIDE, 1].copy()


def _largest_block(difference: npt.NDArray[np.int16], side: int) -> float:
    """Return the largest change of a block's mean; blocks are `side` by `side` samples."""
    high = difference.shape[0] - difference.shape[0] % side
    wide = difference.shape[1] - difference.shape[1] % side
    if high == 0 or wide == 0:
        return float(abs(difference.mean()))
    tiled = difference[:high, :wide].reshape(high // side, side, wide // side, side)
    return float(np.abs(tiled.mean(axis=(1, 3))).max())
