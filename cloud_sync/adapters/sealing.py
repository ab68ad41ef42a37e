"""The start of every process on the database: its keys fit, and nothing in views is in plain."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from cloud_sync.adapters.at_rest import hold_keys, needed, note_use
from cloud_sync.adapters.reseal import SealedColumn, reseal
from cloud_sync.adapters.tables import MASTER_TEMPLATE, VIEW, VIEW_ITEM
from cloud_sync.safe import MASTER_TEMPLATE as MASTER
from cloud_sync.safe import VIEW_ITEM as RECORD
from cloud_sync.safe import Safe, template_label
from cloud_sync.seal import Label

BATCH = 1_000
"""Records in one transaction: some 50 ms, and 1 MB."""


def _item_label(row: Mapping[Any, Any]) -> bytes:
    rider_ref = UUID(bytes=row["item_key"][1:])
    return template_label(Label(rider_ref, row["version"], row["model_id"], row["transform_id"]))


def _master_label(row: Mapping[Any, Any]) -> bytes:
    label = Label(row["rider_ref"], row["version"], row["model_id"], row["transform_id"])
    return template_label(label)


VIEW_RECORDS = SealedColumn(
    table=VIEW_ITEM,
    column="body",
    purpose=RECORD,
    label=_item_label,
    only=sa.func.substring(VIEW_ITEM.c.item_key, 1, 1) == b"r",
)
"""The templates in views. Not turned here: a view is turned as a whole."""

MASTER_RECORDS = SealedColumn(
    table=MASTER_TEMPLATE,
    column="body",
    purpose=MASTER,
    label=_master_label,
    only=MASTER_TEMPLATE.c.body != b"",
)
"""The templates in the master gallery; what was erased is empty."""


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
        is_sealed = bool(needed(connection))
        if is_sealed:
            note_use(connection, safe.ring)
    if is_sealed:
        return 0
    done = sum(seal_views(engine, safe)) + _seal_master(engine, safe)
    with engine.begin() as connection:
        hold_keys(connection)
        ring = safe.ring
        connection.execute(
            sa.update(VIEW).where(VIEW.c.key_id == "").values(key_id=ring.root.key_id)
        )
        note_use(connection, ring)
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
