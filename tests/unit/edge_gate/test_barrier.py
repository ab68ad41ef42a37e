"""The barrier's table and its two timeouts."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_gate.barrier import (
    TABLE,
    Barrier,
    BarrierConfig,
    Command,
    Event,
    State,
    Step,
    markdown,
    step,
)

CONFIG = BarrierConfig(open_timeout_s=5, pass_timeout_s=10)


def _after(*events: tuple[Event, float]) -> Barrier:
    barrier = Barrier(CONFIG)
    for event, now_s in events:
        barrier, _ = barrier.apply(event, now_s)
    return barrier


class TestTable:
    """What holds for the whole table."""

    def test_answers_everything(self) -> None:
        """Every event has an answer in every state."""
        assert set(TABLE) == {(state, event) for state in State for event in Event}

    def test_only_a_grant_opens(self) -> None:
        """The leaves are told to open by a grant at a closed barrier, else by a release alone."""
        opening = {pair for pair, done in TABLE.items() if Command.OPEN in done.commands}

        assert {pair for pair in opening if pair[1] is not Event.RELEASE} == {
            (State.CLOSED, Event.GRANT)
        }

    def test_a_release_opens_whatever_the_state(self) -> None:
        """In an emergency each barrier opens, also one that staff should have looked at."""
        for state in set(State) - {State.RELEASED}:
            assert step(state, Event.RELEASE) == Step(State.RELEASED, (Command.OPEN,))

    def test_only_a_recall_closes_what_is_released(self) -> None:
        """Nothing but the end of the release, not even staff's reset, closes an open barrier."""
        closing = {e for e in Event if Command.CLOSE in step(State.RELEASED, e).commands}

        assert closing == {Event.RECALL}

    def test_nothing_but_the_grant_leads_to_open(self) -> None:
        """No other step ends in the open state."""
        into = {
            pair
            for pair, done in TABLE.items()
            if done.state is State.OPEN and pair[0] is not State.OPEN
        }

        assert into == {(State.CLOSED, Event.GRANT)}

    def test_only_a_reset_ends_a_fault(self) -> None:
        """A faulty barrier stays out of service until staff reset it or all are released."""
        leaving = {e for e in Event if step(State.FAULT, e).state is not State.FAULT}

        assert leaving == {Event.RESET, Event.RELEASE}

    def test_never_closes_on_a_person_by_itself(self) -> None:
        """While somebody is inside, the leaves close only after they left, or by staff's hand."""
        closing = {e for e in Event if Command.CLOSE in step(State.PASSING, e).commands}

        assert closing == {Event.LEFT, Event.RESET}

    def test_every_fault_stops_the_drive_and_calls(self) -> None:
        """Each step into the fault state takes the force off and calls staff."""
        into = [
            done
            for (state, _), done in TABLE.items()
            if done.state is State.FAULT and state is not State.FAULT
        ]

        assert into
        assert all(done.commands == (Command.STOP, Command.ALARM) for done in into)

    def test_passages_count_only_through_the_second_beam(self) -> None:
        """Only who leaves an opened barrier is a passage; a released one counts both ways."""
        counting = {pair for pair, done in TABLE.items() if done.passed}

        assert counting == {
            (State.OPEN, Event.LEFT),
            (State.PASSING, Event.LEFT),
            (State.RELEASED, Event.LEFT),
            (State.RELEASED, Event.INTRUSION),
        }

    def test_cannot_be_changed(self) -> None:
        """The table is read-only."""
        with pytest.raises(TypeError):
            TABLE[State.CLOSED, Event.LEFT] = Step(State.OPEN)  # type: ignore[index]

    def test_the_page_shows_this_table(self) -> None:
        """docs/barrier.md holds the table as it is; print it anew after a change."""
        page = Path(__file__).parents[3] / "docs" / "barrier.md"

        assert markdown() in page.read_text()

    def test_control_the_page_would_show_a_change(self) -> None:
        """Control: the printed table names each state's row and differs between all rows."""
        rows = markdown().splitlines()[2:]

        assert len(set(rows)) == len(State)


class TestBarrier:
    """One lane's barrier in time."""

    def test_one_grant_one_passage(self) -> None:
        """Granted, entered, left: closed again, one passage counted, no deadline left."""
        done = _after((Event.GRANT, 0), (Event.ENTERED, 1), (Event.LEFT, 2))

        assert done == Barrier(CONFIG, State.CLOSED, None, passages=1)

    def test_grants_do_not_add_up(self) -> None:
        """Three grants at an open barrier let one person through."""
        done = _after(
            (Event.GRANT, 0),
            (Event.GRANT, 0.1),
            (Event.GRANT, 0.2),
            (Event.LEFT, 1),
            (Event.LEFT, 2),
        )

        assert (done.state, done.passages) == (State.CLOSED, 1)

    def test_closes_when_nobody_enters(self) -> None:
        """Five seconds after opening, not before, an unused barrier closes and counts nothing."""
        opened = _after((Event.GRANT, 100))

        assert opened.tick(104.999) == (opened, ())
        assert opened.tick(105) == (Barrier(CONFIG), (Command.CLOSE,))

    def test_repeated_grants_do_not_hold_it_open(self) -> None:
        """A second grant at an open barrier does not move the deadline."""
        opened = _after((Event.GRANT, 100), (Event.GRANT, 104))

        assert opened.tick(105)[0].state is State.CLOSED

    def test_faults_when_somebody_stays_inside(self) -> None:
        """Ten seconds after entering, not before, the barrier stops and calls staff."""
        inside = _after((Event.GRANT, 100), (Event.ENTERED, 104))

        assert inside.tick(113.999) == (inside, ())
        assert inside.tick(114)[0].state is State.FAULT
        assert inside.tick(114)[1] == (Command.STOP, Command.ALARM)

    def test_repeated_entering_does_not_postpone_the_fault(self) -> None:
        """A beam that flickers while somebody is inside does not move the deadline."""
        inside = _after((Event.GRANT, 100), (Event.ENTERED, 104), (Event.ENTERED, 110))

        assert inside.tick(114)[0].state is State.FAULT

    @pytest.mark.parametrize("state", [State.CLOSED, State.FAULT, State.RELEASED])
    def test_waits_forever_at_rest(self, state: State) -> None:
        """Closed, fault and released have no deadline."""
        resting = Barrier(CONFIG, state)

        assert resting.tick(1e12) == (resting, ())

    @given(
        st.lists(
            st.tuples(st.sampled_from(sorted(set(Event) - {Event.RELEASE})), st.floats(0, 30)),
            max_size=40,
        )
    )
    def test_never_more_passages_than_grants(self, events: list[tuple[Event, float]]) -> None:
        """Whatever the sensors say and however long it takes, a grant lets at most one through."""
        barrier, now_s, grants = Barrier(CONFIG), 0.0, 0
        for event, pause_s in events:
            now_s += pause_s
            barrier, _ = barrier.tick(now_s)
            grants += event is Event.GRANT
            barrier, _ = barrier.apply(event, now_s)

            assert barrier.passages <= grants
            assert (barrier.deadline_s is None) == (barrier.state in (State.CLOSED, State.FAULT))


class TestBarrierConfig:
    """Its ranges."""

    @pytest.mark.parametrize(("open_s", "pass_s"), [(0, 10), (61, 10), (5, 0), (5, 121)])
    def test_refuses_out_of_range(self, open_s: float, pass_s: float) -> None:
        """A timeout outside its range stops the start."""
        with pytest.raises(ValueError):
            BarrierConfig(open_s, pass_s)
