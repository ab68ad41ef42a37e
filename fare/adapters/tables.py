"""The tables of schema `fare`, as its migrations make them; written by this package alone."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

METADATA = sa.MetaData(schema="fare")

_TIME = sa.DateTime(timezone=True)

CURSOR = sa.Table(
    "cursor",
    METADATA,
    sa.Column("feed", sa.Text, primary_key=True),
    sa.Column("position", sa.BigInteger, nullable=False),
)

TAP = sa.Table(
    "tap",
    METADATA,
    sa.Column("tap_id", sa.Uuid, primary_key=True),
    sa.Column("digest", sa.LargeBinary, primary_key=True),
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
    sa.Column("doubted", sa.Text, nullable=False),  # those of them that no order explains
)

ACCOUNT = sa.Table(
    "account",
    METADATA,
    sa.Column("rider_ref", sa.Uuid, primary_key=True),
    sa.Column("card_token", sa.Text),  # NULL is the wallet
    sa.Column("unsettled", sa.Boolean, nullable=False),
)

DECISION = sa.Table(
    "decision",
    METADATA,
    sa.Column("trip_id", sa.Uuid, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("rider_ref", sa.Uuid, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("fare_minor_units", sa.BigInteger, nullable=False),
    sa.Column("currency", sa.CHAR(3), nullable=False),
    sa.Column("entry_tap_id", sa.Uuid),
    sa.Column("entry_station_id", sa.Text),
    sa.Column("entry_medium", sa.Text),
    sa.Column("entry_time", _TIME),
    sa.Column("exit_tap_id", sa.Uuid),
    sa.Column("exit_station_id", sa.Text),
    sa.Column("exit_medium", sa.Text),
    sa.Column("exit_time", _TIME),
    sa.Column("overstayed", sa.Boolean, nullable=False),
    sa.Column("metres", sa.Integer, nullable=False),
    sa.Column("path", pg.ARRAY(sa.Text), nullable=False),
    sa.Column("rule_id", sa.Text, nullable=False),
    sa.Column("tariff_version", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("decided_time", _TIME, nullable=False),
)

CHARGE = sa.Table(
    "charge",
    METADATA,
    sa.Column("charge_id", sa.Uuid, primary_key=True),
    sa.Column("trip_id", sa.Uuid, nullable=False),
    sa.Column("rider_ref", sa.Uuid, nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("seq", sa.Integer, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("minor_units", sa.BigInteger, nullable=False),
    sa.Column("currency", sa.CHAR(3), nullable=False),
    sa.Column("card_token", sa.Text),  # NULL is the wallet
    sa.Column("of", sa.Uuid),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("made_time", _TIME, nullable=False),
    sa.Column("due_time", _TIME, nullable=False),
    sa.Column("sends", sa.Integer, nullable=False),
    sa.Column("queries", sa.Integer, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
)

ENTRY = sa.Table(
    "entry",
    METADATA,
    sa.Column("entry_id", sa.Uuid, primary_key=True),
    sa.Column("place", sa.BigInteger, sa.Identity(always=True), nullable=False),
    sa.Column("book", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("event_time", _TIME, nullable=False),
    sa.Column("reference", sa.Text, nullable=False),
    sa.Column("lines", sa.Integer, nullable=False),
    sa.Column("booked_time", _TIME, server_default=sa.func.clock_timestamp(), nullable=False),
)

POSTING = sa.Table(
    "posting",
    METADATA,
    sa.Column("entry_id", sa.Uuid, primary_key=True),
    sa.Column("line", sa.Integer, primary_key=True),
    sa.Column("account", sa.Text, nullable=False),
    sa.Column("minor_units", sa.BigInteger, nullable=False),
    sa.Column("currency", sa.CHAR(3), nullable=False),
)
