"""Statements read from PostgreSQL; each answer is one snapshot."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from fare.account import Wallet
from fare.adapters import rows
from fare.adapters.ledger import PostgresLedger
from fare.adapters.tables import ACCOUNT, CHARGE, CURSOR, DECISION, ENTRY, POSTING, TAP
from fare.charge import Charge
from fare.decision import DOUBTED, Decision, Outcome
from fare.ledger import MONEY_BOOK, receivable, wallet
from fare.money import Money
from fare.statement import Balance, Overview, RiderStatement, TripLine, folded
from fare.store import StoreFailed

_IN_FORCE = (
    sa.select(DECISION)
    .ext(pg.distinct_on(DECISION.c.trip_id))
    .order_by(DECISION.c.trip_id, DECISION.c.number.desc())
)


def _listed(last: sa.Subquery) -> sa.ColumnElement[bool]:
    """Say `TripLine.listed` in SQL."""
    charged = sa.exists().where(CHARGE.c.trip_id == last.c.trip_id)
    return sa.or_(last.c.outcome != Outcome.VOID.value, charged)


class PostgresStatements:
    """`Statements` on an engine whose schema `fare` is migrated."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine.execution_options(isolation_level="REPEATABLE READ")

    def rider(self, rider_ref: UUID, *, limit: int = 50) -> RiderStatement:
        """Return a rider's newest trips."""
        last = _IN_FORCE.where(DECISION.c.rider_ref == rider_ref).subquery()
        ended = sa.func.coalesce(last.c.exit_time, last.c.entry_time)
        token = sa.select(ACCOUNT.c.card_token).where(ACCOUNT.c.rider_ref == rider_ref)
        with self._reading() as connection:
            lines = sa.select(last).where(_listed(last))
            found = connection.execute(lines.order_by(ended.desc()).limit(limit))
            ledger = PostgresLedger(connection)
            account = connection.execute(token).one_or_none()
            return RiderStatement(
                rider_ref=rider_ref,
                means=rows.means_of(account.card_token) if account else Wallet(),
                wallet=-ledger.balance(wallet(rider_ref)),
                owed=ledger.balance(receivable(rider_ref)),
                trips=_lines(connection, [rows.decision_of(row) for row in found]),
            )

    def trip(self, trip_id: UUID) -> Sequence[TripLine]:
        """Return every decision of a trip, oldest first."""
        query = sa.select(DECISION).where(DECISION.c.trip_id == trip_id).order_by(DECISION.c.number)
        with self._reading() as connection:
            decisions = [rows.decision_of(row) for row in connection.execute(query)]
            return tuple(
                replace(line, charges=tuple(c for c in line.charges if c.number == decision.number))
                for decision in decisions
                for line in _lines(connection, [decision])
            )

    def overview(self, *, recent: int = 20) -> Overview:
        """Return the operator's figures."""
        with self._reading() as connection:
            return Overview(
                taps=connection.execute(sa.select(sa.func.count()).select_from(TAP)).scalar_one(),
                cursor=connection.execute(sa.select(CURSOR.c.position)).scalar_one(),
                trips=_outcomes(connection),
                charges=_by_state(connection),
                balances=_balances(connection),
                recent_trips=_recent_trips(connection, recent),
                recent_entries=tuple(PostgresLedger(connection).entries(limit=recent)),
                doubted=_count_doubted(connection),
                doubted_trips=_recent_trips(connection, recent, only=DOUBTED),
            )

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except sa.exc.DBAPIError as error:
            raise StoreFailed(str(error.orig)) from error


def _lines(connection: sa.Connection, decisions: Collection[Decision]) -> tuple[TripLine, ...]:
    charges: defaultdict[UUID, list[Charge]] = defaultdict(list)
    found = connection.execute(
        sa.select(CHARGE)
        .where(CHARGE.c.trip_id.in_([d.verdict.trip_id for d in decisions]))
        .order_by(CHARGE.c.trip_id, CHARGE.c.seq)
    )
    for row in found:
        charges[row.trip_id].append(rows.charge_of(row))
    return tuple(TripLine(d, tuple(charges[d.verdict.trip_id])) for d in decisions)


def _outcomes(connection: sa.Connection) -> tuple[tuple[str, int], ...]:
    last = _IN_FORCE.subquery()
    query = sa.select(last.c.outcome, sa.func.count()).group_by(last.c.outcome)
    return tuple(sorted((outcome, count) for outcome, count in connection.execute(query)))


def _by_state(connection: sa.Connection) -> tuple[tuple[str, int, Money], ...]:
    total = sa.func.sum(CHARGE.c.minor_units)
    query = sa.select(CHARGE.c.state, sa.func.count(), total).group_by(CHARGE.c.state)
    found = connection.execute(query)
    return tuple(sorted((state, count, Money(int(units))) for state, count, units in found))


def _balances(connection: sa.Connection) -> tuple[Balance, ...]:
    query = (
        sa.select(POSTING.c.account, sa.func.sum(POSTING.c.minor_units))
        .join(ENTRY, ENTRY.c.entry_id == POSTING.c.entry_id)
        .where(ENTRY.c.book == MONEY_BOOK)
        .group_by(POSTING.c.account)
    )
    sums: defaultdict[str, int] = defaultdict(int)
    for account, units in connection.execute(query):
        sums[folded(account)] += int(units)
    return tuple(Balance(account, Money(units)) for account, units in sorted(sums.items()))


def _count_doubted(connection: sa.Connection) -> int:
    last = _IN_FORCE.subquery()
    query = sa.select(sa.func.count()).select_from(last).where(last.c.reason == DOUBTED)
    return int(connection.execute(query).scalar_one())


def _recent_trips(
    connection: sa.Connection, recent: int, *, only: str = ""
) -> tuple[TripLine, ...]:
    """Return the newest listed trips, on demand only those of one reason."""
    last = _IN_FORCE.subquery()
    ended = sa.func.coalesce(last.c.exit_time, last.c.entry_time)
    lines = sa.select(last).where(_listed(last))
    if only:
        lines = lines.where(last.c.reason == only)
    newest = lines.order_by(last.c.decided_time.desc(), ended.desc()).limit(recent)
    return _lines(connection, [rows.decision_of(row) for row in connection.execute(newest)])
