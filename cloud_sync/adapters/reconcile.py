"""Brings each view in line with its ranking: only the differences, in small transactions.

What is computed is a proposal: each batch looks again, under the locks, whether its riders are
still active and whether an urgent claim has come meanwhile. A withdrawal never waits longer than
for one batch.
"""

import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import TypeVar
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from cloud_sync.adapters import claims, master
from cloud_sync.adapters.membership import Holding, Membership, hold_stations, lock_views
from cloud_sync.adapters.tables import (
    MASTER_RIDER,
    MASTER_TEMPLATE,
    RECONCILE,
    VIEW,
    VIEW_ITEM,
)
from cloud_sync.budget import FIRST, OUTSIDE, SECOND
from cloud_sync.claim import Claim
from cloud_sync.gallery import DropDenial, DropTemplate, PutTemplate
from cloud_sync.prefilter import Ranking, desired, differences
from fare.log import say

T = TypeVar("T")

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ReconcileConfig:
    """How often and in what steps."""

    every: timedelta = timedelta(seconds=15)
    """Between two looks at one station: no window of arrival opens sooner after an entry."""
    batch: int = 256
    """Changes in one transaction, 1 to 1,000: as many as a chunk holds."""
    batches_max: int = 40
    """Transactions at one station in one look, 1 or more, so that one station that needs much does
    not keep others waiting; the rest follows at the next look."""


