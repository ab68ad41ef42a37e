"""What PostgreSQL knows of active riders at stations, gathered for `sourcing`.

Habits are added up in the database: a row a rider comes back, not a row an hour of the week.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from cloud_sync.adapters.postgres.master import active, array_of
from cloud_sync.prefilter.claim import LAST_EXIT, OPEN_TRIP, Claim
from cloud_sync.prefilter.habit import HALF_LIFE, Visits
from cloud_sync.prefilter.sourcing import Facts, Sourcing
from cloud_sync.prefilter.travel import LastTap
from fare.tap import Direction

_Key = tuple[str, UUID]
_Row = list[Any]
"""The fields of `Facts`, in their order."""

ACTIVE = "JOIN cloud_sync.master_rider AS m ON m.rider_ref = t.rider_ref AND m.standing = 'active'"
"""Joins what is kept of riders with those who are active."""
FADED = """CROSS JOIN LATERAL (SELECT t.weight * power(CAST(0.5 AS double precision),
    greatest(date_part('epoch', CAST(:now AS timestamptz) - t.at), 0) / :half_life_s
) AS weight OFFSET 0) AS f"""
"""Fades habits to `now`, by `half_life_s`. `OFFSET 0` keeps the power from being taken again for
each sum that it stands in, and `date_part`, unlike `extract`, gives no decimal number."""
_AT = "t.station_id = ANY (CAST(:stations AS text[]))"
_OF = f"{_AT} AND t.rider_ref = ANY (CAST(:riders AS uuid[]))"

_GIVEN = "SELECT t.* FROM cloud_sync.claim AS t {active} WHERE t.until > :now AND {these}"
_HOMES = """
SELECT t.station_id, t.rider_ref, t.since FROM cloud_sync.home AS t {active} WHERE {these}
"""
_VISITS = """
SELECT t.station_id, t.rider_ref,
    coalesce(sum(f.weight) FILTER (WHERE t.bucket = :own), 0) AS own,
    coalesce(sum(f.weight) FILTER (WHERE t.bucket = ANY (CAST(:kin AS integer[]))), 0) AS kin,
    coalesce(sum(f.weight) FILTER (WHERE t.bucket = ANY (CAST(:near AS integer[]))), 0) AS near,
    sum(f.weight) AS ever
FROM cloud_sync.habit AS t {active}
{faded}
WHERE {these}
GROUP BY t.station_id, t.rider_ref
"""


def _standing(these: str, active: str) -> tuple[sa.TextClause, ...]:
    """Return the three queries for some of the rows; a plan of its own for each kind of asking."""
    return tuple(
        sa.text(query.format(active=active, faded=FADED, these=these))
        for query in (_GIVEN, _HOMES, _VISITS)
    )


# Who of some riders is active is asked once and not by each query.
_STANDING_AT, _STANDING_OF = _standing(_AT, ACTIVE), _standing(_OF, "")
_LAST = "t.rider_ref, t.station_id, t.direction, t.at"
_LAST_OF = sa.text(f"""
SELECT {_LAST} FROM cloud_sync.last_tap AS t WHERE t.rider_ref = ANY (CAST(:riders AS uuid[]))
""")  # noqa: S608  # a constant
_LEFT_HERE = sa.text(f"""
SELECT {_LAST} FROM cloud_sync.last_tap AS t {ACTIVE}
WHERE {_AT} AND t.direction = 'exit' AND t.at > :left_after
""")  # noqa: S608  # a constant
# Of a hundred thousand travellers, those whose window of arrival is open here come back.
_ON_THE_WAY = sa.text(f"""
SELECT {_LAST} FROM cloud_sync.last_tap AS t {ACTIVE}
LEFT JOIN unnest(CAST(:entries AS text[]), CAST(:after AS timestamptz[]),
    CAST(:until AS timestamptz[])) AS w (station_id, after, until)
    ON w.station_id = t.station_id
WHERE t.direction = 'entry' AND t.at > coalesce(w.after, :entered_after)
    AND t.at <= coalesce(w.until, :now)
