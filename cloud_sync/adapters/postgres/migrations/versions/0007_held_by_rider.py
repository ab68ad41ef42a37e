"""A rider's views are found by the rider: a withdrawal drops the face from each of them."""

from alembic import op

revision = "cloud_sync_0007"
down_revision = "cloud_sync_0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the index."""
    op.execute("CREATE INDEX view_item_key ON cloud_sync.view_item (item_key)")


def downgrade() -> None:
    """Drop it."""
    op.execute("DROP INDEX cloud_sync.view_item_key")
