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

from cloud_sync.adapters.postgres.erasure_tables import ERASURE_LEDGER, ERASURE_NODE
from cloud_sync.content import key_of
from cloud_sync.fleet.erasure import Erasure, LedgerFailed, NodeErasure, Proof
from cloud_sync.gallery import DropTemplate

_GONE = """
WITH gone AS (
    SELECT l.station_id AS view_id, regexp_replace(l.station_id, '[|]next$', '') AS station_id,
        v.epoch, max(l.rev) AS rev
    FROM cloud_sync.view_log AS l JOIN cloud_sync.view AS v USING (station_id)
    WHERE l.is_drop AND l.item_key = :item_key GROUP BY l.station_id, v.epoch
)
"""
# The lock waits for a lease that is being offered, and for an edge that changes from one view of
# its station to the other: what was offered to it, and what it follows, is then known.
_HOLD_NODES = sa.text(f"""
{_GONE}
SELECT e.edge_id FROM cloud_sync.edge_node AS e
WHERE e.station_id IN (SELECT station_id FROM gone) OR e.epoch IN (SELECT epoch FROM gone)
ORDER BY e.edge_id FOR SHARE
""")  # noqa: S608  # a constant
# Edges are those that follow the view, and whoever still holds its history from before a move. One
# that is leaving a view for the other of its station has only the other to acknowledge, since what
# it holds is replaced as a whole.
_NODES = sa.text(f"""
{_GONE}, waits AS (
    SELECT e.*, gone.station_id AS gone_at, gone.epoch AS gone_epoch, gone.rev AS gone_rev,
        f.epoch AS next_epoch, f.head_rev AS next_rev,
        gone.view_id <> e.follows AND gone.station_id = e.station_id AS is_leaving
    FROM cloud_sync.edge_node AS e
    JOIN cloud_sync.view AS f ON f.station_id = e.follows
    JOIN gone ON gone.view_id = e.follows OR gone.epoch = e.epoch
), due AS (
    SELECT DISTINCT ON (edge_id, gone_at) edge_id, gone_at, epoch, acked_rev, lease_until,
        CASE WHEN is_leaving THEN next_epoch ELSE gone_epoch END AS due_epoch,
        CASE WHEN is_leaving THEN next_rev ELSE gone_rev END AS due_rev
    FROM waits ORDER BY edge_id, gone_at, is_leaving
)
SELECT edge_id, gone_at AS station_id, due_epoch AS epoch, due_rev AS drop_rev, lease_until,
    CASE WHEN epoch = due_epoch AND acked_rev >= due_rev
        THEN CAST(:erased_at AS timestamptz) END AS acked_at
FROM due ORDER BY edge_id, gone_at
""")  # noqa: S608  # a constant
_FOLLOW_EPOCHS = sa.text("""
UPDATE cloud_sync.erasure_node AS n SET epoch = v.epoch
FROM cloud_sync.edge_node AS e, cloud_sync.view AS v
WHERE e.edge_id = n.edge_id AND n.acked_at IS NULL AND n.epoch <> v.epoch
    AND v.station_id = CASE WHEN e.station_id = n.station_id THEN e.follows ELSE n.station_id END
""")
_FOLLOW_VIEW = sa.text("""
UPDATE cloud_sync.erasure_node AS n SET epoch = v.epoch, drop_rev = v.head_rev
FROM cloud_sync.edge_node AS e, cloud_sync.view AS v
WHERE e.edge_id = :edge_id AND n.edge_id = e.edge_id AND n.station_id = e.station_id
    AND n.acked_at IS NULL AND v.station_id = e.follows
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
    connection.execute(_HOLD_NODES, {"item_key": item_key})
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
    connection.execute(_FOLLOW_EPOCHS)


def follow_view(connection: sa.Connection, edge_id: str) -> None:
    """Let what an edge has not acknowledged wait for the view of its station that it follows now.

    That view dropped the rider before its present revision, or never held them.

    Args:
        connection: With the transaction that has noted what the edge follows.
        edge_id: Whose.
    """
    connection.execute(_FOLLOW_VIEW, {"edge_id": edge_id})


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