""")  # noqa: S608  # a constant


def facts_at(
    connection: sa.Connection, sourcing: Sourcing, station_id: str, now: datetime
) -> Iterable[tuple[UUID, Facts]]:
    """Return what is known of every active rider who has to do with one station now.

    Args:
        connection: To the database.
        sourcing: The city's sources.
        station_id: The station.
        now: Aware UTC.
    """
    values = _values(sourcing, (station_id,), None, now)
    found = _standing_facts(connection, values)
    windows = sourcing.windows(station_id)
    values |= {
        "left_after": now - (LAST_EXIT.ttl or HALF_LIFE),
        "entered_after": now - (OPEN_TRIP.ttl or HALF_LIFE),
        "entries": list(windows),
        "after": [now - window.closes for window in windows.values()],
        "until": [now - window.opens for window in windows.values()],
    }
    for query in (_LEFT_HERE, _ON_THE_WAY):
        for row in connection.execute(query, values).all():
            found.last(station_id, _last(row))
    return ((rider_ref, facts) for (_, rider_ref), facts in found.facts())


def facts_of(
    connection: sa.Connection,
    sourcing: Sourcing,
    rider_refs: Sequence[UUID],
    station_ids: Sequence[str],
    now: datetime,
) -> Iterable[tuple[_Key, Facts]]:
    """Return what is known of some riders at some stations, by station and rider.

    Args:
        connection: To the database.
        sourcing: The city's sources.
        rider_refs: Whom; those who are not active are left out.
        station_ids: Where.
        now: Aware UTC.
    """
    there = active(connection, rider_refs) if rider_refs and station_ids else ()
    return facts_of_active(connection, sourcing, there, station_ids, now)


def facts_of_active(
    connection: sa.Connection,
    sourcing: Sourcing,
    rider_refs: Collection[UUID],
    station_ids: Sequence[str],
    now: datetime,
) -> Iterable[tuple[_Key, Facts]]:
    """Return what is known of some riders of whom the caller knows that they are active.

    Args:
        connection: To the database.
        sourcing: The city's sources.
        rider_refs: Whom.
        station_ids: Where.
        now: Aware UTC.
    """
    if not rider_refs:
        return ()
    values = _values(sourcing, station_ids, rider_refs, now)
    found = _standing_facts(connection, values)
    where = set(station_ids)
    for row in connection.execute(_LAST_OF, values).all():
        last = _last(row)
        for station_id in station_ids if last.is_open else {last.station_id} & where:
            found.last(station_id, last)
    return found.facts()


def past_of(connection: sa.Connection, rider_ref: UUID, station_id: str, now: datetime) -> Facts:
    """Return a rider's last tap, and claims on a station that ended and were not swept yet.

    Args:
        connection: To the database.
        rider_ref: Who.
        station_id: Where.
        now: Aware UTC.
    """
    mine = {"riders": array_of([rider_ref]), "stations": [station_id], "now": now}
    over = sa.text(f"SELECT t.* FROM cloud_sync.claim AS t WHERE t.until <= :now AND {_OF}")  # noqa: S608  # a constant
    ended = tuple(
        Claim(row.station_id, row.rider_ref, row.source, row.weight, row.since, row.until)
        for row in connection.execute(over, mine)
    )
    there = active(connection, [rider_ref])
    last = [_last(row) for row in connection.execute(_LAST_OF, mine)] if there else []
    return Facts(given=ended, last=last[0] if last else None)


def _values(
    sourcing: Sourcing, station_ids: Iterable[str], riders: Iterable[UUID] | None, now: datetime
) -> dict[str, Any]:
    hour = sourcing.hour(now)
    return {
        "stations": list(station_ids),
        "riders": None if riders is None else array_of(riders),
        "now": now,
        "half_life_s": HALF_LIFE.total_seconds(),
        "own": hour.own,
        "kin": sorted(hour.kin),
        "near": sorted(hour.near),
    }


def _standing_facts(connection: sa.Connection, values: dict[str, Any]) -> "_Gathered":
    """Return given claims, homes and habits."""
    found = _Gathered()
    given, homes, visits = _STANDING_AT if values["riders"] is None else _STANDING_OF
    for row in connection.execute(given, values).all():
        claim = Claim(row.station_id, row.rider_ref, row.source, row.weight, row.since, row.until)
        found.given(claim)
    for station_id, rider_ref, since in connection.execute(homes, values).all():
        found.home(station_id, rider_ref, since)
    for station_id, rider_ref, own, kin, near, ever in connection.execute(visits, values).all():
        found.visits(station_id, rider_ref, Visits(own, kin, near, ever))
    return found


class _Gathered:
    """Facts as they come out of the tables, by station and rider.

    One look-up a fact: the hash of a reference is worked out anew each time, and a look asks for a
    hundred thousand of them.
    """

    def __init__(self) -> None:
        self._rows: dict[_Key, _Row] = {}

    def given(self, claim: Claim) -> None:
        """Add a claim that came as such."""
        row = self._of(claim.station_id, claim.rider_ref)
        row[0] = (*row[0], claim)

    def home(self, station_id: str, rider_ref: UUID, since: datetime) -> None:
        """Add since when this is one of the rider's home stations."""
        self._of(station_id, rider_ref)[1] = since

    def visits(self, station_id: str, rider_ref: UUID, visits: Visits) -> None:
        """Add the rider's visits."""
        self._of(station_id, rider_ref)[2] = visits

    def last(self, station_id: str, tap: LastTap) -> None:
        """Add the rider's last tap, which tells something about this station."""
        self._of(station_id, tap.rider_ref)[3] = tap

    def facts(self) -> Iterable[tuple[_Key, Facts]]:
        """Return all of one rider at one station together."""
        return ((key, Facts(*row)) for key, row in self._rows.items())

    def _of(self, station_id: str, rider_ref: UUID) -> "_Row":
        return self._rows.setdefault((station_id, rider_ref), [(), None, None, None])


_DIRECTIONS = {each.value: each for each in Direction}


def _last(row: sa.Row[Any]) -> LastTap:
    return LastTap(row.rider_ref, row.station_id, _DIRECTIONS[row.direction], row.at)
