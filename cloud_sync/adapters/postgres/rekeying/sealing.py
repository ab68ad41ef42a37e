"""The start of every process on the database: its keys fit, and nothing in views is in plain."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from cloud_sync.adapters.postgres.at_rest import hold_keys, needed, note_use
from cloud_sync.adapters.postgres.rekeying.reseal import SealedColumn, reseal
from cloud_sync.adapters.postgres.tables import MASTER_TEMPLATE, SEALED_COLUMN, VIEW, VIEW_ITEM
from cloud_sync.secrecy.keys import RootKey
from cloud_sync.secrecy.safe import HEAD_BYTES, MAGIC, Safe, head_of
from cloud_sync.secrecy.safe import MASTER_TEMPLATE as MASTER
from cloud_sync.secrecy.safe import VIEW_ITEM as RECORD
from cloud_sync.secrecy.seal import Label, template_label


@dataclass(frozen=True, slots=True)
class Registered:
    """A column of any package that holds sealed records, as a re-key must know it."""

    table_name: str
    """With its schema."""
    column_name: str
    transform_column: str
    """Where a row says its vector's transform; empty for what is never turned."""

    @property
    def name(self) -> str:
        """What an operator reads."""
        return f"{self.table_name}.{self.column_name}"


BATCH = 1_000
"""Records in one transaction: some 50 ms, and 1 MB."""


def _item_label(row: Mapping[Any, Any]) -> bytes:
    rider = bytes(row["item_key"][1:])
    return template_label(Label(rider, row["version"], row["model_id"], row["transform_id"]))


def _master_label(row: Mapping[Any, Any]) -> bytes:
    label = Label(row["rider_ref"].bytes, row["version"], row["model_id"], row["transform_id"])
    return template_label(label)


VIEW_RECORDS = SealedColumn(
    table=VIEW_ITEM,
    column="body",
    purpose=RECORD,
    label=_item_label,
    floats="<f2",
    only=sa.func.substring(VIEW_ITEM.c.item_key, 1, 1) == b"r",
)
"""The templates in views. Sealed anew one by one; a view is turned as a whole."""

MASTER_RECORDS = SealedColumn(
    table=MASTER_TEMPLATE,
    column="body",
    purpose=MASTER,
    label=_master_label,
    floats="<f2",
    only=MASTER_TEMPLATE.c.body != b"",
)
"""The templates in the master gallery; what was erased is empty."""


def register(connection: sa.Connection, columns: Iterable[SealedColumn]) -> None:
    """Let a re-key know of columns: old keys are kept as long as one of them needs them.

    Args:
        connection: With a transaction begun.
        columns: A package's own.
    """
    rows = [
        {
            "table_name": column.table.fullname,
            "column_name": column.column,
            "transform_column": "transform_id" if column.floats else "",
        }
        for column in columns
    ]
    connection.execute(insert(SEALED_COLUMN).values(rows).on_conflict_do_nothing())


def registered(connection: sa.Connection) -> tuple[Registered, ...]:
    """Return all columns that hold sealed records, of whatever package."""
    rows = connection.execute(sa.select(SEALED_COLUMN).order_by("table_name", "column_name"))
    return tuple(Registered(*row) for row in rows)


def left_in(
    connection: sa.Connection, column: Registered, root: RootKey, old: Sequence[str]
) -> int:
    """Return how many records of a column need an old root key or an old rotation.

    Args:
        connection: Any.
        column: Which records.
        root: The current root key.
        old: The transforms of the old rotations.
    """
    schema, name = column.table_name.split(".")
    known = [column.column_name, *filter(None, [column.transform_column])]
    table = sa.table(name, *map(sa.column, known), schema=schema)
    record = table.c[column.column_name]
    is_record = sa.func.substring(record, 1, len(MAGIC)) == MAGIC
    stale = is_record & (sa.func.substring(record, 1, HEAD_BYTES) != head_of(root))
    if column.transform_column:
        stale |= is_record & table.c[column.transform_column].in_(old)
    return int(
        connection.execute(sa.select(sa.func.count()).select_from(table).where(stale)).scalar_one()
    )


def prepare(engine: sa.Engine, safe: Safe) -> int:
    """Check that the keys are this database's, and seal what an older version left in plain.

    Args:
        engine: A migrated database.
        safe: The keys.

    Returns:
        How many records were sealed; after the first start none.

    Raises:
        KeysFailed: The database needs keys that are not there; nothing may be served.
    """
    with engine.begin() as connection:
        register(connection, (VIEW_RECORDS, MASTER_RECORDS))
        is_sealed = bool(needed(connection))
        if is_sealed:
            note_use(connection, safe)
    if is_sealed:
        return 0
    done = sum(seal_views(engine, safe)) + _seal_master(engine, safe)
    with engine.begin() as connection:
        hold_keys(connection)
        ring = safe.ring
        connection.execute(
            sa.update(VIEW).where(VIEW.c.key_id == "").values(key_id=ring.root.key_id)
        )
        note_use(connection, safe)
    return done


def seal_views(engine: sa.Engine, safe: Safe) -> list[int]:
    """Bring the records of all views under the current root key; return how many of each view.

    Args:
        engine: The database.
        safe: The keys.
    """
    with engine.connect() as connection:
        stations = connection.execute(sa.select(VIEW.c.station_id).order_by("station_id"))
        known = list(stations.scalars())
    return [_seal_view(engine, safe, station) for station in known]


def _seal_master(engine: sa.Engine, safe: Safe) -> int:
    done, after = 0, None
    while True:
        with engine.begin() as connection:
            hold_keys(connection)
            batch = reseal(connection, safe, MASTER_RECORDS, after=after, limit=BATCH)
        if batch.last is None:
            return done
        done, after = done + batch.done, batch.last


def _seal_view(engine: sa.Engine, safe: Safe, station_id: str) -> int:
    mine = sa.select(VIEW.c.station_id).where(VIEW.c.station_id == station_id)
    done, after = 0, None
    while True:
        with engine.begin() as connection:
            hold_keys(connection)
            # The view before its items, as everywhere, or two writers wait for each other.
            connection.execute(mine.with_for_update())
            here = VIEW_RECORDS.only & (VIEW_ITEM.c.station_id == station_id)
            batch = reseal(
                connection, safe, replace(VIEW_RECORDS, only=here), after=after, limit=BATCH
            )
        if batch.last is None:
            return done
        done, after = done + batch.done, batch.last
