"""Views follow the master gallery and urgent claims in the same transaction.

Locks are taken in one order by everybody, so that nobody waits in a circle: the keys (shared, see
`at_rest`), stations by name (advisory, by whoever puts somebody for a claim), riders by reference,
the head of the master feed, views by station. Whoever puts a rider into a view shares the lock on
the rider and finds it active: a withdrawal waits for that put and then sees it, or comes first and
stops it.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from cloud_sync.adapters.postgres import budgets, claims, master
from cloud_sync.adapters.postgres.at_rest import hold_keys
from cloud_sync.adapters.postgres.publish import DIMENSION, publish, publish_at, views, views_of
from cloud_sync.adapters.postgres.tables import RECONCILE, VIEW, VIEW_ITEM
from cloud_sync.gallery import (
    Change,
    Denial,
    DenialReason,
    DropTemplate,
    PutDenial,
    PutTemplate,
    Template,
)
from cloud_sync.master.gallery import (
    Activate,
    Deactivate,
    Erase,
    Forget,
    MasterChange,
    PutMaster,
    Withdraw,
    rider_of,
)
from cloud_sync.master.intake import Cohort
from cloud_sync.prefilter.budget import FIRST, OUTSIDE, SECOND, Budget
from cloud_sync.prefilter.claim import LONG_SHOT, Claim, bounded
from cloud_sync.prefilter.ranking import priority_of
from cloud_sync.prefilter.sourcing import Sourcing
from cloud_sync.secrecy.safe import Safe
from cloud_sync.view_id import station_of

_STATION_LOCK = 0x636C6169
"""`clai`: whoever puts somebody into a view for a claim, station by station."""


class ClaimOutcome(StrEnum):
    """What became of an urgent claim."""

    PUT = "put"
    """The station is told now."""
    HELD = "held"
    """The rider is in its first tier already."""
    NOT_ACTIVE = "not_active"
    """No claim is kept: the face is paused, held back, gone, or was never there."""
    NO_TEMPLATE = "no_template"
    """The claim is kept, but there is no template of the station's model."""
    NO_STATION = "no_station"
    """There is no view of that station."""


@dataclass(frozen=True, slots=True)
class Holding:
    """One rider in one view."""

    tier: int
    version: int


