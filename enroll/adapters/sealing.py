"""What of a face lies in the schema `enroll`, as sealed records."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from cloud_sync.adapters.postgres.at_rest import hold_keys
from cloud_sync.adapters.postgres.rekeying.rekey import turned_by
from cloud_sync.adapters.postgres.rekeying.reseal import Batch, SealedColumn, reseal
from cloud_sync.adapters.postgres.rekeying.sealing import register
from cloud_sync.secrecy.safe import Safe
from cloud_sync.secrecy.seal import Label, template_label
from enroll.adapters import tables as t
from enroll.template import MasterTemplate

TEMPLATE = "enroll.template.vector"
EMBEDDING = "enroll.photo.embedding"
ORIGINAL = "enroll.photo.original"
NEXT_EMBEDDING = "enroll.photo.next_embedding"

UNIT_LOCK = 0x656E726C
"""`enrl`: one unit at a time. Units last milliseconds (pictures are judged outside), and two
riders who look alike must not enroll past each other."""

_BATCH = 500
"""Records in one transaction, while no unit can begin: some 50 ms."""
_BATCH_ORIGINALS = 20
"""Pictures in one transaction: some 10 MB."""


def template_of(row: Mapping[Any, Any]) -> bytes:
    """Return what is authenticated beside a rider's template.

    Args:
        row: Of `template`.
    """
    label = Label(row["rider_ref"].bytes, row["version"], row["model_id"], row["transform_id"])
    return template_label(label)


def photo_of(row: Mapping[Any, Any]) -> bytes:
    """Return what is authenticated beside a photo's embedding, and beside the picture.

    Args:
        row: Of `photo`.
    """
    return bytes(row["photo_id"].bytes + row["rider_ref"].bytes + row["model_id"].encode())


def next_photo_of(row: Mapping[Any, Any]) -> bytes:
    """Return what is authenticated beside what the coming model made of a photo.

    Args:
        row: Of `photo`.
    """
    return photo_of(dict(row) | {"model_id": row["next_model_id"]})


COLUMNS = (
    SealedColumn(t.template, "vector", TEMPLATE, template_of, floats="<f4"),
    SealedColumn(t.photo, "embedding", EMBEDDING, photo_of),
    SealedColumn(t.photo, "original", ORIGINAL, photo_of),
    SealedColumn(t.photo, "next_embedding", NEXT_EMBEDDING, next_photo_of),
)
"""All there is. Embeddings of photos stay in the model's own space: templates are made of them."""


def prepare(engine: sa.Engine, safe: Safe) -> int:
    """Seal what an older version left in plain; return how many records, after the first start 0.

    Args:
        engine: A migrated database on which `cloud_sync` is prepared.
        safe: The keys.
    """
    with engine.begin() as connection:
        register(connection, COLUMNS)
        if connection.execute(sa.select(t.sealing.c.is_done)).scalar():
            return 0
    done = sum(batch.done for column in COLUMNS for batch in walk(engine, safe, column))
    with engine.begin() as connection:
        connection.execute(sa.update(t.sealing).values(is_done=True))
    return done


def reseal_all(
    engine: sa.Engine, safe: Safe, *, is_plain_turned: bool
) -> dict[str, tuple[int, int]]:
    """Bring everything under the current keys, and templates to the current rotation.

    Args:
        engine: The database.
        safe: The keys.
        is_plain_turned: Whether templates of the model's own space are turned, too.

    Returns:
        By table and column: how many records were sealed anew, and how many do not open.
    """
    turns = turned_by(safe.ring, is_plain_turned=is_plain_turned)
    found: dict[str, tuple[int, int]] = {}
    for column in COLUMNS:
        due = replace(column, turns=turns) if column.floats else column
        batches = walk(engine, safe, due)
        sums = sum(batch.done for batch in batches), sum(batch.unread for batch in batches)
        found[column.purpose] = sums
    return found


def turner(safe: Safe) -> Callable[[MasterTemplate], MasterTemplate]:
    """Return what turns a new template, made in the model's space, to the current rotation.

    Args:
        safe: The keys.
    """

    def turned(template: MasterTemplate) -> MasterTemplate:
        target = safe.ring.rotation.transform_id
        vector = safe.turn(template.vector, source=template.transform_id, target=target)
        return replace(template, vector=vector, transform_id=target)

    return turned


def walk(engine: sa.Engine, safe: Safe, column: SealedColumn) -> list[Batch]:
    """Bring all records of a column under the current keys; return what became of them.

    Args:
        engine: The database.
        safe: The keys.
        column: One of `COLUMNS`.
    """
    limit = _BATCH_ORIGINALS if column.purpose == ORIGINAL else _BATCH
    batches: list[Batch] = []
    after: tuple[Any, ...] | None = None
    while True:
        with engine.begin() as connection:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(UNIT_LOCK)))
            hold_keys(connection)
            batch = reseal(connection, safe, column, after=after, limit=limit)
        if batch.last is None:
            return batches
        batches.append(batch)
        after = batch.last
