"""Entries that would make or lose money are refused before any store sees them."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fare.ledger import Entry, Posting, Unbalanced, entry_id, transfer
from fare.money import Money

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


def entry(*amounts: Money, event_time: datetime = NOON) -> Entry:
    """Give an entry of these amounts on accounts of their own."""
    postings = tuple(Posting(f"account:{n}", amount) for n, amount in enumerate(amounts))
    return Entry(entry_id("test", "1"), "money", "test", event_time, "1", postings)


class TestEntry:
    """What an entry is."""

    @pytest.mark.parametrize(
        "amounts",
        [
            (),  # nothing
            (Money(5),),  # one side
            (Money(5), Money(-4)),  # a fen is missing
            (Money(5), Money(-5), Money(0)),  # a posting that says nothing
            (Money(5, "CNY"), Money(-5, "HKD")),  # currencies do not cancel
            (Money(5), Money(-5), Money(3, "HKD"), Money(-2, "HKD")),  # one of two is off
        ],
    )
    def test_refuses_imbalance(self, amounts: tuple[Money, ...]) -> None:
        """Postings that do not sum to zero in each currency are refused."""
        with pytest.raises(Unbalanced):
            entry(*amounts)

    @given(st.lists(st.integers(1, 10**12), min_size=1, max_size=9))
    def test_accepts_what_sums_to_zero(self, amounts: list[int]) -> None:
        """Any debits with one credit of their sum are an entry, and any other credit is not."""
        debits = [Money(amount) for amount in amounts]

        assert len(entry(*debits, Money(-sum(amounts))).postings) == len(amounts) + 1
        with pytest.raises(Unbalanced):
            entry(*debits, Money(1 - sum(amounts)))

    def test_refuses_a_naive_time(self) -> None:
        """An entry's time has a zone."""
        with pytest.raises(ValueError):
            entry(Money(1), Money(-1), event_time=datetime(2026, 5, 4))  # noqa: DTZ001  # on purpose

    def test_ids_tell_kinds_books_and_references_apart(self) -> None:
        """What an entry books makes its id; nothing else can have the same one."""
        ids = {
            entry_id("fare", "1"),
            entry_id("fare", "2"),
            entry_id("refund", "1"),
            entry_id("fare", "1", book="points"),
        }

        assert len(ids) == 4
        assert entry_id("fare", "1") in ids

    def test_a_negative_transfer_goes_the_other_way(self) -> None:
        """A fare that fell is booked as the same transfer with its sides changed."""
        down = transfer("fare", "1", debit="a", credit="b", amount=Money(-3), event_time=NOON)

        assert {p.account: p.amount for p in down.postings} == {"a": Money(-3), "b": Money(3)}
