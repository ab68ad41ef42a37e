"""The fleet in PostgreSQL, schema `cloud_sync`: the latest report a node, and a ring of others."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from cloud_sync.adapters.postgres.fleet_tables import EDGE_HEALTH, EDGE_HEALTH_PAST
from cloud_sync.adapters.postgres.health_row import health_of, health_row
from cloud_sync.adapters.postgres.tables import EDGE_NODE, TAP, VIEW
from cloud_sync.fleet.health import (
    HISTORY_STEP_S,
    HISTORY_STEPS,
    EdgeHealth,
    FleetLogFailed,
    FleetNode,
    Report,
    Standing,
    slot,
)
from cloud_sync.stream.view import EdgeNode


class PostgresFleetLog:
    """A `FleetLog` on PostgreSQL."""

    def __init__(self, engine: sa.Engine) -> None:
        """Take an engine on a migrated database."""
        self._engine = engine

    def report(self, node: EdgeNode, health: EdgeHealth, now: datetime) -> None:
        """See `FleetLog.report`."""
        news = {"received_at": now, "health": health_row(health)}
        mine = {"edge_id": node.edge_id}
        latest = pg.insert(EDGE_HEALTH).values(mine | news)
        latest = latest.on_conflict_do_update(index_elements=["edge_id"], set_=news)
        past = pg.insert(EDGE_HEALTH_PAST).values(mine | news | {"slot": slot(now)})
        past = past.on_conflict_do_update(
            index_elements=["edge_id", "slot"],
            set_=news,
            # The first report of a minute stays; only one of another round is replaced.
            where=EDGE_HEALTH_PAST.c.received_at < now - timedelta(seconds=HISTORY_STEP_S),
        )
        with self._begun() as connection:
            connection.execute(latest)
            connection.execute(past)

    def nodes(self) -> tuple[FleetNode, ...]:
        """See `FleetLog.nodes`."""
        columns = (EDGE_NODE, VIEW.c.head_rev, VIEW.c.lease_s, VIEW.c.epoch.label("view_epoch"))
        query = (
            sa.select(*columns, EDGE_HEALTH.c.received_at, EDGE_HEALTH.c.health, _doubted_taps())
            .join(VIEW, VIEW.c.station_id == EDGE_NODE.c.follows)
            .outerjoin(EDGE_HEALTH, EDGE_HEALTH.c.edge_id == EDGE_NODE.c.edge_id)
            .order_by(EDGE_NODE.c.station_id, EDGE_NODE.c.edge_id)
        )
        with self._begun() as connection:
            return tuple(_node(row) for row in connection.execute(query))

    def history(self, edge_id: str, now: datetime) -> tuple[Report, ...]:
        """See `FleetLog.history`."""
        oldest = now - timedelta(seconds=HISTORY_STEP_S * HISTORY_STEPS)
        query = (
            sa.select(EDGE_HEALTH_PAST.c.received_at, EDGE_HEALTH_PAST.c.health)
            .where(EDGE_HEALTH_PAST.c.edge_id == edge_id)
            .where(EDGE_HEALTH_PAST.c.received_at > oldest)
            .order_by(EDGE_HEALTH_PAST.c.received_at)
        )
        with self._begun() as connection:
            return tuple(_report(row) for row in connection.execute(query))

    @contextmanager
    def _begun(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except sa.exc.SQLAlchemyError as problem:
            raise FleetLogFailed(str(problem)) from problem


def _doubted_taps() -> sa.Label[int]:
    """Return a column: how many doubted taps of a node came within a day."""
    is_recent = TAP.c.received_at > sa.func.now() - timedelta(days=1)
    mine = TAP.c.edge_id == EDGE_NODE.c.edge_id
    counted = sa.select(sa.func.count()).where(mine, TAP.c.doubted != "", is_recent)
    return counted.scalar_subquery().label("doubted_taps")


def _node(row: Any) -> FleetNode:
    acked = row.acked_rev if row.epoch == row.view_epoch else 0
    standing = Standing(
        row.edge_id,
        row.station_id,
        row.head_rev,
        acked,
        row.lease_until,
        row.lease_s,
        row.doubted_taps,
    )
    return FleetNode(standing, None if row.health is None else _report(row))


def _report(row: Any) -> Report:
    return Report(health_of(row.health), row.received_at)
