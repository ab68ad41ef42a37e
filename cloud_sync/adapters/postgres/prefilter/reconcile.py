"""Brings each view in line with its ranking: only the differences, in small transactions.

A look ranks everybody with a claim on a station; a glance, between two looks, ranks those alone who
are likely to come, the first tier, and whom something new is known of. What is computed is a
proposal: each batch looks again, under the locks, whether its riders are still active and whether
an urgent claim has come meanwhile. A withdrawal never waits longer than for one batch.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import TypeVar
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from cloud_sync.adapters.postgres import claims, master
from cloud_sync.adapters.postgres.membership import Membership, hold_stations, lock_views
from cloud_sync.adapters.postgres.prefilter.glance import glance, in_first
from cloud_sync.adapters.postgres.prefilter.known import Known, find, newest_model
from cloud_sync.adapters.postgres.publish import views, views_of
from cloud_sync.adapters.postgres.tables import RECONCILE, VIEW, VIEW_ITEM
from cloud_sync.gallery import DropDenial, DropTemplate, PutTemplate
from cloud_sync.prefilter.budget import FIRST, OUTSIDE, SECOND
from cloud_sync.prefilter.ranking import differences
from cloud_sync.view_id import station_of
from fare.log import say

T = TypeVar("T")

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ReconcileConfig:
    """How often and in what steps."""

    every: timedelta = timedelta(seconds=15)
    """Between two glances at one station: no window of arrival opens sooner after an entry."""
    look_every: timedelta = timedelta(hours=1)
    """Between two looks at everybody of one large station at most: who is in the second tier
    changes with homes and weeks, not with minutes."""
    look_pause: timedelta = timedelta(milliseconds=60)
    """And for each rider ranked at least: a look takes some 0.06 ms of a core for each of them, so
    the looks of one station take a tenth of a hundredth of a core, whatever its size."""
    taken_for: timedelta = timedelta(minutes=2)
    """So long a station is left to the process that took it; if that one dies, another takes it."""
    batch: int = 256
    """Changes in one transaction, 1 to 1,000: as many as a chunk holds."""
    batches_max: int = 40
    """Transactions at one station in one look, 1 or more, so that one station that needs much does
    not keep others waiting; the rest follows at the next one."""

    def enough(self, riders: int) -> timedelta:
        """Return how long a look that ranked so many riders is enough."""
        return min(self.look_every, self.every + self.look_pause * riders)


@dataclass(frozen=True, slots=True)
class Due:
    """One station whose turn it is."""

    view_id: str
    since: datetime | None
    """When it was glanced or looked at last, aware UTC; None when a look at everybody is due."""


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What one look or glance at one station did."""

    view_id: str
    puts: int
    drops: int
    left: int
    """Changes that wait for the next one."""