@dataclass(frozen=True, slots=True)
class Membership:
    """Who is in which view, in the transactions that change it."""

    sourcing: Sourcing
    """The city's sources."""
    safe: Safe
    """Seals and opens templates."""
    budget: Budget = field(default_factory=Budget)
    """Of each station's view that has none of its own, see `budgets`."""
    dimension: int = DIMENSION
    """Values in a template's vector."""
    cohort: Cohort | None = None
    """What new templates are compared with; None to take hubs, too."""

    def publish(
        self, connection: sa.Connection, view_ids: Iterable[str], changes: Sequence[Change]
    ) -> None:
        """Write changes into these very views, inside the caller's transaction."""
        publish(connection, view_ids, changes, safe=self.safe, dimension=self.dimension)

    def publish_at(
        self, connection: sa.Connection, station_ids: Iterable[str], changes: Sequence[Change]
    ) -> None:
        """Write changes into every view of some stations, inside the caller's transaction."""
        publish_at(connection, station_ids, changes, safe=self.safe, dimension=self.dimension)

    def settle(
        self, connection: sa.Connection, changes: Sequence[MasterChange], now: datetime
    ) -> None:
        """Change the master gallery, and every view that this concerns.

        Whoever is not active afterwards is dropped from each view that holds them; who is, is put
        where claims place them and where an older template is held. A withdrawal also puts the
        rider on every station's deny list until ride codes that are still out have expired.

        Args:
            connection: With a transaction begun that holds no view yet.
            changes: In their order.
            now: Aware UTC.

        Raises:
            TemplateRefused: A template is not a unit vector of its dimension.
            sqlalchemy.exc.SQLAlchemyError: The database did not take it.
        """
        if not changes:
            return
        hold_keys(connection)
        master.apply(
            connection,
            changes,
            now,
            safe=self.safe,
            cohort=self.cohort,
            dimension=self.dimension,
        )
        gone = [change.rider_ref for change in changes if isinstance(change, Withdraw)]
        wayless = [
            change.rider_ref
            for change in changes
            if isinstance(change, Erase) or (isinstance(change, Deactivate) and change.forget_ways)
        ]
        claims.forget(connection, gone)
        claims.forget(connection, wayless, homes=False)
        riders = {rider_of(change) for change in changes}
        active = master.active(connection, riders)
        held = held_by(connection, riders)
        wanted = {
            rider_of(change) for change in changes if isinstance(change, PutMaster | Activate)
        } & active
        places = {ref: self._places(connection, ref, held[ref], now) for ref in sorted(wanted)}
        denials = [each for each in changes if isinstance(each, Withdraw)]
        everywhere = set(views(connection)) if denials else set()
        forgotten = [each for each in changes if isinstance(each, Forget)]
        models = lock_views(
            connection,
            everywhere.union(
                *(held[ref] for ref in riders - active),
                *(places[ref] for ref in places),
                *(held[each.rider_ref] for each in forgotten),
            ),
        )
        for ref in sorted(riders - active):
            self.publish(connection, sorted(held[ref]), [DropTemplate(ref)])
        for gone_from in forgotten:
            ref = gone_from.rider_ref
            where = [view for view in held[ref] if models[view] == gone_from.model_id]
            self.publish(connection, where if ref in active else (), [DropTemplate(ref)])
        for each in denials:
            denial = Denial(each.rider_ref, DenialReason.WITHDRAWN, now, each.denied_until)
            self.publish(connection, sorted(everywhere), [PutDenial(denial)])
        for ref, tiers in places.items():
            self._put(connection, ref, tiers, models, held[ref])

    def claim_now(  # who, where, why and until when, as one call
        self,
        connection: sa.Connection,
        station_id: str,
        rider_ref: UUID,
        source: str,
        until: datetime,
        *,
        now: datetime,
    ) -> ClaimOutcome:
        """Keep an urgent claim and put the rider into the station's first tier at once.

        The view may be over its budget until the next reconcile evicts somebody else.

        Args:
            connection: With a transaction begun that holds no lock yet.
            station_id: Where.
            rider_ref: Who.
            source: The name of a source, e.g. `presence`.
            until: When the claim ends, aware UTC; never past the source's time to live.
            now: Aware UTC.

        Raises:
            KeyError: No source has that name.
            sqlalchemy.exc.SQLAlchemyError: The database did not take it.
        """
        known = self.sourcing.sources[source]
        lasts = bounded(known, now, until)
        claim = Claim(station_id, rider_ref, source, known.weight, now, lasts)
        hold_stations(connection, [station_id])
        if not views_of(connection, [station_id]):
            return ClaimOutcome.NO_STATION
        if not claims.give(connection, claim):
            return ClaimOutcome.NOT_ACTIVE
        return self._put_first(connection, station_id, rider_ref)

    def put_now(self, connection: sa.Connection, station_id: str, rider_ref: UUID) -> ClaimOutcome:
        """Put a rider whom a kept fact claims, an open trip, into the first tier at once.

        Args:
            connection: With a transaction begun that holds no lock yet.
            station_id: Where; it must have a view.
            rider_ref: Who.
        """
        hold_stations(connection, [station_id])
        if not master.shared(connection, [rider_ref]):
            return ClaimOutcome.NOT_ACTIVE
        return self._put_first(connection, station_id, rider_ref)

    def _put_first(
        self, connection: sa.Connection, station_id: str, rider_ref: UUID
    ) -> ClaimOutcome:
        """Put a rider into each view of a station that has a template to compare with."""
        models = lock_views(connection, views_of(connection, [station_id]))
        held = held_by(connection, [rider_ref])[rider_ref]
        lacking = [view for view in models if view not in held or held[view].tier != FIRST]
        if self._put(connection, rider_ref, dict.fromkeys(lacking, FIRST), models, held):
            return ClaimOutcome.PUT
        return ClaimOutcome.HELD if len(lacking) < len(models) else ClaimOutcome.NO_TEMPLATE

    def _put(
        self,
        connection: sa.Connection,
        rider_ref: UUID,
        tiers: Mapping[str, int],
        models: Mapping[str, str],
        held: Mapping[str, Holding],
    ) -> bool:
        """Put one active rider into locked views where something changes; return whether it did."""
        template_of: dict[str, Template] = {}
        for model_id in sorted({models[station] for station in tiers}):
            found = master.templates(connection, [rider_ref], model_id, safe=self.safe)
            if found:
                template_of[model_id] = found[0]
        groups: defaultdict[tuple[int, str], list[str]] = defaultdict(list)
        for station, tier in tiers.items():
            template = template_of.get(models[station])
            if template is not None and held.get(station) != Holding(tier, template.version):
                groups[tier, models[station]].append(station)
        for (tier, model_id), where in sorted(groups.items()):
            put = PutTemplate(replace(template_of[model_id], tier=tier))
            self.publish(connection, where, [put])
        _grown(
            connection, [s for (tier, _), where in groups.items() if tier == FIRST for s in where]
        )
        return bool(groups)

    def _places(
        self,
        connection: sa.Connection,
        rider_ref: UUID,
        held: Mapping[str, Holding],
        now: datetime,
    ) -> Mapping[str, int]:
        """Return the views where a rider belongs until the next reconcile, with the tier."""
        known = views(connection)
        where = {station_of(view) for view in known}
        claimed = claims.claims_of(connection, self.sourcing, [rider_ref], where, now)
        fits = master.fits(connection, at_most=self.budget.spare_max)
        own_budgets = budgets.own_budgets(connection, self.budget)
        spare = self.sourcing.spare
        sizes = _sizes(connection)
        places: dict[str, int] = {}
        for view in known:
            own = claimed.get((station_of(view), rider_ref), ())
            if view in held:
                places[view] = held[view].tier
            elif own or (fits and spare(station_of(view), rider_ref, now) is not None):
                budget = own_budgets.get(station_of(view), self.budget)
                tier = self._room(own, budget, *sizes.get(view, (0, 0)))
                if tier != OUTSIDE:
                    places[view] = tier
        return places

    def _room(self, own: Collection[Claim], budget: Budget, first: int, second: int) -> int:
        """Return the tier that has room, without ranking the whole view."""
        sources = self.sourcing.sources
        likely = any(priority_of(claim, sources) > LONG_SHOT for claim in own)
        if first < (budget.first_max if likely else budget.first):
            return FIRST
        return SECOND if second < budget.second else OUTSIDE


