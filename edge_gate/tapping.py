"""The one place where a decision becomes a passage: first the tap on the disk, then the barrier.

Comes in: who stands at which lane, by face or by code, already matched or verified. Goes out:
permission to open, which exists only with a durable tap; or why not. This file does not know
about cameras, codes' bytes or hardware.

One person, one passage, one tap: whoever is presented again at the same lane within a few seconds,
by whatever medium, gets no second tap; if they did not get through, the same tap opens again.
"""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from cloud_sync.taps.outbox import Outbox, OutboxFailed
from edge_gate.barrier import Barrier, State
from edge_gate.ids import ENTROPY_BYTES, uuid7
from edge_gate.reason import Deny, DenyReason
from edge_gate.ride_code import ReplayGuard
from fare.log import say
from fare.tap import Direction, Medium, Tap, TapFlag

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TapperConfig:
    """What counts as the same passage."""

    same_passage_s: float = 10.0
    """The same rider at the same lane within this is one passage, seconds, 1 to 60."""
    memory_s: float = 600.0
    """How far back the outbox is read after a restart, seconds, 60 to 86,400: longer than the
    passage window and than any ride code lives."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges.

        Raises:
            ValueError: A value is out of range.
        """
        if not (1 <= self.same_passage_s <= 60 and 60 <= self.memory_s <= 86_400):
            raise ValueError(f"out of range: {self}")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a tap is made."""

    station_id: str
    lane_id: str
    direction: Direction


@dataclass(frozen=True, slots=True)
class Credential:
    """Somebody recognised: the matcher's or the code check's positive result."""

    rider_ref: UUID
    medium: Medium
    model_id: str = ""
    """The embedder that matched a face; empty for a code."""
    score_e4: int = 0
    """Cosine similarity times 10,000; 0 for a code."""
    code_id: bytes = b""
    """`Accepted.code_id` of a code; empty for a face."""
    flags: frozenset[TapFlag] = frozenset()
    """What is different at this passage, for the tap."""


@dataclass(frozen=True, slots=True)
class MayPass:
    """Permission to open: the tap is durable. Give the barrier its GRANT at once."""

    tap: Tap
    again: bool
    """No new tap: the barrier opens once more on the tap of a passage that did not happen."""


class Quiet(StrEnum):
    """Why a genuine credential changes nothing and the rider is told nothing."""

    PASSAGE_IN_PROGRESS = "passage_in_progress"
    """The barrier is open for somebody, or somebody is passing."""
    ALREADY_PASSED = "already_passed"
    """This rider went through this lane a moment ago and is still seen."""


@dataclass(frozen=True, slots=True)
class Ignored:
    """Nothing happens: no tap, no refusal, no change of the display."""

    why: Quiet


Outcome = MayPass | Ignored | Deny


_Clocks = tuple[datetime, float | None]
"""One moment by the wall clock and, where known, by the monotonic clock."""


@dataclass(slots=True)
class _Passage:
    tap: Tap
    opened: datetime
    """When the barrier was last allowed to open on this tap."""
    passages: int
    """The barrier's count at that moment; a higher one means that somebody went through."""
    codes: frozenset[bytes]
    """The ride codes shown for this passage; none of them is good for another."""
    done: bool = False
    opened_s: float | None = None
    """`opened` by the monotonic clock; None for what was read from the outbox."""

    def age_s(self, now: _Clocks) -> float:
        """Return how long ago that was, seconds."""
        wall, mono_s = now
        if self.opened_s is not None and mono_s is not None:
            return mono_s - self.opened_s
        # A clock that was set back leaves openings in the future: neither side may be far.
        return abs((wall - self.opened).total_seconds())


