"""The tables of the erasure ledger, schema `cloud_sync`; written by this package alone."""

import sqlalchemy as sa

from cloud_sync.adapters.postgres.tables import METADATA

_TIME = sa.DateTime(timezone=True)

ERASURE_LEDGER = sa.Table(
    "erasure_ledger",
    METADATA,
    sa.Column("rider_ref", sa.Uuid, primary_key=True),
    sa.Column("erased_at", _TIME, primary_key=True),
    sa.Column("cause", sa.Text, nullable=False),
    sa.Column("is_final", sa.Boolean, nullable=False),
)

ERASURE_NODE = sa.Table(
    "erasure_node",
    METADATA,
    sa.Column("rider_ref", sa.Uuid, primary_key=True),
    sa.Column("erased_at", _TIME, primary_key=True),
    sa.Column("edge_id", sa.Text, primary_key=True),
    sa.Column("station_id", sa.Text, primary_key=True),
    sa.Column("epoch", sa.Uuid, nullable=False),
    sa.Column("drop_rev", sa.BigInteger, nullable=False),
    sa.Column("lease_until", _TIME),
    sa.Column("acked_at", _TIME),
)
