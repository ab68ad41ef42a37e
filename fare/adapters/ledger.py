"""The ledger in PostgreSQL; triggers of its own migration refuse what this code must not do."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from fare.adapters.tables import ENTRY, POSTING
from fare.ledger import MONEY_BOOK, AlreadyPosted, Entry, EntryConflict, Posted, Posting
from fare.money import Money


class PostgresLedger:
    """A `Ledger` on the connection of a transaction."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def post(self, entry: Entry) -> Posted | AlreadyPosted:
        """Book an entry once."""
        row = {
            "entry_id": entry.entry_id,
            "book": entry.book,
            "kind": entry.kind,
            "event_time": entry.event_time,
            "reference": entry.reference,
            "lines": len(entry.postings),
        }
        insert = pg.insert(ENTRY).values(row).on_conflict_do_nothing().returning(ENTRY.c.entry_id)
        if self._connection.execute(insert).first() is None:
            return self._again(entry)
        self._connection.execute(
            sa.insert(POSTING),
            [
                {
                    "entry_id": entry.entry_id,
                    "line": line,
                    "account": posting.account,
                    "minor_units": posting.amount.minor_units,
                    "currency": posting.amount.currency,
                }
                for line, posting in enumerate(entry.postings)
            ],
        )
        return Posted()

    def _again(self, entry: Entry) -> AlreadyPosted:
        (known,) = read_entries(self._connection, ENTRY.c.entry_id == entry.entry_id, limit=1)
        if not entry.repeats(known):
            raise EntryConflict(f"{entry.kind} {entry.reference} is booked with other content")
        return AlreadyPosted()

    def balance(self, account: str, *, currency: str = "CNY", book: str = MONEY_BOOK) -> Money:
        """Return the sum of an account's postings."""
        total = self._connection.execute(
            sa.select(sa.func.coalesce(sa.func.sum(POSTING.c.minor_units), 0))
            .join(ENTRY, ENTRY.c.entry_id == POSTING.c.entry_id)
            .where(POSTING.c.account == account)
            .where(POSTING.c.currency == currency)
            .where(ENTRY.c.book == book)
        ).scalar_one()
        return Money(int(total), currency)

    def entries(self, *, account: str | None = None, limit: int = 100) -> Sequence[Entry]:
        """Return the newest entries first."""
        if account is None:
            return read_entries(self._connection, sa.true(), limit=limit)
        ids = sa.select(POSTING.c.entry_id).where(POSTING.c.account == account)
        return read_entries(self._connection, ENTRY.c.entry_id.in_(ids), limit=limit)


def read_entries(
    connection: sa.Connection, where: sa.ColumnElement[bool], *, limit: int
) -> tuple[Entry, ...]:
    """Read whole entries, newest first.

    Args:
        connection: A connection.
        where: Which rows of `fare.entry`.
        limit: How many at most.
    """
    heads = connection.execute(
        sa.select(ENTRY).where(where).order_by(ENTRY.c.place.desc()).limit(limit)
    ).all()
    postings: defaultdict[UUID, list[Posting]] = defaultdict(list)
    lines = connection.execute(
        sa.select(POSTING)
        .where(POSTING.c.entry_id.in_([head.entry_id for head in heads]))
        .order_by(POSTING.c.entry_id, POSTING.c.line)
    )
    for line in lines:
        postings[line.entry_id].append(
            Posting(line.account, Money(line.minor_units, line.currency))
        )
    return tuple(_entry(head, postings[head.entry_id]) for head in heads)


def _entry(head: sa.Row[Any], postings: Sequence[Posting]) -> Entry:
    return Entry(
        entry_id=head.entry_id,
        book=head.book,
        kind=head.kind,
        event_time=head.event_time,
        reference=head.reference,
        postings=tuple(postings),
    )
