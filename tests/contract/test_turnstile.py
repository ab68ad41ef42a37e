"""What every turnstile promises, asked of all of them."""

from collections.abc import Callable

import pytest

from edge_gate.adapters.memory_turnstile import MemoryTurnstile
from edge_gate.adapters.sim_turnstile import Jam, NoShow, SimTurnstile, Walk
from edge_gate.barrier import Barrier, BarrierConfig, Command, Event, State
from edge_gate.turnstile import BarrierFault, Turnstile


def _walking() -> SimTurnstile:
    return SimTurnstile()


def _by_hand() -> MemoryTurnstile:
    made = MemoryTurnstile()
    made.sense(Event.ENTERED, Event.LEFT)
    return made


@pytest.fixture(params=[_walking, _by_hand], ids=["sim", "memory"])
def turnstile(request: pytest.FixtureRequest) -> Turnstile:
    """Give a turnstile at which one person will walk through."""
    make: Callable[[], Turnstile] = request.param
    return make()


class TestTurnstile:
    """The port's promises."""

    def test_one_person_crosses_both_beams(self, turnstile: Turnstile) -> None:
        """After opening, the first beam is crossed, then the second, and each is told once."""
        turnstile.open()

        seen = [event for now in range(10) for event in turnstile.poll(float(now))]

        assert seen == [Event.ENTERED, Event.LEFT]

    def test_takes_commands_in_any_order(self, turnstile: Turnstile) -> None:
        """Commands may repeat: a barrier that says close twice does no harm."""
        for command in (turnstile.close, turnstile.open, turnstile.open, turnstile.stop):
            command()
        turnstile.close()

        assert set(turnstile.poll(0.0)) <= {Event.ENTERED, Event.LEFT}


class TestSimTurnstile:
    """The simulated one."""

    def test_beams_are_timed(self) -> None:
        """A walk of 0.5 and 1 second crosses the beams then, not before."""
        sim = SimTurnstile([Walk(reach_s=0.5, cross_s=1.0)])
        sim.open()

        seen = {now: sim.poll(now) for now in (10.0, 10.4, 10.5, 11.4, 11.5)}

        assert seen == {
            10.0: (),
            10.4: (),
            10.5: (Event.ENTERED,),
            11.4: (),
            11.5: (Event.LEFT,),
        }

    def test_nobody_walks_through_a_closed_one(self) -> None:
        """Without an opening no beam is crossed."""
        assert SimTurnstile().poll(100.0) == ()

    def test_closing_sends_away_who_has_not_entered(self) -> None:
        """Leaves that close before the first beam keep the person out."""
        sim = SimTurnstile()
        sim.open()
        sim.poll(0.0)
        sim.close()

        assert sim.poll(10.0) == ()

    def test_closing_does_not_hold_who_is_inside(self) -> None:
        """Somebody between the beams walks on: the leaves wait for them."""
        sim = SimTurnstile()
        sim.open()
        sim.poll(0.0)
        assert sim.poll(1.0) == (Event.ENTERED,)
        sim.close()

        assert sim.poll(10.0) == (Event.LEFT,)

    def test_script_then_the_usual(self) -> None:
        """The first opening jams, the second is a no-show, every later one a walk."""
        sim = SimTurnstile([Jam(), NoShow()])
        seen = []
        for opening in range(4):
            sim.open()
            seen.append([e for t in range(5) for e in sim.poll(10.0 * opening + t)])
            sim.close()

        walk = [Event.ENTERED, Event.LEFT]
        assert seen == [[Event.JAM], [], walk, walk]

    @pytest.mark.parametrize(
        ("scene", "state", "passages"),
        [
            (Walk(), State.CLOSED, 1),
            (NoShow(), State.CLOSED, 0),  # closes by the first timeout
            (Jam(), State.FAULT, 0),
            (Walk(cross_s=30.0), State.FAULT, 0),  # stays inside: the second timeout
        ],
    )
    def test_with_a_barrier(self, scene: Walk | NoShow | Jam, state: State, passages: int) -> None:
        """Barrier and turnstile together end where the scene says."""
        sim, barrier = SimTurnstile([scene]), Barrier(BarrierConfig())
        barrier, commands = barrier.apply(Event.GRANT, 0.0)
        for tick in range(200):
            now_s = tick / 10
            for command in commands:
                {Command.OPEN: sim.open, Command.CLOSE: sim.close, Command.STOP: sim.stop}.get(
                    command, lambda: None
                )()
            commands = ()
            for event in sim.poll(now_s):
                barrier, more = barrier.apply(event, now_s)
                commands += more
            barrier, more = barrier.tick(now_s)
            commands += more

        assert (barrier.state, barrier.passages) == (state, passages)


class TestMemoryTurnstile:
    """The one that tests drive by hand."""

    def test_a_broken_one_takes_nothing(self) -> None:
        """Every call to a broken turnstile is a fault."""
        broken = MemoryTurnstile()
        broken.broken = True
        for call in (broken.open, broken.close, broken.stop, lambda: broken.poll(0.0)):
            with pytest.raises(BarrierFault):
                call()

    def test_keeps_commands(self) -> None:
        """Commands can be read back in order."""
        turnstile = MemoryTurnstile()
        turnstile.open()
        opened = turnstile.is_open
        turnstile.close()

        assert turnstile.commands == [Command.OPEN, Command.CLOSE]
        assert (opened, turnstile.is_open) == (True, False)
