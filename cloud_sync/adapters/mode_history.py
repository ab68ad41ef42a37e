"""Every mode a station was ever ordered, and when each of its nodes had the order on its disk.

The order is noted in the transaction that publishes it, so no gate can go by one that is not here.
Orders are few, and a tap may come late: nothing is ever deleted.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from cloud_sync.adapters.tables import EDGE_NODE, MODE_HEARD, MODE_ORDER, VIEW
from cloud_sync.content import SettingRefused
from cloud_sync.exemption import ModeOrder
from cloud_sync.gallery import Change, DropSetting, PutSetting, SettingName
from cloud_sync.setting import Mode, StationMode, read


def note_orders(
    connection: sa.Connection, station_id: str, from_rev: int, lines: Sequence[Change]
) -> None:
    """Note the modes among changes to a view, in the transaction that publishes them.

    Args:
        connection: With that transaction.
        station_id: Whose view.
        from_rev: The revision before the first change.
        lines: The changes, one a revision.
    """
    found = [
        {"station_id": station_id, "rev": from_rev + place, "modes": ",".join(sorted(modes))}
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
        rev: Up to where it holds its station's view.
        now: Aware UTC.
    """
    known = sa.exists().where(
        MODE_HEARD.c.edge_id == EDGE_NODE.c.edge_id,
        MODE_HEARD.c.station_id == MODE_ORDER.c.station_id,
        MODE_HEARD.c.rev == MODE_ORDER.c.rev,
    )
    new = (
        sa.select(EDGE_NODE.c.edge_id, MODE_ORDER.c.station_id, MODE_ORDER.c.rev, sa.literal(now))
        .join(MODE_ORDER, MODE_ORDER.c.station_id == EDGE_NODE.c.station_id)
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
    heard = sa.and_(
        MODE_HEARD.c.station_id == MODE_ORDER.c.station_id,
        MODE_HEARD.c.rev == MODE_ORDER.c.rev,
        MODE_HEARD.c.edge_id == edge_id,
    )
    query = (
        sa.select(MODE_ORDER.c.at, MODE_ORDER.c.modes, MODE_HEARD.c.at.label("heard"))
        .select_from(MODE_ORDER.outerjoin(MODE_HEARD, heard))
        .where(MODE_ORDER.c.station_id == station_id)
        .order_by(MODE_ORDER.c.rev)
    )
    orders = tuple(
        ModeOrder(row.at, frozenset(map(Mode, filter(None, row.modes.split(",")))), row.heard)
        for row in connection.execute(query)
    )
    lease = sa.select(VIEW.c.lease_s).where(VIEW.c.station_id == station_id)
    return orders, timedelta(seconds=connection.execute(lease).scalar_one_or_none() or 0)


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
