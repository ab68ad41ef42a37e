"""Claims, homes, habits and last taps in PostgreSQL: functions in the caller's transaction.

Whoever writes something about a rider shares the lock on that rider and finds it active, so that a
withdrawal, which deletes all of it, leaves nothing behind (see `master.shared`).
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from cloud_sync.adapters.postgres.facts import facts_at, facts_of, facts_of_active
from cloud_sync.adapters.postgres.master import everybody, shared
from cloud_sync.adapters.postgres.tables import CLAIM, HABIT, HOME, LAST_TAP, SOURCE_HIT
from cloud_sync.prefilter.claim import LAST_EXIT, OPEN_TRIP, Claim
from cloud_sync.prefilter.habit import FORGOTTEN, HALF_LIFE, visited
from cloud_sync.prefilter.sourcing import Sourcing
from cloud_sync.prefilter.store import Hit, HitRate, rates_of
from cloud_sync.prefilter.travel import LastTap, later
from fare.tap import Direction, Tap

_SWEPT_AT_ONCE = 10_000
"""Rows deleted by one statement: deletions must not hold up a withdrawal."""


def give(connection: sa.Connection, claim: Claim) -> bool:
    """Keep a claim that came as such; False when the rider is not active.

    Args:
        connection: With a transaction begun that holds no view yet.
        claim: With an end; of two of one source the later end counts.
    """
    if not shared(connection, [claim.rider_ref]):
        return False
    row = {
        "station_id": claim.station_id,
        "rider_ref": claim.rider_ref,
        "source": claim.source,
        "weight": claim.weight,
        "since": claim.since,
        "until": claim.until,
    }
    insert = pg.insert(CLAIM).values(row)
    newer = {
        "weight": insert.excluded.weight,
        "since": sa.func.least(CLAIM.c.since, insert.excluded.since),
        "until": sa.func.greatest(CLAIM.c.until, insert.excluded.until),
    }
    connection.execute(
        insert.on_conflict_do_update(
            index_elements=["station_id", "rider_ref", "source"], set_=newer
        )
    )
    return True


def set_homes(
    connection: sa.Connection, rider_ref: UUID, station_ids: Sequence[str], now: datetime
) -> None:
    """Replace a rider's home stations; one that stays keeps its time.

    Args:
        connection: With a transaction begun.
        rider_ref: Who.
        station_ids: Where, each once.
        now: Aware UTC.
    """
    mine = HOME.c.rider_ref == rider_ref
    connection.execute(sa.delete(HOME).where(mine, HOME.c.station_id.not_in(list(station_ids))))
    rows = [
        {"rider_ref": rider_ref, "station_id": station, "place": place, "since": now}
        for place, station in enumerate(station_ids)
    ]
    if rows:
        insert = pg.insert(HOME)
        connection.execute(
            insert.on_conflict_do_update(
                index_elements=["rider_ref", "station_id"],
                set_={"place": insert.excluded.place},
            ),
            rows,
        )


def homes(connection: sa.Connection, rider_ref: UUID) -> tuple[str, ...]:
    """Return a rider's home stations in the order in which they were given."""
    query = sa.select(HOME.c.station_id).where(HOME.c.rider_ref == rider_ref)
    return tuple(connection.execute(query.order_by(HOME.c.place)).scalars())


def note(connection: sa.Connection, sourcing: Sourcing, taps: Sequence[Tap]) -> frozenset[UUID]:
    """Learn from taps in any order; return the riders that something was learned of.

    Args:
        connection: With a transaction begun that holds no view yet.
        sourcing: The city's sources.
        taps: Each of them once.
    """
    riders = shared(connection, {tap.rider_ref for tap in taps})
    latest: dict[UUID, LastTap] = {}
    for tap in taps:
        if tap.rider_ref in riders:
            seen = LastTap(tap.rider_ref, tap.station_id, tap.direction, tap.tap_time)
            latest[tap.rider_ref] = later(latest.get(tap.rider_ref), seen)
    if not latest:
        return frozenset()
    insert = pg.insert(LAST_TAP)
    fields = {name: insert.excluded[name] for name in ("station_id", "direction", "at")}
    connection.execute(
        insert.on_conflict_do_update(
            index_elements=["rider_ref"], set_=fields, where=insert.excluded.at > LAST_TAP.c.at
        ),
        [
            {
                "rider_ref": last.rider_ref,
                "station_id": last.station_id,
                "direction": last.direction.value,
                "at": last.at,
            }
            for last in latest.values()
        ],
    )
    _visit(connection, sourcing, [tap for tap in taps if tap.rider_ref in riders])
    return riders


def _visit(connection: sa.Connection, sourcing: Sourcing, taps: Iterable[Tap]) -> None:
    """Add visits to the habits, faded to the latest of them as `habit.visited` does."""
    rows = []
    for tap in taps:
        local = sourcing.local(tap.tap_time)
        first = visited(None, tap.rider_ref, tap.station_id, local)
        rows.append(
            {
                "station_id": first.station_id,
                "rider_ref": first.rider_ref,
                "bucket": first.bucket,
                "weight": first.weight,
                "at": first.at,
            }
        )
    insert = pg.insert(HABIT)
    at = sa.func.greatest(HABIT.c.at, insert.excluded.at)
    weight = HABIT.c.weight * _fading(HABIT.c.at, at) + _fading(insert.excluded.at, at)
    connection.execute(
        insert.on_conflict_do_update(
            index_elements=["station_id", "rider_ref", "bucket"],
            set_={"weight": weight, "at": at},
        ),
        rows,
    )