@dataclass(frozen=True, slots=True)
class Known:
    """What a look at one station found, all of one moment."""

    ranking: Ranking
    claims: Mapping[UUID, Sequence[Claim]]
    held: Mapping[UUID, Holding]
    """Riders of the master gallery in the view."""
    foreign: int
    """Riders in the view whom the master gallery does not know: an operator put them there."""
    versions: Mapping[UUID, int]
    """The version of each rider's template for the view's model."""


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What one look at one station did."""

    station_id: str
    puts: int
    drops: int
    left: int
    """Changes that wait for the next look."""


@dataclass(frozen=True, slots=True)
class Reconciler:
    """Looks at one station after the other; several processes share the work."""

    engine: sa.Engine
    membership: Membership
    config: ReconcileConfig = field(default_factory=ReconcileConfig)

    def due(self, now: datetime) -> str | None:
        """Take the station that waits longest; None when none is due.

        Args:
            now: Aware UTC.
        """
        with self.engine.begin() as connection:
            missing = (
                sa.select(VIEW.c.station_id, sa.literal(now))
                .where(VIEW.c.station_id.not_in(sa.select(RECONCILE.c.station_id)))
                .order_by(VIEW.c.station_id)
            )
            insert = pg.insert(RECONCILE).from_select(["station_id", "due_at"], missing)
            connection.execute(insert.on_conflict_do_nothing())
            waiting = (
                sa.select(RECONCILE.c.station_id)
                .where(RECONCILE.c.due_at <= now)
                .order_by(RECONCILE.c.due_at, RECONCILE.c.station_id)
                .limit(1)
                .with_for_update(skip_locked=True)
            )
            station = connection.execute(waiting).scalar_one_or_none()
            if station is not None:
                connection.execute(
                    sa.update(RECONCILE)
                    .where(RECONCILE.c.station_id == station)
                    .values(due_at=now + self.config.every)
                )
        return station

    def look(self, station_id: str, now: datetime) -> Reconciled:
        """Bring one view in line, as far as the batches go.

        Args:
            station_id: The station; it must have a view.
            now: Aware UTC.
        """
        with self.engine.begin() as connection:
            connection.execute(sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
            known = find(connection, self.membership, station_id, now)
        found = differences(known.ranking, {ref: each.tier for ref, each in known.held.items()})
        wanted = known.ranking.desired
        stale = [
            (ref, each.tier)
            for ref, each in known.held.items()
            if wanted.get(ref) == each.tier and known.versions.get(ref) != each.version
        ]
        puts, drops = [*found.puts, *stale], found.drops
        room = self.config.batches_max
        dropped = done = 0
        for batch in islice(_batches(drops, self.config.batch), room):
            room -= 1
            dropped += self._drop(station_id, batch, known, now)
        for part in islice(_batches(puts, self.config.batch), room):
            done += self._put(station_id, dict(part), known, now)
        left = max(0, len(puts) + len(drops) - self.config.batches_max * self.config.batch)
        with self.engine.begin() as connection:
            _note(connection, station_id, known, done, dropped, now)
        return Reconciled(station_id, done, dropped, left)

    def _drop(self, station_id: str, riders: Sequence[UUID], known: Known, now: datetime) -> int:
        with self.engine.begin() as connection:
            hold_stations(connection, [station_id])
            grown = self._grown(connection, station_id, riders, known, now)
            going = [DropTemplate(ref) for ref in riders if ref not in grown]
            lock_views(connection, [station_id])
            self.membership.publish(connection, [station_id], going)
        return len(going)

    def _put(self, station_id: str, tiers: Mapping[UUID, int], known: Known, now: datetime) -> int:
        with self.engine.begin() as connection:
            hold_stations(connection, [station_id])
            lower = [
                ref
                for ref, tier in tiers.items()
                if tier == SECOND and ref in known.held and known.held[ref].tier == FIRST
            ]
            grown = self._grown(connection, station_id, lower, known, now)
            staying = {ref: tier for ref, tier in tiers.items() if ref not in grown}
            return _put_in(connection, self.membership, station_id, staying)

    def _grown(
        self,
        connection: sa.Connection,
        station_id: str,
        riders: Sequence[UUID],
        known: Known,
        now: datetime,
    ) -> frozenset[UUID]:
        """Return those of whom a source has said more since the ranking was made."""
        sourcing = self.membership.sourcing
        fresh = claims.claims_of(connection, sourcing, riders, [station_id], now)
        return frozenset(
            ref
            for (_, ref), own in fresh.items()
            if {claim.source for claim in own}
            - {claim.source for claim in known.claims.get(ref, ())}
        )


def fill(connection: sa.Connection, membership: Membership, station_id: str, now: datetime) -> None:
    """Put the best riders into a new station's view, as many as its first tier holds as a rule.

    Args:
        connection: With a transaction begun that holds no lock on riders or views.
        membership: Sources and budget.
        station_id: The station; it must have a view.
        now: Aware UTC.
    """
    hold_stations(connection, [station_id])
    known = find(connection, membership, station_id, now)
    wanted = dict(islice(known.ranking.desired.items(), membership.budget.first))
    _put_in(connection, membership, station_id, wanted)


def _put_in(
    connection: sa.Connection, membership: Membership, station_id: str, tiers: Mapping[UUID, int]
) -> int:
    """Put those who are still active; the lock on them is shared until the commit."""
    active = master.shared(connection, tiers)
    models = lock_views(connection, [station_id])
    model_id = models[station_id] or _newest_model(connection)
    puts = [
        PutTemplate(replace(template, tier=tiers[template.rider_ref]))
        for template in master.templates(connection, active, model_id, safe=membership.safe)
    ]
    membership.publish(connection, [station_id], puts)
    return len(puts)


def find(
    connection: sa.Connection,
    membership: Membership,
    station_id: str,
    now: datetime,
    *,
    also: Collection[UUID] = (),
) -> Known:
    """Rank everybody with a claim on a station, and see who is in its view.

    Args:
        connection: With a transaction begun; a snapshot gives one moment.
        membership: Sources and budget.
        station_id: The station; it must have a view.
        now: Aware UTC.
        also: Riders whose versions are wanted, claimed or not.
    """
    found = claims.claims_at(
        connection, membership.sourcing, station_id, now, spare_max=membership.budget.spare_max
    )
    view = sa.select(VIEW.c.model_id).where(VIEW.c.station_id == station_id)
    model_id = connection.execute(view).scalar_one() or _newest_model(connection)
    in_view = _in_view(connection, station_id)
    versions, riders = _versions(
        connection, model_id, {*also, *in_view, *(claim.rider_ref for claim in found)}
    )
    held = {ref: each for ref, each in in_view.items() if ref in riders}
    own: defaultdict[UUID, list[Claim]] = defaultdict(list)
    for claim in found:
        own[claim.rider_ref].append(claim)
    ranking = desired(
        (claim for claim in found if claim.rider_ref in versions),
        membership.budget,
        now,
        held={ref: each.tier for ref, each in held.items()},
        sources=membership.sourcing.sources,
    )
    return Known(ranking, own, held, len(in_view) - len(held), versions)


def _in_view(connection: sa.Connection, station_id: str) -> Mapping[UUID, Holding]:
    table = VIEW_ITEM.c
    query = sa.select(table.item_key, table.tier, table.version).where(
        table.station_id == station_id, table.item_key >= b"r", table.item_key < b"s"
    )
    return {
        UUID(bytes=bytes(row.item_key[1:])): Holding(row.tier, row.version)
        for row in connection.execute(query)
    }


def _versions(
    connection: sa.Connection, model_id: str, rider_refs: Iterable[UUID]
) -> tuple[Mapping[UUID, int], frozenset[UUID]]:
    """Return the versions of active riders' templates of a model, and all riders known at all."""
    template = sa.and_(
        MASTER_TEMPLATE.c.rider_ref == MASTER_RIDER.c.rider_ref,
        MASTER_TEMPLATE.c.model_id == model_id,
        MASTER_TEMPLATE.c.is_active,
        MASTER_TEMPLATE.c.body != b"",
    )
    query = (
        sa.select(MASTER_RIDER.c.rider_ref, sa.func.max(MASTER_TEMPLATE.c.version).label("version"))
        .select_from(MASTER_RIDER.outerjoin(MASTER_TEMPLATE, template))
        .where(MASTER_RIDER.c.rider_ref == sa.any_(sa.cast(list(rider_refs), pg.ARRAY(sa.Uuid))))
        .group_by(MASTER_RIDER.c.rider_ref)
    )
    rows = connection.execute(query).all()
    versions = {row.rider_ref: row.version for row in rows if row.version is not None}
    return versions, frozenset(row.rider_ref for row in rows)


