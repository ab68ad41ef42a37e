"""What the station nodes tell of themselves."""

from alembic import op

revision = "cloud_sync_0003"
down_revision = "cloud_sync_0002"
branch_labels = None
depends_on = None

_FLEET = """
CREATE TABLE cloud_sync.edge_health (
    edge_id text PRIMARY KEY REFERENCES cloud_sync.edge_node ON DELETE CASCADE,
    received_at timestamptz NOT NULL,
    health jsonb NOT NULL
);
CREATE TABLE cloud_sync.edge_health_past (
    edge_id text NOT NULL REFERENCES cloud_sync.edge_node ON DELETE CASCADE,
    slot smallint NOT NULL CHECK (slot >= 0),
    received_at timestamptz NOT NULL,
    health jsonb NOT NULL,
    PRIMARY KEY (edge_id, slot)
);
COMMENT ON TABLE cloud_sync.edge_health_past
    IS 'a ring: the report of a minute takes the place of one two hours older';
"""


def upgrade() -> None:
    """Make the tables."""
    op.execute(_FLEET)


def downgrade() -> None:
    """Drop the tables."""
    op.execute("DROP TABLE cloud_sync.edge_health_past, cloud_sync.edge_health")
