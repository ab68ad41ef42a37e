"""Edge nodes, station views and their logs, the tap log and its quarantine."""

from alembic import op

revision = "cloud_sync_0001"
down_revision = None
branch_labels = None
depends_on = None

_VIEWS = """
CREATE TABLE cloud_sync.history (
    id integer PRIMARY KEY CHECK (id = 1),
    system_identifier text NOT NULL,
    timeline integer NOT NULL
);

CREATE TABLE cloud_sync.view (
    station_id text PRIMARY KEY CHECK (station_id <> ''),
    epoch uuid NOT NULL DEFAULT gen_random_uuid(),
    head_rev bigint NOT NULL DEFAULT 0 CHECK (head_rev >= 0),
    compacted_rev bigint NOT NULL DEFAULT 0 CHECK (compacted_rev BETWEEN 0 AND head_rev),
    lease_s integer NOT NULL DEFAULT 86400 CHECK (lease_s > 0),
    model_id text NOT NULL DEFAULT '',
    transform_id text NOT NULL DEFAULT ''
);

CREATE TABLE cloud_sync.view_log (
    station_id text NOT NULL REFERENCES cloud_sync.view,
    rev bigint NOT NULL CHECK (rev > 0),
    item_key bytea NOT NULL,
    is_drop boolean NOT NULL,
    content_hash bytea NOT NULL,
    PRIMARY KEY (station_id, rev)
);

CREATE TABLE cloud_sync.view_item (
    station_id text NOT NULL REFERENCES cloud_sync.view,
    item_key bytea NOT NULL,
    rev bigint NOT NULL,
    version integer NOT NULL,
    model_id text NOT NULL,
    transform_id text NOT NULL,
    body bytea NOT NULL CHECK (octet_length(body) % 2 = 0),
    expires timestamptz,
    content_hash bytea NOT NULL,
    PRIMARY KEY (station_id, item_key)
);
COMMENT ON COLUMN cloud_sync.view_item.item_key IS 'r + 16 bytes of rider, or k + 2 of key id';
COMMENT ON COLUMN cloud_sync.view_item.body IS 'float16 little-endian vector, or public key';
-- Random unit vectors do not compress; out-of-line storage would only add a lookup each.
ALTER TABLE cloud_sync.view_item ALTER COLUMN body SET STORAGE PLAIN;

CREATE TABLE cloud_sync.view_quarantine (
    station_id text NOT NULL,
    content_hash bytea NOT NULL,
    item_key bytea NOT NULL,
    body bytea NOT NULL,
    detail text NOT NULL,
    quarantined_at timestamptz NOT NULL,
    PRIMARY KEY (station_id, content_hash)
);

CREATE TABLE cloud_sync.edge_node (
    edge_id text PRIMARY KEY CHECK (edge_id <> ''),
    station_id text NOT NULL REFERENCES cloud_sync.view,
    public_key bytea NOT NULL CHECK (octet_length(public_key) = 32),
    admitted_at timestamptz NOT NULL,
    epoch uuid,
    acked_rev bigint NOT NULL DEFAULT 0,
    acked_at timestamptz,
    lease_until timestamptz
);
CREATE INDEX edge_node_station ON cloud_sync.edge_node (station_id);
"""

_TAP_COLUMNS = """
    tap_id uuid NOT NULL,
    edge_id text NOT NULL,
    outbox_id uuid NOT NULL,
    seq bigint NOT NULL CHECK (seq > 0),
    prev_hash bytea NOT NULL,
    hash bytea NOT NULL,
    signature bytea NOT NULL,
    rider_ref uuid NOT NULL,
    station_id text NOT NULL,
    lane_id text NOT NULL,
    direction text NOT NULL,
    medium text NOT NULL,
    tap_time timestamptz NOT NULL,
    clock_error_ms bigint NOT NULL,
    model_id text NOT NULL,
    score_e4 integer NOT NULL,
    code_id bytea NOT NULL,
    received_at timestamptz NOT NULL
"""

_TAPS = """
CREATE TABLE cloud_sync.tap_head (
    id integer PRIMARY KEY CHECK (id = 1),
    position bigint NOT NULL
);
INSERT INTO cloud_sync.tap_head VALUES (1, 0);

CREATE TABLE cloud_sync.outbox (
    outbox_id uuid PRIMARY KEY,
    edge_id text NOT NULL REFERENCES cloud_sync.edge_node,
    durable_seq bigint NOT NULL DEFAULT 0
);
COMMENT ON COLUMN cloud_sync.outbox.durable_seq IS 'held here without a gap, quarantine included';

CREATE TABLE cloud_sync.tap (
    position bigint PRIMARY KEY CHECK (position > 0),
    %(tap_columns)s,
    UNIQUE (outbox_id, seq)
);

CREATE TABLE cloud_sync.tap_quarantine (
    arrival bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    blemish text NOT NULL,
    is_settled boolean NOT NULL,
    %(tap_columns)s,
    UNIQUE (outbox_id, seq, hash, signature)
);
COMMENT ON COLUMN cloud_sync.tap_quarantine.is_settled
    IS 'false while the edge is asked to send it again';
"""


def upgrade() -> None:
    """Make the tables."""
    op.execute(_VIEWS)
    op.execute(_TAPS.replace("%(tap_columns)s", _TAP_COLUMNS.strip()))


def downgrade() -> None:
    """Drop the tables."""
    op.execute(
        "DROP TABLE cloud_sync.tap_quarantine, cloud_sync.tap, cloud_sync.outbox,"
        " cloud_sync.tap_head, cloud_sync.edge_node, cloud_sync.view_quarantine,"
        " cloud_sync.view_item, cloud_sync.view_log, cloud_sync.view, cloud_sync.history"
    )
