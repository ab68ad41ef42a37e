"""Rows of the schema `enroll` to the values they are, and vectors to bytes and back."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar
from uuid import UUID

import numpy as np
import sqlalchemy as sa

from cloud_sync.adapters.postgres import claims, model_state
from cloud_sync.master.model_change import ModelState, Phase
from cloud_sync.secrecy.safe import Safe
from cloud_sync.secrecy.seal import NotOpened
from edge_gate.face import Embedding
from enroll.adapters import tables as t
from enroll.adapters.sealing import (
    EMBEDDING,
    NEXT_EMBEDDING,
    ORIGINAL,
    TEMPLATE,
    next_photo_of,
    photo_of,
    template_of,
)
from enroll.consent import ConsentRecord, Purpose
from enroll.lookalike import LookalikePair, Verdict
from enroll.rider import Rider, RiderState
from enroll.store import Dossier, Erasure
from enroll.template import Again, MasterTemplate, Photo
from fare.log import say

Row = sa.RowMapping
T = TypeVar("T")

_LOG = logging.getLogger(__name__)


def read(connection: sa.Connection, ref: UUID, safe: Safe) -> Dossier | None:
    """Return the whole dossier in eight selects.

    Of two models' photos and templates those of the one that stays are the rider's; what another
    made counts as unread, so that an erasure takes it along.

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
    models = model_state.read(connection)
    templates, faceless = opened(rows(t.template), template, safe)
    templates.sort(key=lambda each: -each.version)
    mine_now = [each for each in templates if models.trusted in ("", each.model_id)]
    coming = [each for each in templates if each.model_id == models.next_id]
    if models.phase is not Phase.RUNNING:
        coming = []
    kept = rows(t.photo, "number")
    photos, blank = opened([row for row in kept if _is_measured(row, models)], _photo(models), safe)
    past_templates = len(templates) - len(mine_now) - len(coming)
    past_photos = len(kept) - len(photos) - blank
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
        template=mine_now[0] if mine_now else None,
        next_template=coming[0] if coming else None,
        templates_made=rider["templates_made"],
        stationed=rider["stationed"],
        alike=tuple(pair(row) for row in pairs.mappings()),
        erasures=tuple(_erasure(row) for row in rows(t.erasure, "number")),
        unread=faceless + blank + past_photos + past_templates,
        past_photos=past_photos,
        past_templates=past_templates,
        models=models,
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


def _is_measured(row: Row, models: ModelState) -> bool:
    """Return whether a photo was measured by the model that stays."""
    return models.trusted in ("", row["model_id"]) or _is_adopted(row, models)


def _is_adopted(row: Row, models: ModelState) -> bool:
    """Return whether it was measured when that model was still coming; `adopt` follows."""
    is_other = row["model_id"] != models.trusted
    return is_other and row["next_model_id"] == models.trusted and row["next_embedding"] is not None


def _photo(models: ModelState) -> Callable[[Row, Safe], Photo]:
    """Return what reads a photo as the model that stays has it."""

    def read(row: Row, safe: Safe) -> Photo:
        original = row["original"]
        photo = Photo(
            photo_id=row["photo_id"],
            rider_ref=row["rider_ref"],
            taken=row["taken"],
            model_id=row["model_id"],
            embedding=to_vector(safe.open(EMBEDDING, row["embedding"], photo_of(row))),
            quality=row["quality"],
            original=None if original is None else safe.open(ORIGINAL, original, photo_of(row)),
        )
        if _is_adopted(row, models):
            return replace(photo, again=again(row, safe)).anew() or photo
        is_coming = models.phase is Phase.RUNNING and row["next_model_id"] == models.next_id
        return replace(photo, again=again(row, safe)) if is_coming else photo

    return read


def again(row: Row, safe: Safe) -> Again:
    """Return what a coming model made of a photo.

    Args:
        row: Of `photo`, all columns; some model has looked at it.
        safe: Opens the embedding.

    Raises:
        NotOpened: It is not this photo's, or was changed.
    """
    record = row["next_embedding"]
    if record is None:
        return Again(row["next_model_id"], None, 0, row["next_refusal"])
    vector = to_vector(safe.open(NEXT_EMBEDDING, record, next_photo_of(row)))
    return Again(row["next_model_id"], vector, row["next_quality"])


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
