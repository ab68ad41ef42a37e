"""Rows of the schema `enroll` to the values they are, and vectors to bytes and back."""

from uuid import UUID

import numpy as np
import sqlalchemy as sa

from edge_gate.face import Embedding
from enroll.adapters import tables as t
from enroll.consent import ConsentRecord, Purpose
from enroll.lookalike import LookalikePair, Verdict
from enroll.rider import Rider, RiderState
from enroll.store import Dossier, Erasure
from enroll.template import MasterTemplate, Photo

Row = sa.RowMapping


def read(connection: sa.Connection, ref: UUID) -> Dossier | None:
    """Return the whole dossier in six selects."""

    def rows(table: sa.Table, *order: str) -> list[Row]:
        query = sa.select(table).where(table.c.rider_ref == ref)
        return list(connection.execute(query.order_by(*(table.c[o] for o in order))).mappings())

    rider = connection.execute(sa.select(t.rider).where(t.rider.c.ref == ref)).mappings().first()
    if rider is None:
        return None
    mine = (t.lookalike.c.one == ref) | (t.lookalike.c.other == ref)
    pairs = connection.execute(sa.select(t.lookalike).where(mine).order_by(t.lookalike.c.found))
    templates = [template(row) for row in rows(t.template)]
    return Dossier(
        rider=Rider(
            rider["ref"],
            rider["display_name"],
            rider["minor"],
            RiderState(rider["state"]),
            rider["created"],
        ),
        key_hash=rider["key_hash"],
        consents=tuple(_consent(row) for row in rows(t.consent, "number")),
        photos=tuple(_photo(row) for row in rows(t.photo, "number")),
        template=templates[0] if templates else None,
        templates_made=rider["templates_made"],
        stationed=rider["stationed"],
        alike=tuple(pair(row) for row in pairs.mappings()),
        erasures=tuple(_erasure(row) for row in rows(t.erasure, "number")),
    )


def _consent(row: Row) -> ConsentRecord:
    return ConsentRecord(
        row["rider_ref"], Purpose(row["purpose"]), row["given"], row["text_version"], row["at"]
    )


def _photo(row: Row) -> Photo:
    return Photo(
        photo_id=row["photo_id"],
        rider_ref=row["rider_ref"],
        taken=row["taken"],
        model_id=row["model_id"],
        embedding=to_vector(row["embedding"]),
        quality=row["quality"],
        original=row["original"],
    )


def template(row: Row) -> MasterTemplate:
    """Return a row of `template`."""
    return MasterTemplate(
        rider_ref=row["rider_ref"],
        version=row["version"],
        model_id=row["model_id"],
        transform_id=row["transform_id"],
        vector=to_vector(row["vector"]),
        made=row["made"],
        photos=row["photos"],
    )


def pair(row: Row) -> LookalikePair:
    """Return a row of `lookalike`."""
    return LookalikePair(
        row["one"], row["other"], row["score"], row["found"], Verdict(row["verdict"])
    )


def _erasure(row: Row) -> Erasure:
    return Erasure(
        row["rider_ref"],
        row["at"],
        row["cause"],
        row["photos"],
        row["originals"],
        row["templates"],
    )


def to_bytes(vector: Embedding) -> bytes:
    """Return float32 values, little endian."""
    return vector.astype("<f4").tobytes()


def to_vector(content: bytes) -> Embedding:
    """Return the vector that `to_bytes` wrote."""
    return np.frombuffer(content, dtype="<f4").astype(np.float32)
