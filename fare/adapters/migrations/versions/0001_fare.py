"""Taps, accounts, decisions, charges and the append-only ledger."""

from alembic import op

revision = "fare_0001"
down_revision = None
branch_labels = None
depends_on = None

_TABLES = """
CREATE TABLE fare.cursor (
    feed text PRIMARY KEY,
    position bigint NOT NULL CHECK (position >= 0)
);
INSERT INTO fare.cursor (feed, position) VALUES ('tap', 0);

CREATE TABLE fare.tap (
    tap_id uuid NOT NULL,
    digest bytea NOT NULL,
    rider_ref uuid NOT NULL,
    station_id text NOT NULL,
    lane_id text NOT NULL,
    direction text NOT NULL,
    medium text NOT NULL,
    tap_time timestamptz NOT NULL,
    clock_error_ms bigint NOT NULL,
    model_id text NOT NULL,
    score_e4 integer NOT NULL,
    code_id bytea NOT NULL,
    PRIMARY KEY (tap_id, digest)
);
CREATE INDEX tap_rider ON fare.tap (rider_ref);

CREATE TABLE fare.account (
    rider_ref uuid PRIMARY KEY,
    card_token text CHECK (card_token ~ '^[A-Za-z0-9_.-]{4,64}$'),
    unsettled boolean NOT NULL
);
CREATE INDEX account_unsettled ON fare.account (rider_ref) WHERE unsettled;

CREATE TABLE fare.decision (
    trip_id uuid NOT NULL,
    number integer NOT NULL CHECK (number >= 1),
    rider_ref uuid NOT NULL,
    outcome text NOT NULL,
    fare_minor_units bigint NOT NULL CHECK (fare_minor_units >= 0),
    currency char(3) NOT NULL,
    entry_tap_id uuid,
    entry_station_id text,
    entry_medium text,
    entry_time timestamptz,
    exit_tap_id uuid,
    exit_station_id text,
    exit_medium text,
    exit_time timestamptz,
    overstayed boolean NOT NULL,
    metres integer NOT NULL CHECK (metres >= 0),
    path text[] NOT NULL,
    rule_id text NOT NULL,
    tariff_version text NOT NULL,
    reason text NOT NULL,
    decided_time timestamptz NOT NULL,
    PRIMARY KEY (trip_id, number),
    CHECK (entry_tap_id IS NOT NULL OR exit_tap_id IS NOT NULL),
    CHECK (outcome = 'priced' OR fare_minor_units = 0)
);
CREATE INDEX decision_rider ON fare.decision (rider_ref, trip_id, number DESC);

CREATE TABLE fare.charge (
    charge_id uuid PRIMARY KEY,
    trip_id uuid NOT NULL,
    rider_ref uuid NOT NULL,
    number integer NOT NULL,
    seq integer NOT NULL CHECK (seq >= 0),
    kind text NOT NULL CHECK (kind IN ('capture', 'refund')),
    minor_units bigint NOT NULL CHECK (minor_units > 0),
    currency char(3) NOT NULL,
    card_token text,
    of uuid REFERENCES fare.charge,
    state text NOT NULL,
    made_time timestamptz NOT NULL,
    due_time timestamptz NOT NULL,
    sends integer NOT NULL,
    queries integer NOT NULL,
    reason text NOT NULL,
    UNIQUE (trip_id, seq),
    FOREIGN KEY (trip_id, number) REFERENCES fare.decision (trip_id, number),
    CHECK ((kind = 'refund') = (of IS NOT NULL))
);
CREATE INDEX charge_rider ON fare.charge (rider_ref);
CREATE INDEX charge_due ON fare.charge (due_time) WHERE state IN ('new', 'sent', 'unknown');

CREATE TABLE fare.entry (
    entry_id uuid PRIMARY KEY,
    place bigint GENERATED ALWAYS AS IDENTITY,
    book text NOT NULL,
    kind text NOT NULL,
    event_time timestamptz NOT NULL,
    reference text NOT NULL,
    lines integer NOT NULL CHECK (lines >= 2),
    booked_time timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX entry_place ON fare.entry (place);

CREATE TABLE fare.posting (
    entry_id uuid NOT NULL REFERENCES fare.entry,
    line integer NOT NULL CHECK (line >= 0),
    account text NOT NULL,
    minor_units bigint NOT NULL CHECK (minor_units <> 0),
    currency char(3) NOT NULL,
    PRIMARY KEY (entry_id, line)
);
CREATE INDEX posting_account ON fare.posting (account);
"""

