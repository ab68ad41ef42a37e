"""Every mode a station was ever ordered, and when each of its nodes had the order on its disk.

The order is noted in the transaction that publishes it, so no gate can go by one that is not here.
Orders are few, and a tap may come late: nothing is ever deleted.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from cloud_sync.adapters.postgres.tables import EDGE_NODE, MODE_HEARD, MODE_ORDER, VIEW
from cloud_sync.content import SettingRefused
from cloud_sync.gallery import Change, DropSetting, PutSetting, SettingName
from cloud_sync.setting import Mode, StationMode, read
from cloud_sync.taps.exemption import ModeOrder

# What was ordered before a view was opened stands before its first revision, in the same order.
_PLACED = """
WITH placed AS (
    SELECT rev, at, modes, row_number() OVER (ORDER BY rev) - count(*) OVER () AS place
    FROM cloud_sync.mode_order WHERE station_id = :station
)
"""
_COPY_ORDERS = sa.text(f"""
{_PLACED}
INSERT INTO cloud_sync.mode_order (station_id, rev, at, modes)
SELECT :view, place, at, modes FROM placed
""")  # noqa: S608  # a constant
_COPY_HEARD = sa.text(f"""
{_PLACED}
INSERT INTO cloud_sync.mode_heard (edge_id, station_id, rev, at)
SELECT h.edge_id, :view, p.place, h.at
FROM cloud_sync.mode_heard AS h JOIN placed AS p USING (rev) WHERE h.station_id = :station
""")  # noqa: S608  # a constant


def note_orders(
    connection: sa.Connection, view_id: str, from_rev: int, lines: Sequence[Change]
) -> None:
    """Note the modes among changes to a view, in the transaction that publishes them.

    Args:
        connection: With that transaction.
        view_id: Which; while the model is changed a station has two, each with its own revisions.
        from_rev: The revision before the first change.
        lines: The changes, one a revision.
    """
    found = [
        {"station_id": view_id, "rev": from_rev + place, "modes": ",".join(sorted(modes))}
        for place, change in enumerate(lines, 1)
        if (modes := _modes(change)) is not None
    ]
    if found:
        connection.execute(pg.insert(MODE_ORDER).on_conflict_do_nothing(), found)


def note_heard(connection: sa.Connection, edge_id: str, rev: int, now: datetime) -> None:
    """Note which orders an acknowledgement shows to be on a node's disk.

    Args:
        connection: With a transaction begun.
        edge_id: The node.
        rev: Up to where it holds the view that it follows.
        now: Aware UTC.
    """
    known = sa.exists().where(
        MODE_HEARD.c.edge_id == EDGE_NODE.c.edge_id,
        MODE_HEARD.c.station_id == MODE_ORDER.c.station_id,
        MODE_HEARD.c.rev == MODE_ORDER.c.rev,
    )
    new = (
        sa.select(EDGE_NODE.c.edge_id, MODE_ORDER.c.station_id, MODE_ORDER.c.rev, sa.literal(now))
        .join(MODE_ORDER, MODE_ORDER.c.station_id == EDGE_NODE.c.follows)
        .where(EDGE_NODE.c.edge_id == edge_id, MODE_ORDER.c.rev <= rev, ~known)
    )
    names = ["edge_id", "station_id", "rev", "at"]
    connection.execute(pg.insert(MODE_HEARD).from_select(names, new).on_conflict_do_nothing())


def orders_of(
    connection: sa.Connection, station_id: str, edge_id: str
) -> tuple[tuple[ModeOrder, ...], timedelta]:
    """Return a station's orders as one of its nodes heard of them, and the length of its lease.

    Args:
        connection: To the database.
        station_id: The station.
        edge_id: The node.
    """
    view_id = _followed(connection, station_id, edge_id)
    heard = sa.and_(
        MODE_HEARD.c.station_id == MODE_ORDER.c.station_id,
        MODE_HEARD.c.rev == MODE_ORDER.c.rev,
        MODE_HEARD.c.edge_id == edge_id,
    )
    query = (
        sa.select(MODE_ORDER.c.at, MODE_ORDER.c.modes, MODE_HEARD.c.at.label("heard"))
        .select_from(MODE_ORDER.outerjoin(MODE_HEARD, heard))
        .where(MODE_ORDER.c.station_id == view_id)
        .order_by(MODE_ORDER.c.rev)
    )
    orders = tuple(
        ModeOrder(row.at, frozenset(map(Mode, filter(None, row.modes.split(",")))), row.heard)
        for row in connection.execute(query)
    )
    lease = sa.select(VIEW.c.lease_s).where(VIEW.c.station_id == station_id)
    return orders, timedelta(seconds=connection.execute(lease).scalar_one_or_none() or 0)


def _followed(connection: sa.Connection, station_id: str, edge_id: str) -> str:
    query = sa.select(EDGE_NODE.c.follows).where(
        EDGE_NODE.c.edge_id == edge_id, EDGE_NODE.c.station_id == station_id
    )
    return connection.execute(query).scalar_one_or_none() or station_id


def open_orders(connection: sa.Connection, station_id: str, view_id: str) -> None:
    """Let a station's second view know what was ordered so far, and what its nodes have heard.

    Args:
        connection: With the transaction that opens it.
        station_id: The station.
        view_id: The second view.
    """
    names = {"station": station_id, "view": view_id}
    connection.execute(_COPY_HEARD, names)
    connection.execute(_COPY_ORDERS, names)


def end_orders(connection: sa.Connection, view_id: str, *, kept: str | None = None) -> None:
    """Forget the orders of a view that goes; those of another take their place, if one does.

    Args:
        connection: With the transaction that ends it.
        view_id: The view that goes.
        kept: The one that is named so from now on; it knows the same orders.
    """
    for table in (MODE_HEARD, MODE_ORDER):
        column = table.c.station_id
        connection.execute(sa.delete(table).where(column == view_id))
        if kept is not None:
            connection.execute(sa.update(table).where(column == kept).values(station_id=view_id))


def _modes(change: Change) -> frozenset[Mode] | None:
    """Return what a station leaves out after a change; None where that is as before."""
    match change:
        case DropSetting(SettingName.MODE):
            return frozenset()
        case PutSetting(setting) if setting.name is SettingName.MODE:
            try:
                document = read(setting)
            except SettingRefused:
                return None  # nodes refuse it as well, and go by the one before
            return document.modes if isinstance(document, StationMode) else None
        case _:
            return None