class Tapper:
    """Turns credentials into taps for all lanes of one node.

    All lanes of a node share one tapper and one outbox. `present` is atomic under `turn`: give a
    lock when lanes run in threads.
    """

    def __init__(
        self,
        outbox: Outbox,
        *,
        entropy: Callable[[int], bytes],
        now: datetime,
        config: TapperConfig | None = None,
        turn: AbstractContextManager[object] | None = None,
    ) -> None:
        """Refill the memory from the outbox's recent taps.

        Whether a passage was completed before a restart is not known; the rider's side is taken
        and the same tap opens again within the window.

        Args:
            outbox: Where taps become durable.
            entropy: Gives that many random bytes; `os.urandom` in service.
            now: The start's moment, aware.
            config: The windows.
            turn: A reusable context that one thread at a time can hold.
        """
        self._outbox = outbox
        self._entropy = entropy
        self._config = config or TapperConfig()
        self._turn = turn or nullcontext()
        self._codes = ReplayGuard()
        self._recent: dict[str, dict[UUID, _Passage]] = {}
        self._latest: dict[str, _Passage] = {}
        for sealed in outbox.recent(now - timedelta(seconds=self._config.memory_s)):
            self._remember(_fresh(sealed.tap, passages=0))

    def present(
        self,
        place: Place,
        credential: Credential,
        *,
        barrier: Barrier,
        now: datetime,
        clock_error_ms: int,
        mono_s: float | None = None,
    ) -> Outcome:
        """Decide whether this lane's barrier may open now; on `MayPass` the tap is on the disk.

        Args:
            place: The lane.
            credential: Who, and by what.
            barrier: The lane's barrier as it is now.
            now: The edge's clock, aware.
            clock_error_ms: The edge's estimate of its clock's error.
            mono_s: The monotonic clock, seconds: a wall clock that is set right in the middle of a
                passage must not make two of it. None leaves it to the wall clock.

        Returns:
            `MayPass`, `Ignored`, or `Deny` with BARRIER_FAULT, CODE_REPLAYED or TAP_NOT_DURABLE.
        """
        with self._turn:
            self._settle(place.lane_id, barrier)
            if barrier.state is State.FAULT:
                return Deny(DenyReason.BARRIER_FAULT)
            if barrier.state is not State.CLOSED:
                return Ignored(Quiet.PASSAGE_IN_PROGRESS)
            before = self._same_passage(place.lane_id, credential.rider_ref, (now, mono_s))
            if before is not None and not before.done:
                return self._again(before, credential, barrier, (now, mono_s))
            if self._codes.used(credential.code_id):
                return Deny(DenyReason.CODE_REPLAYED)
            if before is not None:
                return Ignored(Quiet.ALREADY_PASSED)
            return self._first(place, credential, barrier, (now, mono_s), clock_error_ms)

    def _settle(self, lane_id: str, barrier: Barrier) -> None:
        """Note whether the lane's latest permission has become a completed passage."""
        latest = self._latest.get(lane_id)
        if latest is not None and barrier.passages > latest.passages:
            latest.done = True

    def _same_passage(self, lane_id: str, rider_ref: UUID, now: _Clocks) -> _Passage | None:
        passages = self._recent.get(lane_id, {})
        over = [r for r, p in passages.items() if p.age_s(now) > self._config.same_passage_s]
        for rider in over:
            del passages[rider]
        return passages.get(rider_ref)

    def _again(
        self, before: _Passage, credential: Credential, barrier: Barrier, now: _Clocks
    ) -> MayPass | Deny:
        shown = frozenset({credential.code_id} - {b""})
        if any(self._codes.used(code) for code in shown - before.codes):
            # Used at another lane or for an earlier passage.
            return Deny(DenyReason.CODE_REPLAYED)
        before.opened, before.opened_s = now
        before.passages = barrier.passages
        before.codes |= shown
        self._remember(before)
        return MayPass(before.tap, again=True)

    def _first(
        self,
        place: Place,
        credential: Credential,
        barrier: Barrier,
        now: _Clocks,
        clock_error_ms: int,
    ) -> MayPass | Deny:
        wall, mono_s = now
        tap = Tap(
            tap_id=uuid7(wall, self._entropy(ENTROPY_BYTES)),
            rider_ref=credential.rider_ref,
            station_id=place.station_id,
            lane_id=place.lane_id,
            direction=place.direction,
            medium=credential.medium,
            tap_time=wall,
            clock_error_ms=clock_error_ms,
            model_id=credential.model_id,
            score_e4=credential.score_e4,
            code_id=credential.code_id,
            flags=credential.flags,
        )
        try:
            self._outbox.append(tap)
        except OutboxFailed as failure:
            say(_LOG, "tap_not_durable", level=logging.ERROR, lane=place.lane_id, why=str(failure))
            return Deny(DenyReason.TAP_NOT_DURABLE)
        self._remember(_fresh(tap, passages=barrier.passages, opened_s=mono_s))
        return MayPass(tap, again=False)

    def _remember(self, passage: _Passage) -> None:
        self._recent.setdefault(passage.tap.lane_id, {})[passage.tap.rider_ref] = passage
        self._latest[passage.tap.lane_id] = passage
        for code_id in passage.codes:
            self._codes.remember(code_id)


def _fresh(tap: Tap, *, passages: int, opened_s: float | None = None) -> _Passage:
    codes = frozenset({tap.code_id} - {b""})
    return _Passage(tap, tap.tap_time, passages, codes, opened_s=opened_s)
