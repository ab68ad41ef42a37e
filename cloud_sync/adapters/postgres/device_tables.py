"""The tables of devices in schema `cloud_sync`: tokens, keys, certificates, deny set, audit."""

import sqlalchemy as sa

from cloud_sync.adapters.postgres.tables import METADATA

_TIME = sa.DateTime(timezone=True)

BOOTSTRAP_TOKEN = sa.Table(
    "bootstrap_token",
    METADATA,
    sa.Column("digest", sa.LargeBinary, primary_key=True),
    sa.Column("station_id", sa.Text, nullable=False),
    sa.Column("edge_id", sa.Text, nullable=False),
    sa.Column("expires", _TIME, nullable=False),
    sa.Column("used_at", _TIME),
    sa.Column("used_by", sa.LargeBinary),
)

DEVICE_KEY = sa.Table(
    "device_key",
    METADATA,
    sa.Column("key_digest", sa.LargeBinary, primary_key=True),
    sa.Column("edge_id", sa.Text, nullable=False),
)

CERTIFICATE = sa.Table(
    "certificate",
    METADATA,
    sa.Column("serial", sa.Text, primary_key=True),
    sa.Column("edge_id", sa.Text, nullable=False),
    sa.Column("station_id", sa.Text, nullable=False),
    sa.Column("key_digest", sa.LargeBinary, nullable=False),
    sa.Column("not_before", _TIME, nullable=False),
    sa.Column("not_after", _TIME, nullable=False),
)

DENIED = sa.Table(
    "denied",
    METADATA,
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("denied_at", _TIME, nullable=False),
)

AUDIT = sa.Table(
    "audit",
    METADATA,
    sa.Column("number", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("at", _TIME, nullable=False),
    sa.Column("edge_id", sa.Text, nullable=False),
    sa.Column("serial", sa.Text, nullable=False),
    sa.Column("what", sa.Text, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
)