@dataclass(frozen=True, slots=True)
class Reconciler:
    """Looks at one station after the other; several processes share the work."""

    engine: sa.Engine
    membership: Membership
    config: ReconcileConfig = field(default_factory=ReconcileConfig)

    def due(self, now: datetime) -> Due | None:
        """Take the station that waits longest; None when none is due.

        Looks wait until nobody waits for a glance, unless they are late by their whole interval.

        Args:
            now: Aware UTC.
        """
        table = RECONCILE.c
        late = now - self.config.look_every
        with self.engine.begin() as connection:
            self._know_all(connection, now)
            for waits, order in (
                (table.look_due_at <= late, table.look_due_at),
                ((table.due_at <= now) & (table.look_due_at > now), table.due_at),
                (table.look_due_at <= now, table.look_due_at),
            ):
                free = waits & (table.due_at <= now)
                query = sa.select(table.station_id, table.look_due_at, table.glanced_at)
                one = query.where(free).order_by(order, table.station_id).limit(1)
                row = connection.execute(one.with_for_update(skip_locked=True)).one_or_none()
                if row is not None:
                    connection.execute(
                        sa.update(RECONCILE)
                        .where(table.station_id == row.station_id)
                        .values(due_at=now + self.config.taken_for)
                    )
                    is_look = row.look_due_at <= now
                    return Due(row.station_id, None if is_look else row.glanced_at)
        return None

    def _know_all(self, connection: sa.Connection, now: datetime) -> None:
        """Take up stations that are new."""
        missing = (
            sa.select(VIEW.c.station_id, sa.literal(now), sa.literal(now))
            .where(VIEW.c.station_id.not_in(sa.select(RECONCILE.c.station_id)))
            .order_by(VIEW.c.station_id)
        )
        names = ["station_id", "due_at", "look_due_at"]
        insert = pg.insert(RECONCILE).from_select(names, missing)
        connection.execute(insert.on_conflict_do_nothing())

    def tend(self, due: Due, now: datetime) -> Reconciled:
        """Glance or look at a station that is due.

        Args:
            due: Taken by `due`.
            now: Aware UTC.
        """
        if due.since is None:
            return self.look(due.view_id, now)
        return self.glance(due.view_id, now, since=due.since)

    def look(self, view_id: str, now: datetime) -> Reconciled:
        """Bring one view in line with the claims of everybody, as far as the batches go.

        Args:
            view_id: Which; it must be there.
            now: Aware UTC.
        """
        with self.engine.begin() as connection:
            connection.execute(sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
            if view_id not in views(connection):  # a second view that has gone
                return Reconciled(view_id, 0, 0, 0)
            known = find(connection, self.membership, view_id, now)
        done = self._change(view_id, known, now)
        with self.engine.begin() as connection:
            _note(connection, done, known, now, self.config)
        return done

    def glance(self, view_id: str, now: datetime, *, since: datetime) -> Reconciled:
        """Bring one view in line with the claims of those who are likely to come.

        While the city fits, everybody has a claim everywhere, and this is a look.

        Args:
            view_id: Which; it must have been looked at.
            now: Aware UTC.
            since: When it was glanced or looked at last, aware UTC.
        """
        with self.engine.begin() as connection:
            connection.execute(sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
            if view_id not in views(connection):
                return Reconciled(view_id, 0, 0, 0)
            known = glance(connection, self.membership, view_id, now, since)
        if known is None:
            return self.look(view_id, now)
        done = self._change(view_id, known, now)
        with self.engine.begin() as connection:
            _note_glance(connection, done, known, now, self.config)
        return done

    def _change(self, view_id: str, known: Known, now: datetime) -> Reconciled:
        """Make the changes that a ranking asks for, drops first."""
        wanted = known.ranking.desired
        found = differences(wanted, {ref: each.tier for ref, each in known.held.items()})
        stale = [
            (ref, each.tier)
            for ref, each in known.held.items()
            if known.versions.get(ref) != each.version and wanted.get(ref) == each.tier
        ]
        puts, drops = [*found.puts, *stale], found.drops
        room = self.config.batches_max
        dropped = done = 0
        for batch in islice(_batches(drops, self.config.batch), room):
            room -= 1
            dropped += self._drop(view_id, batch, known, now)
        for part in islice(_batches(puts, self.config.batch), room):
            done += self._put(view_id, dict(part), known, now)
        left = max(0, len(puts) + len(drops) - self.config.batches_max * self.config.batch)
        return Reconciled(view_id, done, dropped, left)

    def _drop(self, view_id: str, riders: Sequence[UUID], known: Known, now: datetime) -> int:
        with self.engine.begin() as connection:
            hold_stations(connection, [view_id])
            grown = self._grown(connection, view_id, riders, known, now)
            going = [DropTemplate(ref) for ref in riders if ref not in grown]
            if not lock_views(connection, [view_id]):
                return 0
            self.membership.publish(connection, [view_id], going)
        return len(going)

    def _put(self, view_id: str, tiers: Mapping[UUID, int], known: Known, now: datetime) -> int:
        with self.engine.begin() as connection:
            hold_stations(connection, [view_id])
            lower = [
                ref
                for ref, tier in tiers.items()
                if tier == SECOND and ref in known.held and known.held[ref].tier == FIRST
            ]
            grown = self._grown(connection, view_id, lower, known, now)
            staying = {ref: tier for ref, tier in tiers.items() if ref not in grown}
            return _put_in(connection, self.membership, view_id, staying)

    def _grown(
        self,
        connection: sa.Connection,
        view_id: str,
        riders: Sequence[UUID],
        known: Known,
        now: datetime,
    ) -> frozenset[UUID]:
        """Return those of whom a source has said more since the ranking was made."""
        sourcing = self.membership.sourcing
        where = [station_of(view_id)]
        fresh = claims.claims_of(connection, sourcing, riders, where, now)
        return frozenset(
            ref
            for (_, ref), own in fresh.items()
            if {claim.source for claim in own}
            - {claim.source for claim in known.claims.get(ref, ())}
        )


def fill(connection: sa.Connection, membership: Membership, station_id: str, now: datetime) -> None:
    """Put the best riders into a new station's views, as many as its first tier holds as a rule.

    Args:
        connection: With a transaction begun that holds no lock on riders or views.
        membership: Sources and budget.
        station_id: The station; it must have a view.
        now: Aware UTC.
    """
    hold_stations(connection, [station_id])
    places: dict[str, dict[UUID, int]] = {}
    for view_id in views_of(connection, [station_id]):
        known = find(connection, membership, view_id, now)
        best = islice(known.ranking.desired.items(), known.ranking.budget.first)
        places[view_id] = dict(best)
    # Whoever may be put is locked before the first view is.
    master.shared(connection, {ref for tiers in places.values() for ref in tiers})
    for view_id, tiers in places.items():
        _put_in(connection, membership, view_id, tiers)


def _put_in(
    connection: sa.Connection, membership: Membership, view_id: str, tiers: Mapping[UUID, int]
) -> int:
    """Put those who are still active; the lock on them is shared until the commit."""
    active = master.shared(connection, tiers)
    models = lock_views(connection, [view_id])
    if view_id not in models:
        return 0
    model_id = models[view_id] or newest_model(connection)
    puts = [
        PutTemplate(replace(template, tier=tiers[template.rider_ref]))
        for template in master.templates(connection, active, model_id, safe=membership.safe)
    ]
    membership.publish(connection, [view_id], puts)
    return len(puts)


def _note(
    connection: sa.Connection,
    done: Reconciled,
    known: Known,
    now: datetime,
    config: ReconcileConfig,
) -> None:
    """Write down how large the view is and what a look did; what was left is looked at soon."""
    if not lock_views(connection, [done.view_id]):
        return
    table = VIEW_ITEM.c
    counted = (
        sa.select(table.tier, sa.func.count().label("count"))
        .where(table.station_id == done.view_id, table.item_key >= b"r", table.item_key < b"s")
        .group_by(table.tier)
    )
    sizes = {row.tier: row.count for row in connection.execute(counted)}
    values = {
        "done_at": now,
        "glanced_at": now,
        "due_at": now + config.every,
        "look_due_at": now + _pause(done, known, config),
        "first": sizes.get(FIRST, 0),
        "second": sizes.get(SECOND, 0),
        "outside": sum(place.tier == OUTSIDE for place in known.ranking.places),
        "first_bound": known.ranking.first + known.foreign,
    }
    sums = {"puts": done.puts, "drops": done.drops}
    insert = pg.insert(RECONCILE).values(station_id=done.view_id, **values, **sums)
    summed = {name: RECONCILE.c[name] + insert.excluded[name] for name in sums}
    connection.execute(
        insert.on_conflict_do_update(index_elements=["station_id"], set_=values | summed)
    )


def _pause(done: Reconciled, known: Known, config: ReconcileConfig) -> timedelta:
    """Return how long a look is enough."""
    if done.left:
        return config.every
    return config.enough(len(known.ranking.places) + known.foreign)


def _note_glance(
    connection: sa.Connection,
    done: Reconciled,
    known: Known,
    now: datetime,
    config: ReconcileConfig,
) -> None:
    """Write down what a glance did; the next look counts the second tier anew."""
    firsts = sa.select(sa.func.count()).where(in_first(done.view_id))
    grown = sum(place.tier == SECOND for place in known.ranking.places)
    grown -= sum(each.tier == SECOND for each in known.held.values())
    connection.execute(
        sa.update(RECONCILE)
        .where(RECONCILE.c.station_id == done.view_id)
        .values(
            glanced_at=now,
            due_at=now + config.every,
            first=firsts.scalar_subquery(),
            second=sa.func.greatest(0, RECONCILE.c.second + grown),
            first_bound=known.ranking.first + known.foreign,
            puts=RECONCILE.c.puts + done.puts,
            drops=RECONCILE.c.drops + done.drops,
        )
    )


def sweep(engine: sa.Engine, membership: Membership, now: datetime, *, ways: bool = True) -> int:
    """Delete claims, trips and habits that are over, and denials that ended; return how many.

    Args:
        engine: The database.
        membership: Writes to the views.
        now: Aware UTC.
        ways: Trips and habits as well, which reads all of them.
    """
    with engine.begin() as connection:
        swept = claims.sweep(connection, now, ways=ways)
        where = _ended(now).with_only_columns(VIEW_ITEM.c.station_id).distinct()
        concerned = connection.execute(where).scalars().all()
    for view_id in sorted(concerned):
        with engine.begin() as connection:
            lock_views(connection, [view_id])  # a new denial of the same rider stays
            here = _ended(now).where(VIEW_ITEM.c.station_id == view_id).limit(1_000)
            rows = connection.execute(here).all()
            drops = [DropDenial(UUID(bytes=bytes(row.item_key[1:]))) for row in rows]
            membership.publish(connection, [view_id], drops)
        swept += len(drops)
    if swept:
        say(_LOG, "swept", level=logging.DEBUG, records=swept)
    return swept


def _ended(now: datetime) -> sa.Select[tuple[str, bytes]]:
    """Select denials that hold no longer."""
    table = VIEW_ITEM.c
    return sa.select(table.station_id, table.item_key).where(
        table.item_key >= b"d", table.item_key < b"e", table.expires <= now
    )


def _batches(items: Sequence[T], size: int) -> Iterable[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))
