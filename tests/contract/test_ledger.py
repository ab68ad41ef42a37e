"""What every ledger promises, and what PostgreSQL refuses even to plain SQL."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
import sqlalchemy as sa

from fare.adapters.ledger import PostgresLedger
from fare.adapters.memory import MemoryLedger
from fare.ledger import (
    REVENUE_FARES,
    AlreadyPosted,
    Entry,
    EntryConflict,
    Ledger,
    Posted,
    Posting,
    entry_id,
    receivable,
    transfer,
    wallet,
)
from fare.money import Money

ADA = UUID(int=1)
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


def fare_entry(minor_units: int = 300, reference: str = "trip/1") -> Entry:
    """Give the entry of a fare of Ada's."""
    return transfer(
        "fare",
        reference,
        debit=receivable(ADA),
        credit=REVENUE_FARES,
        amount=Money(minor_units),
        event_time=NOON,
    )


@pytest.fixture(params=["memory", "postgres"])
def ledger(request: pytest.FixtureRequest) -> Iterator[Ledger]:
    """Give each adapter in turn, empty."""
    if request.param == "memory":
        yield MemoryLedger()
        return
    engine: sa.Engine = request.getfixturevalue("engine")
    with engine.begin() as connection:
        yield PostgresLedger(connection)


class TestLedger:
    """The contract."""

    def test_books_both_sides(self, ledger: Ledger) -> None:
        """A fare of 3.00 is 3.00 that the rider owes and 3.00 of revenue."""
        assert ledger.post(fare_entry()) == Posted()

        assert ledger.balance(receivable(ADA)) == Money(300)
        assert ledger.balance(REVENUE_FARES) == Money(-300)

    def test_books_once(self, ledger: Ledger) -> None:
        """The same entry a second time changes nothing and says so."""
        ledger.post(fare_entry())

        assert ledger.post(fare_entry()) == AlreadyPosted()
        assert ledger.balance(receivable(ADA)) == Money(300)

    def test_a_retry_may_read_a_later_clock(self, ledger: Ledger) -> None:
        """A repeated entry with a later event time is the same entry; the first time stands."""
        ledger.post(fare_entry())
        later = transfer(
            "fare",
            "trip/1",
            debit=receivable(ADA),
            credit=REVENUE_FARES,
            amount=Money(300),
            event_time=NOON + timedelta(seconds=5),
        )

        assert ledger.post(later) == AlreadyPosted()
        assert [entry.event_time for entry in ledger.entries()] == [NOON]

    def test_refuses_other_content_under_one_id(self, ledger: Ledger) -> None:
        """An id that comes again with another amount is a conflict, and nothing is booked."""
        ledger.post(fare_entry(300))

        with pytest.raises(EntryConflict):
            ledger.post(fare_entry(400))

        assert ledger.balance(receivable(ADA)) == Money(300)

    def test_unused_account_is_zero(self, ledger: Ledger) -> None:
        """An account without postings has the balance zero."""
        assert ledger.balance(wallet(ADA)) == Money(0)

    def test_currencies_and_books_do_not_mix(self, ledger: Ledger) -> None:
        """A balance counts one currency of one book."""
        ledger.post(fare_entry())
        postings = (Posting(receivable(ADA), Money(7)), Posting("points:given", Money(-7)))
        ledger.post(Entry(entry_id("p", "1", book="points"), "points", "p", NOON, "1", postings))

        assert ledger.balance(receivable(ADA)) == Money(300)
        assert ledger.balance(receivable(ADA), book="points") == Money(7)
        assert ledger.balance(receivable(ADA), currency="HKD") == Money(0, "HKD")

    def test_reads_back_newest_first(self, ledger: Ledger) -> None:
        """Entries come back whole, newest first, of one account or of all."""
        first, second = fare_entry(300, "trip/1"), fare_entry(200, "trip/2")
        top_up = transfer(
            "top-up",
            "1",
            debit="cash:counter",
            credit=wallet(ADA),
            amount=Money(900),
            event_time=NOON,
        )
        for entry in (first, second, top_up):
            ledger.post(entry)

        assert list(ledger.entries()) == [top_up, second, first]
        assert list(ledger.entries(account=REVENUE_FARES)) == [second, first]
        assert list(ledger.entries(limit=1)) == [top_up]


@pytest.fixture
def booked(engine: sa.Engine) -> sa.Engine:
    """Give a database with one entry of 3.00 booked."""
    with engine.begin() as connection:
        PostgresLedger(connection).post(fare_entry())
    return engine


