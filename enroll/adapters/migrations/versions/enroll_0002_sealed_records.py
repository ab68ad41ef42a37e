"""Templates, embeddings and pictures are sealed records."""

import sqlalchemy as sa
from alembic import op

revision = "enroll_0002"
down_revision = "enroll_0001"
branch_labels = None
depends_on = None

_STATEMENTS = """
CREATE TABLE enroll.sealing (
    id integer PRIMARY KEY CHECK (id = 1),
    is_done boolean NOT NULL
);
INSERT INTO enroll.sealing VALUES (1, false);
COMMENT ON TABLE enroll.sealing IS 'whether what an older version left in plain is sealed';
-- Ciphertext does not compress, and its head, the root key, is read without the rest.
ALTER TABLE enroll.photo
    ALTER COLUMN embedding SET STORAGE EXTERNAL,
    ALTER COLUMN original SET STORAGE EXTERNAL;
ALTER TABLE enroll.template ALTER COLUMN vector SET STORAGE EXTERNAL;
"""


def upgrade() -> None:
    """Make room for sealed records; what is there is sealed at the start of the process."""
    op.execute(sa.text(_STATEMENTS))


def downgrade() -> None:
    """Refuse: what is sealed cannot be read by the code before."""
    raise NotImplementedError("enroll_0002 has no way back")
