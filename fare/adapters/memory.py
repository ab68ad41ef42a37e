"""The ports of fare in memory: for tests, demonstrations and as the oracle of the others."""

import threading
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from fare.account import Account
from fare.charge import OPEN, Charge, State
from fare.decision import Decision
from fare.feed import PlacedTap
from fare.ledger import MONEY_BOOK, AlreadyPosted, Entry, EntryConflict, Posted, receivable, wallet
from fare.money import Money
from fare.statement import Balance, Overview, RiderStatement, TripLine, folded
from fare.tap import Tap


class MemoryLedger:
    """A `Ledger` in a dictionary."""

    def __init__(self, entries: dict[UUID, Entry] | None = None) -> None:
        self._entries = {} if entries is None else entries

    def post(self, entry: Entry) -> Posted | AlreadyPosted:
        """Book an entry once."""
        known = self._entries.get(entry.entry_id)
        if known is None:
            self._entries[entry.entry_id] = entry
            return Posted()
        if known != entry:
            raise EntryConflict(f"{entry.kind} {entry.reference} is booked with other content")
        return AlreadyPosted()

    def balance(self, account: str, *, currency: str = "CNY", book: str = MONEY_BOOK) -> Money:
        """Return the sum of an account's postings."""
        amounts = (
            posting.amount.minor_units
            for entry in self._entries.values()
            if entry.book == book
            for posting in entry.postings
            if posting.account == account and posting.amount.currency == currency
        )
        return Money(sum(amounts), currency)

    def entries(self, *, account: str | None = None, limit: int = 100) -> Sequence[Entry]:
        """Return the newest entries first."""
        found = [
            entry
            for entry in reversed(self._entries.values())
            if account is None or any(p.account == account for p in entry.postings)
        ]
        return tuple(found[:limit])


@dataclass(slots=True)
class _Content:
    """Everything stored; values are immutable, so a copy of the containers is a snapshot."""

    cursor: int = 0
    taps: dict[UUID, list[Tap]] = field(default_factory=dict)
    accounts: dict[UUID, Account] = field(default_factory=dict)
    decisions: dict[UUID, list[Decision]] = field(default_factory=dict)
    charges: dict[UUID, Charge] = field(default_factory=dict)
    entries: dict[UUID, Entry] = field(default_factory=dict)

    def copy(self) -> "_Content":
        return _Content(
            self.cursor,
            {tap_id: list(taps) for tap_id, taps in self.taps.items()},
            dict(self.accounts),
            {trip_id: list(decisions) for trip_id, decisions in self.decisions.items()},
            dict(self.charges),
            dict(self.entries),
        )


class _Taps:
    def __init__(self, content: _Content) -> None:
        self._content = content

    def lock_cursor(self) -> int:
        return self._content.cursor

    def move_cursor(self, position: int) -> None:
        self._content.cursor = position

    def keep(self, taps: Sequence[Tap]) -> Sequence[Tap]:
        new = []
        for tap in taps:
            known = self._content.taps.setdefault(tap.tap_id, [])
            if tap not in known and all(t.rider_ref == tap.rider_ref for t in known):
                known.append(tap)
                new.append(tap)
        return tuple(new)

    def of_rider(self, rider_ref: UUID) -> Sequence[Tap]:
        known = (tap for taps in self._content.taps.values() for tap in taps)
        return tuple(tap for tap in known if tap.rider_ref == rider_ref)


class _Accounts:
    def __init__(self, content: _Content) -> None:
        self._accounts = content.accounts

    def lock(self, rider_ref: UUID) -> Account:
        return self._accounts.setdefault(rider_ref, Account(rider_ref))

    def save(self, account: Account) -> None:
        self._accounts[account.rider_ref] = account

    def claim_unsettled(self, limit: int) -> Sequence[Account]:
        flagged = [account for account in self._accounts.values() if account.unsettled]
        return tuple(sorted(flagged, key=lambda a: a.rider_ref)[:limit])


class _Decisions:
    def __init__(self, content: _Content) -> None:
        self._decisions = content.decisions

    def in_force(self, rider_ref: UUID) -> Sequence[Decision]:
        last = (decisions[-1] for decisions in self._decisions.values())
        return tuple(d for d in last if d.verdict.rider_ref == rider_ref)

    def add(self, decision: Decision) -> None:
        known = self._decisions.setdefault(decision.verdict.trip_id, [])
        assert decision.number == len(known) + 1, "a trip's decisions are numbered densely"
        known.append(decision)


class _Charges:
    def __init__(self, content: _Content) -> None:
        self._charges = content.charges

    def of_rider(self, rider_ref: UUID) -> Sequence[Charge]:
        found = [c for c in self._charges.values() if c.rider_ref == rider_ref]
        return tuple(sorted(found, key=lambda c: (c.trip_id, c.seq)))

    def get(self, charge_id: UUID) -> Charge:
        return self._charges[charge_id]

    def save(self, charge: Charge) -> None:
        self._charges[charge.charge_id] = charge

    def claim(self, states: Collection[State], now: datetime, limit: int) -> Sequence[Charge]:
        wanted = OPEN.intersection(states)
        due = [c for c in self._charges.values() if c.state in wanted and c.due_time <= now]
        return tuple(sorted(due, key=lambda c: (c.due_time, c.charge_id))[:limit])


class _MemoryTransaction:
    def __init__(self, content: _Content) -> None:
        self.taps = _Taps(content)
        self.accounts = _Accounts(content)
        self.decisions = _Decisions(content)
        self.charges = _Charges(content)
        self.ledger = MemoryLedger(content.entries)


class MemoryStore:
    """A `Store` that keeps everything until the process ends; one transaction at a time."""

    def __init__(self) -> None:
        self._content = _Content()
        self._lock = threading.Lock()

    @contextmanager
    def transaction(self) -> Iterator[_MemoryTransaction]:
        """Open a transaction on a copy, which becomes the content where the block ends well."""
        with self._lock:
            content = self._content.copy()
            yield _MemoryTransaction(content)
            self._content = content

    def content(self) -> _Content:
        """Return what is committed; for `MemoryStatements`."""
        return self._content


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
        return Overview(
            taps=sum(len(taps) for taps in content.taps.values()),
            cursor=content.cursor,
            trips=tuple(sorted(Counter(d.verdict.outcome.value for d in last).items())),
            charges=_by_state(content.charges.values()),
            balances=_balances(content.entries.values()),
            recent_trips=tuple(_line(content, decision) for decision in newest[:recent]),
            recent_entries=tuple(MemoryLedger(content.entries).entries(limit=recent)),
        )


def _line(content: _Content, decision: Decision) -> TripLine:
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


class MemoryTapFeed:
    """A `TapFeed` that a test or a demonstration fills."""

    def __init__(self) -> None:
        self._placed: list[PlacedTap] = []
        self._more = threading.Event()

    def append(self, tap: Tap) -> None:
        """Place a tap behind the last one."""
        self._placed.append(PlacedTap(len(self._placed) + 1, tap))
        self._more.set()

    def read_after(self, position: int, limit: int) -> Sequence[PlacedTap]:
        """Return up to `limit` taps behind a position."""
        return tuple(self._placed[position : position + limit])

    def wait(self, timeout_s: float) -> None:
        """Return when a tap is appended, at the latest after the time-out."""
        self._more.wait(timeout_s)
        self._more.clear()
