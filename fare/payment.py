"""The bank's side of a payment, behind a port: an answer is a value, and silence is one of them.

The id of a movement is ours; whoever implements the port does a movement at most once per id.
"""

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from fare.money import Money


@dataclass(frozen=True, slots=True)
class Paid:
    """The money moved."""


@dataclass(frozen=True, slots=True)
class Declined:
    """The bank refused; no money moved, and none will under this id."""

    reason: str


@dataclass(frozen=True, slots=True)
class NotFound:
    """The bank has never seen this id."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """No answer that says whether the money moved."""

    reason: str
    """What came instead, for the log: a time-out, a status code."""


class PaymentGateway(Protocol):
    """Takes money from cards and gives it back, at most once per id."""

    def charge(self, charge_id: UUID, token: str, amount: Money) -> Paid | Declined | Unknown:
        """Take an amount above zero from a card."""
        ...

    def refund(self, refund_id: UUID, charge_id: UUID, amount: Money) -> Paid | Declined | Unknown:
        """Give back a part of what `charge_id` took."""
        ...

    def query(self, movement_id: UUID) -> Paid | Declined | NotFound | Unknown:
        """Ask what became of a charge or refund; changes nothing."""
        ...
