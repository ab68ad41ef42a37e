"""Which columns of which package hold sealed records."""

from alembic import op

revision = "cloud_sync_0007"
down_revision = "cloud_sync_0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.execute("""
CREATE TABLE cloud_sync.sealed_column (
    table_name text NOT NULL,
    column_name text NOT NULL,
    transform_column text NOT NULL,
    PRIMARY KEY (table_name, column_name)
);
COMMENT ON TABLE cloud_sync.sealed_column IS 'what a re-key must see to; each package adds its own';
""")


def downgrade() -> None:
    """Drop the table."""
    op.execute("DROP TABLE cloud_sync.sealed_column")
