"""What every store of fare promises: taps, accounts, decisions, charges, and all or nothing."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
import sqlalchemy as sa

from fare.account import Account, BankCard, Wallet
from fare.adapters.memory import MemoryStore
from fare.adapters.memory_statements import MemoryStatements
from fare.adapters.postgres import PostgresStore
from fare.adapters.statements import PostgresStatements
from fare.adapters.tables import METADATA
from fare.charge import Charge, Kind, State, charge_id
from fare.decision import Decision, Outcome, Stop, Verdict
from fare.ledger import receivable, transfer, wallet
from fare.money import Money
from fare.statement import Payment, Statements
from fare.store import Store, StoreFailed
from fare.tap import Medium, TapFlag
from tests.purse import MORNING, Rig, ride, rider, tap

ADA, BO = rider("Ada"), rider("Bo")
LATER = MORNING + timedelta(hours=1)


@pytest.fixture(params=["memory", "postgres"])
def pair(request: pytest.FixtureRequest) -> tuple[Store, Statements]:
    """Give each adapter's store with its statements, empty."""
    if request.param == "memory":
        memory = MemoryStore()
        return memory, MemoryStatements(memory)
    engine: sa.Engine = request.getfixturevalue("engine")
    return PostgresStore(engine), PostgresStatements(engine)


@pytest.fixture
def store(pair: tuple[Store, Statements]) -> Store:
    """Give each adapter's store."""
    return pair[0]


def decision(who: UUID = ADA, number: int = 1, fare: int = 300) -> Decision:
    """Give a decision on a rider's one trip, every field filled."""
    verdict = Verdict(
        trip_id=UUID(int=who.int ^ 1),
        rider_ref=who,
        outcome=Outcome.PRICED,
        fare=Money(fare),
        entry=Stop(UUID(int=5), "zhonglou", Medium.FACE, MORNING),
        exit=Stop(UUID(int=who.int ^ 1), "xiaozhai", Medium.CODE, LATER),
        overstayed=True,
        metres=7_300,
        path=("zhonglou", "xiaozhai"),
        rule_id="band:6000-10000",
        tariff_version="v1",
        reason="",
    )
    return Decision(verdict, number, LATER)


def charge(who: UUID = ADA, *, seq: int = 0, due: float = 0) -> Charge:
    """Give a charge of that decision."""
    trip_id = decision(who).verdict.trip_id
    return Charge(
        charge_id=charge_id(trip_id, 1, seq),
        trip_id=trip_id,
        rider_ref=who,
        number=1,
        seq=seq,
        kind=Kind.CAPTURE,
        amount=Money(300),
        means=BankCard("tok_yes"),
        of=None,
        state=State.NEW,
        made_time=LATER,
        due_time=LATER + timedelta(seconds=due),
    )


class TestTransaction:
    """All or nothing."""

    def test_undoes_everything_on_an_error(self, store: Store) -> None:
        """Whatever part a block wrote, its exception leaves no trace of it."""

        def write_and_fail() -> None:
            with store.transaction() as tx:
                tx.taps.lock_cursor()
                tx.taps.move_cursor(7)
                tx.taps.keep(ride(ADA, "zhonglou", "xiaozhai"))
                tx.accounts.save(replace(tx.accounts.lock(ADA), means=BankCard("tok_yes")))
                tx.decisions.add(decision())
                tx.charges.save(charge())
                raise RuntimeError

        with pytest.raises(RuntimeError):
            write_and_fail()

        with store.transaction() as tx:
            assert tx.taps.lock_cursor() == 0
            assert list(tx.taps.of_rider(ADA)) == []
            assert tx.accounts.lock(ADA) == Account(ADA, Wallet())
            assert list(tx.decisions.in_force(ADA)) == []
            assert list(tx.charges.of_rider(ADA)) == []


