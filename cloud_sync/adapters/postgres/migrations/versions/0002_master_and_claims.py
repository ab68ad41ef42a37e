"""The master gallery with its feed, and what claims a rider for a station."""

from alembic import op

revision = "cloud_sync_0002"
down_revision = "cloud_sync_0001"
branch_labels = None
depends_on = None

_MASTER = """
CREATE TABLE cloud_sync.master_head (
    id integer PRIMARY KEY CHECK (id = 1),
    rev bigint NOT NULL
);
INSERT INTO cloud_sync.master_head VALUES (1, 0);

CREATE TABLE cloud_sync.master_rider (
    rider_ref uuid PRIMARY KEY,
    standing text NOT NULL CHECK (standing IN ('active', 'inactive', 'gone')),
    since timestamptz NOT NULL
);
COMMENT ON TABLE cloud_sync.master_rider
    IS 'locked by whoever changes a standing, and shared by whoever puts a rider into a view';
CREATE INDEX master_rider_active ON cloud_sync.master_rider (rider_ref) WHERE standing = 'active';

CREATE TABLE cloud_sync.master_template (
    rider_ref uuid NOT NULL REFERENCES cloud_sync.master_rider,
    model_id text NOT NULL CHECK (model_id <> ''),
    transform_id text NOT NULL,
    version integer NOT NULL CHECK (version > 0),
    body bytea NOT NULL,
    is_active boolean NOT NULL,
    rev bigint NOT NULL UNIQUE,
    PRIMARY KEY (rider_ref, model_id, transform_id)
);
COMMENT ON COLUMN cloud_sync.master_template.body IS 'empty once it was erased';
COMMENT ON COLUMN cloud_sync.master_template.is_active
    IS 'as master_rider.standing says, so that the feed needs one table';
-- Random unit vectors do not compress; out-of-line storage would only add a lookup each.
ALTER TABLE cloud_sync.master_template ALTER COLUMN body SET STORAGE PLAIN;
"""

_CLAIMS = """
CREATE TABLE cloud_sync.claim (
    station_id text NOT NULL,
    rider_ref uuid NOT NULL,
    source text NOT NULL CHECK (source <> ''),
    weight double precision NOT NULL CHECK (weight BETWEEN 0 AND 0.99),
    since timestamptz NOT NULL,
    until timestamptz NOT NULL,
    PRIMARY KEY (station_id, rider_ref, source)
);
CREATE INDEX claim_rider ON cloud_sync.claim (rider_ref);
CREATE INDEX claim_until ON cloud_sync.claim (until);

CREATE TABLE cloud_sync.home (
    rider_ref uuid NOT NULL,
    station_id text NOT NULL,
    place smallint NOT NULL,
    since timestamptz NOT NULL,
    PRIMARY KEY (rider_ref, station_id)
);
CREATE INDEX home_station ON cloud_sync.home (station_id);

CREATE TABLE cloud_sync.habit (
    station_id text NOT NULL,
    rider_ref uuid NOT NULL,
    bucket smallint NOT NULL CHECK (bucket BETWEEN 0 AND 167),
    weight double precision NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (station_id, rider_ref, bucket)
);
COMMENT ON COLUMN cloud_sync.habit.bucket IS 'hour of the week, 0 is Monday from midnight';
COMMENT ON COLUMN cloud_sync.habit.weight IS 'visits, faded to the column at';
CREATE INDEX habit_rider ON cloud_sync.habit (rider_ref);

CREATE TABLE cloud_sync.last_tap (
    rider_ref uuid PRIMARY KEY,
    station_id text NOT NULL,
    direction text NOT NULL,
    at timestamptz NOT NULL
);
COMMENT ON TABLE cloud_sync.last_tap IS 'an entry is an open trip';
CREATE INDEX last_tap_station ON cloud_sync.last_tap (station_id, direction, at);

CREATE TABLE cloud_sync.source_hit (
    day date NOT NULL,
    station_id text NOT NULL,
    direction text NOT NULL,
    source text NOT NULL,
    tier smallint NOT NULL CHECK (tier IN (0, 1, 2)),
    passages bigint NOT NULL,
    PRIMARY KEY (day, station_id, direction, source, tier)
);
COMMENT ON COLUMN cloud_sync.source_hit.source IS 'empty: whatever the sources, so all passages';

CREATE TABLE cloud_sync.claim_cursor (
    id integer PRIMARY KEY CHECK (id = 1),
    position bigint NOT NULL
);
INSERT INTO cloud_sync.claim_cursor VALUES (1, 0);

CREATE TABLE cloud_sync.reconcile (
    station_id text PRIMARY KEY,
    due_at timestamptz NOT NULL,
    done_at timestamptz,
    first integer NOT NULL DEFAULT 0,
    second integer NOT NULL DEFAULT 0,
    outside integer NOT NULL DEFAULT 0,
    first_bound integer NOT NULL DEFAULT 0,
    puts bigint NOT NULL DEFAULT 0,
    drops bigint NOT NULL DEFAULT 0
);
COMMENT ON TABLE cloud_sync.reconcile IS 'when each view was brought in line last, and its size';
"""


def upgrade() -> None:
    """Make the tables."""
    op.execute(_MASTER)
    op.execute(_CLAIMS)


def downgrade() -> None:
    """Drop the tables."""
    op.execute(
        "DROP TABLE cloud_sync.reconcile, cloud_sync.claim_cursor, cloud_sync.source_hit,"
        " cloud_sync.last_tap, cloud_sync.habit, cloud_sync.home, cloud_sync.claim,"
        " cloud_sync.master_template, cloud_sync.master_rider, cloud_sync.master_head"
    )
