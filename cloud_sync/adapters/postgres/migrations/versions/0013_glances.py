"""Glances at the likely riders of a station between whole looks, and budgets of single stations."""

from alembic import op

revision = "cloud_sync_0013"
down_revision = "cloud_sync_0012"
branch_labels = None
depends_on = None

_UP = """
ALTER TABLE cloud_sync.reconcile
    ADD COLUMN look_due_at timestamptz NOT NULL DEFAULT '-infinity',
    ADD COLUMN glanced_at timestamptz;
COMMENT ON COLUMN cloud_sync.reconcile.due_at IS 'when the next glance at the likely riders is due';
COMMENT ON COLUMN cloud_sync.reconcile.look_due_at IS 'when the next look at everybody is due';
CREATE INDEX reconcile_due ON cloud_sync.reconcile (due_at);

CREATE INDEX view_item_first ON cloud_sync.view_item (station_id, item_key) WHERE tier = 1;
CREATE INDEX view_item_ends ON cloud_sync.view_item (expires) WHERE expires IS NOT NULL;
CREATE INDEX master_template_version ON cloud_sync.master_template (rider_ref, model_id)
    INCLUDE (version) WHERE is_active AND body <> '';
CREATE INDEX habit_bucket ON cloud_sync.habit (station_id, bucket);
DROP INDEX cloud_sync.home_station;
CREATE INDEX home_station ON cloud_sync.home (station_id, since);

CREATE TABLE cloud_sync.view_budget (
    station_id text PRIMARY KEY,
    first integer NOT NULL CHECK (first >= 1),
    first_max integer NOT NULL CHECK (first_max >= first),
    second integer NOT NULL CHECK (second >= 0),
    set_at timestamptz NOT NULL
);
COMMENT ON TABLE cloud_sync.view_budget IS 'stations that an operator gave a budget of their own';
"""
_DOWN = """
DROP TABLE cloud_sync.view_budget;
DROP INDEX cloud_sync.home_station;
CREATE INDEX home_station ON cloud_sync.home (station_id);
DROP INDEX cloud_sync.habit_bucket;
DROP INDEX cloud_sync.master_template_version;
DROP INDEX cloud_sync.view_item_ends;
DROP INDEX cloud_sync.view_item_first;
DROP INDEX cloud_sync.reconcile_due;
ALTER TABLE cloud_sync.reconcile DROP COLUMN look_due_at, DROP COLUMN glanced_at;
"""


def upgrade() -> None:
    """Add what a glance needs."""
    op.execute(_UP)


def downgrade() -> None:
    """Drop it."""
    op.execute(_DOWN)
