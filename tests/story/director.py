"""The director: sends passengers up to the lanes, listens to the gates, and tells what happened.

One thread a passenger; a lane serves one walk at a time. A walk that gets no answer, because a
process was killed meanwhile, is walked again, as a person would.
"""

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.story.app import Away, Phone
from tests.story.script import Expect, Passenger, Show, Step
from tests.story.stage import Line

_ASIDE = """
[[key]]
at_s = 0.0
x = -0.15
y = 0.42
width_px = 110.0
[[key]]
at_s = 1.0
x = 0.13
y = 0.42
width_px = 120.0
[[key]]
at_s = {stand_s}
x = 0.13
y = 0.42
width_px = 120.0
[[key]]
at_s = {gone_s}
x = -0.3
y = 0.42
width_px = 110.0
"""
"""The path of somebody who reaches a phone to the reader from the side: the face stays left of the
intent zone, so it is never looked at."""

LaneKey = tuple[str, str]
"""Station id and direction."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a gate said to one approach."""

    opened: bool
    medium: str
    reason: str
    rider_ref: str
    score: float
    deciding_ms: float
    usable_ms: float
    liveness: float | None


@dataclass
class Lane:
    """One lane of the stage and what it says."""

    cues: Path
    answers: "queue.Queue[Answer]" = field(default_factory=queue.Queue)
    busy: threading.Lock = field(default_factory=threading.Lock)


class Stranded(Exception):
    """A gate never answered as the script says; the message tells where."""


def answer_of(line: Line) -> Answer:
    """Read a `decision` log line of an edge node."""

    def number(word: str) -> float:
        value = line.get(word)
        return float(value) if isinstance(value, int | float) else 0.0

    live = line.get("liveness")
    return Answer(
        opened=line.get("outcome") == "grant",
        medium=str(line.get("medium") or ""),
        reason=str(line.get("reason") or ""),
        rider_ref=str(line.get("rider_ref") or ""),
        score=number("score"),
        deciding_ms=number("deciding_frame_to_open_ms"),
        usable_ms=number("first_usable_to_open_ms"),
        liveness=float(live) if isinstance(live, int | float) else None,
    )


class Director:
    """Walks one passenger at a time through one lane."""

    def __init__(
        self,
        lanes: dict[LaneKey, Lane],
        photos: Path,
        tell: Callable[[str], None],
        *,
        patience_s: float = 15.0,
        tries: int = 4,
    ) -> None:
        """Take the stage's lanes.

        Args:
            lanes: All lanes by station and direction.
            photos: Folder with a PNG per person.
            tell: Called with each line of the story.
            patience_s: How long a walk waits for the gate's answer.
            tries: How often a walk is walked at most.
        """
        self._lanes = lanes
        self._photos = photos
        self._tell = tell
        self._patience_s = patience_s
        self._tries = tries

    def walk(self, passenger: Passenger, step: Step, phone: Phone | None) -> Answer:
        """Send a passenger up to a lane until the gate answers as the script says.

        Raises:
            Stranded: It never did.
        """
        lane = self._lanes[step.station, step.direction]
        last: Answer | None = None
        with lane.busy:
            for attempt in range(self._tries):
                last = self._once(passenger, step, phone, lane, attempt)
                if last is not None and fits(step, last):
                    return last
        raise Stranded(f"{passenger.name} at {step.station} {step.direction}: {last}")

    def _once(
        self, passenger: Passenger, step: Step, phone: Phone | None, lane: Lane, attempt: int
    ) -> Answer | None:
        while not lane.answers.empty():
            lane.answers.get_nowait()
        stem = f"{passenger.name.lower()}-{attempt}"
        presents = step.show.value if step.whose else "face"
        shown = step.whose or passenger.name
        if step.show is Show.CODE and phone is not None:
            try:
                code = phone.code()
            except Away:
                return None  # no code to show just now: a person waits and tries again
            _place(lane.cues / f"{stem}.code", code)
        if step.beside:
            self._enter(lane, f"{stem}-beside", step.beside, "face", x=0.7)
            self._enter(lane, stem, shown, presents, x=0.3)
        else:
            recognised = passenger.face and not passenger.paused
            aside = step.show is Show.CODE and recognised
            self._enter(lane, stem, shown, presents, x=None if aside else 0.5)
        try:
            return self._hear(lane, step)
        finally:
            for name in (stem, f"{stem}-beside"):
                (lane.cues / f"{name}.leave").touch()
            self._gone(lane, stem)

    def _enter(self, lane: Lane, stem: str, who: str, presents: str, *, x: float | None) -> None:
        script = (
            f'name = "{who}"\nphoto = "{self._photos / who}.png"\npresents = "{presents}"\n'
            f'leave = "{stem}.leave"\ncode = "{stem}.code"\nstand_s = {self._patience_s}\n'
        )
        if x is None:
            script += _ASIDE.format(stand_s=self._patience_s, gone_s=self._patience_s + 0.6)
        else:
            script += f"x = {x}\n"
        _place(lane.cues / f"{stem}.toml", script.encode())

    def _hear(self, lane: Lane, step: Step) -> Answer | None:
        """Wait for the answer; someone with a code is first refused as a face, which is no news."""
        deadline = time.monotonic() + self._patience_s
        while (left := deadline - time.monotonic()) > 0:
            try:
                answer = lane.answers.get(timeout=left)
            except queue.Empty:
                return None
            if (
                step.show is Show.CODE
                and not answer.opened
                and not answer.reason.startswith("code")
            ):
                continue
            return answer
        return None

    def _gone(self, lane: Lane, stem: str, patience_s: float = 12.0) -> None:
        """Wait until the walk is over, then clear what is left of it."""
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline and any(lane.cues.glob(f"{stem}*.toml")):
            time.sleep(0.05)
        for path in lane.cues.glob(f"{stem}*"):
            path.unlink(missing_ok=True)


def fits(step: Step, answer: Answer) -> bool:
    """Say whether the gate answered as the script says."""
    if step.expect is Expect.REPORTED:
        return True
    if step.expect is Expect.OPEN:
        wanted = "code" if step.show is Show.CODE else "face"
        return answer.opened and answer.medium == wanted
    return not answer.opened and answer.reason in step.reasons


def _place(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees all of it or nothing."""
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content)
    part.replace(path)
