"""One person, one passage, one tap; and no opening without a durable tap.

The invariants are driven by chance against the real tapper and, as controls, against tappers
that are wrong in one way each.
"""

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random
from threading import Lock, Thread
from uuid import UUID

import pytest

from cloud_sync.adapters.memory.outbox import MemoryOutbox
from cloud_sync.taps.signing import NodeKey
from edge_gate.barrier import Barrier, Event, State
from edge_gate.reason import Deny, DenyReason
from edge_gate.ride_code import ReplayGuard
from edge_gate.tapping import (
    Credential,
    Ignored,
    MayPass,
    Outcome,
    Place,
    Quiet,
    Tapper,
    TapperConfig,
)
from fare.tap import Direction, Medium, Tap

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
ENTRY = Place("bell-tower", "lane-1", Direction.ENTRY)
NEXT_LANE = Place("bell-tower", "lane-2", Direction.ENTRY)
LI_NA, WANG_WEI = UUID(int=1), UUID(int=2)


def _outbox() -> MemoryOutbox:
    return MemoryOutbox(UUID(int=77), NodeKey(bytes(range(32))))


def _tapper(outbox: MemoryOutbox, *, now: datetime = NOON, kind: type[Tapper] = Tapper) -> Tapper:
    return kind(outbox, entropy=Random(1).randbytes, now=now)


def _face(rider_ref: UUID) -> Credential:
    return Credential(rider_ref, Medium.FACE, "open-512", 6_000)


def _code(rider_ref: UUID, code_id: bytes) -> Credential:
    return Credential(rider_ref, Medium.CODE, code_id=code_id)


@dataclass
class Lane:
    """A lane of a gate line as the pipeline drives it, with a clock of its own."""

    tapper: Tapper
    place: Place = ENTRY
    barrier: Barrier = field(default_factory=Barrier)
    at_s: float = 0.0

    def shows(self, credential: Credential, *, after_s: float = 0.0) -> Outcome:
        """Present somebody, and open when permitted."""
        self.at_s += after_s
        outcome = self.tapper.present(
            self.place,
            credential,
            barrier=self.barrier,
            now=NOON + timedelta(seconds=self.at_s),
            clock_error_ms=3,
        )
        if isinstance(outcome, MayPass):
            self.barrier, _ = self.barrier.apply(Event.GRANT, self.at_s)
        return outcome

    def walks_through(self) -> None:
        """Cross both beams."""
        for event in (Event.ENTERED, Event.LEFT):
            self.barrier, _ = self.barrier.apply(event, self.at_s)

    def turns_away(self) -> None:
        """Let the barrier close unused."""
        self.barrier, _ = self.barrier.apply(Event.TIMEOUT, self.at_s)


class TestTapBeforeBarrier:
    """Invariant 1."""

    def test_the_tap_is_in_the_outbox_when_permission_is_given(self) -> None:
        """Li Na's permission carries the tap that the outbox already holds, field for field."""
        outbox = _outbox()

        outcome = Lane(_tapper(outbox)).shows(_face(LI_NA))

        assert outcome == MayPass(outbox.pending(9)[0].tap, again=False)
        assert outbox.pending(9)[0].tap == Tap(
            tap_id=outbox.pending(9)[0].tap.tap_id,
            rider_ref=LI_NA,
            station_id="bell-tower",
            lane_id="lane-1",
            direction=Direction.ENTRY,
            medium=Medium.FACE,
            tap_time=NOON,
            clock_error_ms=3,
            model_id="open-512",
            score_e4=6_000,
        )

    def test_a_full_disk_keeps_the_barrier_shut(self) -> None:
        """Without a durable tap Li Na is denied with its own reason and nothing is remembered."""
        outbox = _outbox()
        outbox.full = True
        lane = Lane(_tapper(outbox))

        assert lane.shows(_code(LI_NA, b"one")) == Deny(DenyReason.TAP_NOT_DURABLE)
        outbox.full = False
        assert isinstance(lane.shows(_code(LI_NA, b"one"), after_s=1), MayPass)
        assert outbox.depth() == 1

    def test_a_faulty_barrier_takes_no_tap(self) -> None:
        """At a barrier out of service nobody is charged for a passage that cannot happen."""
        outbox = _outbox()
        lane = Lane(_tapper(outbox), barrier=Barrier(state=State.FAULT))

        assert lane.shows(_face(LI_NA)) == Deny(DenyReason.BARRIER_FAULT)
        assert outbox.depth() == 0


