"""The tables of the schema `enroll`; this package alone writes them."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import UUID as PG_UUID

SCHEMA = "enroll"

metadata = sa.MetaData(schema=SCHEMA)

_TIME = sa.DateTime(timezone=True)
_REF = PG_UUID(as_uuid=True)


def _rider() -> sa.Column[object]:
    return sa.Column("rider_ref", _REF, sa.ForeignKey(f"{SCHEMA}.rider.ref"), nullable=False)


rider = sa.Table(
    "rider",
    metadata,
    sa.Column("ref", _REF, primary_key=True),
    sa.Column("display_name", sa.Text, nullable=False),
    sa.Column("minor", sa.Boolean, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("created", _TIME, nullable=False),
    sa.Column("key_hash", sa.LargeBinary, nullable=False),
    sa.Column("templates_made", sa.Integer, nullable=False, server_default="0"),
    sa.Column("stationed", sa.Integer, nullable=False, server_default="0"),
)

consent = sa.Table(
    "consent",
    metadata,
    sa.Column("number", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    _rider(),
    sa.Column("purpose", sa.Text, nullable=False),
    sa.Column("given", sa.Boolean, nullable=False),
    sa.Column("text_version", sa.Integer, nullable=False),
    sa.Column("at", _TIME, nullable=False),
    sa.Index("consent_by_rider", "rider_ref", "number"),
)

photo = sa.Table(
    "photo",
    metadata,
    sa.Column("number", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("photo_id", _REF, nullable=False, unique=True),
    _rider(),
    sa.Column("taken", _TIME, nullable=False),
    sa.Column("model_id", sa.Text, nullable=False),
    sa.Column("embedding", sa.LargeBinary, nullable=False),  # sealed, float32, little endian
    sa.Column("quality", sa.Double, nullable=False),
    sa.Column("original", sa.LargeBinary),  # sealed JPEG
    sa.Column("next_model_id", sa.Text),  # the coming model, once it has looked at the photo
    sa.Column("next_embedding", sa.LargeBinary),  # sealed, as the embedding
    sa.Column("next_quality", sa.Double),
    sa.Column("next_refusal", sa.Text),
    sa.Index("photo_by_rider", "rider_ref", "number"),
)

template = sa.Table(
    "template",
    metadata,
    sa.Column("rider_ref", _REF, sa.ForeignKey(f"{SCHEMA}.rider.ref"), primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("model_id", sa.Text, primary_key=True),
    sa.Column("transform_id", sa.Text, nullable=False),
    sa.Column("vector", sa.LargeBinary, nullable=False),  # sealed, float32, little endian
    sa.Column("made", _TIME, nullable=False),
    sa.Column("photos", sa.Integer, nullable=False),
)

lookalike = sa.Table(
    "lookalike",
    metadata,
    sa.Column("one", _REF, sa.ForeignKey(f"{SCHEMA}.rider.ref"), primary_key=True),
    sa.Column("other", _REF, sa.ForeignKey(f"{SCHEMA}.rider.ref"), primary_key=True),
    sa.Column("score", sa.Double, nullable=False),
    sa.Column("found", _TIME, nullable=False),
    sa.Column("verdict", sa.Text, nullable=False),
    sa.CheckConstraint("one < other", name="lookalike_in_order"),
    sa.Index("lookalike_by_other", "other"),
)

erasure = sa.Table(
    "erasure",
    metadata,
    sa.Column("number", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    _rider(),
    sa.Column("at", _TIME, nullable=False),
    sa.Column("cause", sa.Text, nullable=False),
    sa.Column("photos", sa.Integer, nullable=False),
    sa.Column("originals", sa.Integer, nullable=False),
    sa.Column("templates", sa.Integer, nullable=False),
    sa.Index("erasure_by_rider", "rider_ref", "number"),
)

issuer_key = sa.Table(
    "issuer_key",
    metadata,
    sa.Column("key_id", sa.Integer, primary_key=True),
    sa.Column("seed", sa.LargeBinary, nullable=False),
    sa.Column("public", sa.LargeBinary, nullable=False),
    sa.Column("made", _TIME, nullable=False),
)

station = sa.Table(
    "station",
    metadata,
    sa.Column("station_id", sa.Text, primary_key=True),
)
"""Stations that were filled with keys and templates when they joined."""

sealing = sa.Table(
    "sealing",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("is_done", sa.Boolean, nullable=False),
)
"""One row: whether what an older version left in plain is sealed."""
