"""A station's second view, of the coming model: functions inside the caller's transaction.

Views are opened and closed while nobody writes to any (`at_rest.stop_writers`), so nobody who has
asked which views a station has is overtaken.
"""

from collections.abc import Iterable

import sqlalchemy as sa

from cloud_sync.adapters.postgres import erasures
from cloud_sync.adapters.postgres.mode_history import end_orders, open_orders
from cloud_sync.adapters.postgres.publish import VIEW_CHANNEL, announce, publish
from cloud_sync.adapters.postgres.tables import (
    EDGE_NODE,
    RECONCILE,
    VIEW,
    VIEW_ITEM,
    VIEW_LOG,
    VIEW_QUARANTINE,
)
from cloud_sync.content import dropped
from cloud_sync.secrecy.safe import Safe
from cloud_sync.view_id import followed, next_view, station_of

_OPEN = sa.text("""
INSERT INTO cloud_sync.view (station_id, lease_s, model_id, transform_id, key_id)
SELECT :view, lease_s, :model_id, :transform_id, :key_id
FROM cloud_sync.view WHERE station_id = :station
ON CONFLICT DO NOTHING
""")
# All but templates: keys, denials and orders hold whatever the model.
_COPY = sa.text("""
WITH kept AS (
    INSERT INTO cloud_sync.view_item (station_id, item_key, rev, version, model_id, transform_id,
        body, expires, content_hash, tier)
    SELECT :view, item_key, row_number() OVER (ORDER BY item_key), version, model_id, transform_id,
        body, expires, content_hash, tier
    FROM cloud_sync.view_item
    WHERE station_id = :station AND substr(item_key, 1, 1) <> 'r'
    RETURNING rev, item_key, content_hash
), logged AS (
    INSERT INTO cloud_sync.view_log (station_id, rev, item_key, is_drop, content_hash)
    SELECT :view, rev, item_key, false, content_hash FROM kept RETURNING rev
)
UPDATE cloud_sync.view SET head_rev = (SELECT count(*) FROM logged) WHERE station_id = :view
""")
_RIDERS_ONCE_HELD = sa.text("""
SELECT DISTINCT l.item_key FROM cloud_sync.view_log AS l
WHERE l.station_id = :past AND substr(l.item_key, 1, 1) = 'r' AND NOT EXISTS (
    SELECT FROM cloud_sync.view_item AS i
    WHERE i.station_id = :stays AND i.item_key = l.item_key)
UNION
SELECT i.item_key FROM cloud_sync.view_item AS i
WHERE i.station_id = :past AND substr(i.item_key, 1, 1) = 'r' AND NOT EXISTS (
    SELECT FROM cloud_sync.view_item AS s
    WHERE s.station_id = :stays AND s.item_key = i.item_key)
""")


def open_next(
    connection: sa.Connection, station_id: str, model_id: str, transform_id: str, *, key_id: str
) -> bool:
    """Give a station a second view, with everything but templates; return whether it was new.

    Args:
        connection: With a transaction begun that has stopped writers, or that has made the station.
        station_id: It must have a view.
        model_id: The coming model.
        transform_id: The transform of the templates that will be put.
        key_id: The root key of its first epoch.
    """
    names = {"view": next_view(station_id), "station": station_id}
    space = {"model_id": model_id, "transform_id": transform_id, "key_id": key_id}
    if not connection.execute(_OPEN, names | space).rowcount:
        return False
    connection.execute(_COPY, names)
    open_orders(connection, station_id, names["view"])
    announce(connection, VIEW_CHANNEL, station_id)
    return True


def adopt_next(connection: sa.Connection, station_id: str, *, safe: Safe, dimension: int) -> bool:
    """Make the second view a station's only one; return whether there was one.

    It keeps its epoch and its revisions, so edges that follow it go on where they are.

    Args:
        connection: With a transaction begun that has stopped writers.
        station_id: Which.
        safe: Seals templates.
        dimension: Values in a vector.
    """
    coming = next_view(station_id)
    if not _both_locked(connection, station_id):
        return False
    _carry_drops(connection, station_id, coming, safe=safe, dimension=dimension)
    _empty(connection, station_id)
    row = connection.execute(sa.select(VIEW).where(VIEW.c.station_id == coming)).mappings().one()
    kept = {name: value for name, value in row.items() if name != "station_id"}
    connection.execute(sa.update(VIEW).where(VIEW.c.station_id == station_id).values(kept))
    for table in (VIEW_ITEM, VIEW_LOG, VIEW_QUARANTINE, RECONCILE):
        connection.execute(
            sa.update(table).where(table.c.station_id == coming).values(station_id=station_id)
        )
    connection.execute(
        sa.update(EDGE_NODE).where(EDGE_NODE.c.follows == coming).values(follows=station_id)
    )
    end_orders(connection, station_id, kept=coming)
    _end(connection, coming)
    for edge_id in _at(connection, station_id):
        erasures.follow_view(connection, edge_id)
    return True


