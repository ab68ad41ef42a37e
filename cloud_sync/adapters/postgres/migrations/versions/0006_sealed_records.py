"""Templates in views are sealed records; the root keys in use are known by their ids."""

from alembic import op

revision = "cloud_sync_0006"
down_revision = "cloud_sync_0005"
branch_labels = None
depends_on = None

_STATEMENTS = """
CREATE TABLE cloud_sync.key_use (
    key_id text PRIMARY KEY,
    since timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE cloud_sync.key_use IS 'root keys that records may be under';

ALTER TABLE cloud_sync.view
    ADD COLUMN key_id text NOT NULL DEFAULT '';
COMMENT ON COLUMN cloud_sync.view.key_id
    IS 'root key of the keys of this epoch; empty until the first';

COMMENT ON COLUMN cloud_sync.view_item.body
    IS 'sealed vector, float16 little-endian; or public key, denial (since, reason), document';
COMMENT ON COLUMN cloud_sync.master_template.body
    IS 'sealed record of a float16 little-endian vector; empty once it was erased';

-- Nobody needs the face of a template that was refused: the detail says why.
ALTER TABLE cloud_sync.view_quarantine DROP COLUMN body;
"""


def upgrade() -> None:
    """Make room for sealed records; what is there is sealed at the start of the process."""
    op.execute(_STATEMENTS)


def downgrade() -> None:
    """Refuse: what is sealed cannot be read by the code before."""
    raise NotImplementedError("cloud_sync_0006 has no way back")
