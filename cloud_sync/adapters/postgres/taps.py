"""The tap log in PostgreSQL, schema `cloud_sync`.

A batch is one transaction. The outbox's row is locked first, so that two deliveries of one outbox
take turns; the row with the last position is locked last and only for the insert, so that
positions are dense and commit in order: `position > cursor` never skips a tap.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from cloud_sync.adapters.postgres.edge_row import edge_of
from cloud_sync.adapters.postgres.mode_history import orders_of
from cloud_sync.adapters.postgres.publish import announce
from cloud_sync.adapters.postgres.tables import EDGE_NODE, OUTBOX, TAP, TAP_HEAD, TAP_QUARANTINE
from cloud_sync.stream.view import EdgeNode
from cloud_sync.taps.exemption import CLAIMS, doubted
from cloud_sync.taps.ingest import Aside, Judgement, Known, Stored, judge
from cloud_sync.taps.outbox import SealedTap
from cloud_sync.taps.tap_log import Batch, Blemish, EdgeUnknown, Quarantined, Receipt, TapLogFailed
from fare.adapters.rows import tap_of, tap_row
from fare.log import say
from fare.tap import TapFlag, flags_text

Doubts = Mapping[int, frozenset[TapFlag]]
"""Flags that no order explains, by the tap's sequence; only taps that have any."""

TAP_CHANNEL = "gateline_tap"
"""NOTIFY channel; the payload is the latest position."""

_LOG = logging.getLogger(__name__)


class PostgresTapLog:
    """Where taps become durable in the cloud."""

    def __init__(self, engine: sa.Engine) -> None:
        """Take an engine on a migrated database."""
        self._engine = engine

    def ingest(self, batch: Batch, received: datetime) -> Receipt:
        """Store a batch in one transaction; what is stored already changes nothing."""
        try:
            with self._engine.begin() as connection:
                node = _owner(connection, batch)
                judgement = judge(batch, node, _known(connection, batch))
                doubts = _doubts(connection, batch.edge_id, judgement.store)
                _store(connection, batch, judgement, received, doubts)
        except sa.exc.SQLAlchemyError as problem:
            raise TapLogFailed(str(problem)) from problem
        _alarm(batch, judgement)
        _tell_doubts(batch, judgement, doubts)
        return judgement.receipt

    def stored(self, outbox_id: UUID) -> tuple[SealedTap, ...]:
        """Return the taps in the log of one outbox, by sequence."""
        query = sa.select(TAP).where(TAP.c.outbox_id == outbox_id).order_by(TAP.c.seq)
        with self._engine.begin() as connection:
            return tuple(_sealed(row) for row in connection.execute(query))

    def quarantined(self, outbox_id: UUID) -> tuple[Quarantined, ...]:
        """Return what was kept aside of one outbox, in the order of arrival."""
        query = sa.select(TAP_QUARANTINE).where(TAP_QUARANTINE.c.outbox_id == outbox_id)
        with self._engine.begin() as connection:
            rows = connection.execute(query.order_by(TAP_QUARANTINE.c.arrival))
            return tuple(Quarantined(_sealed(row), Blemish(row.blemish)) for row in rows)


def _owner(connection: sa.Connection, batch: Batch) -> EdgeNode:
    """Return the edge and lock its outbox, which is made when it is new."""
    query = sa.select(EDGE_NODE).where(EDGE_NODE.c.edge_id == batch.edge_id)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise EdgeUnknown(f"{batch.edge_id} is not admitted")
    made = {"outbox_id": batch.outbox_id, "edge_id": batch.edge_id, "durable_seq": 0}
    connection.execute(pg.insert(OUTBOX).values(made).on_conflict_do_nothing())
    locked = sa.select(OUTBOX.c.edge_id).where(OUTBOX.c.outbox_id == batch.outbox_id)
    if connection.execute(locked.with_for_update()).scalar_one() != batch.edge_id:
        raise EdgeUnknown(f"outbox {batch.outbox_id} is not of {batch.edge_id}")
    return edge_of(row)


def _known(connection: sa.Connection, batch: Batch) -> Known:
    query = sa.select(OUTBOX.c.durable_seq).where(OUTBOX.c.outbox_id == batch.outbox_id)
    durable_seq = connection.execute(query).scalar_one()
    places = {sealed.seq + beside for sealed in batch.taps for beside in (-1, 0, 1)}
    return Known(
        durable_seq,
        _stored(connection, batch.outbox_id, places, durable_seq),
        _aside(connection, batch.outbox_id, places, durable_seq),
    )


