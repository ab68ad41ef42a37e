"""Frames in, the camera's health out: a fault must show on the lane within two seconds.

Knows nothing of devices: whoever reads the camera calls `step` at least every 0.25 s, with the
new frame or with None when there is none.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from edge_gate.face import Frame
from edge_gate.reason import DenyReason


class CameraState(StrEnum):
    """What is wrong with a camera, if anything."""

    OK = "ok"
    LOST = "lost"
    """No new frame."""
    BLACK = "black"
    """Dark all over: lens covered, light out, dead sensor."""
    OVEREXPOSED = "overexposed"
    """White all over: sun or a lamp into the lens."""
    FROZEN = "frozen"
    """New frames with the same picture."""

    @property
    def reason(self) -> DenyReason | None:
        """Why the face path is closed in this state; None if it is not."""
        return _REASONS.get(self)


_REASONS = {
    CameraState.LOST: DenyReason.CAMERA_LOST,
    CameraState.BLACK: DenyReason.CAMERA_BLACK,
    CameraState.OVEREXPOSED: DenyReason.CAMERA_OVEREXPOSED,
    CameraState.FROZEN: DenyReason.CAMERA_FROZEN,
}


@dataclass(frozen=True, slots=True)
class WatchConfig:
    """When a camera counts as broken."""

    fault_after_s: float = 1.5
    """How long a fault must last, seconds, 0 to 1.75: with a step every 0.25 s it is noticed
    within the promised 2 s."""
    dark_max: int = 24
    """A picture whose 99th percentile is not above is black, grey levels 0 to 255: video black
    is 16, and a dark concourse with one lamp still has its lamp."""
    bright_min: int = 250
    """A picture whose 5th percentile is not below is overexposed, grey levels 0 to 255."""
    changed_share_min: float = 0.002
    """A picture in which fewer samples differ from the first of its kind is frozen, share 0 to 1.
    The noise of a sensor alone changes more than half; a clock drawn into a frozen picture
    changes a thousandth."""
    sample_step_px: int = 8
    """Every how many pixels across and down a sample is taken, >= 1."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        if not 0 <= self.fault_after_s <= 1.75:
            raise ValueError("fault_after_s is 0 to 1.75, or the 2 s cannot be kept")
        if not 0 <= self.dark_max < self.bright_min <= 255 or self.sample_step_px < 1:
            raise ValueError("0 <= dark_max < bright_min <= 255, sample_step_px >= 1 are needed")
        if not 0 <= self.changed_share_min <= 1:
            raise ValueError("changed_share_min is a share, 0 to 1")


Samples = npt.NDArray[np.uint8]
"""Grey levels, uint8, shape (h, w, 3), a thinned picture."""


class CameraWatch:
    """Watches one camera; the time before the first frame counts from `started_s`."""

    def __init__(self, started_s: float, config: WatchConfig | None = None) -> None:
        self._config = config or WatchConfig()
        self._last_s = started_s
        self._number: int | None = None
        self._still: Samples | None = None
        self._changed_s = started_s
        self._lit_s = started_s
        self._shaded_s = started_s
        self._state = CameraState.LOST

    @property
    def state(self) -> CameraState:
        """The state as of the last step; LOST until the first frame came."""
        return self._state

    def step(self, frame: Frame | None, now_s: float) -> CameraState:
        """Take the new frame, or None if there is none, and return the camera's state.

        A frame with the number of the one before is not new. Recovery needs one good frame.
        """
        if frame is not None and frame.number != self._number:
            self._see(frame, now_s)
        self._state = self._judge(now_s)
        return self._state

    def _see(self, frame: Frame, now_s: float) -> None:
        """Note when the picture last arrived, changed, was not dark and was not white."""
        config = self._config
        if self._number is None or now_s - self._last_s > config.fault_after_s:
            # The first frame after a gap opens every clock anew: the gap was LOST, not BLACK.
            self._changed_s = self._lit_s = self._shaded_s = now_s
        self._number, self._last_s = frame.number, now_s
        samples = frame.image[:: config.sample_step_px, :: config.sample_step_px]
        if _changed_share(samples, self._still) >= config.changed_share_min:
            self._still, self._changed_s = samples.copy(), now_s
        low, high = np.percentile(samples, (5, 99))
        if high > config.dark_max:
            self._lit_s = now_s
        if low < config.bright_min:
            self._shaded_s = now_s

    def _judge(self, now_s: float) -> CameraState:
        """Name the worst fault that has lasted long enough."""
        since = {
            CameraState.LOST: self._last_s,
            # A black or white picture is also a still one; the plainer name comes first.
            CameraState.BLACK: self._lit_s,
            CameraState.OVEREXPOSED: self._shaded_s,
            CameraState.FROZEN: self._changed_s,
        }
        if self._number is None:
            return CameraState.LOST
        for state, good_s in since.items():
            if now_s - good_s >= self._config.fault_after_s:
                return state
        return CameraState.OK


def _changed_share(samples: Samples, still: Samples | None) -> float:
    """Return the share of samples that differ from the still picture, 1 if there is none."""
    if still is None or still.shape != samples.shape:
        return 1.0
    return float(np.count_nonzero(samples != still)) / max(samples.size, 1)
