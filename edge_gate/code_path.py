"""Frames or scans of one lane in, verified ride codes or refusals out.

Works whatever the face path does; it needs neither models nor gallery nor network.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from edge_gate.face import Frame, Image
from edge_gate.holdings import Holdings
from edge_gate.lap import Laps
from edge_gate.moment import Moment
from edge_gate.pace import Pace
from edge_gate.ride_code import Accepted, Refused, RideCodeConfig, verify


class CodeReader(Protocol):
    """Finds codes in pictures."""

    def read(self, image: Image) -> Sequence[bytes]:
        """Return the payload of each code in a BGR image; never raises for what it shows."""
        ...


@dataclass(frozen=True, slots=True)
class CodeConfig:
    """How a lane treats the codes it sees."""

    ride_code: RideCodeConfig = field(default_factory=RideCodeConfig)
    same_code_s: float = 3.0
    """A code is one presentation until it has been out of sight this long, seconds, > 0: it is
    answered once, not with every frame."""

    def __post_init__(self) -> None:
        """Check the range.

        Raises:
            ValueError: It is out of range.
        """
        if self.same_code_s <= 0:
            raise ValueError(f"out of range: {self.same_code_s}")


@dataclass(frozen=True, slots=True)
class Presented:
    """A code that is new in sight, verified."""

    mark: bytes
    """Names the payload without holding it."""
    result: Accepted | Refused
    frame_s: float
    """When it arrived, monotonic seconds."""


class CodePath:
    """One lane's codes; one thread."""

    def __init__(
        self,
        reader: CodeReader,
        holdings: Holdings,
        config: CodeConfig,
        *,
        pace: Pace,
        laps: Laps,
    ) -> None:
        """Begin with no code in sight.

        Args:
            reader: Finds codes in pictures.
            holdings: The station's trusted keys.
            config: The limits.
            pace: How often to look.
            laps: Where the reader's time goes.
        """
        self._reader = reader
        self._holdings = holdings
        self._config = config
        self._pace = pace
        self._laps = laps
        self._answered: dict[bytes, float] = {}

    def step(
        self,
        frame: Frame | None,
        now: Moment,
        scans: Sequence[bytes] = (),
        *,
        at_once: bool = False,
    ) -> tuple[Presented, ...]:
        """Return the codes that want an answer.

        Args:
            frame: The newest frame, or None.
            now: The moment.
            scans: Payloads from a scanner of its own, read since the last step.
            at_once: Look for a code in this very frame, whatever the pace.
        """
        payloads = list(scans)
        if frame is not None and self._pace.codes_due(frame.arrival_s, at_once=at_once):
            with self._laps.of("code"):
                payloads += self._reader.read(frame.image)
        frame_s = now.mono_s if frame is None else frame.arrival_s
        presented = []
        for payload in payloads:
            mark = hashlib.sha256(payload).digest()
            if self._in_sight(mark, now.mono_s):
                self._answered[mark] = now.mono_s
                continue
            result = verify(
                payload,
                self._holdings.keys,
                now.wall,
                self._config.ride_code,
                clock_error_ms=now.clock_error_ms,
            )
            presented.append(Presented(mark, result, frame_s))
        return tuple(presented)

    def answered(self, presented: Presented, now: Moment) -> None:
        """Note that a code got its answer; it gets no other while it stays in sight."""
        self._answered = {m: at for m, at in self._answered.items() if self._recent(at, now.mono_s)}
        self._answered[presented.mark] = now.mono_s

    def _in_sight(self, mark: bytes, now_s: float) -> bool:
        seen_s = self._answered.get(mark)
        return seen_s is not None and self._recent(seen_s, now_s)

    def _recent(self, seen_s: float, now_s: float) -> bool:
        return now_s - seen_s < self._config.same_code_s
