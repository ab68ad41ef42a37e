"""Which columns hold sealed records; a rider has one master template of a model."""

from alembic import op

revision = "cloud_sync_0008"
down_revision = "cloud_sync_0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table, and leave the transform out of the key: a re-key changes it."""
    op.execute("""
CREATE TABLE cloud_sync.sealed_column (
    table_name text NOT NULL,
    column_name text NOT NULL,
    transform_column text NOT NULL,
    PRIMARY KEY (table_name, column_name)
);
COMMENT ON TABLE cloud_sync.sealed_column IS 'what a re-key must see to; each package adds its own';
ALTER TABLE cloud_sync.master_template
    DROP CONSTRAINT master_template_pkey,
    ADD PRIMARY KEY (rider_ref, model_id);
""")


def downgrade() -> None:
    """Drop the table."""
    op.execute("""
DROP TABLE cloud_sync.sealed_column;
ALTER TABLE cloud_sync.master_template
    DROP CONSTRAINT master_template_pkey,
    ADD PRIMARY KEY (rider_ref, model_id, transform_id);
""")
