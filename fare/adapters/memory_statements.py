"""Statements read from a store in memory."""

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace
from uuid import UUID

from fare.account import Account
from fare.adapters.memory import Content, MemoryLedger, MemoryStore
from fare.charge import Charge
from fare.decision import DOUBTED, Decision
from fare.ledger import MONEY_BOOK, Entry, receivable, wallet
from fare.money import Money
from fare.statement import Balance, Overview, RiderStatement, TripLine, folded


class MemoryStatements:
    """`Statements` of a `MemoryStore`."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def rider(self, rider_ref: UUID, *, limit: int = 50) -> RiderStatement:
        """Return a rider's newest trips."""
        content = self._store.content()
        ledger = MemoryLedger(content.entries)
        lines = [
            _line(content, decisions[-1])
            for decisions in content.decisions.values()
            if decisions[-1].verdict.rider_ref == rider_ref
        ]
        lines = [line for line in lines if line.listed]
        lines.sort(key=lambda line: line.decision.ridden, reverse=True)
        return RiderStatement(
            rider_ref=rider_ref,
            means=content.accounts.get(rider_ref, Account(rider_ref)).means,
            wallet=-ledger.balance(wallet(rider_ref)),
            owed=ledger.balance(receivable(rider_ref)),
            trips=tuple(lines[:limit]),
        )

    def trip(self, trip_id: UUID) -> Sequence[TripLine]:
        """Return every decision of a trip, oldest first."""
        content = self._store.content()
        return tuple(
            replace(line, charges=tuple(c for c in line.charges if c.number == decision.number))
            for decision in content.decisions.get(trip_id, [])
            for line in [_line(content, decision)]
        )

    def overview(self, *, recent: int = 20) -> Overview:
        """Return the operator's figures."""
        content = self._store.content()
        last = [decisions[-1] for decisions in content.decisions.values()]
        newest = sorted(last, key=lambda d: (d.decided_time, d.ridden), reverse=True)
        lines = [_line(content, decision) for decision in newest]
        doubted = [line for line in lines if line.decision.verdict.reason == DOUBTED]
        return Overview(
            taps=sum(len(taps) for taps in content.taps.values()),
            cursor=content.cursor,
            trips=tuple(sorted(Counter(d.verdict.outcome.value for d in last).items())),
            charges=_by_state(content.charges.values()),
            balances=_balances(content.entries.values()),
            recent_trips=tuple(line for line in lines if line.listed)[:recent],
            recent_entries=tuple(MemoryLedger(content.entries).entries(limit=recent)),
            doubted=len(doubted),
            doubted_trips=tuple(line for line in doubted if line.listed)[:recent],
        )


def _line(content: Content, decision: Decision) -> TripLine:
    charges = [c for c in content.charges.values() if c.trip_id == decision.verdict.trip_id]
    return TripLine(decision, tuple(sorted(charges, key=lambda c: c.seq)))


def _by_state(charges: Collection[Charge]) -> tuple[tuple[str, int, Money], ...]:
    counts = Counter(charge.state.value for charge in charges)
    return tuple(
        (state, count, Money(sum(c.amount.minor_units for c in charges if c.state == state)))
        for state, count in sorted(counts.items())
    )


def _balances(entries: Collection[Entry]) -> tuple[Balance, ...]:
    sums: defaultdict[str, int] = defaultdict(int)
    for entry in entries:
        for posting in entry.postings:
            if entry.book == MONEY_BOOK:
                sums[folded(posting.account)] += posting.amount.minor_units
    return tuple(Balance(account, Money(total)) for account, total in sorted(sums.items()))