class TestSamePassage:
    """Invariant 3 at the gate."""

    def test_face_then_code_is_one_tap(self) -> None:
        """Li Na is recognised, holds up her phone as well and walks through: one tap."""
        outbox = _outbox()
        lane = Lane(_tapper(outbox))
        lane.shows(_face(LI_NA))

        outcome = lane.shows(_code(LI_NA, b"one"), after_s=1)

        assert outcome == Ignored(Quiet.PASSAGE_IN_PROGRESS)
        assert outbox.depth() == 1

    def test_reopens_on_the_same_tap(self) -> None:
        """Li Na hesitates, the barrier closes, she tries by code: it opens, with no second tap."""
        outbox = _outbox()
        lane = Lane(_tapper(outbox))
        lane.shows(_face(LI_NA))
        lane.turns_away()

        outcome = lane.shows(_code(LI_NA, b"one"), after_s=6)

        assert outcome == MayPass(outbox.pending(9)[0].tap, again=True)
        assert outbox.depth() == 1

    def test_still_seen_after_passing(self) -> None:
        """Li Na is through and looks back: no tap, no opening, no refusal."""
        outbox = _outbox()
        lane = Lane(_tapper(outbox))
        lane.shows(_face(LI_NA))
        lane.walks_through()

        assert lane.shows(_face(LI_NA), after_s=3) == Ignored(Quiet.ALREADY_PASSED)
        assert outbox.depth() == 1

    @pytest.mark.parametrize(("after_s", "taps"), [(10.0, 1), (10.1, 2)])
    def test_the_window_ends(self, after_s: float, taps: int) -> None:
        """After ten seconds the same rider at the same lane is a new passage."""
        outbox = _outbox()
        lane = Lane(_tapper(outbox))
        lane.shows(_face(LI_NA))
        lane.walks_through()

        lane.shows(_face(LI_NA), after_s=after_s)

        assert outbox.depth() == taps

    def test_two_friends_get_two_taps(self) -> None:
        """Li Na passes, Wang Wei right behind her: each has a tap."""
        outbox = _outbox()
        lane = Lane(_tapper(outbox))
        lane.shows(_face(LI_NA))
        lane.walks_through()

        assert isinstance(lane.shows(_face(WANG_WEI), after_s=1), MayPass)
        assert outbox.depth() == 2

    def test_somebody_elses_passage_does_not_complete_hers(self) -> None:
        """Li Na steps aside, Wang Wei passes, then she tries again: it opens on her own tap."""
        outbox = _outbox()
        lane = Lane(_tapper(outbox))
        hers = lane.shows(_face(LI_NA))
        lane.turns_away()
        lane.shows(_face(WANG_WEI), after_s=2)
        lane.walks_through()

        outcome = lane.shows(_face(LI_NA), after_s=2)

        assert isinstance(hers, MayPass)
        assert outcome == MayPass(hers.tap, again=True)

    def test_ignored_while_somebody_passes(self) -> None:
        """The barrier is open for Li Na; Wang Wei's code neither taps nor is used up."""
        outbox = _outbox()
        lane = Lane(_tapper(outbox))
        lane.shows(_face(LI_NA))

        assert lane.shows(_code(WANG_WEI, b"w")) == Ignored(Quiet.PASSAGE_IN_PROGRESS)
        lane.walks_through()
        assert isinstance(lane.shows(_code(WANG_WEI, b"w"), after_s=1), MayPass)

    def test_after_a_restart_the_same_tap_opens(self) -> None:
        """The power fails between tap and opening; Li Na tries again: one tap, and she is in."""
        outbox = _outbox()
        Lane(_tapper(outbox)).shows(_face(LI_NA))
        restarted = Lane(_tapper(outbox, now=NOON + timedelta(seconds=5)), at_s=5)

        outcome = restarted.shows(_face(LI_NA))

        assert outcome == MayPass(outbox.pending(9)[0].tap, again=True)

    def test_a_clock_set_back_by_an_hour_is_another_passage(self) -> None:
        """A window is never an hour long because the clock was wrong."""
        outbox = _outbox()
        lane = Lane(_tapper(outbox))
        lane.shows(_face(LI_NA))
        lane.walks_through()

        lane.shows(_face(LI_NA), after_s=-3_600)

        assert outbox.depth() == 2


