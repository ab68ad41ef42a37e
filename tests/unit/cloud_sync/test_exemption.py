"""A flag in a tap counts when an order stands behind it, and is doubted when none does."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from cloud_sync.setting import Mode
from cloud_sync.taps.exemption import CLAIMS, ExemptionRules, ModeOrder, doubted
from fare.tap import TapFlag
from tests.taps import tap

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
LEASE = timedelta(hours=24)
MINUTE, MICRO = timedelta(minutes=1), timedelta(microseconds=1)
FREE = frozenset({TapFlag.FARE_EXEMPT})
ORDERED = ModeOrder(NOON, frozenset({Mode.FARE_EXEMPT}))
HOUR = timedelta(hours=1)
ENDED = ModeOrder(NOON + HOUR, frozenset(), heard=NOON + HOUR)


def doubts(at: datetime, *orders: ModeOrder, error_ms: int = 0) -> bool:
    """Tell whether a fare exempt tap of this moment is doubted."""
    claim = replace(tap(0), tap_time=at, flags=FREE, clock_error_ms=error_ms)
    found = doubted(claim, orders, LEASE)
    assert found in (frozenset(), FREE)
    return bool(found)


class TestDoubted:
    """From the history of orders to a word about a tap."""

    def test_without_a_claim_there_is_no_doubt(self) -> None:
        """A tap without flags, or of somebody let out from the deny list, claims no order."""
        for flags in (frozenset[TapFlag](), frozenset({TapFlag.DENIED})):
            assert doubted(replace(tap(0), flags=flags), (), LEASE) == frozenset()
        assert doubts(NOON)  # control: the claim is looked at

    @pytest.mark.parametrize("flag", list(CLAIMS))
    def test_each_flag_needs_its_own_mode(self, flag: TapFlag) -> None:
        """An order explains the flag of its mode and no other."""
        claim = replace(tap(0), tap_time=NOON, flags=frozenset(CLAIMS))
        order = ModeOrder(NOON, frozenset({CLAIMS[flag]}))

        assert doubted(claim, [order], LEASE) == CLAIMS.keys() - {flag}

    def test_from_the_order_on(self) -> None:
        """A tap from before the order is doubted, but for what the clocks may differ by."""
        assert not doubts(NOON - MINUTE, ORDERED)
        assert doubts(NOON - MINUTE - MICRO, ORDERED)
        assert not doubts(NOON + timedelta(days=400), ORDERED)

    def test_until_the_node_has_heard_of_its_end(self) -> None:
        """The order holds at a node until the end of it is on its disk."""
        late = replace(ENDED, heard=NOON + 3 * HOUR)
        assert not doubts(NOON + HOUR + MINUTE, ORDERED, ENDED)
        assert doubts(NOON + HOUR + MINUTE + MICRO, ORDERED, ENDED)
        assert not doubts(NOON + 3 * HOUR + MINUTE, ORDERED, late)
        assert doubts(NOON + 3 * HOUR + MINUTE + MICRO, ORDERED, late)

    def test_a_node_that_never_hears_has_its_lease(self) -> None:
        """Whoever stops listening keeps an order that ended for no longer than a lease."""
        for heard in (None, NOON + 99 * LEASE):
            unheard = replace(ENDED, heard=heard)
            assert not doubts(NOON + HOUR + LEASE + MINUTE, ORDERED, unheard)
            assert doubts(NOON + HOUR + LEASE + MINUTE + MICRO, ORDERED, unheard)

    def test_hearing_of_a_later_order_ends_the_earlier_ones(self) -> None:
        """A node that has heard of the third order goes by neither the first nor the second."""
        second = ModeOrder(NOON + HOUR, frozenset({Mode.TIME_EXEMPT}))
        third = ModeOrder(NOON + 2 * HOUR, frozenset(), heard=NOON + 2 * HOUR)
        assert not doubts(NOON + 2 * HOUR, ORDERED, second, third)
        assert doubts(NOON + 3 * HOUR, ORDERED, second, third)

    def test_an_admitted_clock_error_is_believed_to_a_limit(self) -> None:
        """A gate that knows its clock is wrong gets that much more room, ten minutes at most."""
        early = NOON - 6 * MINUTE
        assert doubts(early, ORDERED)
        assert not doubts(early, ORDERED, error_ms=300_000)
        assert doubts(NOON - 11 * MINUTE - MICRO, ORDERED, error_ms=2**32 - 1)

    def test_rules_have_ranges(self) -> None:
        """No slack below zero."""
        with pytest.raises(ValueError, match="out of range"):
            ExemptionRules(slack=-MICRO)
