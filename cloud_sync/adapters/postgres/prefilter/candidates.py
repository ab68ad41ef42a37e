"""Whom a glance at a station ranks: whoever is likely to come, or has become so since the last one.

Each query starts from an index and brings back few of those who have to do with the station. Who is
in the first tier already is ranked again in any case, so that a candidate is needed here for one
glance alone.
"""

import math
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from cloud_sync.adapters.postgres.facts import ACTIVE, FADED
from cloud_sync.prefilter.claim import HABIT, LAST_EXIT, Source
from cloud_sync.prefilter.habit import HALF_LIFE, least_for
from cloud_sync.prefilter.sourcing import Sourcing
from cloud_sync.prefilter.store import JUDGED_WITHIN
from cloud_sync.prefilter.travel import STAY_HALVING
from cloud_sync.view_id import station_of

STRANGERS_MAX = 256
"""Travellers of whom nothing but the entry is known, taken up by one glance: in a city of millions
each exit is open to tens of thousands of them, and one batch is what a glance has time for. The
next look takes the others into the second tier."""

_CLAIMED = """
SELECT t.rider_ref FROM cloud_sync.claim AS t WHERE t.station_id = :station AND t.until > :now
"""
_NEW_HOMES = """
SELECT t.rider_ref FROM cloud_sync.home AS t WHERE t.station_id = :station AND t.since > :since
"""
_TAPPED_HERE = """
SELECT t.rider_ref FROM cloud_sync.last_tap AS t WHERE t.station_id = :station
    AND (t.direction = 'exit' AND t.at > :left_after OR t.direction = 'entry' AND t.at > :since)
"""
_OFTEN_HERE = f"""
SELECT t.rider_ref FROM cloud_sync.habit AS t {FADED}
WHERE t.station_id = :station AND (t.bucket = ANY (CAST(:kin AS integer[]))
    OR t.bucket = ANY (CAST(:near AS integer[])))
GROUP BY t.rider_ref
HAVING sum(f.weight) FILTER (WHERE t.bucket = :own) >= :own_least
    OR sum(f.weight) FILTER (WHERE t.bucket = ANY (CAST(:kin AS integer[]))) >= :kin_least
    OR sum(f.weight) FILTER (WHERE t.bucket = ANY (CAST(:near AS integer[]))) >= :near_least
"""  # noqa: S608  # a constant
_WINDOWS = """
SELECT t.rider_ref FROM unnest(CAST(:entries AS text[]), CAST(:after AS timestamptz[]),
    CAST(:until AS timestamptz[])) AS w (station_id, after, until)
JOIN cloud_sync.last_tap AS t
    ON t.station_id = w.station_id AND t.direction = 'entry' AND t.at > w.after AND t.at <= w.until
"""
_KNOWN_HERE = """
WHERE EXISTS (SELECT 1 FROM cloud_sync.home AS h
        WHERE h.station_id = :station AND h.rider_ref = t.rider_ref)
    OR EXISTS (SELECT 1 FROM cloud_sync.habit AS h
        WHERE h.station_id = :station AND h.rider_ref = t.rider_ref)
"""

_ALWAYS = (_CLAIMED, _NEW_HOMES, _TAPPED_HERE, _WINDOWS + _KNOWN_HERE)


def _active(queries: tuple[str, ...]) -> sa.TextClause:
    whole = " UNION ".join(f"({query})" for query in queries)
    return sa.text(f"SELECT t.rider_ref FROM ({whole}) AS t {ACTIVE}")  # noqa: S608  # a constant


_LIKELY = _active(_ALWAYS)
_LIKELY_ANEW = _active((*_ALWAYS, _OFTEN_HERE))
_STRANGERS = sa.text(f"""
SELECT t.rider_ref FROM ({_WINDOWS}) AS t {ACTIVE}
WHERE NOT EXISTS (SELECT 1 FROM cloud_sync.view_item AS i WHERE i.station_id = :view
    AND i.item_key = decode('72', 'hex') || uuid_send(t.rider_ref))
LIMIT :most
""")  # noqa: S608  # a constant


def candidates(
    connection: sa.Connection,
    sourcing: Sourcing,
    view_id: str,
    now: datetime,
    *,
    since: datetime,
    is_anew: bool,
) -> frozenset[UUID]:
    """Return active riders who may have to be in a station's first tier, and are perhaps not.

    Args:
        connection: To the database.
        sourcing: The city's sources.
        view_id: Of the station.
        now: Aware UTC.
        since: When this was asked last, aware UTC.
        is_anew: Whether habits and last exits count as news: the hour is another one, or the first
            tier is so full that some likely riders are outside it.
    """
    station_id = station_of(view_id)
    hour = sourcing.hour(now)
    least = least_for(_likely_min(sourcing, HABIT), hour.days)
    opened = _windows(sourcing, station_id, now, since=since)
    values = opened | {
        "station": station_id,
        "now": now,
        "since": since - JUDGED_WITHIN,  # a transaction that was under way has an older time
        "left_after": now - _likely_for(sourcing) if is_anew else since - JUDGED_WITHIN,
        "half_life_s": HALF_LIFE.total_seconds(),
        "own": hour.own,
        "kin": sorted(hour.kin),
        "near": sorted(hour.near),
        "own_least": least.own,
        "kin_least": least.kin,
        "near_least": least.near,
    }
    likely = connection.execute(_LIKELY_ANEW if is_anew else _LIKELY, values).scalars()
    some = {"view": view_id, "most": STRANGERS_MAX}
    strangers = connection.execute(_STRANGERS, opened | some).scalars()
    return frozenset(likely) | frozenset(strangers)


def _windows(
    sourcing: Sourcing, station_id: str, now: datetime, *, since: datetime
) -> dict[str, Any]:
    """Return between which moments somebody entered whose window of arrival has opened, by entry.

    That is the moment at which an open trip makes somebody likely, if ever: later in the window it
    adds to what habit says, and whoever is likely by habit is in the first tier already.
    """
    windows = sourcing.windows(station_id)
    return {
        "entries": list(windows),
        "after": [max(since - window.opens, now - window.closes) for window in windows.values()],
        "until": [now - window.opens for window in windows.values()],
    }


def _likely_min(sourcing: Sourcing, source: Source) -> float:
    return sourcing.sources.get(source.name, source).likely_min


def _likely_for(sourcing: Sourcing) -> timedelta:
    """Return how long a last exit stays likely."""
    source = sourcing.sources.get(LAST_EXIT.name, LAST_EXIT)
    halvings = math.log2(max(1.0, source.weight / max(source.likely_min, 1e-3)))
    return min(STAY_HALVING * halvings, source.ttl or HALF_LIFE)
