"""The store in PostgreSQL, schema `fare`: one transaction, its taps, accounts, decisions, charges.

Isolation is READ COMMITTED; what must not change underneath is locked row by row, riders in the
order of their `rider_ref` and before charges, so that no two workers wait for each other.
"""

import hashlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from fare.account import Account
from fare.adapters import rows
from fare.adapters.ledger import PostgresLedger
from fare.adapters.tables import ACCOUNT, CHARGE, CURSOR, DECISION, TAP
from fare.charge import OPEN, Charge, State
from fare.decision import Decision
from fare.store import StoreFailed
from fare.tap import Tap, flags_text

VERSIONS = Path(__file__).parent / "migrations" / "versions"
"""This package's Alembic revisions, for `database.migrate(engine, "fare", VERSIONS)`."""


class _Taps:
    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def lock_cursor(self) -> int:
        row = self._connection.execute(sa.select(CURSOR.c.position).with_for_update())
        return int(row.scalar_one())

    def move_cursor(self, position: int) -> None:
        self._connection.execute(sa.update(CURSOR).values(position=position))

    def keep(self, taps: Sequence[Tap]) -> Sequence[Tap]:
        known = {
            row.tap_id: row.rider_ref
            for row in self._connection.execute(
                sa.select(TAP.c.tap_id, TAP.c.rider_ref).where(
                    TAP.c.tap_id.in_([tap.tap_id for tap in taps])
                )
            )
        }
        new = []
        for tap in taps:
            if known.setdefault(tap.tap_id, tap.rider_ref) == tap.rider_ref:
                row = rows.tap_row(tap) | {
                    "digest": hashlib.sha256(tap.canonical()).digest(),
                    "doubted": flags_text(tap.doubted),
                }
                insert = pg.insert(TAP).values(row).on_conflict_do_nothing()
                if self._connection.execute(insert.returning(TAP.c.tap_id)).first():
                    new.append(tap)
        return tuple(new)

    def of_rider(self, rider_ref: UUID) -> Sequence[Tap]:
        found = self._connection.execute(sa.select(TAP).where(TAP.c.rider_ref == rider_ref))
        return tuple(rows.judged_tap_of(row) for row in found)


class _Accounts:
    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def lock(self, rider_ref: UUID) -> Account:
        self._connection.execute(
            pg.insert(ACCOUNT)
            .values(rider_ref=rider_ref, card_token=None, unsettled=False)
            .on_conflict_do_nothing()
        )
        query = sa.select(ACCOUNT).where(ACCOUNT.c.rider_ref == rider_ref).with_for_update()
        return _account(self._connection.execute(query).one())

    def save(self, account: Account) -> None:
        self._connection.execute(
            sa.update(ACCOUNT)
            .where(ACCOUNT.c.rider_ref == account.rider_ref)
            .values(card_token=rows.token_of(account.means), unsettled=account.unsettled)
        )

    def claim_unsettled(self, limit: int) -> Sequence[Account]:
        query = (
            sa.select(ACCOUNT)
            .where(ACCOUNT.c.unsettled)
            .order_by(ACCOUNT.c.rider_ref)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        return tuple(_account(row) for row in self._connection.execute(query))


def _account(row: sa.Row[tuple[object, ...]]) -> Account:
    return Account(row.rider_ref, rows.means_of(row.card_token), row.unsettled)


class _Decisions:
    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def in_force(self, rider_ref: UUID) -> Sequence[Decision]:
        query = (
            sa.select(DECISION)
            .ext(pg.distinct_on(DECISION.c.trip_id))
            .where(DECISION.c.rider_ref == rider_ref)
            .order_by(DECISION.c.trip_id, DECISION.c.number.desc())
        )
        return tuple(rows.decision_of(row) for row in self._connection.execute(query))

    def add(self, decision: Decision) -> None:
        self._connection.execute(sa.insert(DECISION).values(rows.decision_row(decision)))


class _Charges:
    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def of_rider(self, rider_ref: UUID) -> Sequence[Charge]:
        query = (
            sa.select(CHARGE)
            .where(CHARGE.c.rider_ref == rider_ref)
            .order_by(CHARGE.c.trip_id, CHARGE.c.seq)
            .with_for_update()
        )
        return tuple(rows.charge_of(row) for row in self._connection.execute(query))

    def get(self, charge_id: UUID) -> Charge:
        query = sa.select(CHARGE).where(CHARGE.c.charge_id == charge_id).with_for_update()
        row = self._connection.execute(query).one_or_none()
        if row is None:
            raise KeyError(charge_id)
        return rows.charge_of(row)

    def save(self, charge: Charge) -> None:
        row = rows.charge_row(charge)
        moving = ("state", "due_time", "sends", "queries", "reason")
        self._connection.execute(
            pg.insert(CHARGE)
            .values(row)
            .on_conflict_do_update(
                index_elements=[CHARGE.c.charge_id], set_={name: row[name] for name in moving}
            )
        )

    def claim(self, states: Collection[State], now: datetime, limit: int) -> Sequence[Charge]:
        query = (
            sa.select(CHARGE)
            .where(CHARGE.c.state.in_([state.value for state in OPEN.intersection(states)]))
            .where(CHARGE.c.due_time <= now)
            .order_by(CHARGE.c.due_time, CHARGE.c.charge_id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        return tuple(rows.charge_of(row) for row in self._connection.execute(query))


class _PostgresTransaction:
    def __init__(self, connection: sa.Connection) -> None:
        self.taps = _Taps(connection)
        self.accounts = _Accounts(connection)
        self.decisions = _Decisions(connection)
        self.charges = _Charges(connection)
        self.ledger = PostgresLedger(connection)


class PostgresStore:
    """A `Store` on an engine whose schema `fare` is migrated."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    @contextmanager
    def transaction(self) -> Iterator[_PostgresTransaction]:
        """Open a database transaction."""
        try:
            with self._engine.begin() as connection:
                yield _PostgresTransaction(connection)
        except sa.exc.DBAPIError as error:
            raise StoreFailed(str(error.orig)) from error
