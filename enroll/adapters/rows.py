"""Rows of the schema `enroll` to the values they are, and vectors to bytes and back."""

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar
from uuid import UUID

import numpy as np
import sqlalchemy as sa

from cloud_sync.adapters import claims
from cloud_sync.safe import Safe
from cloud_sync.seal import NotOpened
from edge_gate.face import Embedding
from enroll.adapters import tables as t
from enroll.adapters.sealing import EMBEDDING, ORIGINAL, TEMPLATE, photo_of, template_of
from enroll.consent import ConsentRecord, Purpose
from enroll.lookalike import LookalikePair, Verdict
from enroll.rider import Rider, RiderState
from enroll.store import Dossier, Erasure
from enroll.template import MasterTemplate, Photo
from fare.log import say

Row = sa.RowMapping
T = TypeVar("T")

_LOG = logging.getLogger(__name__)


def read(connection: sa.Connection, ref: UUID, safe: Safe) -> Dossier | None:
    """Return the whole dossier in seven selects.

    Args:
        connection: Any.
        ref: Whose.
        safe: Opens what is sealed; what does not open is left out, counted and alarmed.
    """

    def rows(table: sa.Table, *order: str) -> list[Row]:
        query = sa.select(table).where(table.c.rider_ref == ref)
        return list(connection.execute(query.order_by(*(table.c[o] for o in order))).mappings())

    rider = connection.execute(sa.select(t.rider).where(t.rider.c.ref == ref)).mappings().first()
    if rider is None:
        return None
    mine = (t.lookalike.c.one == ref) | (t.lookalike.c.other == ref)
    pairs = connection.execute(sa.select(t.lookalike).where(mine).order_by(t.lookalike.c.found))
    templates, faceless = opened(rows(t.template), template, safe)
    photos, blank = opened(rows(t.photo, "number"), _photo, safe)
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
        photos=tuple(photos),
        template=templates[0] if templates else None,
        templates_made=rider["templates_made"],
        stationed=rider["stationed"],
        alike=tuple(pair(row) for row in pairs.mappings()),
        erasures=tuple(_erasure(row) for row in rows(t.erasure, "number")),
        unread=faceless + blank,
        homes=claims.homes(connection, ref),
    )


def opened(rows: Sequence[Row], read: Callable[[Row, Safe], T], safe: Safe) -> tuple[list[T], int]:
    """Return what rows hold, and how many do not open; those are alarmed.

    Args:
        rows: Of `photo` or `template`.
        read: Returns what a row holds.
        safe: Opens what is sealed.
    """
    found: list[T] = []
    for row in rows:
        try:
            found.append(read(row, safe))
        except NotOpened:
            say(_LOG, "record_unread", level=logging.ERROR, rider=row["rider_ref"])
    return found, len(rows) - len(found)


def _consent(row: Row) -> ConsentRecord:
    return ConsentRecord(
        row["rider_ref"], Purpose(row["purpose"]), row["given"], row["text_version"], row["at"]
    )


def _photo(row: Row, safe: Safe) -> Photo:
    label, original = photo_of(row), row["original"]
    return Photo(
        photo_id=row["photo_id"],
        rider_ref=row["rider_ref"],
        taken=row["taken"],
        model_id=row["model_id"],
        embedding=to_vector(safe.open(EMBEDDING, row["embedding"], label)),
        quality=row["quality"],
        original=None if original is None else safe.open(ORIGINAL, original, label),
    )


def template(row: Row, safe: Safe) -> MasterTemplate:
    """Return a row of `template`.

    Args:
        row: All columns.
        safe: Opens the vector.

    Raises:
        NotOpened: It is not this rider's, or was changed.
    """
    return MasterTemplate(
        rider_ref=row["rider_ref"],
        version=row["version"],
        model_id=row["model_id"],
        transform_id=row["transform_id"],
        vector=to_vector(safe.open(TEMPLATE, row["vector"], template_of(row))),
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
