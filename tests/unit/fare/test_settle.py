"""What is owed and what was taken in; the movements between out."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fare.account import Account, BankCard, Means, Wallet
from fare.charge import OPEN, Charge, Kind, State, charge_id
from fare.decision import Decision, Outcome, Stop, Verdict
from fare.ledger import BANK_CLEARING, receivable, wallet
from fare.money import Money
from fare.settle import receipt, settle
from fare.tap import Medium

ADA = UUID(int=9)
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
CARD = BankCard("tok_yes")


def trip(place: int, fare: int, *, number: int = 1) -> Decision:
    """Give the decision on Ada's trip of a place in the day."""
    stop = Stop(UUID(int=place), "xiaozhai", Medium.FACE, NOON + timedelta(hours=place))
    outcome = Outcome.PRICED if fare else Outcome.VOID
    verdict = Verdict(UUID(int=place), ADA, outcome, Money(fare), None, stop)
    return Decision(verdict, number, NOON)


def charge(
    place: int,
    amount: int,
    state: State = State.PAID,
    *,
    means: Means = CARD,
    number: int = 1,
    seq: int = 0,
) -> Charge:
    """Give a capture for Ada's trip of a place in the day."""
    return Charge(
        charge_id=charge_id(UUID(int=place), number, seq),
        trip_id=UUID(int=place),
        rider_ref=ADA,
        number=number,
        seq=seq,
        kind=Kind.CAPTURE,
        amount=Money(amount),
        means=means,
        of=None,
        state=state,
        made_time=NOON,
        due_time=NOON,
    )


def refund(of: Charge, amount: int, state: State = State.PAID, *, seq: int = 1) -> Charge:
    """Give a refund of a capture."""
    back = charge(of.trip_id.int, amount, state, means=of.means, number=2, seq=seq)
    return replace(back, kind=Kind.REFUND, of=of.charge_id)


def told(changes: tuple[Charge, ...]) -> list[tuple[str, int, int, str]]:
    """Tell changes as kind, trip, minor units and state."""
    return [(c.kind.value, c.trip_id.int, c.amount.minor_units, c.state.value) for c in changes]


def by_card(decisions: list[Decision], charges: list[Charge]) -> list[tuple[str, int, int, str]]:
    """Settle a rider with a card."""
    return told(settle(Account(ADA, CARD), decisions, charges, Money(0), NOON))


def by_wallet(
    decisions: list[Decision], charges: list[Charge], purse: int
) -> list[tuple[str, int, int, str]]:
    """Settle a rider with a wallet."""
    return told(settle(Account(ADA, Wallet()), decisions, charges, Money(purse), NOON))


class TestCard:
    """A card pays a trip whole or not at all."""

    def test_asks_for_the_fare(self) -> None:
        """A trip without charges is captured whole."""
        assert by_card([trip(1, 300)], []) == [("capture", 1, 300, "new")]

    def test_asks_once(self) -> None:
        """A trip that is paid, or being paid, is left alone."""
        for state in OPEN | {State.PAID}:
            assert by_card([trip(1, 300)], [charge(1, 300, state)]) == []

    def test_takes_the_difference(self) -> None:
        """A fare that rose is captured by the difference, under the new decision."""
        (more,) = settle(
            Account(ADA, CARD), [trip(1, 500, number=2)], [charge(1, 300)], Money(0), NOON
        )

        assert told((more,)) == [("capture", 1, 200, "new")]
        assert (more.number, more.seq) == (2, 1)

    def test_gives_the_difference_back(self) -> None:
        """A fare that fell is refunded by the difference, of the capture that took it."""
        (back,) = settle(
            Account(ADA, CARD), [trip(1, 200, number=2)], [charge(1, 300)], Money(0), NOON
        )

        assert told((back,)) == [("refund", 1, 100, "new")]
        assert back.of == charge(1, 300).charge_id

    def test_gives_a_void_trip_back_from_all_captures(self) -> None:
        """A trip that never was is refunded from each of its captures, newest first."""
        captures = [charge(1, 300), charge(1, 200, number=2, seq=1)]

        assert by_card([trip(1, 0, number=3)], captures) == [
            ("refund", 1, 200, "new"),
            ("refund", 1, 300, "new"),
        ]

    def test_gives_back_once(self) -> None:
        """What went back, or is on its way back, does not go back again."""
        for state in OPEN | {State.PAID}:
            charges = [charge(1, 300), refund(charge(1, 300), 100, state)]
            assert by_card([trip(1, 200, number=2)], charges) == []

    @pytest.mark.parametrize("state", [State.SENT, State.UNKNOWN])
    def test_waits_for_the_bank(self, state: State) -> None:
        """While nobody knows whether money moved, a changed fare asks for nothing."""
        assert by_card([trip(1, 500, number=2)], [charge(1, 300, state)]) == []

    def test_cancels_what_was_never_sent(self) -> None:
        """A charge that no longer fits and was never sent is cancelled for the right one."""
        assert by_card([trip(1, 500, number=2)], [charge(1, 300, State.NEW)]) == [
            ("capture", 1, 300, "cancelled"),
            ("capture", 1, 500, "new"),
        ]

    def test_does_not_cancel_what_may_have_been_seen(self) -> None:
        """A charge that was sent once is not cancelled, even if the bank never saw it."""
        sent_before = replace(charge(1, 300, State.NEW), sends=1)

        assert by_card([trip(1, 500, number=2)], [sent_before]) == []

    def test_does_not_insist(self) -> None:
        """A card that refused is not asked again for the same decision; the debt stays."""
        assert by_card([trip(1, 300)], [charge(1, 300, State.DECLINED)]) == []

    def test_asks_another_card(self) -> None:
        """A debt is collected when the rider gives another card."""
        declined = charge(1, 300, State.DECLINED, means=BankCard("tok_no"))

        assert by_card([trip(1, 300)], [declined]) == [("capture", 1, 300, "new")]

    def test_moves_a_waiting_charge_to_the_new_card(self) -> None:
        """A charge not yet sent follows the rider to another card."""
        waiting = charge(1, 300, State.NEW, means=BankCard("tok_old"))

        assert by_card([trip(1, 300)], [waiting]) == [
            ("capture", 1, 300, "cancelled"),
            ("capture", 1, 300, "new"),
        ]

    def test_refused_refund_is_not_repeated(self) -> None:
        """A refund that the bank refused is left to staff."""
        charges = [charge(1, 300), refund(charge(1, 300), 100, State.DECLINED)]

        assert by_card([trip(1, 200, number=2)], charges) == []