@contextmanager
def refused(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Run a block in a transaction that must not commit, and check that nothing changed."""
    with pytest.raises((sa.exc.IntegrityError, sa.exc.DBAPIError)), engine.begin() as connection:
        yield connection
    with engine.begin() as connection:
        ledger = PostgresLedger(connection)
        assert list(ledger.entries()) == [fare_entry()]
        assert ledger.balance(receivable(ADA)) == Money(300)


NEW_ENTRY = """
    INSERT INTO fare.entry (entry_id, book, kind, event_time, reference, lines)
    VALUES ('00000000-0000-0000-0000-0000000000ff', 'money', 'x', now(), 'x', 2)
"""
NEW_POSTING = """
    INSERT INTO fare.posting (entry_id, line, account, minor_units, currency)
    VALUES ('00000000-0000-0000-0000-0000000000ff', {line}, '{account}', {amount}, '{currency}')
"""  # run by `exec_driver_sql`: `text` would take the colons of an account for parameters


def posting(line: int, amount: int, account: str = "x", currency: str = "CNY") -> str:
    """Give the SQL of a posting of the new entry."""
    return NEW_POSTING.format(line=line, amount=amount, account=account, currency=currency)


class TestPlainSql:
    """What a careless or evil client of the database cannot do."""

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE fare.posting SET minor_units = minor_units * 2",
            "UPDATE fare.posting SET account = 'thief:wallet'",
            "UPDATE fare.entry SET reference = 'other'",
            "DELETE FROM fare.posting",
            "DELETE FROM fare.entry",
            "TRUNCATE fare.posting",
            "TRUNCATE fare.entry CASCADE",
        ],
    )
    def test_nothing_booked_changes(self, booked: sa.Engine, statement: str) -> None:
        """UPDATE, DELETE and TRUNCATE of the books are refused."""
        with refused(booked) as connection:
            connection.exec_driver_sql(statement)

    @pytest.mark.parametrize(
        "statements",
        [
            [NEW_ENTRY],  # nothing moves
            [NEW_ENTRY, posting(0, 100)],  # one side only
            [NEW_ENTRY, posting(0, 100), posting(1, -99)],  # a fen from nowhere
            [NEW_ENTRY, posting(0, 100), posting(1, -100, currency="HKD")],  # not the same money
            [NEW_ENTRY, posting(0, 0), posting(1, 0)],  # says nothing
            [NEW_ENTRY, posting(0, 5), posting(1, -3), posting(2, -2)],  # more lines than announced
            [posting(0, 100), posting(1, -100)],  # no entry
        ],
    )
    def test_no_unbalanced_entry_commits(self, booked: sa.Engine, statements: list[str]) -> None:
        """A transaction with an entry that does not sum to zero does not commit."""
        with refused(booked) as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    def test_no_line_is_added_later(self, booked: sa.Engine) -> None:
        """Even a balanced pair of postings cannot be slipped into an old entry."""
        with refused(booked) as connection:
            for line, amount in ((2, 700), (3, -700)):
                connection.execute(
                    sa.text(
                        "INSERT INTO fare.posting SELECT entry_id, :line, 'x', :amount, 'CNY' "
                        "FROM fare.entry"
                    ),
                    {"line": line, "amount": amount},
                )

    def test_no_wallet_is_overdrawn(self, booked: sa.Engine) -> None:
        """Money that a rider did not pay in does not come out of the wallet."""
        with refused(booked) as connection:
            connection.exec_driver_sql(NEW_ENTRY)
            connection.exec_driver_sql(posting(0, 1, wallet(ADA)))
            connection.exec_driver_sql(posting(1, -1, receivable(ADA)))

    def test_control_balanced_entry_commits(self, booked: sa.Engine) -> None:
        """The same SQL with two sides that agree is accepted: the refusals are not a typo."""
        with booked.begin() as connection:
            connection.exec_driver_sql(NEW_ENTRY)
            connection.exec_driver_sql(posting(0, 100, receivable(ADA)))
            connection.exec_driver_sql(posting(1, -100, REVENUE_FARES))

        with booked.begin() as connection:
            assert PostgresLedger(connection).balance(receivable(ADA)) == Money(400)

    def test_control_without_the_triggers(self, booked: sa.Engine) -> None:
        """With its triggers off the same table takes an unbalanced entry: they are what refuses."""
        with booked.begin() as connection:
            for table in ("entry", "posting"):
                connection.exec_driver_sql(f"ALTER TABLE fare.{table} DISABLE TRIGGER USER")
            connection.exec_driver_sql(NEW_ENTRY)
            connection.exec_driver_sql(posting(0, 100, receivable(ADA)))

        with booked.begin() as connection:
            assert PostgresLedger(connection).balance(receivable(ADA)) == Money(400)
