"""What a glance at one station finds: the first tier, for a small part of what a look costs.

Likely riders rank before all others, so whoever ranks them and the first tier alone ranks them as
everybody would be ranked. What a glance cannot see is who of the second tier is over, and which
long shot would outrank another: that is left to the next look.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from cloud_sync.adapters.postgres import budgets, claims, master
from cloud_sync.adapters.postgres.membership import RIDER_OF_KEY, Holding, Membership, key_of_rider
from cloud_sync.adapters.postgres.prefilter.candidates import candidates
from cloud_sync.adapters.postgres.prefilter.known import Known, model_of, of_model, versions_of
from cloud_sync.adapters.postgres.tables import MASTER_TEMPLATE, RECONCILE, VIEW_ITEM
from cloud_sync.prefilter.budget import FIRST, SECOND
from cloud_sync.prefilter.claim import Claim
from cloud_sync.prefilter.ranking import desired
from cloud_sync.view_id import station_of


def glance(
    connection: sa.Connection,
    membership: Membership,
    view_id: str,
    now: datetime,
    since: datetime,
) -> Known | None:
    """Rank the likely riders of a station and those in its first tier.

    Args:
        connection: With a transaction begun; a snapshot gives one moment.
        membership: Sources and budget.
        view_id: Which; it must be there.
        now: Aware UTC.
        since: When it was glanced or looked at last, aware UTC.

    Returns:
        None while the city fits: then everybody has to be ranked.
    """
    sourcing, station = membership.sourcing, station_of(view_id)
    budget = budgets.budget_of(connection, membership.budget, station)
    if master.fits(connection, at_most=budget.spare_max):
        return None
    model_id = model_of(connection, view_id)
    first, versions = _first_tier(connection, view_id, model_id)
    is_anew = sourcing.hour(since) != sourcing.hour(now) or len(first) >= budget.first_max
    found = candidates(connection, sourcing, view_id, now, since=since, is_anew=is_anew)
    in_view = first | _held(connection, view_id, found - first.keys())
    considered = found | in_view.keys()
    others = considered - versions.keys()
    more, named = versions_of(connection, model_id, others)
    versions |= more
    unknown = (others - named) & in_view.keys()
    held = {ref: each for ref, each in in_view.items() if ref not in unknown}
    active = versions.keys() | master.active(connection, others - more.keys())
    own: defaultdict[UUID, tuple[Claim, ...]] = defaultdict(tuple)
    own.update(claims.claims_here(connection, sourcing, active, station, now))
    room = _second_room(connection, view_id, budget.second, held)
    ranking = desired(
        (claim for ref, each in own.items() if ref in versions for claim in each),
        replace(budget, second=room, spare_max=0),
        now,
        held={ref: each.tier for ref, each in held.items()},
        sources=sourcing.sources,
    )
    return Known(ranking, own, held, len(in_view) - len(held), versions)


def _first_tier(
    connection: sa.Connection, view_id: str, model_id: str
) -> tuple[dict[UUID, Holding], dict[UUID, int]]:
    """Return who is in the first tier, and of the active ones the version in the master gallery."""
    template = of_model(RIDER_OF_KEY, model_id)
    query = (
        sa.select(RIDER_OF_KEY, VIEW_ITEM.c.version, MASTER_TEMPLATE.c.version.label("newest"))
        .select_from(VIEW_ITEM.outerjoin(MASTER_TEMPLATE, template))
        .where(in_first(view_id))
    )
    rows = connection.execute(query).all()
    first = {ref: Holding(FIRST, version) for ref, version, _ in rows}
    return first, {ref: newest for ref, _, newest in rows if newest is not None}


def in_first(view_id: str) -> sa.ColumnElement[bool]:
    """Return the condition of being in the first tier of a view.

    The tier is written out: a plan that PostgreSQL keeps for any value of a parameter could not use
    the index of first tiers, and would read the whole view each time.
    """
    table = VIEW_ITEM.c
    return sa.and_(
        table.station_id == view_id,
        table.tier == sa.literal_column(str(FIRST)),
        table.item_key >= b"r",
        table.item_key < b"s",
    )


def _held(
    connection: sa.Connection, view_id: str, rider_refs: Iterable[UUID]
) -> dict[UUID, Holding]:
    """Return those of some riders whom a view holds."""
    keys = sa.cast([key_of_rider(ref) for ref in rider_refs], pg.ARRAY(sa.LargeBinary))
    table = VIEW_ITEM.c
    query = sa.select(RIDER_OF_KEY, table.tier, table.version).where(
        table.station_id == view_id, table.item_key == sa.any_(keys)
    )
    return {ref: Holding(tier, version) for ref, tier, version in connection.execute(query).all()}


def _second_room(
    connection: sa.Connection, view_id: str, most: int, held: Mapping[UUID, Holding]
) -> int:
    """Return how many of those ranked the second tier has room for, whoever else is in it."""
    query = sa.select(RECONCILE.c.second).where(RECONCILE.c.station_id == view_id)
    there = int(connection.execute(query).scalar_one_or_none() or 0)
    among = sum(each.tier == SECOND for each in held.values())
    return max(0, most - max(0, there - among))
