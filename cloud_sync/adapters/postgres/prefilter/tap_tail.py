"""Learns from the tap log: reads on from a cursor, counts hits, and notes where riders are.

One process at a time holds the cursor; another one that comes by goes away again. Cursor, hits and
what was learned commit together, so a tap teaches once.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa

from cloud_sync.adapters.postgres import claims, master
from cloud_sync.adapters.postgres.membership import ClaimOutcome, Membership, held_by
from cloud_sync.adapters.postgres.publish import stations
from cloud_sync.adapters.postgres.tables import CLAIM_CURSOR, TAP
from cloud_sync.prefilter.budget import OUTSIDE
from cloud_sync.prefilter.claim import LONG_SHOT, OPEN_TRIP
from cloud_sync.prefilter.ranking import priority_of
from cloud_sync.prefilter.store import JUDGED_WITHIN, Hit, hits_of
from fare.adapters.rows import tap_of
from fare.log import say
from fare.tap import Direction, Tap

_LOG = logging.getLogger(__name__)

BATCH = 500
"""Taps learned from in one transaction: as many as an edge uploads at once."""
OLDEST = timedelta(days=28)
"""An older tap teaches nothing: its visit counts half by now, and its trip is long over."""


@dataclass(frozen=True, slots=True)
class Tailed:
    """What one step learned."""

    taps: int
    entries: tuple[Tap, ...]
    """Entries of active riders just now: some exit may have to know at once."""


@dataclass(frozen=True, slots=True)
class TapTail:
    """Follows the tap log of `cloud_sync`."""

    engine: sa.Engine
    membership: Membership

    def step(self, now: datetime) -> int:
        """Learn from the next taps, and put whoever is on the way where that is urgent.

        Args:
            now: Aware UTC.

        Returns:
            How many taps were read; 0 when there are none, or another process reads them.
        """
        tailed = self._learn(now)
        for station_id, rider_ref in self._urgent(tailed.entries, now):
            with self.engine.begin() as connection:
                outcome = self.membership.put_now(connection, station_id, rider_ref)
            if outcome is ClaimOutcome.PUT:
                say(_LOG, "expected", level=logging.DEBUG, station=station_id, rider=rider_ref)
        return tailed.taps

    def _learn(self, now: datetime) -> Tailed:
        with self.engine.begin() as connection:
            cursor = sa.select(CLAIM_CURSOR.c.position).with_for_update(skip_locked=True)
            position = connection.execute(cursor).scalar_one_or_none()
            if position is None:
                return Tailed(0, ())
            query = sa.select(TAP).where(TAP.c.position > position).order_by(TAP.c.position)
            rows = connection.execute(query.limit(BATCH)).all()
            if not rows:
                return Tailed(0, ())
            entries: list[Tap] = []
            for run in _runs(tap_of(row) for row in rows):
                entries += self._take(connection, run, now)
            connection.execute(sa.update(CLAIM_CURSOR).values(position=rows[-1].position))
        return Tailed(len(rows), tuple(entries))

    def _take(self, connection: sa.Connection, run: Sequence[Tap], now: datetime) -> list[Tap]:
        """Judge the sources by taps of different riders, then learn from them."""
        # A gate whose clock is wrong by years must not fix its riders' last tap in the future.
        usable = [tap for tap in run if now - OLDEST < tap.tap_time <= now + JUDGED_WITHIN]
        fresh = [tap for tap in usable if abs(now - tap.tap_time) <= JUDGED_WITHIN]
        claims.count(connection, self._judge(connection, fresh))
        known = claims.note(connection, self.membership.sourcing, usable)
        return [tap for tap in fresh if tap.rider_ref in known and tap.direction is Direction.ENTRY]

    def _judge(self, connection: sa.Connection, fresh: Sequence[Tap]) -> Iterable[Hit]:
        """Return what the sources had claimed of riders who have a face at the gates."""
        if not fresh:
            return ()
        riders = {tap.rider_ref for tap in fresh}
        where = {tap.station_id for tap in fresh}
        active = master.active(connection, riders)
        sourcing, budget = self.membership.sourcing, self.membership.budget
        then = max(tap.tap_time for tap in fresh)
        found = claims.claims_of(connection, sourcing, active, where, then)
        fits = master.fits(connection, at_most=budget.spare_max)
        held = held_by(connection, active)
        hits: list[Hit] = []
        for tap in fresh:
            if tap.rider_ref not in active:
                continue
            own = list(found.get((tap.station_id, tap.rider_ref), ()))
            spare = sourcing.spare(tap.station_id, tap.rider_ref, then) if fits else None
            own += [spare] if spare else []
            view = held[tap.rider_ref].get(tap.station_id)
            tier = view.tier if view else OUTSIDE
            hits += hits_of(tap, own, tier, sourcing.local(tap.tap_time).date())
        return hits

    def _urgent(self, entries: Sequence[Tap], now: datetime) -> Sequence[tuple[str, UUID]]:
        """Return where travellers may already arrive: a tap came late, or no track is known.

        Elsewhere the window of arrival opens after the next look, which puts them in their rank.
        """
        if not entries:
            return ()
        with self.engine.begin() as connection:
            known = stations(connection)
            riders = {tap.rider_ref for tap in entries}
            sourcing = self.membership.sourcing
            found = claims.claims_of(connection, sourcing, riders, known, now)
        return sorted(
            (station, rider)
            for (station, rider), own in found.items()
            for claim in own
            if claim.source == OPEN_TRIP.name and priority_of(claim, sourcing.sources) > LONG_SHOT
        )


def _runs(taps: Iterable[Tap]) -> Iterator[list[Tap]]:
    """Split taps where a rider comes again: the exit must find what the entry taught."""
    run: list[Tap] = []
    seen: set[UUID] = set()
    for tap in taps:
        if tap.rider_ref in seen:
            yield run
            run, seen = [], set()
        run.append(tap)
        seen.add(tap.rider_ref)
    if run:
        yield run