# The database keeps the books honest even against our own code: nothing booked or decided ever
# changes, and no transaction ends with an entry that does not sum to zero. `lines` pins the number
# of postings, so that nobody can add a balanced pair to an old entry.
_GUARDS = """
CREATE FUNCTION fare.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%.% is append-only', TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$;

CREATE FUNCTION fare.refuse_imbalance() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    expected integer;
    found integer;
BEGIN
    SELECT lines INTO expected FROM fare.entry WHERE entry_id = NEW.entry_id;
    SELECT count(*) INTO found FROM fare.posting WHERE entry_id = NEW.entry_id;
    IF found <> expected THEN
        RAISE EXCEPTION 'entry % has % postings, not %', NEW.entry_id, found, expected
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF EXISTS (
        SELECT FROM fare.posting WHERE entry_id = NEW.entry_id
        GROUP BY currency HAVING sum(minor_units) <> 0
    ) THEN
        RAISE EXCEPTION 'entry % does not sum to zero', NEW.entry_id
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION fare.refuse_overdraft() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM fare.posting WHERE account = NEW.account
        GROUP BY currency HAVING sum(minor_units) > 0
    ) THEN
        RAISE EXCEPTION 'account % is overdrawn', NEW.account
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER entry_balanced AFTER INSERT ON fare.entry
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION fare.refuse_imbalance();
CREATE CONSTRAINT TRIGGER posting_balanced AFTER INSERT ON fare.posting
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION fare.refuse_imbalance();
CREATE CONSTRAINT TRIGGER wallet_covered AFTER INSERT ON fare.posting
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.account LIKE 'rider\\:%\\:wallet' AND NEW.minor_units > 0)
    EXECUTE FUNCTION fare.refuse_overdraft();
"""


def upgrade() -> None:
    op.execute(_TABLES)
    op.execute(_GUARDS)
    for table in ("entry", "posting", "decision"):
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE "
            f"ON fare.{table} FOR EACH STATEMENT EXECUTE FUNCTION fare.refuse_change()"
        )
    # A charge moves through its states, but its terms never change and it never disappears.
    op.execute("""
        CREATE FUNCTION fare.refuse_new_terms() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF (OLD.charge_id, OLD.trip_id, OLD.rider_ref, OLD.number, OLD.seq, OLD.kind,
                OLD.minor_units, OLD.currency, OLD.card_token, OLD.of)
               IS DISTINCT FROM
               (NEW.charge_id, NEW.trip_id, NEW.rider_ref, NEW.number, NEW.seq, NEW.kind,
                NEW.minor_units, NEW.currency, NEW.card_token, NEW.of)
               OR (OLD.state IN ('paid', 'declined', 'cancelled') AND OLD.state <> NEW.state)
            THEN
                RAISE EXCEPTION 'charge % keeps its terms', OLD.charge_id
                    USING ERRCODE = 'restrict_violation';
            END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER charge_terms BEFORE UPDATE ON fare.charge
            FOR EACH ROW EXECUTE FUNCTION fare.refuse_new_terms();
        CREATE TRIGGER charge_kept BEFORE DELETE OR TRUNCATE ON fare.charge
            FOR EACH STATEMENT EXECUTE FUNCTION fare.refuse_change();
    """)


def downgrade() -> None:
    op.execute(
        "DROP TABLE fare.posting, fare.entry, fare.charge, fare.decision, fare.account, fare.tap,"
        " fare.cursor"
    )
    op.execute(
        "DROP FUNCTION fare.refuse_change, fare.refuse_imbalance, fare.refuse_overdraft,"
        " fare.refuse_new_terms"
    )
