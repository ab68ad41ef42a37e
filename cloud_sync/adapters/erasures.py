"""The erasure ledger in PostgreSQL: functions inside the caller's transaction, and the port.

An acknowledgement and what it proves are noted in one transaction, so a proof never says more than
the node has said.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import groupby
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from cloud_sync.adapters.erasure_tables import ERASURE_LEDGER, ERASURE_NODE
from cloud_sync.adapters.tables import VIEW
from cloud_sync.content import key_of
from cloud_sync.erasure import Erasure, LedgerFailed, NodeErasure, Proof
from cloud_sync.gallery import DropTemplate

# Edges are those of the station, and whoever still holds its history from before a move. The lock
# waits for a lease that is being offered: what it was offered for is then known here.
_NODES = sa.text("""
WITH gone AS (
    SELECT l.station_id, v.epoch, max(l.rev) AS rev
    FROM cloud_sync.view_log AS l JOIN cloud_sync.view AS v USING (station_id)
    WHERE l.is_drop AND l.item_key = :item_key GROUP BY l.station_id, v.epoch
)
SELECT e.edge_id, gone.station_id, gone.epoch, gone.rev AS drop_rev, e.lease_until,
    CASE WHEN e.epoch = gone.epoch AND e.acked_rev >= gone.rev
        THEN CAST(:erased_at AS timestamptz) END AS acked_at
FROM cloud_sync.edge_node AS e JOIN gone ON gone.station_id = e.station_id OR gone.epoch = e.epoch
ORDER BY e.edge_id, gone.station_id
FOR SHARE OF e
""")


def erase(connection: sa.Connection, erasure: Erasure, *, copy: Callable[[Erasure], None]) -> bool:
    """Note an erasure inside the transaction that has dropped the rider from all views.

    Args:
        connection: With that transaction; nothing is committed here.
        erasure: What happened.
        copy: Writes it outside the database, durable on return; not called for one noted before.

    Returns:
        Whether it was new.

    Raises:
        LedgerFailed: The copy was not written; the transaction must not commit.
        sqlalchemy.exc.SQLAlchemyError: The database did not take it.
    """
    if not note(connection, erasure):
        return False
    expose(connection, erasure)
    copy(erasure)
    return True


def note(connection: sa.Connection, erasure: Erasure) -> bool:
    """Put an erasure into the ledger; return whether it was new.

    Args:
        connection: With a transaction begun; waits for another one that notes the same.
        erasure: What happened.
    """
    row = {
        "rider_ref": erasure.rider_ref,
        "erased_at": erasure.at,
        "cause": erasure.cause,
        "is_final": erasure.is_final,
    }
    new = pg.insert(ERASURE_LEDGER).values(row).on_conflict_do_nothing()
    return connection.execute(new.returning(ERASURE_LEDGER.c.erased_at)).first() is not None


def expose(connection: sa.Connection, erasure: Erasure) -> None:
    """Note which nodes may hold the face of an erasure in the ledger.

    Args:
        connection: With the transaction that has dropped the rider from all views.
        erasure: What happened.
    """
    named = {"rider_ref": erasure.rider_ref, "erased_at": erasure.at}
    item_key = key_of(DropTemplate(erasure.rider_ref))
    found = connection.execute(_NODES, {"item_key": item_key, "erased_at": erasure.at})
    rows = [named | dict(each) for each in found.mappings()]
    if rows:
        connection.execute(sa.insert(ERASURE_NODE), rows)


def note_ack(connection: sa.Connection, edge_id: str, epoch: UUID, rev: int, now: datetime) -> None:
    """Note what an acknowledgement proves, in the transaction that notes it.

    Args:
        connection: With that transaction.
        edge_id: Whose.
        epoch: Of the history that it acknowledges.
        rev: Up to where.
        now: Aware UTC.
    """
    connection.execute(
        sa.update(ERASURE_NODE)
        .where(
            ERASURE_NODE.c.edge_id == edge_id,
            ERASURE_NODE.c.acked_at.is_(None),
            ERASURE_NODE.c.epoch == epoch,
            ERASURE_NODE.c.drop_rev <= rev,
        )
        .values(acked_at=now)
    )


def follow_epochs(connection: sa.Connection) -> None:
    """Let what waits for an acknowledgement wait for one of its view's new history.

    A new history goes on with the numbers of the old one, so the revision stays.

    Args:
        connection: With the transaction that has renewed epochs.
    """
    connection.execute(
        sa.update(ERASURE_NODE)
        .where(
            ERASURE_NODE.c.station_id == VIEW.c.station_id,
            ERASURE_NODE.c.epoch != VIEW.c.epoch,
            ERASURE_NODE.c.acked_at.is_(None),
        )
        .values(epoch=VIEW.c.epoch)
    )


def newest(connection: sa.Connection) -> datetime | None:
    """Return the moment of the latest erasure in the ledger; None when there is none."""
    found: datetime | None = connection.scalar(sa.select(sa.func.max(ERASURE_LEDGER.c.erased_at)))
    return found


def known_since(connection: sa.Connection, moment: datetime) -> tuple[Erasure, ...]:
    """Return the ledger's erasures from a moment on, oldest first."""
    query = sa.select(ERASURE_LEDGER).where(ERASURE_LEDGER.c.erased_at >= moment)
    return tuple(_erasure(row) for row in connection.execute(query.order_by("erased_at")))


