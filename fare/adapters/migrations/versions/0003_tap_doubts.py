"""A tap keeps which of its flags no order of the operator explains."""

from alembic import op

revision = "fare_0003"
down_revision = "fare_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make room for doubts; taps from before have none."""
    op.execute("ALTER TABLE fare.tap ADD COLUMN doubted text NOT NULL DEFAULT ''")


def downgrade() -> None:
    """Forget the doubts."""
    op.execute("ALTER TABLE fare.tap DROP COLUMN doubted")
