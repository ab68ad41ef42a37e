"""The station views in PostgreSQL, schema `cloud_sync`.

Transactions are READ COMMITTED; whoever writes to a view holds its row, and a page of the log is
read in one statement together with the revision it was compacted to.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from cloud_sync.adapters.postgres.absent import absent
from cloud_sync.adapters.postgres.at_rest import hold_keys, stop_writers
from cloud_sync.adapters.postgres.binary_rows import binary_rows
from cloud_sync.adapters.postgres.edge_row import edge_of
from cloud_sync.adapters.postgres.erasures import follow_epochs, note_ack
from cloud_sync.adapters.postgres.item_row import ITEM_COLUMNS, Item, put_of
from cloud_sync.adapters.postgres.mode_history import note_heard
from cloud_sync.adapters.postgres.model_state import of_new_station
from cloud_sync.adapters.postgres.next_view import adopt_next, close_next, follow, open_next
from cloud_sync.adapters.postgres.publish import (
    DIMENSION,
    VIEW_CHANNEL,
    announce,
    head_of,
    publish,
    publish_at,
    stations,
)
from cloud_sync.adapters.postgres.records import Records
from cloud_sync.adapters.postgres.tables import (
    EDGE_NODE,
    HISTORY,
    VIEW,
    VIEW_ITEM,
    VIEW_LOG,
    VIEW_QUARANTINE,
)
from cloud_sync.content import TemplateRefused, content_hash, dropped
from cloud_sync.fleet.erasure import LedgerFailed
from cloud_sync.gallery import Change
from cloud_sync.secrecy.key_store import KeysFailed
from cloud_sync.secrecy.safe import Safe
from cloud_sync.secrecy.seal import NotOpened
from cloud_sync.stream.view import (
    URGENT_MAX,
    EdgeNode,
    EdgeStanding,
    Head,
    HistoryGone,
    Line,
    NodeRole,
    Page,
    Roll,
    ViewLogFailed,
    Whole,
    compactable,
    page,
    urgent_page,
)
from fare.log import say

__all__ = ["VERSIONS", "PostgresViewLog", "publish", "stations"]

T = TypeVar("T")

_LOG = logging.getLogger(__name__)
_HISTORY_LOCK = 0x68697374
"""`hist`: one process at a time decides that this is another database than before."""
_UNREAD = "the record does not open"

VERSIONS = Path(__file__).parent / "migrations" / "versions"
"""This package's Alembic revisions, for `database.migrate(engine, "cloud_sync", VERSIONS)`."""

# The WAL's file name holds the timeline at once after a promotion; the control file only after
# the next checkpoint.
_HISTORY_NOW = sa.text("""
SELECT (SELECT system_identifier::text FROM pg_control_system()) AS system_identifier,
    ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::integer AS timeline,
    (SELECT oid::bigint FROM pg_database WHERE datname = current_database()) AS database_oid,
    h.system_identifier AS known_identifier, h.timeline AS known_timeline,
    h.database_oid AS known_oid
FROM (SELECT 1) AS one LEFT JOIN cloud_sync.history AS h ON true
""")


