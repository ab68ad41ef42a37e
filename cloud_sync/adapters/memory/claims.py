"""Claims in memory: for tests and models, and as the plain reading of the port's promises."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from uuid import UUID

from cloud_sync.master.gallery import MasterGallery
from cloud_sync.prefilter.claim import LAST_EXIT, OPEN_TRIP, Claim
from cloud_sync.prefilter.habit import FORGOTTEN, HALF_LIFE, Habit, add_up, bucket_of, visited
from cloud_sync.prefilter.sourcing import Facts, Sourcing
from cloud_sync.prefilter.store import Hit, HitRate, rates_of
from cloud_sync.prefilter.travel import LastTap, later
from fare.tap import Tap


class MemoryClaimStore:
    """Claims that a restart forgets."""

    def __init__(self, gallery: MasterGallery, sourcing: Sourcing) -> None:
        """Start without claims.

        Args:
            gallery: Says who is active.
            sourcing: The city's sources.
        """
        self._gallery = gallery
        self._sourcing = sourcing
        self._claims: dict[tuple[str, UUID, str], Claim] = {}
        self._homes: dict[UUID, dict[str, datetime]] = {}
        self._habits: dict[tuple[str, UUID, int], Habit] = {}
        self._last: dict[UUID, LastTap] = {}
        self._hits: Counter[Hit] = Counter()

    def give(self, claim: Claim) -> bool:
        """Keep a claim that came as such; False when the rider is not active."""
        if not self._gallery.active([claim.rider_ref]):
            return False
        key = claim.station_id, claim.rider_ref, claim.source
        before = self._claims.get(key)
        if before is not None and before.until is not None and claim.until is not None:
            since, until = min(before.since, claim.since), max(before.until, claim.until)
            claim = replace(claim, since=since, until=until)
        self._claims[key] = claim
        return True

    def set_homes(self, rider_ref: UUID, station_ids: Sequence[str], now: datetime) -> None:
        """Replace a rider's home stations; one that stays keeps its time."""
        before = self._homes.get(rider_ref, {})
        self._homes[rider_ref] = {each: before.get(each, now) for each in station_ids}

    def homes(self, rider_ref: UUID) -> tuple[str, ...]:
        """Return a rider's home stations in the order in which they were given."""
        return tuple(self._homes.get(rider_ref, ()))

    def note(self, taps: Sequence[Tap]) -> None:
        """Learn from taps in any order."""
        active = self._gallery.active({tap.rider_ref for tap in taps})
        for tap in taps:
            if tap.rider_ref not in active:
                continue
            seen = LastTap(tap.rider_ref, tap.station_id, tap.direction, tap.tap_time)
            self._last[tap.rider_ref] = later(self._last.get(tap.rider_ref), seen)
            local = self._sourcing.local(tap.tap_time)
            key = tap.station_id, tap.rider_ref, bucket_of(local)
            self._habits[key] = visited(self._habits.get(key), tap.rider_ref, tap.station_id, local)

    def claims_at(self, station_id: str, now: datetime, *, spare_max: int) -> tuple[Claim, ...]:
        """Return the claims of all active riders on one station."""
        riders = {rider for _, rider, _ in self._claims} | set(self._homes) | set(self._last)
        riders |= {rider for _, rider, _ in self._habits}
        found = [c for each in self.claims_of(riders, [station_id], now).values() for c in each]
        for rider_ref in self._gallery.everybody(spare_max) or ():
            spare = self._sourcing.spare(station_id, rider_ref, now)
            found += [spare] if spare else []
        return tuple(found)

    def claims_of(
        self, rider_refs: Iterable[UUID], station_ids: Iterable[str], now: datetime
    ) -> Mapping[tuple[str, UUID], tuple[Claim, ...]]:
        """Return the claims on some active riders at some stations, by station and rider."""
        active = self._gallery.active(rider_refs)
        found = {
            (station, rider): self._sourcing.claims(
                station, rider, self._facts(station, rider, now), now
            )
            for station in station_ids
            for rider in active
        }
        return {key: claims for key, claims in found.items() if claims}

    def forget(self, rider_ref: UUID) -> None:
        """Delete everything that is kept here of a rider."""
        self._homes.pop(rider_ref, None)
        self._last.pop(rider_ref, None)
        self._claims = {k: v for k, v in self._claims.items() if k[1] != rider_ref}
        self._habits = {k: v for k, v in self._habits.items() if k[1] != rider_ref}

    def sweep(self, now: datetime) -> int:
        """Delete what has run out or faded away; return how many records."""
        before = len(self._claims) + len(self._last) + len(self._habits)
        self._claims = {k: v for k, v in self._claims.items() if v.until is None or v.until > now}
        self._last = {k: v for k, v in self._last.items() if not _is_over(v, now)}
        self._habits = {k: v for k, v in self._habits.items() if v.faded(now) >= FORGOTTEN}
        return before - len(self._claims) - len(self._last) - len(self._habits)

    def count(self, hits: Iterable[Hit]) -> None:
        """Add passages to the table of hits."""
        self._hits.update(hits)

    def rates(self, since: date) -> tuple[HitRate, ...]:
        """Return the hit rate of every source and direction from one day on."""
        counts: Counter[tuple[str, object, int]] = Counter()
        for hit, passages in self._hits.items():
            if hit.day >= since:
                counts[hit.source, hit.direction, hit.tier] += passages
        return rates_of(counts)  # type: ignore[arg-type]

    def _facts(self, station_id: str, rider_ref: UUID, now: datetime) -> Facts:
        mine = [
            habit
            for (station, rider, _), habit in self._habits.items()
            if (station, rider) == (station_id, rider_ref)
        ]
        return Facts(
            given=tuple(
                claim
                for (station, rider, _), claim in self._claims.items()
                if (station, rider) == (station_id, rider_ref)
            ),
            home_since=self._homes.get(rider_ref, {}).get(station_id),
            visits=add_up(mine, self._sourcing.hour(now), now) if mine else None,
            last=self._last.get(rider_ref),
        )


def _is_over(last: LastTap, now: datetime) -> bool:
    ttl = (OPEN_TRIP if last.is_open else LAST_EXIT).ttl or HALF_LIFE
    return last.at < now - ttl
