"""Double entry: every movement of value is an entry whose postings sum to zero, for ever.

Entries are never changed or removed; a correction is a new entry. This file does not know about
trips, banks or SQL.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol
from uuid import UUID, uuid5

from fare.money import Money

MONEY_BOOK = "money"
"""The book of real money; points and pass rides get books of their own."""
REVENUE_FARES = "revenue:fares"
"""What riders were asked for; a credit balance is income."""
BANK_CLEARING = "bank:clearing"
"""What the bank took for us and has not settled yet; a debit balance is our claim on it."""
CASH_COUNTER = "cash:counter"
"""What riders paid in at the counter to top up; a debit balance is cash in hand."""

_ENTRY_IDS = UUID("5c1dd9a4-6b1f-5d0e-9a57-2f1c7d3b8e10")


def receivable(rider_ref: UUID) -> str:
    """Return the account of what a rider owes (debit) or is owed (credit)."""
    return f"rider:{rider_ref.hex}:receivable"


def wallet(rider_ref: UUID) -> str:
    """Return the account of a rider's stored money, a credit balance: we hold it for them."""
    return f"rider:{rider_ref.hex}:wallet"


class EntryConflict(Exception):
    """An entry id came again with other content; nothing was booked."""


class Unbalanced(ValueError):
    """Postings that do not sum to zero, or are too few to move anything."""


@dataclass(frozen=True, slots=True)
class Posting:
    """One line of an entry."""

    account: str
    """E.g. `revenue:fares` or `rider:<hex>:wallet`."""
    amount: Money
    """Debit above zero, credit below; never zero."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One movement of value between accounts of one book."""

    entry_id: UUID
    """Derived from what it books (`entry_id`), so that booking twice is noticed."""
    book: str
    kind: str
    """What happened, e.g. `fare`, `capture`, `refund`, `top-up`."""
    event_time: datetime
    """When it happened in the world, aware UTC; the store adds when it was booked."""
    reference: str
    """The id of what caused it: a decision, a charge, a top-up."""
    postings: tuple[Posting, ...]

    def __post_init__(self) -> None:
        """Refuse what would create or destroy value.

        Raises:
            Unbalanced: The postings of a currency do not sum to zero, one is zero, or there are
                fewer than two.
            ValueError: The event time is naive.
        """
        if self.event_time.tzinfo is None:
            raise ValueError("event_time must be aware")
        if len(self.postings) < 2 or any(p.amount.minor_units == 0 for p in self.postings):
            raise Unbalanced(f"{self.kind} {self.reference}: needs two postings, none of zero")
        sums: defaultdict[str, int] = defaultdict(int)
        for posting in self.postings:
            sums[posting.amount.currency] += posting.amount.minor_units
        if any(sums.values()):
            raise Unbalanced(f"{self.kind} {self.reference}: sums to {dict(sums)}")

    def repeats(self, other: "Entry") -> bool:
        """Tell whether both book the same; a retry may come with a later clock reading."""
        return replace(self, event_time=other.event_time) == other


@dataclass(frozen=True, slots=True)
class Posted:
    """The entry is booked now."""


@dataclass(frozen=True, slots=True)
class AlreadyPosted:
    """The same entry was booked before; nothing changed, the first event time stands."""


class Ledger(Protocol):
    """All entries; append-only."""

    def post(self, entry: Entry) -> Posted | AlreadyPosted:
        """Book an entry once, however often it comes.

        Raises:
            EntryConflict: Its id is booked with other content.
        """
        ...

    def balance(self, account: str, *, currency: str = "CNY", book: str = MONEY_BOOK) -> Money:
        """Return the sum of an account's postings; zero for an account never used."""
        ...

    def entries(self, *, account: str | None = None, limit: int = 100) -> Sequence[Entry]:
        """Return the newest entries first, of one account or of all."""
        ...


def entry_id(kind: str, reference: str, *, book: str = MONEY_BOOK) -> UUID:
    """Return the one id that an entry of this kind about this reference can have."""
    return uuid5(_ENTRY_IDS, f"{book}/{kind}/{reference}")


def transfer(
    kind: str, reference: str, *, debit: str, credit: str, amount: Money, event_time: datetime
) -> Entry:
    """Build the entry that moves an amount from one account to another in the money book.

    Args:
        kind: What happened.
        reference: What caused it; with `kind` it makes the entry's id.
        debit: The account that receives.
        credit: The account that gives.
        amount: Above zero; a negative one books the other way round.
        event_time: When it happened, aware UTC.
    """
    return Entry(
        entry_id=entry_id(kind, reference),
        book=MONEY_BOOK,
        kind=kind,
        event_time=event_time,
        reference=reference,
        postings=(Posting(debit, amount), Posting(credit, -amount)),
    )
