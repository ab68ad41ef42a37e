"""What riders and staff may read of the money: trips, charges, balances. Changes nothing."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from fare.account import Means
from fare.charge import OPEN, Charge, Kind, State
from fare.decision import Decision, Outcome
from fare.ledger import Entry
from fare.money import Money


class Payment(StrEnum):
    """How the money of a trip stands."""

    NONE = "none"
    """Nothing is asked for, and nothing was taken."""
    PENDING = "pending"
    """A charge or refund is under way."""
    PAID = "paid"
    """What was taken is the fare."""
    OWED = "owed"
    """Less was taken than the fare: a card declined, or the wallet did not reach."""
    OVERPAID = "overpaid"
    """More was taken than the fare, and giving it back failed; staff must look."""
    REFUNDED = "refunded"
    """Nothing is asked for, and what was taken went back."""


@dataclass(frozen=True, slots=True)
class TripLine:
    """A trip with its decision in force and its money."""

    decision: Decision
    charges: tuple[Charge, ...]
    """Every charge of the trip, by seq."""

    @property
    def taken(self) -> Money:
        """Money taken for the trip less what went back."""
        total = Money(0, self.decision.verdict.fare.currency)
        for charge in self.charges:
            if charge.state is State.PAID:
                captured = charge.kind is Kind.CAPTURE
                total = total + charge.amount if captured else total - charge.amount
        return total

    @property
    def listed(self) -> bool:
        """Whether lists show it: what came to nothing without money stays out.

        A ride on the way goes by its tap in and ends void when the tap out makes it a trip of its
        own; every ride would be listed twice.
        """
        return self.decision.verdict.outcome is not Outcome.VOID or bool(self.charges)

    @property
    def payment(self) -> Payment:
        """How the trip's money stands."""
        fare, taken = self.decision.verdict.fare, self.taken
        if any(charge.state in OPEN for charge in self.charges):
            return Payment.PENDING
        if taken != fare:
            return Payment.OWED if taken < fare else Payment.OVERPAID
        if fare.minor_units == 0:
            moved = any(charge.state is State.PAID for charge in self.charges)
            return Payment.REFUNDED if moved else Payment.NONE
        return Payment.PAID


@dataclass(frozen=True, slots=True)
class RiderStatement:
    """One rider's page."""

    rider_ref: UUID
    means: Means
    wallet: Money
    """Stored money, zero or more."""
    owed: Money
    """What is asked for and not taken; below zero where we owe the rider."""
    trips: tuple[TripLine, ...]
    """Newest first."""


@dataclass(frozen=True, slots=True)
class Balance:
    """The sum of an account, or of all riders' accounts of one kind (`rider:*:wallet`)."""

    account: str
    amount: Money
    """Debit above zero, credit below."""


@dataclass(frozen=True, slots=True)
class Overview:
    """The operator's page."""

    taps: int
    cursor: int
    """Position of the cloud's tap log that was read last."""
    trips: tuple[tuple[str, int], ...]
    """Outcome of the decision in force, and how many trips have it."""
    charges: tuple[tuple[str, int, Money], ...]
    """State, how many bank and wallet charges are in it, and the sum of their amounts."""
    balances: tuple[Balance, ...]
    """By account; they sum to zero."""
    recent_trips: tuple[TripLine, ...]
    """Those `listed`, newest decision first."""
    recent_entries: tuple[Entry, ...]
    """Newest first."""
    doubted: int = 0
    """Trips in force with an exemption that nobody ordered (`decision.DOUBTED`)."""
    doubted_trips: tuple[TripLine, ...] = ()
    """The newest of them."""

    @property
    def revenue(self) -> Money:
        """Fares asked for, above zero."""
        return -sum_of(self.balances, "revenue:fares")

    @property
    def in_balance(self) -> bool:
        """Whether all accounts together sum to zero, as they must."""
        return sum(balance.amount.minor_units for balance in self.balances) == 0


class Statements(Protocol):
    """Reads; each answer is one consistent moment."""

    def rider(self, rider_ref: UUID, *, limit: int = 50) -> RiderStatement:
        """Return a rider's newest `listed` trips; without account, an empty statement."""
        ...

    def trip(self, trip_id: UUID) -> Sequence[TripLine]:
        """Return every decision of a trip, oldest first, each with the charges it asked for."""
        ...

    def overview(self, *, recent: int = 20) -> Overview:
        """Return the operator's figures."""
        ...


def sum_of(balances: Iterable[Balance], account: str) -> Money:
    """Return the balance of an account, zero where it was never used."""
    return next((b.amount for b in balances if b.account == account), Money(0))


def folded(account: str) -> str:
    """Return the name under which an account is summed for staff: riders lose their id."""
    parts = account.split(":")
    return f"rider:*:{parts[2]}" if parts[0] == "rider" else account
