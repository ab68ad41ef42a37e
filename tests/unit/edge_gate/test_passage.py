"""Credential, tap, barrier, turnstile: in that order."""

from datetime import datetime, timedelta
from uuid import UUID

import pytest

from cloud_sync.adapters.memory.outbox import MemoryOutbox
from cloud_sync.taps.signing import NodeKey
from edge_gate.adapters.memory_turnstile import MemoryTurnstile
from edge_gate.barrier import BarrierConfig, Command, Event, State
from edge_gate.moment import Moment
from edge_gate.passage import Passage
from edge_gate.reason import Deny, DenyReason
from edge_gate.tapping import Credential, Ignored, MayPass, Place, Tapper
from fare.tap import Direction, Medium

ANNA = Credential(UUID(int=1), Medium.FACE, "test/4", 8_000)
BELA = Credential(UUID(int=2), Medium.CODE, code_id=b"one")


class Lane:
    """A lane whose beams the test crosses."""

    def __init__(self, noon: datetime) -> None:
        self._noon = noon
        self.outbox = MemoryOutbox(UUID(int=9), NodeKey(bytes(32)))
        self.turnstile = MemoryTurnstile()
        tapper = Tapper(self.outbox, entropy=bytes, now=noon)
        place = Place("bei", "bei-1", Direction.ENTRY)
        self.passage = Passage(place, tapper, self.turnstile, BarrierConfig())

    def at(self, seconds: float) -> Moment:
        """Return the moment so many seconds after noon."""
        return Moment(seconds, self._noon + timedelta(seconds=seconds))


@pytest.fixture
def lane(noon: datetime) -> Lane:
    """Give a closed lane."""
    return Lane(noon)


class TestPassage:
    """One lane's way through."""

    def test_opens_with_the_tap_already_stored(self, lane: Lane) -> None:
        """When the leaves are told to open, the outbox already holds the tap."""
        stored_at_open: list[int] = []

        class Noting(MemoryTurnstile):
            def open(self) -> None:
                stored_at_open.append(lane.outbox.depth())
                super().open()

        lane.passage._turnstile = Noting()
        outcome = lane.passage.present(ANNA, lane.at(0))

        assert isinstance(outcome, MayPass)
        assert stored_at_open == [1]

    def test_a_full_disk_keeps_the_leaves_shut(self, lane: Lane) -> None:
        """Without a durable tap no command reaches the turnstile."""
        lane.outbox.full = True

        assert lane.passage.present(ANNA, lane.at(0)) == Deny(DenyReason.TAP_NOT_DURABLE)
        assert lane.turnstile.commands == []

    def test_a_walk_through_closes_and_counts(self, lane: Lane) -> None:
        """Both beams crossed is one passage, and the leaves close."""
        lane.passage.present(ANNA, lane.at(0))
        lane.turnstile.sense(Event.ENTERED, Event.LEFT)
        lane.passage.tick(lane.at(1))

        assert lane.turnstile.commands == [Command.OPEN, Command.CLOSE]
        assert (lane.passage.state, lane.passage.passages) == (State.CLOSED, 1)

    def test_the_next_rider_waits_for_the_first(self, lane: Lane) -> None:
        """While the barrier is open for one rider another's credential changes nothing."""
        lane.passage.present(ANNA, lane.at(0))

        assert isinstance(lane.passage.present(BELA, lane.at(0.5)), Ignored)
        assert lane.outbox.depth() == 1

    def test_nobody_enters_and_the_leaves_close(self, lane: Lane) -> None:
        """After five seconds without anybody the barrier closes by itself."""
        lane.passage.present(ANNA, lane.at(0))
        lane.passage.tick(lane.at(4.9))
        assert lane.passage.state is State.OPEN

        lane.passage.tick(lane.at(5.0))
        assert lane.turnstile.commands == [Command.OPEN, Command.CLOSE]

    def test_a_silent_turnstile_is_a_fault_until_staff_reset_it(self, lane: Lane) -> None:
        """A turnstile that does not answer denies with BARRIER_FAULT; a reset ends that."""
        lane.turnstile.broken = True
        lane.passage.tick(lane.at(0))
        assert lane.passage.present(ANNA, lane.at(0.1)) == Deny(DenyReason.BARRIER_FAULT)
        assert lane.outbox.depth() == 0

        lane.turnstile.broken = False
        lane.passage.reset(lane.at(1))
        assert isinstance(lane.passage.present(ANNA, lane.at(1.1)), MayPass)

    def test_a_turnstile_that_breaks_while_opening_is_a_fault(self, lane: Lane) -> None:
        """The tap is kept, the lane is out of service: staff have to look."""
        lane.turnstile.broken = True
        lane.passage.present(ANNA, lane.at(0))

        assert lane.passage.state is State.FAULT
        assert lane.outbox.depth() == 1


class TestRelease:
    """All barriers open: emergency release."""

    def test_counts_everybody_and_makes_no_tap(self, lane: Lane) -> None:
        """Once released, five people walk through, each counted, and nothing is recorded."""
        lane.passage.release(lane.at(0))
        for second in range(1, 6):
            lane.turnstile.sense(Event.ENTERED, Event.LEFT)
            lane.passage.tick(lane.at(second))
            lane.passage.release(lane.at(second))

        assert lane.turnstile.commands == [Command.OPEN]
        assert (lane.passage.state, lane.passage.passages) == (State.RELEASED, 5)
        assert lane.outbox.depth() == 0

    def test_a_credential_changes_nothing_meanwhile(self, lane: Lane) -> None:
        """Nobody is charged for walking out of an emergency."""
        lane.passage.release(lane.at(0))

        assert isinstance(lane.passage.present(ANNA, lane.at(1)), Ignored)
        assert lane.outbox.depth() == 0

    def test_a_lane_out_of_service_is_asked_again(self, lane: Lane) -> None:
        """A turnstile that does not answer is asked to open each second until it does."""
        lane.turnstile.broken = True
        lane.passage.release(lane.at(0))
        assert lane.passage.state is State.FAULT
        lane.turnstile.broken = False

        lane.passage.release(lane.at(0.5))
        assert not lane.turnstile.is_open
        lane.passage.release(lane.at(1))

        assert lane.turnstile.is_open
        assert lane.passage.state is State.RELEASED

    def test_recall_closes_and_a_second_release_opens_at_once(self, lane: Lane) -> None:
        """The end of the release closes the lane; the next one does not wait."""
        lane.passage.release(lane.at(0))
        lane.passage.recall(lane.at(0.2))
        assert not lane.turnstile.is_open

        lane.passage.release(lane.at(0.3))

        assert lane.turnstile.is_open

    def test_recall_of_a_lane_in_service_does_nothing(self, lane: Lane) -> None:
        """A rider who is passing is not disturbed by a mode that was never on."""
        lane.passage.present(ANNA, lane.at(0))

        lane.passage.recall(lane.at(0.1))

        assert lane.turnstile.commands == [Command.OPEN]
