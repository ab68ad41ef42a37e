"""The payer's account of a rider: how they pay, and the wallet they fill.

A card is known by the bank's token alone; whatever looks like a card number is refused. This file
does not know about trips or charges: changed means are flagged, and the worker collects.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol
from uuid import UUID

from fare.ledger import CASH_COUNTER, AlreadyPosted, Ledger, Posted, transfer, wallet
from fare.money import Money

_TOKEN = re.compile(r"[A-Za-z0-9_.-]{4,64}")
# ISO/IEC 7812 gives card numbers at most 19 digits; 13 is the shortest that schemes issued.
_DIGITS = re.compile(r"(?=(\d{13,19}))")
_SEPARATORS = re.compile(r"[ ._-]")


class PanRefused(ValueError):
    """A card number was given where a token belongs; it must not be stored."""


@dataclass(frozen=True, slots=True)
class Wallet:
    """Pay from the rider's stored money."""


@dataclass(frozen=True, slots=True)
class BankCard:
    """Pay by the bank."""

    token: str
    """The bank's name for the card, 4 to 64 of `A-Za-z0-9_.-`; never the card's number."""

    def __post_init__(self) -> None:
        """Refuse what is not a token.

        Raises:
            PanRefused: It holds a card number.
            ValueError: It has the wrong length or characters.
        """
        if looks_like_pan(self.token):
            raise PanRefused("a card number is not a token")
        if not _TOKEN.fullmatch(self.token):
            raise ValueError("a token has 4 to 64 letters, digits, '_', '.' or '-'")


Means = Wallet | BankCard


@dataclass(frozen=True, slots=True)
class Account:
    """How one rider pays."""

    rider_ref: UUID
    means: Means = Wallet()
    unsettled: bool = False
    """Something changed that may let a debt be collected: the worker looks at it next."""


class Accounts(Protocol):
    """All payer accounts."""

    def lock(self, rider_ref: UUID) -> Account:
        """Return a rider's account, opened with a wallet if new, locked for this transaction."""
        ...

    def save(self, account: Account) -> None:
        """Store an account that this transaction has locked."""
        ...

    def claim_unsettled(self, limit: int) -> Sequence[Account]:
        """Lock and return up to `limit` flagged accounts, passing over those locked elsewhere."""
        ...


def looks_like_pan(text: str) -> bool:
    """Tell whether 13 to 19 digits in a row, separators aside, pass the Luhn check.

    Args:
        text: Anything a client sent.
    """
    runs = (match.group(1) for match in _DIGITS.finditer(_SEPARATORS.sub("", text)))
    return any(_luhn(run[:n]) for run in runs for n in range(13, len(run) + 1))


def _luhn(digits: str) -> bool:
    """Tell whether the digits end in their right check digit (ISO/IEC 7812-1 annex B)."""
    doubled = [sum(divmod(2 * int(d), 10)) for d in digits[-2::-2]]
    return (sum(doubled) + sum(int(d) for d in digits[-1::-2])) % 10 == 0


def open_account(accounts: Accounts, rider_ref: UUID, means: Means | None = None) -> Account:
    """Open a rider's account, or change its means if it is open and means are given.

    Args:
        accounts: The accounts of a transaction.
        rider_ref: The rider.
        means: How they pay; the wallet unless said otherwise.
    """
    account = accounts.lock(rider_ref)
    return account if means is None else set_means(accounts, rider_ref, means)


def set_means(accounts: Accounts, rider_ref: UUID, means: Means) -> Account:
    """Change how a rider pays; debts are then collected by the new means.

    Args:
        accounts: The accounts of a transaction.
        rider_ref: The rider.
        means: A wallet or a bank card's token.
    """
    account = accounts.lock(rider_ref)
    if account.means != means:
        account = replace(account, means=means, unsettled=True)
        accounts.save(account)
    return account


@dataclass(frozen=True, slots=True)
class TopUp:
    """Money paid in at the counter; kept by the caller, whole, for a retry."""

    top_up_id: UUID
    rider_ref: UUID
    amount: Money
    """Above zero."""
    paid_time: datetime
    """Aware UTC."""

    def __post_init__(self) -> None:
        """Refuse to take money out this way.

        Raises:
            ValueError: The amount is not above zero.
        """
        if self.amount.minor_units <= 0:
            raise ValueError("a top-up is above zero")


def top_up(accounts: Accounts, ledger: Ledger, payment: TopUp) -> Posted | AlreadyPosted:
    """Put money into a rider's wallet, once per id.

    Args:
        accounts: The accounts of a transaction.
        ledger: The ledger of the same transaction.
        payment: What was paid in.

    Raises:
        EntryConflict: The id was used for another top-up.
    """
    account = accounts.lock(payment.rider_ref)
    entry = transfer(
        "top-up",
        str(payment.top_up_id),
        debit=CASH_COUNTER,
        credit=wallet(payment.rider_ref),
        amount=payment.amount,
        event_time=payment.paid_time,
    )
    outcome = ledger.post(entry)
    accounts.save(replace(account, unsettled=True))
    return outcome
