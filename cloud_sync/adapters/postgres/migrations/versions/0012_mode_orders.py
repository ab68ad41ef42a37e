"""Every mode that was ordered stays known, and a tap that claims another one says so."""

from alembic import op

revision = "cloud_sync_0012"
down_revision = "cloud_sync_0011"
branch_labels = None
depends_on = None

IN_FORCE = """
    INSERT INTO cloud_sync.mode_order (station_id, rev, at, modes)
    SELECT station_id, rev, 'epoch', (
        SELECT coalesce(string_agg(word, ',' ORDER BY word), '')
        FROM jsonb_array_elements_text(convert_from(body, 'UTF8')::jsonb -> 'modes') AS word
    )
    FROM cloud_sync.view_item WHERE item_key = 'smode'::bytea
"""
"""Notes the modes that were ordered before orders were noted."""


def upgrade() -> None:
    """Begin with the modes in force; since when is not known, so they explain every tap so far."""
    op.execute("""
        CREATE TABLE cloud_sync.mode_order (
            station_id text NOT NULL,
            rev bigint NOT NULL,
            at timestamptz NOT NULL DEFAULT clock_timestamp(),
            modes text NOT NULL,
            PRIMARY KEY (station_id, rev)
        )
    """)
    op.execute("""
        CREATE TABLE cloud_sync.mode_heard (
            edge_id text NOT NULL,
            station_id text NOT NULL,
            rev bigint NOT NULL,
            at timestamptz NOT NULL,
            PRIMARY KEY (edge_id, station_id, rev)
        )
    """)
    op.execute(IN_FORCE)
    op.execute("ALTER TABLE cloud_sync.tap ADD COLUMN doubted text NOT NULL DEFAULT ''")


def downgrade() -> None:
    """Forget the orders, and the doubts."""
    op.execute("ALTER TABLE cloud_sync.tap DROP COLUMN doubted")
    op.execute("DROP TABLE cloud_sync.mode_heard")
    op.execute("DROP TABLE cloud_sync.mode_order")