def _newest_model(connection: sa.Connection) -> str:
    """Return the model that a view without one begins with: that of the newest template."""
    query = sa.select(MASTER_TEMPLATE.c.model_id).where(
        MASTER_TEMPLATE.c.is_active, MASTER_TEMPLATE.c.body != b""
    )
    found = connection.execute(query.order_by(MASTER_TEMPLATE.c.rev.desc()).limit(1))
    return found.scalar_one_or_none() or ""


def _note(
    connection: sa.Connection,
    station_id: str,
    known: Known,
    puts: int,
    drops: int,
    now: datetime,
) -> None:
    """Write down how large the view is and what was done."""
    lock_views(connection, [station_id])
    tiers = [each.tier for each in _in_view(connection, station_id).values()]
    values = {
        "done_at": now,
        "first": tiers.count(FIRST),
        "second": tiers.count(SECOND),
        "outside": sum(place.tier == OUTSIDE for place in known.ranking.places),
        "first_bound": known.ranking.first + known.foreign,
    }
    done = {"puts": puts, "drops": drops}
    insert = pg.insert(RECONCILE).values(station_id=station_id, due_at=now, **values, **done)
    summed = {name: RECONCILE.c[name] + insert.excluded[name] for name in done}
    connection.execute(
        insert.on_conflict_do_update(index_elements=["station_id"], set_=values | summed)
    )


def sweep(engine: sa.Engine, membership: Membership, now: datetime) -> int:
    """Delete claims, trips and habits that are over, and denials that ended; return how many.

    Args:
        engine: The database.
        membership: Writes to the views.
        now: Aware UTC.
    """
    with engine.begin() as connection:
        swept = claims.sweep(connection, now)
        where = _ended(now).with_only_columns(VIEW_ITEM.c.station_id).distinct()
        concerned = connection.execute(where).scalars().all()
    for station_id in sorted(concerned):
        with engine.begin() as connection:
            lock_views(connection, [station_id])  # a new denial of the same rider stays
            here = _ended(now).where(VIEW_ITEM.c.station_id == station_id).limit(1_000)
            rows = connection.execute(here).all()
            drops = [DropDenial(UUID(bytes=bytes(row.item_key[1:]))) for row in rows]
            membership.publish(connection, [station_id], drops)
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
