"""Riders, consents, photos, templates, look-alikes, erasures, issuer keys."""

import sqlalchemy as sa
from alembic import op

revision = "enroll_0001"
down_revision = None
branch_labels = None
depends_on = None

_STATEMENTS = """
CREATE TABLE enroll.rider (
    ref uuid PRIMARY KEY,
    display_name text NOT NULL,
    minor boolean NOT NULL,
    state text NOT NULL CHECK (state IN ('active', 'paused', 'withdrawn')),
    created timestamptz NOT NULL,
    key_hash bytea NOT NULL CHECK (length(key_hash) = 32),
    templates_made integer NOT NULL DEFAULT 0,
    stationed integer NOT NULL DEFAULT 0
);
CREATE TABLE enroll.consent (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rider_ref uuid NOT NULL REFERENCES enroll.rider,
    purpose text NOT NULL,
    given boolean NOT NULL,
    text_version integer NOT NULL,
    at timestamptz NOT NULL
);
CREATE INDEX consent_by_rider ON enroll.consent (rider_ref, number);
CREATE TABLE enroll.photo (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    photo_id uuid NOT NULL UNIQUE,
    rider_ref uuid NOT NULL REFERENCES enroll.rider,
    taken timestamptz NOT NULL,
    model_id text NOT NULL,
    embedding bytea NOT NULL,
    quality double precision NOT NULL CHECK (quality > 0),
    original bytea
);
CREATE INDEX photo_by_rider ON enroll.photo (rider_ref, number);
CREATE TABLE enroll.template (
    rider_ref uuid PRIMARY KEY REFERENCES enroll.rider,
    version integer NOT NULL CHECK (version > 0),
    model_id text NOT NULL,
    transform_id text NOT NULL,
    vector bytea NOT NULL,
    made timestamptz NOT NULL,
    photos integer NOT NULL
);
CREATE TABLE enroll.lookalike (
    one uuid NOT NULL REFERENCES enroll.rider,
    other uuid NOT NULL REFERENCES enroll.rider,
    score double precision NOT NULL,
    found timestamptz NOT NULL,
    verdict text NOT NULL CHECK (verdict IN ('open', 'cleared')),
    PRIMARY KEY (one, other),
    CONSTRAINT lookalike_in_order CHECK (one < other)
);
CREATE INDEX lookalike_by_other ON enroll.lookalike (other);
CREATE TABLE enroll.erasure (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rider_ref uuid NOT NULL REFERENCES enroll.rider,
    at timestamptz NOT NULL,
    cause text NOT NULL,
    photos integer NOT NULL,
    originals integer NOT NULL,
    templates integer NOT NULL
);
CREATE INDEX erasure_by_rider ON enroll.erasure (rider_ref, number);
CREATE TABLE enroll.issuer_key (
    key_id integer PRIMARY KEY CHECK (key_id BETWEEN 0 AND 65535),
    seed bytea NOT NULL CHECK (length(seed) = 32),
    public bytea NOT NULL CHECK (length(public) = 32),
    made timestamptz NOT NULL
);
CREATE TABLE enroll.station (station_id text PRIMARY KEY);
CREATE FUNCTION enroll.only_added() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% records are only added', TG_TABLE_NAME;
END $$;
CREATE TRIGGER consent_only_added BEFORE UPDATE OR DELETE ON enroll.consent
    FOR EACH ROW EXECUTE FUNCTION enroll.only_added();
CREATE TRIGGER erasure_only_added BEFORE UPDATE OR DELETE ON enroll.erasure
    FOR EACH ROW EXECUTE FUNCTION enroll.only_added();
"""


def upgrade() -> None:
    """Make everything."""
    op.execute(sa.text(_STATEMENTS))


def downgrade() -> None:
    """Refuse: consents and proofs of deletion are not thrown away."""
    raise NotImplementedError("enroll_0001 has no way back")
