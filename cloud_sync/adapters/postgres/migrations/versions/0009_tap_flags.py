"""A tap says what the gate did differently."""

from alembic import op

revision = "cloud_sync_0009"
down_revision = "cloud_sync_0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make room for flags; taps from before have none."""
    op.execute("ALTER TABLE cloud_sync.tap ADD COLUMN flags text NOT NULL DEFAULT ''")
    op.execute("ALTER TABLE cloud_sync.tap_quarantine ADD COLUMN flags text NOT NULL DEFAULT ''")


def downgrade() -> None:
    """Forget the flags."""
    op.execute("ALTER TABLE cloud_sync.tap DROP COLUMN flags")
    op.execute("ALTER TABLE cloud_sync.tap_quarantine DROP COLUMN flags")
