"""Devices: bootstrap tokens, keys, certificates, the deny set and the audit."""

from alembic import op

revision = "cloud_sync_0005"
down_revision = "cloud_sync_0004"
branch_labels = None
depends_on = None

_DEVICES = """
CREATE TABLE cloud_sync.bootstrap_token (
    digest bytea PRIMARY KEY CHECK (octet_length(digest) = 32),
    station_id text NOT NULL CHECK (station_id <> ''),
    edge_id text NOT NULL CHECK (edge_id <> ''),
    expires timestamptz NOT NULL,
    used_at timestamptz,
    used_by bytea CHECK (octet_length(used_by) = 32)
);
COMMENT ON COLUMN cloud_sync.bootstrap_token.digest IS 'of the token; the token itself is nowhere';

CREATE TABLE cloud_sync.device_key (
    key_digest bytea PRIMARY KEY CHECK (octet_length(key_digest) = 32),
    edge_id text NOT NULL
);
COMMENT ON TABLE cloud_sync.device_key IS 'a key is for ever of the edge that brought it first';

CREATE TABLE cloud_sync.certificate (
    serial text PRIMARY KEY,
    edge_id text NOT NULL,
    station_id text NOT NULL,
    key_digest bytea NOT NULL,
    not_before timestamptz NOT NULL,
    not_after timestamptz NOT NULL
);
CREATE INDEX certificate_edge ON cloud_sync.certificate (edge_id, not_before);
CREATE INDEX certificate_past ON cloud_sync.certificate (not_after);

CREATE TABLE cloud_sync.denied (
    kind text NOT NULL CHECK (kind IN ('edge', 'serial')),
    name text NOT NULL,
    denied_at timestamptz NOT NULL,
    PRIMARY KEY (kind, name)
);

CREATE TABLE cloud_sync.audit (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    edge_id text NOT NULL,
    serial text NOT NULL,
    what text NOT NULL,
    detail text NOT NULL
);
CREATE INDEX audit_kind ON cloud_sync.audit (what, number);
"""


def upgrade() -> None:
    """Make the tables."""
    op.execute(_DEVICES)


def downgrade() -> None:
    """Drop the tables."""
    op.execute(
        "DROP TABLE cloud_sync.audit, cloud_sync.denied, cloud_sync.certificate,"
        " cloud_sync.device_key, cloud_sync.bootstrap_token"
    )
