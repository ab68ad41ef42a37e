"""While the model is changed a rider has a template of each, and photos are measured by both."""

import sqlalchemy as sa
from alembic import op

revision = "enroll_0003"
down_revision = "enroll_0002"
branch_labels = None
depends_on = None

_UP = """
ALTER TABLE enroll.template DROP CONSTRAINT template_pkey, ADD PRIMARY KEY (rider_ref, model_id);
ALTER TABLE enroll.photo
    ADD COLUMN next_model_id text,
    ADD COLUMN next_embedding bytea,
    ADD COLUMN next_quality double precision CHECK (next_quality > 0),
    ADD COLUMN next_refusal text,
    ADD CHECK ((next_embedding IS NULL) = (next_quality IS NULL)),
    ADD CHECK ((next_model_id IS NULL) = (next_embedding IS NULL AND next_refusal IS NULL));
ALTER TABLE enroll.photo ALTER COLUMN next_embedding SET STORAGE EXTERNAL;
"""
_DOWN = """
ALTER TABLE enroll.photo
    DROP COLUMN next_model_id, DROP COLUMN next_embedding, DROP COLUMN next_quality,
    DROP COLUMN next_refusal;
ALTER TABLE enroll.template DROP CONSTRAINT template_pkey, ADD PRIMARY KEY (rider_ref);
"""


def upgrade() -> None:
    """Make room for what a coming model makes."""
    op.execute(sa.text(_UP))


def downgrade() -> None:
    """Take it away; finish a change of the model or roll it back before."""
    op.execute(sa.text(_DOWN))
