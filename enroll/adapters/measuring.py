"""What a coming model makes of riders' photos, in PostgreSQL: in the caller's transaction."""

from typing import Any
from uuid import UUID

import sqlalchemy as sa

from cloud_sync.secrecy.safe import Safe
from enroll.adapters import rows
from enroll.adapters import tables as t
from enroll.adapters.sealing import EMBEDDING, NEXT_EMBEDDING, ORIGINAL, next_photo_of, photo_of
from enroll.store import Remeasured
from enroll.template import Again

_FORGOTTEN_AT_ONCE = 500
"""Records in one unit, during which nobody else enrolls."""
_NOTHING = {
    "next_model_id": None,
    "next_embedding": None,
    "next_quality": None,
    "next_refusal": None,
}
_REMEASURED = sa.text("""
SELECT count(*) FILTER (WHERE done) AS done,
    count(*) FILTER (WHERE NOT done AND waits) AS waiting,
    count(*) FILTER (WHERE NOT done AND kept AND NOT waits) AS refused,
    count(*) FILTER (WHERE NOT done AND NOT kept) AS without
FROM (
    SELECT bool_or(p.original IS NOT NULL) IS TRUE AS kept,
        bool_or(p.original IS NOT NULL AND p.next_model_id IS DISTINCT FROM :model) IS TRUE
            AS waits,
        EXISTS (SELECT FROM enroll.template AS n
            WHERE n.rider_ref = t.rider_ref AND n.model_id = :model) AS done
    FROM (SELECT DISTINCT rider_ref FROM enroll.template) AS t
    LEFT JOIN enroll.photo AS p USING (rider_ref) GROUP BY t.rider_ref
) AS riders
""")


def columns(row: Any, again: Again, safe: Safe) -> dict[str, Any]:
    """Return what stands beside a photo once a coming model has looked at it.

    Args:
        row: With `photo_id` and `rider_ref`.
        again: What it made of it.
        safe: Seals the embedding.
    """
    names = {"photo_id": row["photo_id"], "rider_ref": row["rider_ref"]}
    found = _NOTHING | {"next_model_id": again.model_id}
    if again.embedding is None:
        return found | {"next_refusal": again.refusal}
    label = next_photo_of(names | found)
    record = safe.seal(NEXT_EMBEDDING, rows.to_bytes(again.embedding), label)
    return found | {"next_embedding": record, "next_quality": again.quality}


def page(
    connection: sa.Connection,
    table: sa.Table,
    where: sa.ColumnElement[bool],
    after: UUID | None,
    limit: int,
) -> tuple[UUID, ...]:
    """Return the next riders of whom a table has such rows, by reference.

    Args:
        connection: Any.
        table: With `rider_ref`.
        where: Which rows.
        after: The last one known; None to begin.
        limit: Riders at most.
    """
    ref = table.c.rider_ref
    query = sa.select(ref).distinct().where(where).order_by(ref).limit(limit)
    if after is not None:
        query = query.where(ref > after)
    return tuple(connection.execute(query).scalars())


def remeasured(connection: sa.Connection, model_id: str) -> Remeasured:
    """Return how far riders with a face are measured anew; reads every photo's row.

    Args:
        connection: Any.
        model_id: The coming model.
    """
    row = connection.execute(_REMEASURED, {"model": model_id}).one()
    return Remeasured(row.done, row.waiting, row.refused, row.without)


def adopt(connection: sa.Connection, ref: UUID, model_id: str, safe: Safe) -> None:
    """Let what the coming model made of a rider be all there is.

    Args:
        connection: With a unit begun.
        ref: Whose.
        model_id: The model that stays.
        safe: Opens and seals: a record is bound to the model of its photo.
    """
    mine = t.photo.c.rider_ref == ref
    for row in connection.execute(sa.select(t.photo).where(mine)).mappings().all():
        this = t.photo.c.number == row["number"]
        if row["model_id"] == model_id:
            continue
        if row["next_model_id"] != model_id or row["next_embedding"] is None:
            connection.execute(sa.delete(t.photo).where(this))
            continue
        label = photo_of(dict(row) | {"model_id": model_id})
        vector = safe.open(NEXT_EMBEDDING, row["next_embedding"], next_photo_of(row))
        values = _NOTHING | {
            "model_id": model_id,
            "embedding": safe.seal(EMBEDDING, vector, label),
            "quality": row["next_quality"],
        }
        if row["original"] is not None:
            picture = safe.open(ORIGINAL, row["original"], photo_of(row))
            values["original"] = safe.seal(ORIGINAL, picture, label)
        connection.execute(sa.update(t.photo).where(this).values(values))
    others = (t.template.c.rider_ref == ref) & (t.template.c.model_id != model_id)
    connection.execute(sa.delete(t.template).where(others))


def forget(connection: sa.Connection, model_id: str) -> int:
    """Delete a batch of what a model made that does not come; return how much.

    Args:
        connection: With a unit begun.
        model_id: The model.
    """
    photos = sa.select(t.photo.c.number).where(t.photo.c.next_model_id == model_id)
    some = photos.limit(_FORGOTTEN_AT_ONCE)
    cleared = connection.execute(
        sa.update(t.photo).where(t.photo.c.number.in_(some)).values(_NOTHING)
    )
    made = sa.select(t.template.c.rider_ref).where(t.template.c.model_id == model_id)
    gone = sa.delete(t.template).where(
        t.template.c.model_id == model_id,
        t.template.c.rider_ref.in_(made.limit(_FORGOTTEN_AT_ONCE)),
    )
    return int(cleared.rowcount + connection.execute(gone).rowcount)
