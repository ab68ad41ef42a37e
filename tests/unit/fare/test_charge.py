"""The charge's table and patience."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from uuid import UUID

import pytest

from fare.account import BankCard
from fare.charge import (
    OPEN,
    TRANSITIONS,
    Charge,
    ChargeRules,
    Event,
    ImpossibleEvent,
    Kind,
    State,
    answer,
    ask,
    charge_id,
    send,
    step,
)
from fare.money import Money

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
RULES = ChargeRules(stale_s=30, query_after_s=(5, 15, 60), sends_max=2)
TRIP = UUID(int=3)
CLOSED = set(State) - OPEN

NEW = Charge(
    charge_id=charge_id(TRIP, 1, 0),
    trip_id=TRIP,
    rider_ref=UUID(int=4),
    number=1,
    seq=0,
    kind=Kind.CAPTURE,
    amount=Money(300),
    means=BankCard("tok_yes"),
    of=None,
    state=State.NEW,
    made_time=NOON,
    due_time=NOON,
)


class TestTable:
    """What may happen."""

    @pytest.mark.parametrize(
        ("events", "end"),
        [
            ([Event.SEND, Event.PAID], State.PAID),
            ([Event.SEND, Event.DECLINED], State.DECLINED),
            ([Event.SEND, Event.SILENCE, Event.PAID], State.PAID),  # charged, not answered
            ([Event.SEND, Event.SILENCE, Event.SILENCE, Event.DECLINED], State.DECLINED),
            ([Event.SEND, Event.SILENCE, Event.NOT_FOUND, Event.SEND, Event.PAID], State.PAID),
            ([Event.SEND, Event.SILENCE, Event.NOT_FOUND, Event.PAID], State.PAID),  # late answer
            ([Event.CANCEL], State.CANCELLED),
            ([Event.PAID], State.PAID),  # a wallet
        ],
    )
    def test_ways_through(self, events: list[Event], end: State) -> None:
        """Each of these stories ends in its state."""
        state = State.NEW
        for event in events:
            state = step(state, event)

        assert state is end

    def test_unknown_is_never_sent(self) -> None:
        """From UNKNOWN only the bank's words lead away; neither sending nor cancelling does."""
        for event in (Event.SEND, Event.CANCEL):
            with pytest.raises(ImpossibleEvent):
                step(State.UNKNOWN, event)

    def test_closed_stays_closed(self) -> None:
        """No event leads out of a closed state; only the same answer again is accepted."""
        for state, event in product(CLOSED, Event):
            if (state, event) in TRANSITIONS:
                assert TRANSITIONS[state, event] is state

    def test_sent_is_never_cancelled(self) -> None:
        """What the bank may have cannot be cancelled."""
        assert {s for (s, e) in TRANSITIONS if e is Event.CANCEL} == {State.NEW}

    def test_contradictions_are_errors(self) -> None:
        """DECLINED after PAID, and the other way round, are impossible."""
        for state, event in ((State.PAID, Event.DECLINED), (State.DECLINED, Event.PAID)):
            with pytest.raises(ImpossibleEvent):
                step(state, event)


class TestPatience:
    """When a charge is looked at again."""

    def test_a_sending_is_a_lease(self) -> None:
        """A SENT charge is due again only when its sender must be dead."""
        sent = send(NEW, NOON, RULES)

        assert (sent.state, sent.sends) == (State.SENT, 1)
        assert sent.due_time == NOON + timedelta(seconds=30)

    def test_silence_waits_for_the_first_query(self) -> None:
        """An unanswered charge is UNKNOWN and asked about after the first waiting time."""
        silent = answer(send(NEW, NOON, RULES), Event.SILENCE, NOON, RULES, "timeout")

        assert (silent.state, silent.reason) == (State.UNKNOWN, "timeout")
        assert silent.due_time == NOON + timedelta(seconds=5)

    def test_queries_back_off(self) -> None:
        """Each further query waits longer, the last waiting time repeating."""
        charge = answer(send(NEW, NOON, RULES), Event.SILENCE, NOON, RULES, "")
        waits = []
        for _ in range(4):
            charge = answer(ask(charge, NOON, RULES), Event.SILENCE, NOON, RULES, "")
            waits.append((charge.due_time - NOON).total_seconds())

        assert waits == [15, 60, 60, 60]

    def test_never_seen_is_sent_again_under_its_own_id(self) -> None:
        """A charge that the bank never saw is due at once, with the id it had."""
        asked = ask(answer(send(NEW, NOON, RULES), Event.SILENCE, NOON, RULES, ""), NOON, RULES)

        again = answer(asked, Event.NOT_FOUND, NOON, RULES, "")

        assert (again.state, again.due_time) == (State.NEW, NOON)
        assert again.charge_id == NEW.charge_id

    def test_sendings_end(self) -> None:
        """After `sends_max` sendings that the bank never saw the charge stays UNKNOWN."""
        asked = replace(NEW, state=State.UNKNOWN, sends=2, queries=3)

        after = answer(asked, Event.NOT_FOUND, NOON, RULES, "")

        assert after.state is State.UNKNOWN
        assert "never seen" in after.reason

    @pytest.mark.parametrize(
        "wrong", [{"stale_s": 0}, {"query_after_s": ()}, {"query_after_s": (0,)}, {"sends_max": 0}]
    )
    def test_refuses_rules_that_make_no_sense(self, wrong: dict[str, object]) -> None:
        """Waiting times are above zero and there is at least one sending."""
        with pytest.raises(ValueError):
            ChargeRules(**wrong)  # type: ignore[arg-type]


class TestId:
    """Ids of movements."""

    def test_is_a_function_of_the_decision(self) -> None:
        """The same decision gives the same id, and any other one another id."""
        ids = {charge_id(UUID(int=t), n, s) for t, n, s in product(range(5), range(1, 5), range(4))}

        assert len(ids) == 80
        assert charge_id(TRIP, 1, 0) == charge_id(UUID(int=3), 1, 0)