def close_next(connection: sa.Connection, station_id: str, *, safe: Safe, dimension: int) -> bool:
    """Take a station's second view away; return whether there was one.

    Args:
        connection: With a transaction begun that has stopped writers.
        station_id: Which.
        safe: Seals templates.
        dimension: Values in a vector.
    """
    coming = next_view(station_id)
    if not _both_locked(connection, station_id):
        return False
    _carry_drops(connection, coming, station_id, safe=safe, dimension=dimension)
    mine = EDGE_NODE.c.follows == coming
    left = tuple(connection.execute(sa.select(EDGE_NODE.c.edge_id).where(mine)).scalars())
    connection.execute(sa.update(EDGE_NODE).where(mine).values(follows=station_id))
    for edge_id in left:
        erasures.follow_view(connection, edge_id)
    _empty(connection, coming)
    end_orders(connection, coming)
    _end(connection, coming)
    return True


def follow(connection: sa.Connection, edge_id: str, model_id: str) -> str | None:
    """Note which of its station's views an edge follows; return the view, None for no such edge.

    Args:
        connection: With a transaction begun.
        edge_id: Proven.
        model_id: The model that it says it compares by.
    """
    mine = EDGE_NODE.c.edge_id == edge_id
    query = sa.select(EDGE_NODE.c.station_id, EDGE_NODE.c.follows).where(mine)
    row = connection.execute(query.with_for_update()).one_or_none()
    if row is None:
        return None
    wanted = VIEW.c.station_id.in_([row.station_id, next_view(row.station_id)])
    found = connection.execute(sa.select(VIEW.c.station_id, VIEW.c.model_id).where(wanted))
    view_id = followed(row.station_id, {each.station_id: each.model_id for each in found}, model_id)
    if view_id != row.follows:
        connection.execute(sa.update(EDGE_NODE).where(mine).values(follows=view_id))
        erasures.follow_view(connection, edge_id)
    return view_id


def _both_locked(connection: sa.Connection, station_id: str) -> bool:
    """Lock a station's views; return whether there are two."""
    query = sa.select(VIEW.c.station_id).where(
        VIEW.c.station_id.in_([station_id, next_view(station_id)])
    )
    locked = query.order_by(VIEW.c.station_id).with_for_update()
    return len(connection.execute(locked).all()) > 1


def _at(connection: sa.Connection, station_id: str) -> Iterable[str]:
    query = sa.select(EDGE_NODE.c.edge_id).where(EDGE_NODE.c.station_id == station_id)
    return connection.execute(query).scalars().all()


def _carry_drops(
    connection: sa.Connection, past: str, stays: str, *, safe: Safe, dimension: int
) -> None:
    """Let the view that stays drop whom only the past one has held.

    An edge that does not come back may hold them until its lease ends. Were one of them to leave
    later, the proof would not ask that edge: it asks those whose view has a drop of the rider.
    """
    found = connection.execute(_RIDERS_ONCE_HELD, {"past": past, "stays": stays}).scalars()
    drops = [dropped(bytes(key)) for key in sorted(found)]
    publish(connection, [stays], drops, safe=safe, dimension=dimension)


def _empty(connection: sa.Connection, view_id: str) -> None:
    for table in (VIEW_ITEM, VIEW_LOG, VIEW_QUARANTINE, RECONCILE):
        connection.execute(sa.delete(table).where(table.c.station_id == view_id))


def _end(connection: sa.Connection, view_id: str) -> None:
    connection.execute(sa.delete(VIEW).where(VIEW.c.station_id == view_id))
    for each in (view_id, station_of(view_id)):
        announce(connection, VIEW_CHANNEL, each)


def two_views(connection: sa.Connection) -> tuple[str, ...]:
    """Return the stations that have a second view, sorted."""
    ends = VIEW.c.station_id.like("%" + next_view(""))
    query = sa.select(VIEW.c.station_id).where(ends).order_by(VIEW.c.station_id)
    return tuple(station_of(view) for view in connection.execute(query).scalars())
