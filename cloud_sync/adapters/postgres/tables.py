"""The tables of schema `cloud_sync`, as its migrations make them; written by this package alone."""

import sqlalchemy as sa

METADATA = sa.MetaData(schema="cloud_sync")

_TIME = sa.DateTime(timezone=True)

HISTORY = sa.Table(
    "history",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("system_identifier", sa.Text, nullable=False),
    sa.Column("timeline", sa.Integer, nullable=False),
    sa.Column("database_oid", sa.BigInteger, nullable=False),
)

KEY_USE = sa.Table(
    "key_use",
    METADATA,
    sa.Column("key_id", sa.Text, primary_key=True),
    sa.Column("since", _TIME, nullable=False),
)

SEALED_COLUMN = sa.Table(
    "sealed_column",
    METADATA,
    sa.Column("table_name", sa.Text, primary_key=True),
    sa.Column("column_name", sa.Text, primary_key=True),
    sa.Column("transform_column", sa.Text, nullable=False),
)

VIEW = sa.Table(
    "view",
    METADATA,
    sa.Column("station_id", sa.Text, primary_key=True),
    sa.Column("epoch", sa.Uuid, nullable=False),
    sa.Column("head_rev", sa.BigInteger, nullable=False),
    sa.Column("compacted_rev", sa.BigInteger, nullable=False),
    sa.Column("lease_s", sa.Integer, nullable=False),
    sa.Column("model_id", sa.Text, nullable=False),
    sa.Column("transform_id", sa.Text, nullable=False),
    sa.Column("key_id", sa.Text, nullable=False),
)

MODEL = sa.Table(
    "model",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("model_id", sa.Text, nullable=False),  # in force; empty until it was ever changed
    sa.Column("next_id", sa.Text, nullable=False),
    sa.Column("phase", sa.Text, nullable=False),
    sa.Column("begun_at", _TIME),
)

VIEW_LOG = sa.Table(
    "view_log",
    METADATA,
    sa.Column("station_id", sa.Text, primary_key=True),
    sa.Column("rev", sa.BigInteger, primary_key=True),
    sa.Column("item_key", sa.LargeBinary, nullable=False),
    sa.Column("is_drop", sa.Boolean, nullable=False),
    sa.Column("content_hash", sa.LargeBinary, nullable=False),
)

