"""The ports of fare in memory: for tests, demonstrations and as the oracle of the others."""

import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from fare.account import Account
from fare.charge import OPEN, Charge, State
from fare.decision import Decision
from fare.feed import PlacedTap
from fare.ledger import MONEY_BOOK, AlreadyPosted, Entry, EntryConflict, Posted
from fare.money import Money
from fare.store import StoreFailed
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
        if not entry.repeats(known):
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
class Content:
    """Everything stored; values are immutable, so a copy of the containers is a snapshot."""

    cursor: int = 0
    taps: dict[UUID, list[Tap]] = field(default_factory=dict)
    accounts: dict[UUID, Account] = field(default_factory=dict)
    decisions: dict[UUID, list[Decision]] = field(default_factory=dict)
    charges: dict[UUID, Charge] = field(default_factory=dict)
    entries: dict[UUID, Entry] = field(default_factory=dict)

    def copy(self) -> "Content":
        """Return a content that can change without changing this one."""
        return Content(
            self.cursor,
            {tap_id: list(taps) for tap_id, taps in self.taps.items()},
            dict(self.accounts),
            {trip_id: list(decisions) for trip_id, decisions in self.decisions.items()},
            dict(self.charges),
            dict(self.entries),
        )


class _Taps:
    def __init__(self, content: Content) -> None:
        self._content = content

    def lock_cursor(self) -> int:
        return self._content.cursor

    def move_cursor(self, position: int) -> None:
        self._content.cursor = position

    def keep(self, taps: Sequence[Tap]) -> Sequence[Tap]:
        new = []
        for tap in taps:
            known = self._content.taps.setdefault(tap.tap_id, [])
            content = {t.canonical() for t in known}
            if tap.canonical() in content:
                continue
            if all(t.rider_ref == tap.rider_ref for t in known):
                known.append(tap)
                new.append(tap)
        return tuple(new)

    def of_rider(self, rider_ref: UUID) -> Sequence[Tap]:
        known = (tap for taps in self._content.taps.values() for tap in taps)
        return tuple(tap for tap in known if tap.rider_ref == rider_ref)


class _Accounts:
    def __init__(self, content: Content) -> None:
        self._accounts = content.accounts

    def lock(self, rider_ref: UUID) -> Account:
        return self._accounts.setdefault(rider_ref, Account(rider_ref))

    def save(self, account: Account) -> None:
        self._accounts[account.rider_ref] = account

    def claim_unsettled(self, limit: int) -> Sequence[Account]:
        flagged = [account for account in self._accounts.values() if account.unsettled]
        return tuple(sorted(flagged, key=lambda a: a.rider_ref)[:limit])


class _Decisions:
    def __init__(self, content: Content) -> None:
        self._decisions = content.decisions

    def in_force(self, rider_ref: UUID) -> Sequence[Decision]:
        last = (decisions[-1] for decisions in self._decisions.values())
        return tuple(d for d in last if d.verdict.rider_ref == rider_ref)

    def add(self, decision: Decision) -> None:
        known = self._decisions.setdefault(decision.verdict.trip_id, [])
        if decision.number != len(known) + 1:
            raise StoreFailed("a trip's decisions are numbered densely")
        known.append(decision)


class _Charges:
    def __init__(self, content: Content) -> None:
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
    def __init__(self, content: Content) -> None:
        self.taps = _Taps(content)
        self.accounts = _Accounts(content)
        self.decisions = _Decisions(content)
        self.charges = _Charges(content)
        self.ledger = MemoryLedger(content.entries)


class MemoryStore:
    """A `Store` that keeps everything until the process ends; one transaction at a time."""

    def __init__(self) -> None:
        self._content = Content()
        self._lock = threading.Lock()

    @contextmanager
    def transaction(self) -> Iterator[_MemoryTransaction]:
        """Open a transaction on a copy, which becomes the content where the block ends well."""
        with self._lock:
            content = self._content.copy()
            yield _MemoryTransaction(content)
            self._content = content

    def content(self) -> Content:
        """Return what is committed; to read from, never to change."""
        return self._content


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
