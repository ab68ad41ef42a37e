"""Verdicts to numbered decisions, and the ledger's share of a change."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from fare.decision import (
    DOUBTED,
    ORDER_EXEMPT,
    Decision,
    Outcome,
    Verdict,
    booking,
    judge,
    revise,
    void,
)
from fare.ledger import REVENUE_FARES, receivable
from fare.money import Money
from fare.tap import TapFlag
from fare.tariff import Tariff
from fare.trip import fold
from tests.purse import XIAN, ride, rider, tap

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
ADA = rider("Ada")


def verdict_of(*taps: object, tariff: Tariff = XIAN.tariff) -> Verdict:
    """Judge the one trip of some taps."""
    (trip,) = fold(taps)  # type: ignore[arg-type]
    return judge(trip, XIAN.network, tariff)


RIDDEN = verdict_of(*ride(ADA, "houweizhai", "fangzhicheng"))


class TestJudge:
    """What a trip turns out to be."""

    def test_complete(self) -> None:
        """A trip with both ends has the tariff's price, with every reason for it."""
        assert (RIDDEN.outcome, RIDDEN.fare) == (Outcome.PRICED, Money(600))
        assert RIDDEN.rule_id == "band:20000-26000"
        assert RIDDEN.metres > 20_000
        assert (RIDDEN.path[0], RIDDEN.path[-1]) == ("houweizhai", "fangzhicheng")
        assert RIDDEN.entry is not None
        assert RIDDEN.exit is not None
        assert RIDDEN.trip_id == RIDDEN.exit.tap_id

    @pytest.mark.parametrize(
        ("way", "outcome"), [("entry", Outcome.OPEN), ("exit", Outcome.INCOMPLETE_EXIT)]
    )
    def test_one_end(self, way: str, outcome: Outcome) -> None:
        """A trip with one end is kept, and costs nothing."""
        told = verdict_of(tap(ADA, "zhonglou", way, 0))

        assert (told.outcome, told.fare) == (outcome, Money(0))
        assert (told.entry is None) == (way == "exit")
        assert (told.exit is None) == (way == "entry")

    def test_two_ways_in(self) -> None:
        """A way in followed by another one is an incomplete trip; the last one is open."""
        taps = [tap(ADA, "zhonglou", "entry", 0), tap(ADA, "zhonglou", "entry", 9)]

        told = [judge(trip, XIAN.network, XIAN.tariff).outcome for trip in fold(taps)]

        assert told == [Outcome.INCOMPLETE_ENTRY, Outcome.OPEN]

    def test_an_excused_end_is_told(self) -> None:
        """An incomplete trip of an order exempt station says that nobody is at fault."""
        lone = tap(ADA, "zhonglou", "exit", 0)

        told = verdict_of(replace(lone, flags=frozenset({TapFlag.ORDER_EXEMPT})))

        assert (told.outcome, told.reason) == (Outcome.INCOMPLETE_EXIT, ORDER_EXEMPT)
        assert verdict_of(lone).reason == ""

    def test_a_free_trip_is_priced_and_books_nothing(self) -> None:
        """A fare exempt trip is priced at nothing and moves no money."""
        way_in, out = ride(ADA, "houweizhai", "fangzhicheng")

        free = verdict_of(way_in, replace(out, flags=frozenset({TapFlag.FARE_EXEMPT})))

        assert (free.outcome, free.fare) == (Outcome.PRICED, Money(0))
        assert booking(Decision(free, 1, NOON), None) is None
        assert booking(Decision(RIDDEN, 1, NOON), None) is not None  # control

    @pytest.mark.parametrize("flag", list(TapFlag))
    def test_nothing_is_left_out_for_a_doubted_flag(self, flag: TapFlag) -> None:
        """Priced as if the flag was not there, and put before staff, at whichever end it stands."""
        taps = ride(ADA, "houweizhai", "fangzhicheng")
        flags = frozenset({flag})
        for end in (0, 1):
            claims = list(taps)
            claims[end] = replace(claims[end], flags=flags, doubted=flags)
            told = verdict_of(*claims)
            assert told == replace(RIDDEN, reason=DOUBTED)
            half = verdict_of(claims[end])
            assert (half.fare, half.reason) == (Money(0), DOUBTED)

    def test_unpriced(self) -> None:
        """A trip that the tariff cannot price costs nothing and says why."""
        told = verdict_of(*ride(ADA, "atlantis", "zhonglou"))

        assert (told.outcome, told.fare) == (Outcome.UNPRICED, Money(0))
        assert told.reason == "station_unknown"


class TestRevise:
    """Differences become decisions."""

    def test_first_is_number_one(self) -> None:
        """A new trip's decision has the number 1."""
        assert revise([RIDDEN], [], NOON) == (Decision(RIDDEN, 1, NOON),)

    def test_nothing_new(self) -> None:
        """The same verdicts again decide nothing."""
        assert revise([RIDDEN], [Decision(RIDDEN, 3, NOON)], NOON) == ()

    def test_a_change_is_the_next_number(self) -> None:
        """A verdict that differs in anything is the trip's next decision."""
        known = Decision(replace(RIDDEN, fare=Money(500)), 3, NOON)

        assert revise([RIDDEN], [known], NOON) == (Decision(RIDDEN, 4, NOON),)

    def test_a_trip_that_is_gone_is_void(self) -> None:
        """A trip that the taps no longer tell of is decided void, once."""
        (gone,) = revise([], [Decision(RIDDEN, 1, NOON)], NOON)

        assert gone == Decision(void(RIDDEN), 2, NOON)
        assert (gone.verdict.outcome, gone.verdict.fare) == (Outcome.VOID, Money(0))
        assert revise([], [gone], NOON) == ()

    def test_a_void_trip_may_come_back(self) -> None:
        """A trip that is told of again after it was void is decided anew."""
        gone = Decision(void(RIDDEN), 2, NOON)

        assert revise([RIDDEN], [gone], NOON) == (Decision(RIDDEN, 3, NOON),)


class TestBooking:
    """The ledger gets the difference only."""

    @pytest.mark.parametrize(
        ("before", "now", "owed"),
        [(None, 600, 600), (500, 600, 100), (600, 200, -400), (200, 0, -200)],
    )
    def test_difference(self, before: int | None, now: int, owed: int) -> None:
        """What a decision adds to the fare in force is what the rider comes to owe."""
        known = None if before is None else Decision(replace(RIDDEN, fare=Money(before)), 1, NOON)

        entry = booking(Decision(replace(RIDDEN, fare=Money(now)), 2, NOON), known)

        assert entry is not None
        assert {p.account: p.amount.minor_units for p in entry.postings} == {
            receivable(ADA): owed,
            REVENUE_FARES: -owed,
        }

    def test_no_difference(self) -> None:
        """A decision that changes reasons but not the fare books nothing."""
        known = Decision(replace(RIDDEN, tariff_version="older"), 1, NOON)

        assert booking(Decision(RIDDEN, 2, NOON), known) is None

    def test_each_decision_has_an_entry_of_its_own(self) -> None:
        """Entries of two decisions never share an id, those of one always do."""
        ids = {
            entry.entry_id
            for number in (1, 2, 2)
            for entry in [booking(Decision(RIDDEN, number, NOON), None)]
            if entry is not None
        }

        assert len(ids) == 2