def hold_stations(connection: sa.Connection, station_ids: Iterable[str]) -> None:
    """Let nobody else put riders for claims at some stations until the commit.

    Args:
        connection: With a transaction begun that holds no other lock yet.
        station_ids: Where; a view stands for its station.
    """
    hold_keys(connection)
    for station in sorted({station_of(each) for each in station_ids}):
        lock = sa.func.pg_advisory_xact_lock(_STATION_LOCK, sa.func.hashtext(station))
        connection.execute(sa.select(lock))


def lock_views(connection: sa.Connection, view_ids: Iterable[str]) -> Mapping[str, str]:
    """Lock views in one order everywhere; return the model of each, empty while it has none.

    Args:
        connection: With a transaction begun that has taken all its locks on riders.
        view_ids: Which.
    """
    query = (
        sa.select(VIEW.c.station_id, VIEW.c.model_id)
        .where(VIEW.c.station_id.in_(sorted(set(view_ids))))
        .order_by(VIEW.c.station_id)
        .with_for_update()
    )
    return {row.station_id: row.model_id for row in connection.execute(query)}


def key_of_rider(rider_ref: UUID) -> bytes:
    """Return the key of a rider's template in a view; see `content.key_of`."""
    return b"r" + rider_ref.bytes


RIDER_OF_KEY: sa.ColumnElement[UUID] = sa.cast(
    sa.func.encode(sa.func.substring(VIEW_ITEM.c.item_key, 2), "hex"), sa.Uuid
)
"""And the other way round, in SQL: the driver makes references several times faster than Python."""


def held_by(
    connection: sa.Connection, rider_refs: Iterable[UUID]
) -> Mapping[UUID, Mapping[str, Holding]]:
    """Return the views that hold some riders, by rider and view; riders without any too.

    Args:
        connection: To the database.
        rider_refs: Whom.
    """
    found: dict[UUID, dict[str, Holding]] = {ref: {} for ref in rider_refs}
    keys = sa.cast([key_of_rider(ref) for ref in found], pg.ARRAY(sa.LargeBinary))
    table = VIEW_ITEM.c
    query = sa.select(table.station_id, table.item_key, table.tier, table.version)
    for row in connection.execute(query.where(table.item_key == sa.any_(keys))):
        ref = UUID(bytes=bytes(row.item_key[1:]))
        found[ref][row.station_id] = Holding(row.tier, row.version)
    return found


def _sizes(connection: sa.Connection) -> Mapping[str, tuple[int, int]]:
    query = sa.select(RECONCILE.c.station_id, RECONCILE.c.first, RECONCILE.c.second)
    return {row.station_id: (row.first, row.second) for row in connection.execute(query)}


def _grown(connection: sa.Connection, station_ids: Sequence[str]) -> None:
    """Count somebody more in some first tiers; the next reconcile counts anew."""
    if station_ids:
        connection.execute(
            sa.update(RECONCILE)
            .where(RECONCILE.c.station_id.in_(station_ids))
            .values(first=RECONCILE.c.first + 1)
        )