class TestTaps:
    """The copy that is folded."""

    def test_keeps_each_once(self, store: Store) -> None:
        """A tap that comes again is not new, and all of a rider's taps come back whole."""
        entry, out = ride(ADA, "zhonglou", "xiaozhai")
        face = replace(out, model_id="open-512", score_e4=-812, code_id=b"\x00\xff")
        claims = frozenset({TapFlag.FARE_EXEMPT, TapFlag.TIME_EXEMPT})
        face = replace(face, flags=claims, doubted=claims - {TapFlag.TIME_EXEMPT})
        with store.transaction() as tx:
            assert list(tx.taps.keep([entry, entry])) == [entry]
            assert list(tx.taps.keep([entry, face])) == [face]

        with store.transaction() as tx:
            assert set(tx.taps.of_rider(ADA)) == {entry, face}
            assert list(tx.taps.of_rider(BO)) == []

    def test_keeps_two_contents_of_one_id(self, store: Store) -> None:
        """Two contents under one id are both kept, for the fold to choose by its rule."""
        entry, _ = ride(ADA, "zhonglou", "xiaozhai")
        other = replace(entry, station_id="beidajie")
        with store.transaction() as tx:
            tx.taps.keep([entry])
            assert list(tx.taps.keep([other])) == [other]

            assert set(tx.taps.of_rider(ADA)) == {entry, other}

    def test_leaves_out_an_id_of_another_rider(self, store: Store) -> None:
        """A tap under the id of another rider's tap is left out, in one batch or later."""
        entry, _ = ride(ADA, "zhonglou", "xiaozhai")
        stolen = replace(entry, rider_ref=BO)
        with store.transaction() as tx:
            assert list(tx.taps.keep([entry, stolen])) == [entry]
            assert list(tx.taps.keep([stolen])) == []

    def test_cursor_stays(self, store: Store) -> None:
        """The cursor is 0 at first and then what was stored."""
        with store.transaction() as tx:
            assert tx.taps.lock_cursor() == 0
            tx.taps.move_cursor(41)

        with store.transaction() as tx:
            assert tx.taps.lock_cursor() == 41


class TestAccounts:
    """How riders pay."""

    def test_opens_with_a_wallet(self, store: Store) -> None:
        """A rider nobody knows has a wallet, and is not flagged."""
        with store.transaction() as tx:
            assert tx.accounts.lock(ADA) == Account(ADA, Wallet(), unsettled=False)

    def test_keeps_means_and_flag(self, store: Store) -> None:
        """What is saved is locked next time, and flagged riders are the ones claimed."""
        card = Account(ADA, BankCard("tok_yes"), unsettled=True)
        with store.transaction() as tx:
            tx.accounts.lock(ADA)
            tx.accounts.lock(BO)
            tx.accounts.save(card)

        with store.transaction() as tx:
            assert tx.accounts.lock(ADA) == card
            assert list(tx.accounts.claim_unsettled(9)) == [card]
            assert list(tx.accounts.claim_unsettled(0)) == []


class TestDecisions:
    """What trips cost."""

    def test_the_last_is_in_force(self, store: Store) -> None:
        """Of a trip's decisions the highest number is in force, and every field comes back."""
        with store.transaction() as tx:
            tx.decisions.add(decision(number=1, fare=300))
            tx.decisions.add(decision(number=2, fare=200))
            tx.decisions.add(decision(BO))

        with store.transaction() as tx:
            assert list(tx.decisions.in_force(ADA)) == [decision(number=2, fare=200)]

    def test_open_ends_come_back(self, store: Store) -> None:
        """A decision without a way out comes back without one."""
        verdict = replace(decision().verdict, outcome=Outcome.OPEN, fare=Money(0), exit=None)
        with store.transaction() as tx:
            tx.decisions.add(Decision(verdict, 1, LATER))

            assert [d.verdict for d in tx.decisions.in_force(ADA)] == [verdict]

    def test_a_number_is_used_once(self, store: Store) -> None:
        """A second decision under a used number is refused."""
        with store.transaction() as tx:
            tx.decisions.add(decision(fare=300))

        with pytest.raises(StoreFailed), store.transaction() as tx:
            tx.decisions.add(decision(fare=200))


