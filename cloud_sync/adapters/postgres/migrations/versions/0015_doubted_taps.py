"""Doubted taps of a node are found without reading all the others."""

from alembic import op

revision = "cloud_sync_0015"
down_revision = "cloud_sync_0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Index them; there are few."""
    op.execute(
        "CREATE INDEX tap_doubted ON cloud_sync.tap (edge_id, received_at) WHERE doubted <> ''"
    )


def downgrade() -> None:
    """Drop the index."""
    op.execute("DROP INDEX cloud_sync.tap_doubted")
