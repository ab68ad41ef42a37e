"""The tables of the fleet, schema `cloud_sync`; written by this package alone."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from cloud_sync.adapters.postgres.tables import METADATA

_TIME = sa.DateTime(timezone=True)

EDGE_HEALTH = sa.Table(
    "edge_health",
    METADATA,
    sa.Column("edge_id", sa.Text, primary_key=True),
    sa.Column("received_at", _TIME, nullable=False),
    sa.Column("health", JSONB, nullable=False),
)

EDGE_HEALTH_PAST = sa.Table(
    "edge_health_past",
    METADATA,
    sa.Column("edge_id", sa.Text, primary_key=True),
    sa.Column("slot", sa.SmallInteger, primary_key=True),
    sa.Column("received_at", _TIME, nullable=False),
    sa.Column("health", JSONB, nullable=False),
)