def _fading(since: Any, until: Any) -> Any:
    """Return what is left of a visit, as SQL."""
    past_s = sa.func.greatest(sa.extract("epoch", until - since), 0)
    return sa.func.power(sa.literal(0.5), past_s / HALF_LIFE.total_seconds())


def claims_at(
    connection: sa.Connection,
    sourcing: Sourcing,
    station_id: str,
    now: datetime,
    *,
    spare_max: int,
) -> tuple[Claim, ...]:
    """Return the claims of all active riders on one station.

    Args:
        connection: To the database.
        sourcing: The city's sources.
        station_id: The station.
        now: Aware UTC.
        spare_max: With at most so many active riders in the city, each of them is claimed.
    """
    found: list[Claim] = []
    for rider_ref, facts in facts_at(connection, sourcing, station_id, now):
        found += sourcing.claims(station_id, rider_ref, facts, now)
    for rider_ref in everybody(connection, at_most=spare_max) or ():
        spare = sourcing.spare(station_id, rider_ref, now)
        found += [spare] if spare else []
    return tuple(found)


def claims_of(
    connection: sa.Connection,
    sourcing: Sourcing,
    rider_refs: Iterable[UUID],
    station_ids: Iterable[str],
    now: datetime,
) -> Mapping[tuple[str, UUID], tuple[Claim, ...]]:
    """Return the claims on some active riders at some stations, by station and rider.

    Spare room is not among them: it is the view's, not the rider's.

    Args:
        connection: To the database.
        sourcing: The city's sources.
        rider_refs: Whom.
        station_ids: Where.
        now: Aware UTC.
    """
    found: dict[tuple[str, UUID], tuple[Claim, ...]] = {}
    known = facts_of(connection, sourcing, tuple(rider_refs), tuple(station_ids), now)
    for (station_id, rider_ref), facts in known:
        claims = sourcing.claims(station_id, rider_ref, facts, now)
        if claims:
            found[station_id, rider_ref] = claims
    return found


def claims_here(
    connection: sa.Connection,
    sourcing: Sourcing,
    rider_refs: Collection[UUID],
    station_id: str,
    now: datetime,
) -> Mapping[UUID, tuple[Claim, ...]]:
    """Return the claims on some riders at one station; see `claims_of`.

    Args:
        connection: To the database.
        sourcing: The city's sources.
        rider_refs: Whom; the caller knows that they are active.
        station_id: Where.
        now: Aware UTC.
    """
    known = facts_of_active(connection, sourcing, rider_refs, (station_id,), now)
    made = (
        (rider_ref, sourcing.claims(station_id, rider_ref, facts, now))
        for (_, rider_ref), facts in known
    )
    return {rider_ref: claims for rider_ref, claims in made if claims}


def forget(connection: sa.Connection, rider_refs: Iterable[UUID], *, homes: bool = True) -> None:
    """Delete what is kept here of some riders; with `homes` their chosen stations as well."""
    refs = list(rider_refs)
    if not refs:
        return
    wanted = sa.cast(refs, pg.ARRAY(sa.Uuid))
    for table in (CLAIM, HABIT, LAST_TAP, HOME) if homes else (CLAIM, HABIT, LAST_TAP):
        connection.execute(sa.delete(table).where(table.c.rider_ref == sa.any_(wanted)))


def sweep(connection: sa.Connection, now: datetime, *, ways: bool = True) -> int:
    """Delete what has run out or faded away, so much of each as is quickly done.

    Args:
        connection: With a transaction begun.
        now: Aware UTC.
        ways: Last taps and habits as well, which reads all of them: seldom in a large city.
    """
    faded = HABIT.c.weight * _fading(HABIT.c.at, sa.literal(now)) < FORGOTTEN
    long_ago = sa.or_(
        sa.and_(
            LAST_TAP.c.direction == Direction.ENTRY.value,
            LAST_TAP.c.at < now - (OPEN_TRIP.ttl or HALF_LIFE),
        ),
        LAST_TAP.c.at < now - (LAST_EXIT.ttl or HALF_LIFE),
    )
    swept = 0
    over = [(CLAIM, CLAIM.c.until <= now)]
    if ways:
        over += [(LAST_TAP, long_ago), (HABIT, faded)]
    for table, done in over:
        keys = list(table.primary_key.columns)
        some = sa.select(*keys).where(done).limit(_SWEPT_AT_ONCE)
        gone = sa.delete(table).where(sa.tuple_(*keys).in_(some))
        swept += connection.execute(gone).rowcount
    return swept


def count(connection: sa.Connection, hits: Iterable[Hit]) -> None:
    """Add passages to the table of hits."""
    counted: defaultdict[Hit, int] = defaultdict(int)
    for hit in hits:
        counted[hit] += 1
    if not counted:
        return
    rows = [
        {
            "day": hit.day,
            "station_id": hit.station_id,
            "direction": hit.direction.value,
            "source": hit.source,
            "tier": hit.tier,
            "passages": passages,
        }
        for hit, passages in counted.items()
    ]
    insert = pg.insert(SOURCE_HIT)
    connection.execute(
        insert.on_conflict_do_update(
            index_elements=["day", "station_id", "direction", "source", "tier"],
            set_={"passages": SOURCE_HIT.c.passages + insert.excluded.passages},
        ),
        rows,
    )


def rates(connection: sa.Connection, since: date) -> tuple[HitRate, ...]:
    """Return the hit rate of every source and direction from one day on, sorted by both."""
    table = SOURCE_HIT.c
    query = (
        sa.select(table.source, table.direction, table.tier, sa.func.sum(table.passages))
        .where(table.day >= since)
        .group_by(table.source, table.direction, table.tier)
    )
    return rates_of(
        {
            (source, Direction(direction), tier): int(passages)
            for source, direction, tier, passages in connection.execute(query)
        }
    )
