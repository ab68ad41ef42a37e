"""Station nodes for tests: well ones by default, and what a test says is wrong with them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from cloud_sync.fleet.health import EdgeHealth, FleetNode, LaneHealth, Report, Standing
from cloud_sync.stream.messages import PROTOCOL

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
DAY_S = 86_400


def lane(lane_id: str = "entry-1", **fields: Any) -> LaneHealth:
    """Give a lane in order."""
    well = LaneHealth(lane_id, "ok", 0.04, "", by_face=90, by_code=8, refused=2)
    return replace(well, **fields)


def health(edge_id: str = "edge-1", station_id: str = "bell-tower", **fields: Any) -> EdgeHealth:
    """Give the report of a node in order."""
    well = EdgeHealth(
        edge_id=edge_id,
        station_id=station_id,
        told_at=NOON,
        started_at=NOON - timedelta(days=3),
        revision=1_000,
        lease_until=NOON + timedelta(hours=23),
        certificate_from=NOON - timedelta(hours=20),
        certificate_until=NOON + timedelta(days=6),
        outbox_depth=0,
        outbox_age_s=None,
        first_tier=900,
        second_tier=20_000,
        model_digest="face@0123456789ab",
        protocol=PROTOCOL,
        software="0.1.0",
        clock_error_ms=12,
        deny_list_age_s=3.5,
        disk_free_bytes=40 * 1024**3,
        lanes=(lane("entry-1"), lane("exit-1")),
    )
    return replace(well, **fields)


def node(told: EdgeHealth | None, *, heard_s_ago: float = 3.0, **fields: Any) -> FleetNode:
    """Give a node as the cloud sees it at noon; `fields` are those of its standing."""
    known = told or health()
    lease = NOON + timedelta(hours=23)
    well = Standing(known.edge_id, known.station_id, 1_000, 1_000, lease, DAY_S)
    report = Report(told, NOON - timedelta(seconds=heard_s_ago)) if told else None
    return FleetNode(replace(well, **fields), report)
