"""What the operator asks of the prefilter: why is this rider here, and how well does it guess."""

from collections.abc import Sequence
from datetime import date, datetime
from uuid import UUID

import sqlalchemy as sa

from cloud_sync.adapters.postgres import claims, master
from cloud_sync.adapters.postgres.budgets import own_budgets
from cloud_sync.adapters.postgres.facts import past_of
from cloud_sync.adapters.postgres.item_row import put_of
from cloud_sync.adapters.postgres.membership import Membership, held_by
from cloud_sync.adapters.postgres.prefilter.known import find
from cloud_sync.adapters.postgres.publish import views
from cloud_sync.adapters.postgres.tables import RECONCILE, VIEW_ITEM
from cloud_sync.content import key_of
from cloud_sync.gallery import Denial, DropDenial, PutDenial
from cloud_sync.prefilter.budget import OUTSIDE, Budget
from cloud_sync.prefilter.explain import Explanation, Subject, explain
from cloud_sync.prefilter.store import ALL, HitRate, ViewSize
from cloud_sync.view_id import station_of


def why(
    connection: sa.Connection,
    membership: Membership,
    rider_ref: UUID,
    station_id: str,
    now: datetime,
) -> Explanation | None:
    """Return why a rider is in a view, or is not; None when there is no such station.

    Args:
        connection: To the database; a snapshot gives one moment.
        membership: Sources and budget.
        rider_ref: Who.
        station_id: Where; of a station's second view its id.
        now: Aware UTC.
    """
    if station_id not in views(connection):
        return None
    known = find(connection, membership, station_id, now, also=(rider_ref,))
    held = held_by(connection, [rider_ref])[rider_ref].get(station_id)
    sourcing, station = membership.sourcing, station_of(station_id)
    past = past_of(connection, rider_ref, station, now)
    subject = Subject(
        rider_ref,
        station_id,
        now,
        master.standing(connection, rider_ref),
        held.tier if held else OUTSIDE,
        comparable=rider_ref in known.versions,
        since=master.since(connection, rider_ref),
        denial=_denial(connection, membership, station_id, rider_ref),
        lapses=sourcing.lapses(station, past, now),
    )
    return explain(subject, known.ranking, sources=membership.sourcing.sources)


def _denial(
    connection: sa.Connection, membership: Membership, view_id: str, rider_ref: UUID
) -> Denial | None:
    """Return what a view's deny list says of a rider."""
    key = key_of(DropDenial(rider_ref))
    query = sa.select(VIEW_ITEM).where(VIEW_ITEM.c.station_id == view_id)
    row = connection.execute(query.where(VIEW_ITEM.c.item_key == key)).one_or_none()
    change = None if row is None else put_of(row, membership.safe)
    return change.denial if isinstance(change, PutDenial) else None


def sizes(connection: sa.Connection, usual: Budget) -> tuple[ViewSize, ...]:
    """Return every view against its budget, by station.

    Args:
        connection: To the database.
        usual: The budget of a station without its own.
    """
    own = own_budgets(connection, usual)
    query = sa.select(RECONCILE).order_by(RECONCILE.c.station_id)
    return tuple(
        ViewSize(
            row.station_id,
            row.done_at,
            row.glanced_at,
            row.first,
            row.first_bound,
            row.second,
            row.outside,
            budget=own.get(station_of(row.station_id), usual),
            is_own=station_of(row.station_id) in own,
        )
        for row in connection.execute(query)
    )


def report(connection: sa.Connection, usual: Budget, since: date) -> Sequence[str]:
    """Return hit rates and view sizes as lines for a terminal.

    Args:
        connection: To the database.
        usual: The budget of a station without its own.
        since: The first day whose passages count.
    """
    lines = [f"Passages of riders with a face, from {since.isoformat()} on, by what expected them:"]
    found = claims.rates(connection, since)
    if not found:
        lines.append("  none yet")
    best_first = sorted(found, key=lambda rate: (rate.direction, rate.source != ALL, -rate.found))
    lines += [_line(rate) for rate in best_first]
    lines.append("Views:")
    for size in sizes(connection, usual):
        looked = size.done_at.isoformat(timespec="seconds") if size.done_at else "never"
        glanced = size.glanced_at.isoformat(timespec="seconds") if size.glanced_at else "never"
        own = f" (its own budget: {size.budget})" if size.is_own else ""
        lines.append(
            f"  {size.station_id}: first tier {size.first} of {size.first_bound},"
            f" second {size.second} of {size.budget.second},"
            f" {size.outside} outside, last look {looked}, glance {glanced}{own}"
        )
    return lines


def _line(rate: HitRate) -> str:
    name = rate.source or "all sources"
    share = f"{100 * rate.found:5.1f} % in the view"
    tiers = f"first tier {rate.first}, second {rate.second}"
    said = f"{rate.claimed} of {rate.passages}"
    return f"  {rate.direction.value:5} {name:11} {share} ({said}; {tiers})"
