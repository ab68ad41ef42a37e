"""What a rider owes and what was taken in, the movements that close the gap out.

A pure function of the decisions in force, the charges so far and the money in the wallet, so the
order in which taps came leaves no trace in it. A trip with a movement under way waits for its end.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from fare.account import Account, Means, Wallet
from fare.charge import OPEN, Charge, Event, Kind, State, charge_id, step
from fare.decision import Decision
from fare.ledger import BANK_CLEARING, Entry, receivable, transfer, wallet
from fare.money import Money


def settle(
    account: Account,
    in_force: Iterable[Decision],
    charges: Iterable[Charge],
    purse: Money,
    now: datetime,
) -> tuple[Charge, ...]:
    """Return new and cancelled charges that bring what is taken to what is owed.

    A card pays a trip whole or not at all. A wallet pays the oldest trips first and as far as it
    reaches, so what it pays depends on the trips and the money put in, not on what came first;
    it is never overdrawn. What is not paid stays a debt on the rider's receivable.

    Args:
        account: How the rider pays.
        in_force: The last decision of every trip of the rider.
        charges: Every charge of the rider.
        purse: What is in the wallet, zero or more.
        now: Stamped on new charges.

    Returns:
        Charges to store, money coming back first. Those on a wallet are PAID already.
    """
    by_trip: defaultdict[UUID, list[Charge]] = defaultdict(list)
    for charge in charges:
        by_trip[charge.trip_id].append(charge)
    tabs = [
        _Tab(decision, sorted(by_trip[decision.verdict.trip_id], key=lambda c: c.seq), now)
        for decision in sorted(in_force, key=lambda d: (d.ridden, d.verdict.trip_id))
    ]
    for tab in tabs:
        tab.cancel_superseded(account.means)
    ready = [tab for tab in tabs if not tab.busy()]
    if isinstance(account.means, Wallet):
        _from_wallet(ready, purse.minor_units)
    else:
        for tab in ready:
            tab.take(tab.fare - tab.taken(), account.means)
            tab.give_back(tab.taken() - tab.fare)
    changes = [charge for tab in tabs for charge in tab.changes]
    return tuple(sorted(changes, key=lambda c: c.kind is not Kind.REFUND))


def _from_wallet(tabs: Sequence["_Tab"], purse: int) -> None:
    """Hand what is and was in the wallet to the oldest trips first."""
    for tab in tabs:
        tab.give_back(tab.by_card() - tab.fare, cards=True)
    pot = purse + sum(tab.by_wallet() for tab in tabs)
    for tab in tabs:
        share = min(pot, max(0, tab.fare - tab.by_card()))
        pot -= share
        paid = tab.by_wallet()
        tab.take(share - paid, Wallet())
        tab.give_back(paid - share, cards=False)


def receipt(charge: Charge, now: datetime) -> Entry:
    """Return the entry that books a PAID charge.

    Args:
        charge: The charge.
        now: When it was learned that the money moved.
    """
    assert charge.state is State.PAID, "only money that moved is booked"
    on_wallet = isinstance(charge.means, Wallet)
    source = wallet(charge.rider_ref) if on_wallet else BANK_CLEARING
    debt = receivable(charge.rider_ref)
    taken = charge.kind is Kind.CAPTURE
    return transfer(
        charge.kind.value,
        str(charge.charge_id),
        debit=source if taken else debt,
        credit=debt if taken else source,
        amount=charge.amount,
        event_time=now,
    )


@dataclass(slots=True)
class _Tab:
    """One trip's decision, its charges, and the changes to them; amounts in minor units."""

    decision: Decision
    charges: list[Charge]
    """By seq."""
    now: datetime
    changes: list[Charge] = field(default_factory=list)

    @property
    def fare(self) -> int:
        return self.decision.verdict.fare.minor_units

    def cancel_superseded(self, means: Means) -> None:
        """Cancel what was never sent and would not be asked for again like this."""
        for place, charge in enumerate(self.charges):
            never_sent = charge.state is State.NEW and charge.sends == 0
            other_means = charge.kind is Kind.CAPTURE and charge.means != means
            if never_sent and (charge.number != self.decision.number or other_means):
                cancelled = replace(charge, state=step(charge.state, Event.CANCEL))
                self.charges[place] = cancelled
                self.changes.append(cancelled)

    def busy(self) -> bool:
        return any(charge.state in OPEN for charge in self.charges)

    def by_card(self) -> int:
        return self._sum(not isinstance(c.means, Wallet) for c in self.charges)

    def by_wallet(self) -> int:
        return self._sum(isinstance(c.means, Wallet) for c in self.charges)

    def taken(self) -> int:
        return self.by_card() + self.by_wallet()

    def _sum(self, counts: Iterable[bool]) -> int:
        signs = {Kind.CAPTURE: 1, Kind.REFUND: -1}
        return sum(
            signs[charge.kind] * charge.amount.minor_units
            for charge, counted in zip(self.charges, counts, strict=True)
            if counted and charge.state is State.PAID
        )

    def take(self, minor_units: int, means: Means) -> None:
        """Capture an amount, unless these means refused this very decision before."""
        refused = any(
            c.state is State.DECLINED
            and (c.kind, c.number, c.means) == (Kind.CAPTURE, self.decision.number, means)
            for c in self.charges
        )
        if minor_units > 0 and not refused:
            self._add(Kind.CAPTURE, minor_units, means, None)

    def give_back(self, minor_units: int, *, cards: bool | None = None) -> None:
        """Refund an amount from the newest captures first; of cards or the wallet if asked."""
        captures = [
            c
            for c in reversed(self.charges)
            if (c.kind, c.state) == (Kind.CAPTURE, State.PAID)
            and (cards is None or cards != isinstance(c.means, Wallet))
        ]
        for capture in captures:
            part = min(minor_units, self._left(capture))
            if part > 0:
                minor_units -= part
                if not self._refund_refused(capture):
                    self._add(Kind.REFUND, part, capture.means, capture.charge_id)

    def _left(self, capture: Charge) -> int:
        """Return what of a capture has not gone back."""
        back = (
            c.amount.minor_units
            for c in self.charges
            if c.of == capture.charge_id and c.state in OPEN | {State.PAID}
        )
        return capture.amount.minor_units - sum(back)

    def _refund_refused(self, capture: Charge) -> bool:
        return any(
            c.state is State.DECLINED and (c.of, c.number) == (capture.charge_id, self.number)
            for c in self.charges
        )

    @property
    def number(self) -> int:
        return self.decision.number

    def _add(self, kind: Kind, minor_units: int, means: Means, of: UUID | None) -> None:
        verdict = self.decision.verdict
        seq = len(self.charges)
        new = Charge(
            charge_id=charge_id(verdict.trip_id, self.number, seq),
            trip_id=verdict.trip_id,
            rider_ref=verdict.rider_ref,
            number=self.number,
            seq=seq,
            kind=kind,
            amount=Money(minor_units, verdict.fare.currency),
            means=means,
            of=of,
            state=State.NEW,
            made_time=self.now,
            due_time=self.now,
        )
        if isinstance(means, Wallet):  # our own book is the bank: it answers at once
            new = replace(new, state=step(new.state, Event.PAID))
        self.charges.append(new)
        self.changes.append(new)