class TestCharges:
    """Movements."""

    def test_comes_back_whole(self, store: Store) -> None:
        """A charge is read as it was saved, by id and by rider, in its newest state."""
        sent = replace(charge(), state=State.SENT, sends=1, queries=2, reason="why")
        with store.transaction() as tx:
            tx.decisions.add(decision())
            tx.charges.save(charge())
            tx.charges.save(sent)

        with store.transaction() as tx:
            assert tx.charges.get(sent.charge_id) == sent
            assert list(tx.charges.of_rider(ADA)) == [sent]
            assert list(tx.charges.of_rider(BO)) == []

    def test_unknown_id(self, store: Store) -> None:
        """An id that is no charge raises KeyError."""
        with store.transaction() as tx, pytest.raises(KeyError):
            tx.charges.get(UUID(int=1))

    def test_claims_what_is_due(self, store: Store) -> None:
        """Due charges of the wanted states are claimed, longest due first, up to the limit."""
        late, later = charge(ADA, due=-60), charge(BO, due=-5)
        future = charge(ADA, seq=1, due=60)
        paid = replace(charge(ADA, seq=2), state=State.PAID)
        with store.transaction() as tx:
            tx.decisions.add(decision(ADA))
            tx.decisions.add(decision(BO))
            for each in (future, later, paid, late):
                tx.charges.save(each)

        with store.transaction() as tx:
            assert list(tx.charges.claim({State.NEW}, LATER, 9)) == [late, later]
            assert list(tx.charges.claim({State.NEW}, LATER, 1)) == [late]
            assert list(tx.charges.claim({State.SENT, State.UNKNOWN}, LATER, 9)) == []


class TestStatements:
    """What people read."""

    def test_rider(self, pair: tuple[Store, Statements]) -> None:
        """A rider's page has means, wallet, debt and trips with their charges, newest first."""
        rig = Rig(pair[0])
        rig.pays_by(ADA, BankCard("tok_yes"))
        rig.fills(BO, 250)
        rig.hears(*ride(ADA, "houweizhai", "fangzhicheng"), *ride(ADA, "zhonglou", "xiaozhai", 60))
        rig.hears(*ride(BO, "houweizhai", "fangzhicheng"), tap(BO, "zhonglou", "entry", 90))
        rig.rest()

        ada, bo = pair[1].rider(ADA), pair[1].rider(BO)

        assert ada.means == BankCard("tok_yes")
        assert [line.payment for line in ada.trips] == [Payment.PAID, Payment.PAID]
        assert [line.decision.verdict.fare for line in ada.trips] == [Money(200), Money(600)]
        assert (ada.owed, ada.wallet) == (Money(0), Money(0))
        assert [line.decision.verdict.outcome for line in bo.trips] == ["open", "priced"]
        assert [line.payment for line in bo.trips] == [Payment.NONE, Payment.OWED]
        assert [line.taken for line in bo.trips] == [Money(0), Money(250)]
        assert (bo.owed, bo.wallet) == (Money(350), Money(0))
        assert [line.decision.verdict.fare for line in pair[1].rider(ADA, limit=1).trips] == [
            Money(200)
        ]

    def test_unknown_rider(self, pair: tuple[Store, Statements]) -> None:
        """A rider without taps or account has an empty page."""
        told = pair[1].rider(UUID(int=99))

        assert (told.means, told.wallet, told.owed, told.trips) == (
            Wallet(),
            Money(0),
            Money(0),
            (),
        )

    def test_refund(self, pair: tuple[Store, Statements]) -> None:
        """A ride that a late tap voids is refunded, and its page tells both decisions."""
        rig = Rig(pair[0])
        rig.pays_by(ADA, BankCard("tok_yes"))
        entry, out = ride(ADA, "houweizhai", "fangzhicheng")
        rig.hears(entry, out)
        rig.rest()
        earlier = replace(
            out, tap_id=UUID(int=77), tap_time=out.tap_time - timedelta(seconds=3)
        )  # the same passage, told by a tap before it: the trip now has that tap's id
        rig.hears(earlier)
        rig.rest()

        voided, told = pair[1].trip(out.tap_id), pair[1].rider(ADA)

        assert [line.decision.verdict.outcome for line in voided] == ["priced", "void"]
        assert [[c.kind for c in line.charges] for line in voided] == [["capture"], ["refund"]]
        assert {line.decision.verdict.outcome: line.payment for line in told.trips} == {
            "void": Payment.REFUNDED,
            "priced": Payment.PAID,
        }
        assert rig.net("tok_yes") == 600

    def test_lists_a_ride_once(self, pair: tuple[Store, Statements]) -> None:
        """A ride that was seen on the way before its tap out came is one line, not also a void."""
        rig = Rig(pair[0])
        entry, out = ride(ADA, "houweizhai", "fangzhicheng")
        rig.hears(entry)
        rig.rest()
        under_way = pair[1].rider(ADA).trips
        rig.hears(out)
        rig.rest()

        rider, recent = pair[1].rider(ADA).trips, pair[1].overview().recent_trips

        assert [line.decision.verdict.outcome for line in under_way] == ["open"]
        assert [line.decision.verdict.trip_id for line in rider] == [out.tap_id]
        assert [line.decision.verdict.trip_id for line in recent] == [out.tap_id]
        assert [line.decision.verdict.outcome for line in pair[1].trip(entry.tap_id)] == [
            "open",
            "void",
        ]

    def test_overview(self, pair: tuple[Store, Statements]) -> None:
        """The operator's figures count taps, trips and charges, and the accounts sum to zero."""
        rig = Rig(pair[0])
        rig.pays_by(ADA, BankCard("tok_yes"))
        rig.pays_by(BO, BankCard("tok_no"))
        rig.hears(*ride(ADA, "houweizhai", "fangzhicheng"), *ride(BO, "zhonglou", "xiaozhai"))
        rig.hears(tap(ADA, "zhonglou", "entry", 90))
        rig.rest()

        told = pair[1].overview(recent=2)

        assert (told.taps, told.cursor) == (5, 5)
        assert told.trips == (("open", 1), ("priced", 2))
        assert told.charges == (("declined", 1, Money(200)), ("paid", 1, Money(600)))
        assert told.revenue == Money(800)
        assert told.in_balance
        assert {b.account: b.amount.minor_units for b in told.balances} == {
            "bank:clearing": 600,
            "revenue:fares": -800,
            "rider:*:receivable": 200,
        }
        assert len(told.recent_trips) == len(told.recent_entries) == 2
        assert told.recent_entries[0].kind == "capture"


