"""What a node is for: gates, or an entrance that may ask who comes."""

from alembic import op

revision = "cloud_sync_0011"
down_revision = "cloud_sync_0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the role; every node so far has gates."""
    op.execute("ALTER TABLE cloud_sync.edge_node ADD COLUMN role text NOT NULL DEFAULT 'gate'")


def downgrade() -> None:
    """Drop it."""
    op.execute("ALTER TABLE cloud_sync.edge_node DROP COLUMN role")
