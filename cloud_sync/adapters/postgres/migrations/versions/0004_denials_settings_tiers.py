"""The deny list and settings stand beside templates and keys; a template has a tier."""

from alembic import op

revision = "cloud_sync_0004"
down_revision = "cloud_sync_0003"
branch_labels = None
depends_on = None

_UP = """
ALTER TABLE cloud_sync.view_item ADD COLUMN tier smallint NOT NULL DEFAULT 1 CHECK (tier IN (1, 2));
ALTER TABLE cloud_sync.view_item DROP CONSTRAINT view_item_body_check;
-- A setting may be longer than a page; a template still fits into its row.
ALTER TABLE cloud_sync.view_item ALTER COLUMN body SET STORAGE EXTERNAL;
COMMENT ON COLUMN cloud_sync.view_item.item_key
    IS 'r + 16 bytes of rider, k + 2 of key id, d + 16 of a denied rider, s + name of a setting';
COMMENT ON COLUMN cloud_sync.view_item.body
    IS 'float16 little-endian vector, public key, denial (since, reason), or document';
"""
_DOWN = """
DELETE FROM cloud_sync.view_item WHERE substr(item_key, 1, 1) IN ('d', 's');
DELETE FROM cloud_sync.view_log WHERE substr(item_key, 1, 1) IN ('d', 's');
ALTER TABLE cloud_sync.view_item ALTER COLUMN body SET STORAGE PLAIN;
ALTER TABLE cloud_sync.view_item ADD CHECK (octet_length(body) % 2 = 0);
ALTER TABLE cloud_sync.view_item DROP COLUMN tier;
-- The log has holes now: every edge starts anew.
UPDATE cloud_sync.view SET epoch = gen_random_uuid(), compacted_rev = head_rev;
"""


def upgrade() -> None:
    """Make room for them."""
    op.execute(_UP)


def downgrade() -> None:
    """Forget them."""
    op.execute(_DOWN)
