"""Two spaces live at once: which view a node follows, and how far a change of the model is."""

import sqlalchemy as sa
from alembic import op

revision = "cloud_sync_0014"
down_revision = "cloud_sync_0013"
branch_labels = None
depends_on = None

_STATEMENTS = """
ALTER TABLE cloud_sync.edge_node ADD COLUMN follows text NOT NULL DEFAULT '';
UPDATE cloud_sync.edge_node SET follows = station_id;
ALTER TABLE cloud_sync.edge_node ADD CHECK (follows IN (station_id, station_id || '|next'));
CREATE INDEX edge_node_follows ON cloud_sync.edge_node (follows);
CREATE TABLE cloud_sync.model (
    id integer PRIMARY KEY CHECK (id = 1),
    model_id text NOT NULL DEFAULT '',
    next_id text NOT NULL DEFAULT '',
    phase text NOT NULL DEFAULT 'none'
        CHECK (phase IN ('none', 'running', 'finishing', 'rolling_back')),
    begun_at timestamptz,
    CHECK ((phase = 'none') = (next_id = '')),
    CHECK (next_id <> model_id OR next_id = '')
);
INSERT INTO cloud_sync.model (id) VALUES (1);
COMMENT ON TABLE cloud_sync.model IS 'the model in force and the one that is to follow it';
"""


def upgrade() -> None:
    """Every node follows its station's only view."""
    op.execute(sa.text(_STATEMENTS))


def downgrade() -> None:
    """Drop it; finish a change or roll it back before."""
    op.execute("DROP TABLE cloud_sync.model")
    op.execute("ALTER TABLE cloud_sync.edge_node DROP COLUMN follows")