class TestWallet:
    """A wallet pays the oldest trips first, as far as it reaches."""

    def test_pays_at_once(self) -> None:
        """A wallet that holds enough pays without a bank."""
        assert by_wallet([trip(1, 300)], [], 1_000) == [("capture", 1, 300, "paid")]

    def test_is_never_overdrawn(self) -> None:
        """What does not fit into the wallet is not taken, oldest trips first."""
        assert by_wallet([trip(2, 300), trip(1, 300)], [], 400) == [
            ("capture", 1, 300, "paid"),
            ("capture", 2, 100, "paid"),
        ]

    def test_an_empty_wallet_pays_nothing(self) -> None:
        """Without money the whole fare is a debt."""
        assert by_wallet([trip(1, 300)], [], 0) == []

    def test_pays_debts_when_filled(self) -> None:
        """Money that is paid in pays what was left open."""
        partly = charge(1, 100, means=Wallet())

        assert by_wallet([trip(1, 300)], [partly], 500) == [("capture", 1, 200, "paid")]

    def test_an_older_trip_takes_precedence(self) -> None:
        """An older trip that turns up late is paid from what a newer one had taken."""
        newer = charge(2, 300, means=Wallet())

        assert by_wallet([trip(1, 200), trip(2, 300)], [newer], 0) == [
            ("refund", 2, 200, "paid"),
            ("capture", 1, 200, "paid"),
        ]

    def test_leaves_what_a_card_paid(self) -> None:
        """A trip that a card paid before the rider changed to the wallet stays paid by it."""
        assert by_wallet([trip(1, 300)], [charge(1, 300)], 1_000) == []

    def test_a_card_gets_its_own_money_back(self) -> None:
        """What a card paid too much goes back to the card, not into the wallet."""
        assert by_wallet([trip(1, 0, number=2)], [charge(1, 300)], 0) == [("refund", 1, 300, "new")]

    @given(
        st.lists(st.integers(0, 900), max_size=6),
        st.lists(st.integers(0, 900), max_size=6),
        st.integers(0, 2_000),
    )
    def test_depends_on_totals_alone(self, fares: list[int], before: list[int], purse: int) -> None:
        """Whatever was paid before, the wallet ends with what the fares leave, never below 0."""
        first = settle(
            Account(ADA, Wallet()),
            [trip(n, fare) for n, fare in enumerate(before)],
            [],
            Money(purse),
            NOON,
        )
        left = purse - sum(c.amount.minor_units for c in first)
        now = [trip(n, fare, number=2) for n, fare in enumerate(fares)]
        now += [trip(n, 0, number=2) for n in range(len(fares), len(before))]

        second = settle(Account(ADA, Wallet()), now, first, Money(left), NOON)

        signs = {Kind.CAPTURE: -1, Kind.REFUND: 1}
        end = left + sum(signs[c.kind] * c.amount.minor_units for c in second)
        assert end == max(0, purse - sum(fares))
        assert settle(Account(ADA, Wallet()), now, first + second, Money(end), NOON) == ()


class TestReceipt:
    """How money that moved is booked."""

    @pytest.mark.parametrize(("means", "source"), [(CARD, BANK_CLEARING), (Wallet(), wallet(ADA))])
    def test_both_ways(self, means: Means, source: str) -> None:
        """A capture pays the debt from its source; a refund is the same the other way round."""
        paid = charge(1, 300, means=means)

        taken = {p.account: p.amount.minor_units for p in receipt(paid, NOON).postings}
        back = {p.account: p.amount.minor_units for p in receipt(refund(paid, 300), NOON).postings}

        assert taken == {source: 300, receivable(ADA): -300}
        assert back == {source: -300, receivable(ADA): 300}

    def test_only_money_that_moved(self) -> None:
        """A charge that is not PAID cannot be booked."""
        with pytest.raises(AssertionError):
            receipt(charge(1, 300, State.UNKNOWN), NOON)