def _stored(
    connection: sa.Connection, outbox_id: UUID, places: Iterable[int], durable_seq: int
) -> dict[int, Stored]:
    rows = connection.execute(
        sa.select(TAP.c.seq, TAP.c.prev_hash, TAP.c.hash).where(
            TAP.c.outbox_id == outbox_id,
            sa.or_(TAP.c.seq.in_(places), TAP.c.seq > durable_seq),
        )
    )
    return {row.seq: Stored(row.prev_hash, row.hash) for row in rows}


def _aside(
    connection: sa.Connection, outbox_id: UUID, places: Iterable[int], durable_seq: int
) -> dict[int, tuple[Aside, ...]]:
    table = TAP_QUARANTINE.c
    rows = connection.execute(
        sa.select(table.seq, table.hash, table.signature, table.is_settled).where(
            table.outbox_id == outbox_id,
            sa.or_(table.seq.in_(places), table.seq > durable_seq),
        )
    )
    found: dict[int, tuple[Aside, ...]] = {}
    for row in rows:
        aside = Aside(row.hash, row.signature, row.is_settled)
        found[row.seq] = (*found.get(row.seq, ()), aside)
    return found


def _doubts(connection: sa.Connection, edge_id: str, taps: Sequence[SealedTap]) -> Doubts:
    """Return which flags of new taps no order of the operator explains, by sequence."""
    claiming = [sealed for sealed in taps if sealed.tap.flags & CLAIMS.keys()]
    known = {
        station: orders_of(connection, station, edge_id)
        for station in {sealed.tap.station_id for sealed in claiming}
    }
    judged = ((each.seq, doubted(each.tap, *known[each.tap.station_id])) for each in claiming)
    return {seq: flags for seq, flags in judged if flags}


def _store(
    connection: sa.Connection,
    batch: Batch,
    judgement: Judgement,
    received: datetime,
    doubts: Doubts,
) -> None:
    for item in judgement.set_aside:
        row = _row(batch.edge_id, item.sealed, received)
        row |= {"blemish": item.blemish.value, "is_settled": item.is_settled}
        insert = pg.insert(TAP_QUARANTINE).values(row)
        connection.execute(
            insert.on_conflict_do_update(
                index_elements=["outbox_id", "seq", "hash", "signature"],
                set_={"is_settled": item.is_settled},
            )
        )
    connection.execute(
        sa.update(OUTBOX)
        .where(OUTBOX.c.outbox_id == batch.outbox_id)
        .values(durable_seq=judgement.receipt.durable_seq)
    )
    if judgement.store:
        rows = [
            _row(batch.edge_id, sealed, received)
            | {"doubted": flags_text(doubts.get(sealed.seq, frozenset()))}
            for sealed in judgement.store
        ]
        last = _insert(connection, rows)
        announce(connection, TAP_CHANNEL, str(last))


def _insert(connection: sa.Connection, rows: Sequence[dict[str, Any]]) -> int:
    """Give the taps their positions under the row lock; return the last one."""
    taken = sa.update(TAP_HEAD).values(position=TAP_HEAD.c.position + len(rows))
    last = int(connection.execute(taken.returning(TAP_HEAD.c.position)).scalar_one())
    placed = [row | {"position": place} for place, row in enumerate(rows, last - len(rows) + 1)]
    connection.execute(sa.insert(TAP), placed)
    return last


def _alarm(batch: Batch, judgement: Judgement) -> None:
    for item in judgement.set_aside:
        say(
            _LOG,
            "tap_quarantined",
            level=logging.ERROR,
            edge_id=batch.edge_id,
            outbox_id=batch.outbox_id,
            seq=item.sealed.seq,
            blemish=item.blemish.value,
            settled=item.is_settled,
        )
    if judgement.receipt.resend_from_seq:
        say(
            _LOG,
            "tap_gap",
            level=logging.WARNING,
            edge_id=batch.edge_id,
            outbox_id=batch.outbox_id,
            resend_from_seq=judgement.receipt.resend_from_seq,
        )


def _tell_doubts(batch: Batch, judgement: Judgement, doubts: Doubts) -> None:
    for sealed in judgement.store:
        if sealed.seq in doubts:
            say(
                _LOG,
                "exemption_doubted",
                level=logging.ERROR,
                edge_id=batch.edge_id,
                tap_id=sealed.tap.tap_id,
                flags=flags_text(doubts[sealed.seq]),
            )


def _row(edge_id: str, sealed: SealedTap, received: datetime) -> dict[str, Any]:
    return {
        **tap_row(sealed.tap),
        "edge_id": edge_id,
        "outbox_id": sealed.outbox_id,
        "seq": sealed.seq,
        "prev_hash": sealed.prev_hash,
        "hash": sealed.digest(),
        "signature": sealed.signature,
        "received_at": received,
    }


def _sealed(row: sa.Row[Any]) -> SealedTap:
    return SealedTap(row.outbox_id, row.seq, row.prev_hash, tap_of(row), row.signature)
