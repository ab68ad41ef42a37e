"""A tap says what the gate did differently."""

from alembic import op

revision = "fare_0002"
down_revision = "fare_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make room for flags; taps from before have none."""
    op.execute("ALTER TABLE fare.tap ADD COLUMN flags text NOT NULL DEFAULT ''")


def downgrade() -> None:
    """Forget the flags."""
    op.execute("ALTER TABLE fare.tap DROP COLUMN flags")
