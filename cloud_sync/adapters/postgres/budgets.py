"""Budgets of single stations in PostgreSQL: functions in the caller's transaction."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from cloud_sync.adapters.postgres.tables import RECONCILE, VIEW, VIEW_BUDGET
from cloud_sync.prefilter.budget import Budget, for_station
from cloud_sync.view_id import next_view


def budget_of(connection: sa.Connection, usual: Budget, station_id: str) -> Budget:
    """Return a station's own budget, or the usual one.

    Args:
        connection: To the database.
        usual: Of every station without its own.
        station_id: Which.
    """
    query = sa.select(VIEW_BUDGET).where(VIEW_BUDGET.c.station_id == station_id)
    row = connection.execute(query).one_or_none()
    return usual if row is None else _own(row, usual)


def own_budgets(connection: sa.Connection, usual: Budget) -> Mapping[str, Budget]:
    """Return the budgets of all stations that have their own.

    Args:
        connection: To the database.
        usual: Of every other station.
    """
    rows = connection.execute(sa.select(VIEW_BUDGET).order_by(VIEW_BUDGET.c.station_id))
    return {row.station_id: _own(row, usual) for row in rows}


def set_budget(
    connection: sa.Connection, station_id: str, budget: Budget | None, now: datetime
) -> None:
    """Give a station a budget of its own, or the usual one again; its next look follows it.

    Args:
        connection: With a transaction begun.
        station_id: Which; it must have a view.
        budget: None for the usual one.
        now: Aware UTC.

    Raises:
        LookupError: The station has no view.
    """
    there = sa.select(VIEW.c.station_id).where(VIEW.c.station_id == station_id)
    if connection.execute(there).one_or_none() is None:
        raise LookupError(f"no station has the id {station_id}")
    if budget is None:
        connection.execute(sa.delete(VIEW_BUDGET).where(VIEW_BUDGET.c.station_id == station_id))
    else:
        values = {
            "first": budget.first,
            "first_max": budget.first_max,
            "second": budget.second,
            "set_at": now,
        }
        insert = pg.insert(VIEW_BUDGET).values(station_id=station_id, **values)
        connection.execute(insert.on_conflict_do_update(index_elements=["station_id"], set_=values))
    connection.execute(
        sa.update(RECONCILE)
        .where(RECONCILE.c.station_id.in_([station_id, next_view(station_id)]))
        .values(due_at=now, look_due_at=now)
    )


def _own(row: sa.Row[Any], usual: Budget) -> Budget:
    return for_station(usual, first=row.first, first_max=row.first_max, second=row.second)