VIEW_ITEM = sa.Table(
    "view_item",
    METADATA,
    sa.Column("station_id", sa.Text, primary_key=True),
    sa.Column("item_key", sa.LargeBinary, primary_key=True),
    sa.Column("rev", sa.BigInteger, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("model_id", sa.Text, nullable=False),
    sa.Column("transform_id", sa.Text, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("expires", _TIME),
    sa.Column("content_hash", sa.LargeBinary, nullable=False),
    sa.Column("tier", sa.SmallInteger, nullable=False),
)

MODE_ORDER = sa.Table(
    "mode_order",
    METADATA,
    sa.Column("station_id", sa.Text, primary_key=True),
    sa.Column("rev", sa.BigInteger, primary_key=True),
    sa.Column("at", _TIME, server_default=sa.func.clock_timestamp(), nullable=False),
    sa.Column("modes", sa.Text, nullable=False),  # sorted, with commas
)

MODE_HEARD = sa.Table(
    "mode_heard",
    METADATA,
    sa.Column("edge_id", sa.Text, primary_key=True),
    sa.Column("station_id", sa.Text, primary_key=True),
    sa.Column("rev", sa.BigInteger, primary_key=True),
    sa.Column("at", _TIME, nullable=False),
)

VIEW_QUARANTINE = sa.Table(
    "view_quarantine",
    METADATA,
    sa.Column("station_id", sa.Text, primary_key=True),
    sa.Column("content_hash", sa.LargeBinary, primary_key=True),
    sa.Column("item_key", sa.LargeBinary, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("quarantined_at", _TIME, nullable=False),
)

EDGE_NODE = sa.Table(
    "edge_node",
    METADATA,
    sa.Column("edge_id", sa.Text, primary_key=True),
    sa.Column("station_id", sa.Text, nullable=False),
    sa.Column("public_key", sa.LargeBinary, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("follows", sa.Text, nullable=False),  # a view of its station
    sa.Column("admitted_at", _TIME, nullable=False),
    sa.Column("epoch", sa.Uuid),
    sa.Column("acked_rev", sa.BigInteger, nullable=False),
    sa.Column("acked_at", _TIME),
    sa.Column("lease_until", _TIME),
)

OUTBOX = sa.Table(
    "outbox",
    METADATA,
    sa.Column("outbox_id", sa.Uuid, primary_key=True),
    sa.Column("edge_id", sa.Text, nullable=False),
    sa.Column("durable_seq", sa.BigInteger, nullable=False),
)

TAP_HEAD = sa.Table(
    "tap_head",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("position", sa.BigInteger, nullable=False),
)


def _tap_columns() -> tuple[sa.Column[object], ...]:
    return (
        sa.Column("tap_id", sa.Uuid, nullable=False),
        sa.Column("edge_id", sa.Text, nullable=False),
        sa.Column("outbox_id", sa.Uuid, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("prev_hash", sa.LargeBinary, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("signature", sa.LargeBinary, nullable=False),
        sa.Column("rider_ref", sa.Uuid, nullable=False),
        sa.Column("station_id", sa.Text, nullable=False),
        sa.Column("lane_id", sa.Text, nullable=False),
        sa.Column("direction", sa.Text, nullable=False),
        sa.Column("medium", sa.Text, nullable=False),
        sa.Column("tap_time", _TIME, nullable=False),
        sa.Column("clock_error_ms", sa.BigInteger, nullable=False),
        sa.Column("model_id", sa.Text, nullable=False),
        sa.Column("score_e4", sa.Integer, nullable=False),
        sa.Column("code_id", sa.LargeBinary, nullable=False),
        sa.Column("flags", sa.Text, nullable=False),  # sorted, with commas
        sa.Column("received_at", _TIME, nullable=False),
    )


TAP = sa.Table(
    "tap",
    METADATA,
    sa.Column("position", sa.BigInteger, primary_key=True),
    *_tap_columns(),
    sa.Column("doubted", sa.Text, nullable=False),  # flags, sorted, with commas
)

TAP_QUARANTINE = sa.Table(
    "tap_quarantine",
    METADATA,
    sa.Column("arrival", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("blemish", sa.Text, nullable=False),
    sa.Column("is_settled", sa.Boolean, nullable=False),
    *_tap_columns(),
)

MASTER_HEAD = sa.Table(
    "master_head",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("rev", sa.BigInteger, nullable=False),
)

MASTER_RIDER = sa.Table(
    "master_rider",
    METADATA,
    sa.Column("rider_ref", sa.Uuid, primary_key=True),
    sa.Column("standing", sa.Text, nullable=False),
    sa.Column("since", _TIME, nullable=False),
)

MASTER_TEMPLATE = sa.Table(
    "master_template",
    METADATA,
    sa.Column("rider_ref", sa.Uuid, primary_key=True),
    sa.Column("model_id", sa.Text, primary_key=True),
    sa.Column("transform_id", sa.Text, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("is_active", sa.Boolean, nullable=False),
    sa.Column("rev", sa.BigInteger, nullable=False),
)

CLAIM = sa.Table(
    "claim",
    METADATA,
    sa.Column("station_id", sa.Text, primary_key=True),
    sa.Column("rider_ref", sa.Uuid, primary_key=True),
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("weight", sa.Double, nullable=False),
    sa.Column("since", _TIME, nullable=False),
    sa.Column("until", _TIME, nullable=False),
)

HOME = sa.Table(
    "home",
    METADATA,
    sa.Column("rider_ref", sa.Uuid, primary_key=True),
    sa.Column("station_id", sa.Text, primary_key=True),
    sa.Column("place", sa.SmallInteger, nullable=False),
    sa.Column("since", _TIME, nullable=False),
)

HABIT = sa.Table(
    "habit",
    METADATA,
    sa.Column("station_id", sa.Text, primary_key=True),
    sa.Column("rider_ref", sa.Uuid, primary_key=True),
    sa.Column("bucket", sa.SmallInteger, primary_key=True),
    sa.Column("weight", sa.Double, nullable=False),
    sa.Column("at", _TIME, nullable=False),
)

LAST_TAP = sa.Table(
    "last_tap",
    METADATA,
    sa.Column("rider_ref", sa.Uuid, primary_key=True),
    sa.Column("station_id", sa.Text, nullable=False),
    sa.Column("direction", sa.Text, nullable=False),
    sa.Column("at", _TIME, nullable=False),
)

SOURCE_HIT = sa.Table(
    "source_hit",
    METADATA,
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("station_id", sa.Text, primary_key=True),
    sa.Column("direction", sa.Text, primary_key=True),
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("tier", sa.SmallInteger, primary_key=True),
    sa.Column("passages", sa.BigInteger, nullable=False),
)

CLAIM_CURSOR = sa.Table(
    "claim_cursor",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("position", sa.BigInteger, nullable=False),
)

RECONCILE = sa.Table(
    "reconcile",
    METADATA,
    sa.Column("station_id", sa.Text, primary_key=True),
    sa.Column("due_at", _TIME, nullable=False),
    sa.Column("look_due_at", _TIME, nullable=False),
    sa.Column("glanced_at", _TIME),
    sa.Column("done_at", _TIME),
    sa.Column("first", sa.Integer, nullable=False),
    sa.Column("second", sa.Integer, nullable=False),
    sa.Column("outside", sa.Integer, nullable=False),
    sa.Column("first_bound", sa.Integer, nullable=False),
    sa.Column("puts", sa.BigInteger, nullable=False),
    sa.Column("drops", sa.BigInteger, nullable=False),
)

VIEW_BUDGET = sa.Table(
    "view_budget",
    METADATA,
    sa.Column("station_id", sa.Text, primary_key=True),
    sa.Column("first", sa.Integer, nullable=False),
    sa.Column("first_max", sa.Integer, nullable=False),
    sa.Column("second", sa.Integer, nullable=False),
    sa.Column("set_at", _TIME, nullable=False),
)