class TestPostgresql:
    """What only the real one can show."""

    def test_tables_are_as_migrated(self, engine: sa.Engine) -> None:
        """The tables in code have the columns, types and nullability that the migration made."""
        inspector = sa.inspect(engine)
        for table in METADATA.sorted_tables:
            made = {c["name"]: c for c in inspector.get_columns(table.name, schema="fare")}
            assert set(made) == set(table.c.keys()), table.name
            for column in table.c:
                kind = column.type.compile(engine.dialect)
                assert made[column.name]["type"].compile(engine.dialect) == kind, column
                assert made[column.name]["nullable"] == column.nullable, column

    def test_claims_pass_over_locked_charges(self, engine: sa.Engine) -> None:
        """A charge that one worker has claimed is passed over by the next, not waited for."""
        store = PostgresStore(engine)
        with store.transaction() as tx:
            tx.decisions.add(decision(ADA))
            tx.decisions.add(decision(BO))
            tx.charges.save(charge(ADA, due=-9))
            tx.charges.save(charge(BO))

        with store.transaction() as one, store.transaction() as two:
            assert list(one.charges.claim({State.NEW}, LATER, 1)) == [charge(ADA, due=-9)]
            assert list(two.charges.claim({State.NEW}, LATER, 1)) == [charge(BO)]

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE fare.charge SET minor_units = 1",
            "UPDATE fare.charge SET card_token = 'tok_other'",
            "UPDATE fare.charge SET state = 'new'",
            "DELETE FROM fare.charge",
            "TRUNCATE fare.charge",
            "UPDATE fare.decision SET fare_minor_units = 1",
            "DELETE FROM fare.decision",
            "INSERT INTO fare.account VALUES (gen_random_uuid(), '4111 1111 1111 1111', false)",
        ],
    )
    def test_terms_are_kept(self, engine: sa.Engine, statement: str) -> None:
        """Plain SQL cannot change a decision, a charge's terms or its end, nor store a number."""
        store = PostgresStore(engine)
        paid = replace(charge(), state=State.PAID)
        with store.transaction() as tx:
            tx.decisions.add(decision())
            tx.charges.save(paid)

        with pytest.raises(sa.exc.DBAPIError), engine.begin() as connection:
            connection.exec_driver_sql(statement)

        with store.transaction() as tx:
            assert tx.charges.get(paid.charge_id) == paid
            assert list(tx.decisions.in_force(ADA)) == [decision()]

    def test_a_wallet_is_not_overdrawn_by_code(self, engine: sa.Engine) -> None:
        """An entry that takes what is not in the wallet fails the whole transaction."""
        store = PostgresStore(engine)
        overdraft = transfer(
            "capture",
            "x",
            debit=wallet(ADA),
            credit=receivable(ADA),
            amount=Money(1),
            event_time=LATER,
        )

        with pytest.raises(StoreFailed), store.transaction() as tx:
            tx.ledger.post(overdraft)
