"""The erasure ledger: who is gone, which nodes may have held the face, and their word."""

from alembic import op

revision = "cloud_sync_0010"
down_revision = "cloud_sync_0009"
branch_labels = None
depends_on = None

_LEDGER = """
CREATE TABLE cloud_sync.erasure_ledger (
    rider_ref uuid NOT NULL,
    erased_at timestamptz NOT NULL,
    cause text NOT NULL CHECK (cause <> ''),
    is_final boolean NOT NULL,
    PRIMARY KEY (rider_ref, erased_at)
);
CREATE INDEX erasure_ledger_newest ON cloud_sync.erasure_ledger (erased_at);

CREATE TABLE cloud_sync.erasure_node (
    rider_ref uuid NOT NULL,
    erased_at timestamptz NOT NULL,
    edge_id text NOT NULL,
    station_id text NOT NULL,
    epoch uuid NOT NULL,
    drop_rev bigint NOT NULL CHECK (drop_rev > 0),
    lease_until timestamptz,
    acked_at timestamptz,
    PRIMARY KEY (rider_ref, erased_at, edge_id, station_id),
    FOREIGN KEY (rider_ref, erased_at) REFERENCES cloud_sync.erasure_ledger
);
COMMENT ON COLUMN cloud_sync.erasure_node.lease_until
    IS 'the longest offered when the face went; later ones are only for what has dropped it';
COMMENT ON COLUMN cloud_sync.erasure_node.epoch IS 'follows the view while nothing is acknowledged';
CREATE INDEX erasure_node_waiting ON cloud_sync.erasure_node (edge_id) WHERE acked_at IS NULL;

-- A view may have dropped the rider long before, and an edge not have heard of it yet.
CREATE INDEX view_log_drops ON cloud_sync.view_log (item_key) WHERE is_drop;

CREATE FUNCTION cloud_sync.only_added() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% records are only added', TG_TABLE_NAME;
END $$;
CREATE TRIGGER erasure_only_added BEFORE UPDATE OR DELETE ON cloud_sync.erasure_ledger
    FOR EACH ROW EXECUTE FUNCTION cloud_sync.only_added();
CREATE TRIGGER erasure_node_only_added BEFORE DELETE ON cloud_sync.erasure_node
    FOR EACH ROW EXECUTE FUNCTION cloud_sync.only_added();

ALTER TABLE cloud_sync.history ADD COLUMN database_oid bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN cloud_sync.history.database_oid
    IS 'a copy within the same cluster is another history, too';
"""


def upgrade() -> None:
    """Make the tables."""
    op.execute(_LEDGER)


def downgrade() -> None:
    """Refuse: proofs of deletion are not thrown away."""
    raise NotImplementedError("cloud_sync_0010 has no way back")