def unknown(connection: sa.Connection, erasures: Iterable[Erasure]) -> tuple[Erasure, ...]:
    """Return those erasures that the database does not have, in their order.

    Args:
        connection: To the database.
        erasures: As the copy outside has them.
    """
    told = tuple(erasures)
    table = ERASURE_LEDGER.c
    riders = sa.cast([one.rider_ref for one in told], pg.ARRAY(sa.Uuid))
    query = sa.select(table.rider_ref, table.erased_at).where(table.rider_ref == sa.any_(riders))
    known = {(row.rider_ref, row.erased_at) for row in connection.execute(query)}
    return tuple(one for one in told if (one.rider_ref, one.at) not in known)


def superseded(connection: sa.Connection, erasures: Iterable[Erasure]) -> frozenset[Erasure]:
    """Return those erasures after which the ledger has a later one of the same rider.

    A line of the copy whose transaction failed is one: the rider asked again, and has perhaps
    enrolled anew since. Carried out now it would take the new face.

    Args:
        connection: To the database.
        erasures: Noted already.
    """
    told = tuple(erasures)
    table = ERASURE_LEDGER.c
    riders = sa.cast([one.rider_ref for one in told], pg.ARRAY(sa.Uuid))
    newest = sa.select(table.rider_ref, sa.func.max(table.erased_at).label("at"))
    query = newest.where(table.rider_ref == sa.any_(riders)).group_by(table.rider_ref)
    latest = {row.rider_ref: row.at for row in connection.execute(query)}
    return frozenset(one for one in told if one.at < latest[one.rider_ref])


class PostgresErasureLedger:
    """An `ErasureLedger` on PostgreSQL."""

    def __init__(self, engine: sa.Engine, *, copy: Callable[[Erasure], None]) -> None:
        """Take an engine on a migrated database.

        Args:
            engine: The database.
            copy: Writes an erasure outside the database, durable on return.
        """
        self._engine = engine
        self._copy = copy

    def erase(self, erasure: Erasure) -> bool:
        """See `ErasureLedger.erase`."""
        with self._begun() as connection:
            return erase(connection, erasure, copy=self._copy)

    def proofs(self, rider_ref: UUID) -> tuple[Proof, ...]:
        """See `ErasureLedger.proofs`."""
        mine = sa.select(ERASURE_LEDGER).where(ERASURE_LEDGER.c.rider_ref == rider_ref)
        with self._begun() as connection:
            return _proofs(connection, mine.order_by("erased_at"))

    def recent(self, limit: int) -> tuple[Proof, ...]:
        """See `ErasureLedger.recent`."""
        newest = sa.select(ERASURE_LEDGER).order_by(ERASURE_LEDGER.c.erased_at.desc())
        with self._begun() as connection:
            return _proofs(connection, newest.limit(limit))

    @contextmanager
    def _begun(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except sa.exc.SQLAlchemyError as problem:
            raise LedgerFailed(str(problem)) from problem


def _proofs(connection: sa.Connection, query: sa.Select[Any]) -> tuple[Proof, ...]:
    erasures = [_erasure(row) for row in connection.execute(query)]
    riders = sa.cast([one.rider_ref for one in erasures], pg.ARRAY(sa.Uuid))
    order = ("rider_ref", "erased_at", "station_id", "edge_id")
    rows = connection.execute(
        sa.select(ERASURE_NODE)
        .where(ERASURE_NODE.c.rider_ref == sa.any_(riders))
        .order_by(*(ERASURE_NODE.c[name] for name in order))
    )
    nodes = {
        key: tuple(_node(row) for row in group)
        for key, group in groupby(rows, lambda row: (row.rider_ref, row.erased_at))
    }
    return tuple(Proof(one, nodes.get((one.rider_ref, one.at), ())) for one in erasures)


def _erasure(row: Any) -> Erasure:
    return Erasure(row.rider_ref, row.erased_at, row.cause, is_final=row.is_final)


def _node(row: Any) -> NodeErasure:
    return NodeErasure(
        row.edge_id, row.station_id, row.epoch, row.drop_rev, row.lease_until, row.acked_at
    )
