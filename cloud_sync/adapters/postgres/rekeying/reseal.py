"""Records brought under the current root key, and vectors to the current rotation, in batches.

The same code seals what an older version left in plain and re-keys what is sealed. A batch is one
short transaction; what it has done it does not do again, so it can be cut anywhere and go on.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import sqlalchemy as sa

from cloud_sync.secrecy.safe import HEAD_BYTES, MAGIC, Safe, head_of
from cloud_sync.secrecy.seal import NotOpened


@dataclass(frozen=True, slots=True)
class SealedColumn:
    """A column of a table that holds sealed records."""

    table: sa.Table
    column: str
    purpose: str
    """What the records are for, as `Safe` takes it."""
    label: Callable[[Mapping[Any, Any]], bytes]
    """What is authenticated beside a record, from its row; for a turned column with the
    transform that the row says."""
    floats: str = ""
    """The NumPy type of a vector's values where the column holds templates that a rotation may
    have turned (the row's `transform_id` says which); empty for what is never turned."""
    turns: frozenset[str] = frozenset()
    """The transforms whose templates are turned to the current rotation."""
    only: sa.ColumnElement[bool] = field(default_factory=sa.true)
    """Which rows hold records at all."""

    @property
    def key(self) -> tuple[sa.Column[Any], ...]:
        """The primary key, by which the table is walked through."""
        return tuple(self.table.primary_key.columns)

    def stale(self, safe: Safe) -> sa.ColumnElement[bool]:
        """Return what is true for records that are not as they would be sealed now."""
        ring, record = safe.ring, self.table.c[self.column]
        stale = sa.func.substring(record, 1, HEAD_BYTES) != head_of(ring.root)
        if self.turns:
            stale |= self.table.c.transform_id.in_(sorted(self.turns))
        return record.is_not(None) & self.only & stale


@dataclass(frozen=True, slots=True)
class Batch:
    """What became of one batch."""

    done: int
    """Records sealed anew."""
    unread: int
    """Records that do not open; they are left as they are."""
    last: tuple[Any, ...] | None
    """The key of the last row looked at; None when there was none left."""
    turned: tuple[sa.RowMapping, ...] = ()
    """The rows, as they were, whose vectors were turned."""


def reseal(
    connection: sa.Connection,
    safe: Safe,
    column: SealedColumn,
    *,
    after: tuple[Any, ...] | None,
    limit: int,
) -> Batch:
    """Seal the next stale records of a column under the current keys.

    Args:
        connection: With a transaction begun in which `hold_keys` was called, and whatever lock the
            table's writers take.
        safe: The keys.
        column: Which records.
        after: Where the batch before ended; None to begin.
        limit: Records in the batch at most.

    Raises:
        KeysFailed: The keys cannot be read.
        sqlalchemy.exc.SQLAlchemyError: Nothing was changed.
    """
    query = sa.select(column.table).where(column.stale(safe)).order_by(*column.key).limit(limit)
    if after is not None:
        query = query.where(sa.tuple_(*column.key) > sa.tuple_(*map(sa.literal, after)))
    rows = connection.execute(query.with_for_update()).mappings().all()
    if not rows:
        return Batch(0, 0, None)
    opened = _opened(rows, safe, column)
    fresh = _turned(opened, safe, column)
    seal = safe.sealer(column.purpose)
    names = [each.name for each in column.key]
    changes = [
        {f"was_{name}": row[name] for name in names}
        | {"record": seal(content, column.label(dict(row) | turned))}
        | ({"transform": turned.get("transform_id", row["transform_id"])} if column.turns else {})
        for row, turned, content in fresh
    ]
    if changes:
        connection.execute(_update(column), changes)
    last = tuple(rows[-1][name] for name in names)
    turned = tuple(row for row, _ in opened if column.turns and row["transform_id"] in column.turns)
    return Batch(len(changes), len(rows) - len(changes), last, turned)


_Opened = Sequence[tuple[sa.RowMapping, bytes]]


def _opened(rows: Sequence[sa.RowMapping], safe: Safe, column: SealedColumn) -> _Opened:
    found: list[tuple[sa.RowMapping, bytes]] = []
    for row in rows:
        record = row[column.column]
        if not record.startswith(MAGIC):
            found.append((row, record))  # from before records were sealed
            continue
        try:
            found.append((row, safe.open(column.purpose, record, column.label(row))))
        except NotOpened:
            continue
    return found


def _turned(
    opened: _Opened, safe: Safe, column: SealedColumn
) -> list[tuple[sa.RowMapping, dict[str, str], bytes]]:
    """Turn the vectors that are due to the current rotation; return what changes in their rows."""
    target = safe.ring.rotation.transform_id
    found: list[tuple[sa.RowMapping, dict[str, str], bytes]] = []
    groups: dict[str, list[tuple[sa.RowMapping, bytes]]] = defaultdict(list)
    for row, content in opened:
        if column.turns and row["transform_id"] in column.turns:
            groups[row["transform_id"]].append((row, content))
        else:
            found.append((row, {}, content))
    for source, pairs in groups.items():
        read = [np.frombuffer(content, column.floats) for _, content in pairs]
        vectors = safe.turn(np.stack(read).astype(np.float32), source=source, target=target)
        vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        found += [
            (row, {"transform_id": target}, vector.astype(column.floats).tobytes())
            for (row, _), vector in zip(pairs, vectors, strict=True)
        ]
    return found


def _update(column: SealedColumn) -> sa.Update:
    values: dict[str, Any] = {column.column: sa.bindparam("record")}
    if column.turns:
        values["transform_id"] = sa.bindparam("transform")
    same = [each == sa.bindparam(f"was_{each.name}") for each in column.key]
    return sa.update(column.table).where(*same).values(values)
