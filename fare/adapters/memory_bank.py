"""A simulated bank in memory, behind the payment port; silence is Unknown at once."""

from collections.abc import Sequence
from uuid import UUID

from fare.adapters.script import Movement, conduct, decide, same_terms
from fare.charge import Kind
from fare.money import Money
from fare.payment import Declined, NotFound, Paid, Unknown


class MemoryBank:
    """A `PaymentGateway` whose cards behave as their tokens say."""

    def __init__(self) -> None:
        self._book: dict[UUID, Movement] = {}

    def charge(self, charge_id: UUID, token: str, amount: Money) -> Paid | Declined | Unknown:
        """Take an amount from a card."""
        return self._move(Movement(charge_id, Kind.CAPTURE, token, None, amount, False, ""))

    def refund(self, refund_id: UUID, charge_id: UUID, amount: Money) -> Paid | Declined | Unknown:
        """Give back a part of what `charge_id` took."""
        return self._move(Movement(refund_id, Kind.REFUND, "", charge_id, amount, False, ""))

    def query(self, movement_id: UUID) -> Paid | Declined | NotFound | Unknown:
        """Tell what became of a charge or refund."""
        known = self._book.get(movement_id)
        return NotFound() if known is None else _said(known)

    def statement(self) -> Sequence[Movement]:
        """Return the bank's book: what really moved."""
        return tuple(self._book.values())

    def _move(self, wanted: Movement) -> Paid | Declined | Unknown:
        known = self._book.get(wanted.movement_id)
        if known is not None and not same_terms(known, wanted):
            return Unknown("conflict")
        captured = self._book.get(wanted.of) if wanted.of else None
        back = sum(
            m.amount.minor_units
            for m in self._book.values()
            if m.kind is Kind.REFUND and m.of == wanted.of and m.paid
        )
        booked = known or decide(wanted, captured, back)
        card = conduct(booked.token)
        if card.remembers:
            self._book[booked.movement_id] = booked
        return _said(booked) if card.answers else Unknown("silence")


def _said(movement: Movement) -> Paid | Declined:
    return Paid() if movement.paid else Declined(movement.reason)