class TestReplay:
    """A code opens once."""

    def test_a_used_code_is_denied_at_the_next_lane(self) -> None:
        """A screenshot of Li Na's code does not open the lane beside hers."""
        tapper = _tapper(_outbox())
        Lane(tapper).shows(_code(LI_NA, b"one"))

        outcome = Lane(tapper, NEXT_LANE).shows(_code(LI_NA, b"one"), after_s=1)

        assert outcome == Deny(DenyReason.CODE_REPLAYED)

    def test_a_copy_right_behind_her_is_denied(self) -> None:
        """Li Na is through; the same code in the next hand is a replay, not her again."""
        lane = Lane(_tapper(_outbox()))
        lane.shows(_code(LI_NA, b"one"))
        lane.walks_through()

        assert lane.shows(_code(LI_NA, b"one"), after_s=2) == Deny(DenyReason.CODE_REPLAYED)

    def test_her_own_code_reopens_an_unused_passage(self) -> None:
        """The barrier closed before Li Na moved: her code on the display still gets her in."""
        lane = Lane(_tapper(_outbox()))
        lane.shows(_code(LI_NA, b"one"))
        lane.turns_away()

        outcome = lane.shows(_code(LI_NA, b"one"), after_s=6)

        assert isinstance(outcome, MayPass)
        assert outcome.again

    def test_a_used_code_does_not_reopen_another_passage(self) -> None:
        """Li Na's face tap is unused; an old code of hers from the next lane does not use it."""
        tapper = _tapper(_outbox())
        Lane(tapper, NEXT_LANE).shows(_code(LI_NA, b"old"))
        lane = Lane(tapper)
        lane.shows(_face(LI_NA), after_s=1)
        lane.turns_away()

        assert lane.shows(_code(LI_NA, b"old"), after_s=2) == Deny(DenyReason.CODE_REPLAYED)

    def test_a_restart_does_not_forget_used_codes(self) -> None:
        """A code used before a restart is denied after it."""
        outbox = _outbox()
        Lane(_tapper(outbox)).shows(_code(LI_NA, b"one"))
        later = NOON + timedelta(seconds=60)

        restarted = Lane(_tapper(outbox, now=later), at_s=60)

        assert restarted.shows(_code(LI_NA, b"one")) == Deny(DenyReason.CODE_REPLAYED)

    def test_two_lanes_at_once(self) -> None:
        """The same code at four lanes in four threads at the same moment: one opens."""
        outbox = _outbox()
        tapper = Tapper(outbox, entropy=Random(1).randbytes, now=NOON, turn=Lock())
        lanes = [Lane(tapper, replace(ENTRY, lane_id=f"lane-{n}")) for n in range(4)]
        outcomes: list[Outcome] = []
        threads = [
            Thread(target=lambda lane=lane: outcomes.append(lane.shows(_code(LI_NA, b"one"))))
            for lane in lanes
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert Counter(type(each) for each in outcomes) == {MayPass: 1, Deny: 3}


class TestTapperConfig:
    """Its ranges."""

    @pytest.mark.parametrize(("same_s", "memory_s"), [(0, 600), (61, 600), (10, 59), (10, 86_401)])
    def test_refuses_out_of_range(self, same_s: float, memory_s: float) -> None:
        """A window outside its range stops the start."""
        with pytest.raises(ValueError):
            TapperConfig(same_s, memory_s)


class _OpensFirst(Tapper):
    """Wrong: gives permission whether or not the disk took the tap."""

    def _first(self, *args: object) -> MayPass | Deny:
        outcome = super()._first(*args)  # type: ignore[arg-type]
        if outcome == Deny(DenyReason.TAP_NOT_DURABLE):
            return MayPass(replace(_SOME_TAP), again=False)
        return outcome


class _Forgets(Tapper):
    """Wrong: each presentation is a passage of its own."""

    def _same_passage(self, *args: object) -> None:
        return None


class TestClockSetRight:
    """A wall clock that jumps while somebody is at the gate."""

    @pytest.mark.parametrize("jump", [timedelta(hours=-1), timedelta(hours=1)])
    @pytest.mark.parametrize(("monotonic", "taps"), [(True, 1), (False, 2)])
    def test_one_passage_stays_one_tap(
        self, jump: timedelta, taps: int, *, monotonic: bool
    ) -> None:
        """Li Na, still seen three seconds later, is one passage; the control has no such clock."""
        outbox = _outbox()
        tapper, barrier = _tapper(outbox), Barrier()
        for after_s, now in ((0.0, NOON), (3.0, NOON + jump)):
            tapper.present(
                ENTRY,
                _face(LI_NA),
                barrier=barrier,
                now=now,
                clock_error_ms=0,
                mono_s=50.0 + after_s if monotonic else None,
            )
            for event in (Event.GRANT, Event.ENTERED, Event.LEFT):
                barrier, _ = barrier.apply(event, after_s)

        assert len(outbox.pending(9)) == taps


class _NeverDone(Tapper):
    """Wrong: does not notice that a passage was completed."""

    def _settle(self, *args: object) -> None:
        return None


class _Believes(Tapper):
    """Wrong: takes a code as often as it is shown."""

    def present(self, *args: object, **kwargs: object) -> Outcome:
        self._codes = ReplayGuard()
        return super().present(*args, **kwargs)  # type: ignore[arg-type]


_SOME_TAP = Tap(UUID(int=9), LI_NA, "s", "l", Direction.ENTRY, Medium.FACE, NOON, 0)


class _Day:
    """A day at two lanes by chance, which checks the invariants after every step."""

    def __init__(self, kind: type[Tapper], seed: int) -> None:
        self.rng = Random(seed)
        self.outbox = _outbox()
        self.kind = kind
        self.codes = [bytes([n]) for n in range(6)]
        self.completed: set[UUID] = set()
        self.current: dict[str, UUID] = {}
        self.restart(0.0)

    def restart(self, at_s: float) -> None:
        tapper = _tapper(self.outbox, now=NOON + timedelta(seconds=at_s), kind=self.kind)
        self.lanes = [Lane(tapper, place, at_s=at_s) for place in (ENTRY, NEXT_LANE)]
        # A restart does not know whether the last passages happened; it may open them again.
        self.completed.clear()
        self.current.clear()

    def step(self) -> None:
        pause_s = self.rng.choice([0.1, 0.1, 1.0, 1.0, 3.0, 11.0])
        for each in self.lanes:
            each.at_s += pause_s
        lane = self.rng.choice(self.lanes)
        match self.rng.randrange(12):
            case 0:
                self.restart(lane.at_s)
            case 1:
                self.outbox.full = self.rng.random() < 0.3
            case 2 | 3 | 4:
                self.walk(lane)
            case 5:
                lane.turns_away()
            case _:
                self.show(lane)

    def walk(self, lane: Lane) -> None:
        if lane.barrier.state is State.OPEN:
            self.completed.add(self.current[lane.place.lane_id])
        lane.walks_through()

    def show(self, lane: Lane) -> None:
        rider = self.rng.choice([LI_NA, WANG_WEI])
        code = self.rng.choice(self.codes[:3] if rider == LI_NA else self.codes[3:])
        credential = self.rng.choice([_face(rider), _code(rider, code)])
        was = lane.barrier.state
        outcome = lane.shows(credential)
        if isinstance(outcome, MayPass):
            assert was is State.CLOSED
            assert outcome.tap in {s.tap for s in self.outbox.since(0, 10_000)}
            assert outcome.tap.rider_ref == rider
            assert outcome.tap.tap_id not in self.completed
            self.current[lane.place.lane_id] = outcome.tap.tap_id
        self.check()

    def check(self) -> None:
        taps = [s.tap for s in self.outbox.since(0, 10_000)]
        uses = Counter(t.code_id for t in taps if t.code_id)
        assert max(uses.values(), default=0) <= 1
        latest: dict[tuple[str, UUID], datetime] = {}
        for each in taps:
            before = latest.get((each.lane_id, each.rider_ref))
            assert before is None or each.tap_time - before > timedelta(seconds=10)
            latest[each.lane_id, each.rider_ref] = each.tap_time


def _broken_days(kind: type[Tapper], days: int) -> int:
    broken = 0
    for seed in range(days):
        day = _Day(kind, seed)
        try:
            for _ in range(150):
                day.step()
        except AssertionError:
            broken += 1
    return broken


class TestInvariantsByChance:
    """Rides, hesitations, restarts and full disks at two lanes, in any order."""

    def test_holds(self) -> None:
        """In 200 days the real tapper never breaks an invariant."""
        assert _broken_days(Tapper, 200) == 0

    @pytest.mark.parametrize("kind", [_OpensFirst, _Forgets, _NeverDone, _Believes])
    def test_control_wrong_tappers_are_caught(self, kind: type[Tapper]) -> None:
        """Control: each wrong tapper breaks an invariant on many of 40 days."""
        assert _broken_days(kind, 40) >= 10
