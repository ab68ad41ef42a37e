"""Measuring a lane: frames that come at a camera's pace, computing that takes its real time.

The clock runs as fast as this machine computes and jumps over every wait, so a passenger of four
seconds is measured in the time that the computing takes. Knows no models and no files.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np

from edge_gate.answer import Answer
from edge_gate.decide import DecideConfig, Evidence, Grant, Standing, decide
from edge_gate.face import Frame, Image
from edge_gate.moment import Moment
from edge_gate.pipeline import LanePipeline
from edge_gate.search import Candidates


class BenchClock:
    """Real time while something is computed, none while something is awaited."""

    def __init__(self, real: Callable[[], float]) -> None:
        """Start at zero.

        Args:
            real: A monotonic clock, seconds.
        """
        self._real = real
        self._skipped_s = -real()

    def now_s(self) -> float:
        """Return the seconds since the start, waits included."""
        return self._real() + self._skipped_s

    def wait_until(self, then_s: float) -> None:
        """Jump to a moment, if it has not passed."""
        self._skipped_s += max(0.0, then_s - self.now_s())


@dataclass(frozen=True, slots=True)
class Spread:
    """Milliseconds, as measured."""

    count: int
    p50_ms: float
    p95_ms: float

    def __str__(self) -> str:
        return f"p50 {self.p50_ms:7.2f}  p95 {self.p95_ms:7.2f} ms"


def spread(samples_ms: Sequence[float]) -> Spread | None:
    """Return median and 95th percentile; None of nothing."""
    if not samples_ms:
        return None
    p50, p95 = np.percentile(samples_ms, (50, 95))
    return Spread(len(samples_ms), float(p50), float(p95))


def at_pace(
    images: Sequence[Image], clock: BenchClock, *, fps: float, first_number: int
) -> Iterator[Frame]:
    """Yield frames as a camera gives them: whoever is slow gets the newest, the others are lost.

    Args:
        images: What the camera sees, in order.
        clock: Moves on to each frame's arrival.
        fps: The camera's pace.
        first_number: Of the first frame.
    """
    began_s = clock.now_s()
    index = -1
    while True:
        index = max(index + 1, int((clock.now_s() - began_s) * fps))
        if index >= len(images):
            return
        arrival_s = began_s + index / fps
        clock.wait_until(arrival_s)
        yield Frame(images[index], first_number + index, arrival_s)


@dataclass(slots=True)
class Walks:
    """What a lane did with all passengers shown to it."""

    walks: int = 0
    opened: int = 0
    frames: int = 0
    frames_lost: int = 0
    stages_ms: dict[str, list[float]] = field(default_factory=dict)
    step_ms: list[float] = field(default_factory=list)
    """Of whole steps in which faces were looked for."""
    deciding_ms: list[float] = field(default_factory=list)
    """From the deciding frame's arrival to the open command."""
    usable_ms: list[float] = field(default_factory=list)
    """From the first usable face's arrival to the open command."""
    refusals: list[str] = field(default_factory=list)
    usable_s: list[float | None] = field(default_factory=list)
    """Of each walk, when its first usable face arrived after the walk's beginning, seconds; None
    where the gate did not open."""


def walk(
    lane: LanePipeline,
    images: Sequence[Image],
    clock: BenchClock,
    *,
    noon: datetime,
    fps: float,
    into: Walks,
) -> None:
    """Let one passenger walk up to a lane.

    Args:
        lane: Its clock is `clock`.
        images: The walk, one picture a frame.
        clock: Of lane and camera.
        noon: The wall clock when `clock` was at zero, aware.
        fps: The camera's pace.
        into: Where the measurements go.
    """
    began_s, opened = clock.now_s(), False
    into.walks += 1
    usable_s: float | None = None
    taken = 0
    for frame in at_pace(images, clock, fps=fps, first_number=round(began_s * 1000)):
        now_s = clock.now_s()
        answers = lane.step(frame, Moment(now_s, noon + timedelta(seconds=now_s)))
        taken += 1
        _note(lane, into, 1000 * (clock.now_s() - now_s))
        for answer in answers:
            if answer.reason is not None:
                into.refusals.append(answer.reason.value)
            elif not opened:
                opened = True
                usable_s = _opening(answer, clock.now_s() - began_s, into)
    into.opened += opened
    into.frames += taken
    into.frames_lost += len(images) - taken
    into.usable_s.append(usable_s)


def _note(lane: LanePipeline, into: Walks, took_ms: float) -> None:
    laps = lane.laps.newest
    for stage, spent_ms in laps.items():
        into.stages_ms.setdefault(stage, []).append(spent_ms)
    if "detect" in laps:
        into.step_ms.append(took_ms)


def _opening(answer: Answer, opened_s: float, into: Walks) -> float | None:
    """Note an opening and return when the first usable face had arrived."""
    assert answer.deciding_frame_to_open_ms is not None
    into.deciding_ms.append(answer.deciding_frame_to_open_ms)
    if answer.first_usable_to_open_ms is None:
        return None
    into.usable_ms.append(answer.first_usable_to_open_ms)
    return opened_s - answer.first_usable_to_open_ms / 1000


@dataclass(frozen=True, slots=True)
class Searches:
    """One gallery against exhaustive search."""

    size: int
    threshold: float
    ours: Spread
    flat: Spread
    probes: int
    equal: int
    """Probes for which both decide the same: the same rider, or the same refusal."""


def same_decision(
    ours: Candidates, oracle: Candidates, standing: Standing, now: Moment, config: DecideConfig
) -> bool:
    """Tell whether two rankings of one probe end in the same decision about the same rider."""
    a, b = (
        decide(Evidence(found, live=1.0), standing, now=now, config=config)
        for found in (ours, oracle)
    )
    if isinstance(a, Grant) and isinstance(b, Grant):
        return a.rider_ref == b.rider_ref
    return a == b