class PostgresViewLog:
    """All stations' views and the edges that follow them."""

    def __init__(
        self,
        engine: sa.Engine,
        safe: Safe,
        *,
        dimension: int = DIMENSION,
        on_new_history: Callable[[sa.Connection], object] = lambda _: None,
    ) -> None:
        """Take an engine on a migrated database.

        Args:
            engine: The database.
            safe: Seals and opens the templates.
            dimension: Values in a template's vector.
            on_new_history: Called in the transaction that finds that the database was restored or
                promoted, before any view is served; raises `LedgerFailed` where that must not be.
        """
        self._on_new_history = on_new_history
        self._engine = engine
        self._safe = safe
        self._dimension = dimension

    def publish(self, station_ids: Iterable[str], changes: Sequence[Change]) -> None:
        """Add changes to all views of some stations, in one transaction."""
        with self._begun() as connection:
            publish_at(connection, station_ids, changes, safe=self._safe, dimension=self._dimension)

    def lacking(self, station_id: str, changes: Sequence[Change]) -> tuple[Change, ...]:
        """Return the changes whose very content a view does not hold yet.

        Args:
            station_id: The station.
            changes: Templates and keys to put.
        """
        query = sa.select(VIEW_ITEM.c.content_hash).where(VIEW_ITEM.c.station_id == station_id)
        with self._begun() as connection:
            held = set(connection.execute(query).scalars())
        return tuple(change for change in changes if content_hash(change) not in held)

    def admit(self, node: EdgeNode, now: datetime) -> None:
        """Let an edge follow its station's view; the view is made when it is the first."""
        row = {
            "edge_id": node.edge_id,
            "station_id": node.station_id,
            "public_key": node.public_key,
            "role": node.role.value,
            "follows": node.station_id,
            "admitted_at": now,
            "acked_rev": 0,
        }
        with self._begun() as connection:
            hold_keys(connection)
            made = sa.text(
                "INSERT INTO cloud_sync.view (station_id, key_id) VALUES (:station, :key_id)"
                " ON CONFLICT DO NOTHING"
            )
            key_id = self._safe.ring.root.key_id
            new = connection.execute(made, {"station": node.station_id, "key_id": key_id})
            if new.rowcount:
                of_new_station(connection, node.station_id, key_id=key_id)
            insert = pg.insert(EDGE_NODE).values(row)
            is_there = EDGE_NODE.c.station_id == insert.excluded.station_id
            changed = {
                "station_id": insert.excluded.station_id,
                "public_key": insert.excluded.public_key,
                "follows": sa.case((is_there, EDGE_NODE.c.follows), else_=insert.excluded.follows),
            }
            connection.execute(
                insert.on_conflict_do_update(index_elements=[EDGE_NODE.c.edge_id], set_=changed)
            )

    def set_role(self, edge_id: str, role: NodeRole) -> None:
        """Say what an admitted node is for; it stays so when it is admitted again."""
        mine = EDGE_NODE.c.edge_id == edge_id
        with self._begun() as connection:
            done = connection.execute(sa.update(EDGE_NODE).where(mine).values(role=role.value))
        if not done.rowcount:
            raise LookupError(f"no edge {edge_id} was admitted")

    def edge(self, edge_id: str) -> EdgeNode | None:
        """Return an admitted edge."""
        with self._begun() as connection:
            query = sa.select(EDGE_NODE).where(EDGE_NODE.c.edge_id == edge_id)
            row = connection.execute(query).one_or_none()
        return None if row is None else edge_of(row)

    def edges(self, station_id: str) -> tuple[EdgeStanding, ...]:
        """Return what is known of the edges that follow a view."""
        with self._begun() as connection:
            return _edges(connection, station_id)

    def follow(self, edge_id: str, model_id: str) -> str | None:
        """Note by its model which of its station's views an edge follows; return the view."""
        with self._begun() as connection:
            return follow(connection, edge_id, model_id)

    def open_next(self, station_id: str, model_id: str, transform_id: str) -> bool:
        """Give a station a second view, of the coming model."""
        with self._begun() as connection:
            stop_writers(connection)
            key_id = self._safe.ring.root.key_id
            return open_next(connection, station_id, model_id, transform_id, key_id=key_id)

    def adopt_next(self, station_id: str) -> bool:
        """Make the second view the station's only one."""
        with self._begun() as connection:
            stop_writers(connection)
            return adopt_next(connection, station_id, safe=self._safe, dimension=self._dimension)

    def close_next(self, station_id: str) -> bool:
        """Take the second view away."""
        with self._begun() as connection:
            stop_writers(connection)
            return close_next(connection, station_id, safe=self._safe, dimension=self._dimension)

    def head(self, station_id: str) -> Head | None:
        """Return where a view stands; a cloud that lost history starts its new epoch here."""
        with self._begun() as connection:
            _settle_history(connection, self._on_new_history)
            return _head(connection, station_id)

    def read(self, station_id: str, epoch: UUID, from_rev: int, limit: int) -> Page:
        """Return up to `limit` lines after a revision."""
        while True:
            with self._begun() as connection:
                connection.execute(sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
                head = _head(connection, station_id)
                if head is None or head.epoch != epoch or from_rev < head.compacted_rev:
                    raise HistoryGone(f"{station_id} does not reach back to {from_rev}")
                rows = connection.execute(_lines(station_id, from_rev, limit)).all()
            lines, unread = self._opened(rows, self._line)
            if not unread:
                return page(lines, from_rev)
            self._set_aside(station_id, unread)

    def urgent(self, station_id: str, epoch: UUID, from_rev: int) -> Page:
        """Return what shuts somebody out after a revision, up to the head."""
        with self._begun() as connection:
            connection.execute(sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
            head = _head(connection, station_id)
            if head is None or head.epoch != epoch or from_rev < head.compacted_rev:
                raise HistoryGone(f"{station_id} does not reach back to {from_rev}")
            rows = connection.execute(_urgent_lines(station_id, from_rev)).all()
        lines, _ = self._opened(rows, self._line)  # no template is among them
        is_all = len(rows) < URGENT_MAX
        return urgent_page(lines, from_rev, head.head_rev if is_all else lines[-1].rev)

    def absent(self, edge_id: str, station_id: str, rev: int) -> Page:
        """Return drops of riders whom an edge may have and its station's view has not."""
        with self._begun() as connection:
            return absent(connection, edge_id, station_id, rev)

    def hashes(self, station_id: str) -> Roll:
        """Return the content hash of every item of a view, of one moment."""
        query = sa.select(VIEW_ITEM.c.item_key, VIEW_ITEM.c.content_hash)
        with self._begun() as connection:
            connection.execute(sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
            head = _head(connection, station_id)
            if head is None:
                raise HistoryGone(f"no view of {station_id}")
            rows = connection.execute(query.where(VIEW_ITEM.c.station_id == station_id)).all()
        items = tuple((row.item_key, row.content_hash) for row in rows)
        return Roll(head.epoch, head.head_rev, items)

    def whole(self, station_id: str) -> Whole:
        """Return the view as it stands, of one moment."""
        query: sa.Select[Any] = sa.select(*ITEM_COLUMNS).where(VIEW_ITEM.c.station_id == station_id)
        with self._begun() as connection:
            connection.execute(sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
            head = _head(connection, station_id)
            if head is None:
                raise HistoryGone(f"no view of {station_id}")
            with binary_rows(connection):
                items = [Item._make(row) for row in connection.execute(query)]
        # Here and not in the database: it would sort the bodies, too, 60 MB of them on its disk.
        items.sort(key=attrgetter("item_key"))
        changes = Records(items, self._safe, on_unread=partial(self._set_aside, station_id))
        keys = tuple(item.item_key for item in items)
        hashes = tuple(item.content_hash for item in items)
        return Whole(head.epoch, head.head_rev, keys, hashes, changes)

    def _opened(
        self, rows: Sequence[sa.Row[Any]], read: Callable[[sa.Row[Any]], T]
    ) -> tuple[list[T], list[sa.Row[Any]]]:
        """Return what rows hold, and the rows whose record does not open."""
        found: list[T] = []
        unread: list[sa.Row[Any]] = []
        for row in rows:
            try:
                found.append(read(row))
            except (NotOpened, TemplateRefused):
                unread.append(row)
            except KeysFailed as problem:
                raise ViewLogFailed(str(problem)) from problem
        return found, unread

    def _set_aside(self, station_id: str, rows: Iterable[sa.Row[Any] | Item]) -> None:
        """Take damaged records out of a view: one of them must not stop a station.

        A record that was written anew since it was read is left alone: a snapshot on its way may
        hold one whose root key has ended meanwhile.
        """
        for row in rows:
            with self._begun() as connection:
                now = connection.execute(sa.select(sa.func.now())).scalar_one()
                query = sa.select(VIEW_ITEM.c.body).where(
                    VIEW_ITEM.c.station_id == station_id, VIEW_ITEM.c.item_key == row.item_key
                )
                if connection.execute(query).scalar() != row.body:
                    continue
            say(
                _LOG,
                "template_quarantined",
                level=logging.ERROR,
                station=station_id,
                content_hash=row.content_hash.hex(),
                detail=_UNREAD,
            )
            self.quarantine(station_id, row.content_hash, _UNREAD, now)

    def _line(self, row: sa.Row[Any]) -> Line:
        if row.is_drop:
            return Line(row.log_rev, dropped(row.item_key), row.content_hash)
        return Line(
            row.log_rev, None if row.body is None else put_of(row, self._safe), row.content_hash
        )

    def acknowledge(self, edge_id: str, epoch: UUID, rev: int, now: datetime) -> None:
        """Note what an edge holds durably."""
        values = {"epoch": epoch, "acked_rev": rev, "acked_at": now}
        with self._begun() as connection:
            connection.execute(
                sa.update(EDGE_NODE).where(EDGE_NODE.c.edge_id == edge_id).values(values)
            )
            note_ack(connection, edge_id, epoch, rev, now)
            note_heard(connection, edge_id, rev, now)

    def offer_lease(self, edge_id: str, until: datetime) -> Head:
        """Note a lease durably before it is sent, and return the head it is valid for."""
        with self._begun() as connection:
            latest = sa.func.greatest(EDGE_NODE.c.lease_until, until)
            station = connection.execute(
                sa.update(EDGE_NODE)
                .where(EDGE_NODE.c.edge_id == edge_id)
                .values(lease_until=latest)
                .returning(EDGE_NODE.c.follows)
            ).scalar_one_or_none()
            head = _head(connection, station) if station is not None else None
        if head is None:
            raise HistoryGone(f"{edge_id} is no longer admitted")
        return head

    def quarantine(self, station_id: str, digest: bytes, detail: str, now: datetime) -> None:
        """Keep an item from all edges of a station: it is sent as a drop from now on."""
        with self._begun() as connection:
            hold_keys(connection)
            # The view before its items, as `publish` does, or the two wait for each other.
            mine = sa.select(VIEW.c.station_id).where(VIEW.c.station_id == station_id)
            connection.execute(mine.with_for_update())
            query = sa.select(VIEW_ITEM).where(
                VIEW_ITEM.c.station_id == station_id, VIEW_ITEM.c.content_hash == digest
            )
            row = connection.execute(query).first()
            if row is None:
                return
            self._publish(connection, (station_id,), (dropped(row.item_key),))
            kept = {
                "station_id": station_id,
                "content_hash": digest,
                "item_key": row.item_key,
                "detail": detail,
                "quarantined_at": now,
            }
            connection.execute(pg.insert(VIEW_QUARANTINE).values(kept).on_conflict_do_nothing())

    def compact(self, station_id: str, now: datetime, *, keep: int) -> int:
        """Forget lines that no edge with a lease needs; return the new compacted revision."""
        with self._begun() as connection:
            row = connection.execute(
                sa.select(VIEW).where(VIEW.c.station_id == station_id).with_for_update()
            ).one_or_none()
            if row is None:  # a second view that has gone
                return 0
            head = head_of(row)
            safe = compactable(head, _edges(connection, station_id), now, keep=keep)
            connection.execute(
                sa.delete(VIEW_LOG).where(
                    VIEW_LOG.c.station_id == station_id, VIEW_LOG.c.rev <= safe
                )
            )
            connection.execute(
                sa.update(VIEW).where(VIEW.c.station_id == station_id).values(compacted_rev=safe)
            )
        return safe

    def renew_epoch(self, station_id: str, epoch: UUID) -> None:
        """Start a new history: every edge takes a snapshot."""
        with self._begun() as connection:
            connection.execute(
                sa.update(VIEW).where(VIEW.c.station_id == station_id).values(epoch=epoch)
            )
            follow_epochs(connection)
            announce(connection, VIEW_CHANNEL, station_id)

    def _publish(
        self, connection: sa.Connection, station_ids: Iterable[str], changes: Sequence[Change]
    ) -> None:
        publish(connection, station_ids, changes, safe=self._safe, dimension=self._dimension)

    @contextmanager
    def _begun(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except (sa.exc.SQLAlchemyError, KeysFailed, LedgerFailed) as problem:
            raise ViewLogFailed(str(problem)) from problem


def _head(connection: sa.Connection, station_id: str) -> Head | None:
    row = connection.execute(sa.select(VIEW).where(VIEW.c.station_id == station_id)).one_or_none()
    return None if row is None else head_of(row)


def _edges(connection: sa.Connection, station_id: str) -> tuple[EdgeStanding, ...]:
    rows = connection.execute(sa.select(EDGE_NODE).where(EDGE_NODE.c.follows == station_id))
    return tuple(
        EdgeStanding(row.edge_id, row.epoch, row.acked_rev, row.lease_until) for row in rows
    )


def _settle_history(
    connection: sa.Connection, on_new_history: Callable[[sa.Connection], object]
) -> None:
    """Start a new epoch everywhere when this is not the database or timeline known so far.

    A restored backup and a promoted standby may both lack revisions that edges have seen, and
    would give the same numbers to other content. They may lack erasures, too, so those are
    replayed in the same transaction: nobody is served in between.
    """
    if _is_known(connection.execute(_HISTORY_NOW).one()):
        return
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_HISTORY_LOCK)))
    row = connection.execute(_HISTORY_NOW).one()
    if _is_known(row):  # another process was faster
        return
    names = ("system_identifier", "timeline", "database_oid")
    values = {"id": 1} | {name: getattr(row, name) for name in names}
    insert = pg.insert(HISTORY).values(values)
    connection.execute(
        insert.on_conflict_do_update(index_elements=[HISTORY.c.id], set_=values),
    )
    on_new_history(connection)
    connection.execute(sa.update(VIEW).values(epoch=sa.func.gen_random_uuid()))
    follow_epochs(connection)


def _is_known(row: sa.Row[Any]) -> bool:
    known = (row.known_identifier, row.known_timeline, row.known_oid)
    return (row.system_identifier, row.timeline, row.database_oid) == known


def _lines(station_id: str, from_rev: int, limit: int) -> sa.Select[Any]:
    """Select log lines with the content that stands at the very revision of the line, if any."""
    content = sa.and_(
        VIEW_ITEM.c.station_id == VIEW_LOG.c.station_id,
        VIEW_ITEM.c.item_key == VIEW_LOG.c.item_key,
        VIEW_ITEM.c.rev == VIEW_LOG.c.rev,
    )
    return (
        sa.select(VIEW_LOG.c.rev.label("log_rev"), VIEW_LOG.c.is_drop, VIEW_LOG.c.item_key)
        .add_columns(
            VIEW_LOG.c.content_hash,
            VIEW_ITEM.c.version,
            VIEW_ITEM.c.model_id,
            VIEW_ITEM.c.transform_id,
            VIEW_ITEM.c.body,
            VIEW_ITEM.c.expires,
            VIEW_ITEM.c.tier,
        )
        .select_from(VIEW_LOG.outerjoin(VIEW_ITEM, content))
        .where(VIEW_LOG.c.station_id == station_id, VIEW_LOG.c.rev > from_rev)
        .order_by(VIEW_LOG.c.rev)
        .limit(limit)
    )


def _urgent_lines(station_id: str, from_rev: int) -> sa.Select[Any]:
    """Select the lines that shut somebody out: drops of riders and keys, and denials."""
    kind = sa.func.substr(VIEW_LOG.c.item_key, 1, 1)
    drops = sa.and_(VIEW_LOG.c.is_drop, kind.in_([b"r", b"k"]))
    denials = sa.and_(sa.not_(VIEW_LOG.c.is_drop), kind == b"d")
    return _lines(station_id, from_rev, URGENT_MAX).where(sa.or_(drops, denials))
