"""What a look at one station finds, all of one moment: claimed, held, and ranked."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from cloud_sync.adapters.postgres import budgets, claims, model_state
from cloud_sync.adapters.postgres.master import array_of
from cloud_sync.adapters.postgres.membership import RIDER_OF_KEY, Holding, Membership
from cloud_sync.adapters.postgres.tables import MASTER_TEMPLATE, VIEW, VIEW_ITEM
from cloud_sync.prefilter.claim import Claim
from cloud_sync.prefilter.ranking import Ranking, desired
from cloud_sync.view_id import station_of

_VERSIONS = sa.text("""
SELECT t.rider_ref, t.version FROM cloud_sync.master_template AS t
WHERE t.rider_ref = ANY (CAST(:riders AS uuid[])) AND t.model_id = :model
    AND t.is_active AND t.body <> ''
ORDER BY t.version
""")
_NAMED = sa.text("""
SELECT m.rider_ref FROM cloud_sync.master_rider AS m
WHERE m.rider_ref = ANY (CAST(:riders AS uuid[]))
""")


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


def find(
    connection: sa.Connection,
    membership: Membership,
    view_id: str,
    now: datetime,
    *,
    also: Collection[UUID] = (),
) -> Known:
    """Rank everybody with a claim on a station, and see who is in its view.

    Args:
        connection: With a transaction begun; a snapshot gives one moment.
        membership: Sources and the usual budget.
        view_id: Which; it must be there.
        now: Aware UTC.
        also: Riders whose versions are wanted, claimed or not.
    """
    station, sourcing = station_of(view_id), membership.sourcing
    budget = budgets.budget_of(connection, membership.budget, station)
    found = claims.claims_at(connection, sourcing, station, now, spare_max=budget.spare_max)
    model_id = model_of(connection, view_id)
    in_view = _in_view(connection, view_id)
    versions, riders = versions_of(
        connection, model_id, {*also, *in_view, *(claim.rider_ref for claim in found)}
    )
    held = {ref: each for ref, each in in_view.items() if ref in riders}
    comparable: list[Claim] = []
    own: defaultdict[UUID, list[Claim]] = defaultdict(list)
    for claim in found:
        if claim.rider_ref in versions:
            comparable.append(claim)
        else:
            own[claim.rider_ref].append(claim)
    ranking = desired(
        comparable,
        budget,
        now,
        held={ref: each.tier for ref, each in held.items()},
        sources=membership.sourcing.sources,
    )
    claimed = {place.rider_ref: place.claims for place in ranking.places}
    return Known(ranking, {**own, **claimed}, held, len(in_view) - len(held), versions)


def model_of(connection: sa.Connection, view_id: str) -> str:
    """Return the model of a view; one without begins with `newest_model`."""
    view = sa.select(VIEW.c.model_id).where(VIEW.c.station_id == view_id)
    return connection.execute(view).scalar_one() or newest_model(connection)


def _in_view(connection: sa.Connection, view_id: str) -> Mapping[UUID, Holding]:
    table = VIEW_ITEM.c
    query = sa.select(RIDER_OF_KEY, table.tier, table.version).where(
        table.station_id == view_id, table.item_key >= b"r", table.item_key < b"s"
    )
    return {ref: Holding(tier, version) for ref, tier, version in connection.execute(query).all()}


def of_model(rider_ref: sa.ColumnElement[UUID], model_id: str) -> sa.ColumnElement[bool]:
    """Return the condition of being a rider's template of a model that stations may hold."""
    return sa.and_(
        MASTER_TEMPLATE.c.rider_ref == rider_ref,
        MASTER_TEMPLATE.c.model_id == model_id,
        MASTER_TEMPLATE.c.is_active,
        MASTER_TEMPLATE.c.body != sa.literal_column("''"),  # as the index of versions has it
    )


def versions_of(
    connection: sa.Connection, model_id: str, rider_refs: Iterable[UUID]
) -> tuple[Mapping[UUID, int], frozenset[UUID]]:
    """Return the versions of active riders' templates of a model, and all riders known at all."""
    refs = set(rider_refs)
    if not refs:
        return {}, frozenset()
    mine = {"riders": array_of(refs), "model": model_id}
    # Whoever has such a template is known: only the others, who are few, are asked for by name. Of
    # several versions the newest comes last, and stays.
    rows = connection.execute(_VERSIONS, mine).all()
    versions = {row.rider_ref: row.version for row in rows}
    if len(versions) == len(refs):
        return versions, frozenset(versions)
    named = connection.execute(_NAMED, {"riders": array_of(refs - versions.keys())})
    return versions, frozenset(versions).union(named.scalars().all())


def newest_model(connection: sa.Connection) -> str:
    """Return the model that a view without one begins with: in force, or the newest template's."""
    in_force = model_state.read(connection).trusted
    if in_force:
        return in_force
    query = sa.select(MASTER_TEMPLATE.c.model_id).where(
        MASTER_TEMPLATE.c.is_active, MASTER_TEMPLATE.c.body != b""
    )
    found = connection.execute(query.order_by(MASTER_TEMPLATE.c.rev.desc()).limit(1))
    return found.scalar_one_or_none() or ""
