"""Means of payment, and what must never be stored."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fare.account import (
    BankCard,
    PanRefused,
    TopUp,
    Wallet,
    looks_like_pan,
    open_account,
    set_means,
    top_up,
)
from fare.adapters.memory import MemoryStore
from fare.ledger import AlreadyPosted, EntryConflict, Posted, wallet
from fare.money import Money

ADA = UUID(int=1)
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)

# Numbers that card schemes publish for tests; all pass the Luhn check.
TEST_PANS = ["4111111111111111", "5555555555554444", "378282246310005", "6212345678900000003"]


def check_digit(digits: str) -> str:
    """Return the Luhn check digit by the textbook rule, written another way than the code's."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return str(-total % 10)


class TestPan:
    """Card numbers are refused in every dress."""

    @pytest.mark.parametrize("pan", TEST_PANS)
    @pytest.mark.parametrize("dress", ["{}", "tok_{}", "{}x", "12{}", "{}99"])
    def test_is_refused(self, pan: str, dress: str) -> None:
        """A card number is refused alone and inside other text."""
        with pytest.raises(PanRefused):
            BankCard(dress.format(pan))

    @pytest.mark.parametrize("separator", [" ", "-", ".", "_"])
    def test_is_refused_in_groups(self, separator: str) -> None:
        """A card number written in groups of four is refused as well."""
        assert looks_like_pan(separator.join(["4111", "1111", "1111", "1111"]))

    @given(st.text("0123456789", min_size=12, max_size=18))
    def test_any_luhn_valid_number(self, digits: str) -> None:
        """Any 13 to 19 digits that end in their check digit look like a card number."""
        assert looks_like_pan(digits + check_digit(digits))

    @given(st.text("0123456789", min_size=12, max_size=12), st.integers(1, 9))
    def test_control_wrong_check_digit(self, digits: str, off: int) -> None:
        """Thirteen digits with a wrong check digit do not: the check is not mere length."""
        wrong = (int(check_digit(digits)) + off) % 10

        assert not looks_like_pan(f"{digits}{wrong}")

    @pytest.mark.parametrize(
        "token", ["tok_yes", "tok_charged_silent-ada", "a.b-C_9", "411111111111"]
    )
    def test_control_tokens_pass(self, token: str) -> None:
        """Tokens, also with a few digits, are accepted."""
        assert BankCard(token).token == token

    @pytest.mark.parametrize("token", ["", "abc", "x" * 65, "tok yes", "tok/yes", "tok_ja\n"])
    def test_malformed_tokens(self, token: str) -> None:
        """What has the wrong length or characters is no token."""
        with pytest.raises(ValueError):
            BankCard(token)


class TestMeans:
    """Opening an account and changing its means."""

    def test_opening_keeps_what_is_there(self) -> None:
        """Opening an open account without means changes nothing."""
        store = MemoryStore()
        with store.transaction() as tx:
            assert open_account(tx.accounts, ADA).means == Wallet()
            open_account(tx.accounts, ADA, BankCard("tok_yes"))

            assert open_account(tx.accounts, ADA).means == BankCard("tok_yes")

    def test_a_change_is_flagged_once(self) -> None:
        """New means flag the account for the worker; the same means again do not."""
        store = MemoryStore()
        with store.transaction() as tx:
            assert not set_means(tx.accounts, ADA, Wallet()).unsettled
            assert set_means(tx.accounts, ADA, BankCard("tok_yes")).unsettled


class TestTopUp:
    """Money into the wallet."""

    def test_once_per_id(self) -> None:
        """A top-up that is repeated fills the wallet once, and flags debts to be paid."""
        store = MemoryStore()
        payment = TopUp(UUID(int=7), ADA, Money(500), NOON)
        with store.transaction() as tx:
            assert top_up(tx.accounts, tx.ledger, payment) == Posted()
            assert top_up(tx.accounts, tx.ledger, payment) == AlreadyPosted()

            assert tx.ledger.balance(wallet(ADA)) == Money(-500)
            assert [a.rider_ref for a in tx.accounts.claim_unsettled(9)] == [ADA]

    def test_other_money_under_one_id(self) -> None:
        """Another amount under a used id is refused."""
        with MemoryStore().transaction() as tx:
            top_up(tx.accounts, tx.ledger, TopUp(UUID(int=7), ADA, Money(500), NOON))

            with pytest.raises(EntryConflict):
                top_up(tx.accounts, tx.ledger, TopUp(UUID(int=7), ADA, Money(600), NOON))

    @pytest.mark.parametrize("amount", [0, -1])
    def test_takes_nothing_out(self, amount: int) -> None:
        """A top-up of nothing or less is refused."""
        with pytest.raises(ValueError):
            TopUp(UUID(int=7), ADA, Money(amount), NOON)
