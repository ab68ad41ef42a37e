"""The port `ClaimStore` on PostgreSQL: each call is one transaction."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from uuid import UUID

import sqlalchemy as sa

from cloud_sync.adapters.postgres import claims as functions
from cloud_sync.prefilter.claim import Claim
from cloud_sync.prefilter.sourcing import Sourcing
from cloud_sync.prefilter.store import ClaimStoreFailed, Hit, HitRate
from fare.tap import Tap


class PostgresClaimStore:
    """Claims, homes, habits, last taps, and the count of hits."""

    def __init__(self, engine: sa.Engine, sourcing: Sourcing) -> None:
        """Take an engine on a migrated database.

        Args:
            engine: The database.
            sourcing: The city's sources.
        """
        self._engine = engine
        self._sourcing = sourcing

    def give(self, claim: Claim) -> bool:
        """Keep a claim that came as such; False when the rider is not active."""
        with self._begun() as connection:
            return functions.give(connection, claim)

    def set_homes(self, rider_ref: UUID, station_ids: Sequence[str], now: datetime) -> None:
        """Replace a rider's home stations; one that stays keeps its time."""
        with self._begun() as connection:
            functions.set_homes(connection, rider_ref, station_ids, now)

    def homes(self, rider_ref: UUID) -> tuple[str, ...]:
        """Return a rider's home stations in the order in which they were given."""
        with self._begun() as connection:
            return functions.homes(connection, rider_ref)

    def note(self, taps: Sequence[Tap]) -> None:
        """Learn from taps in any order."""
        with self._begun() as connection:
            functions.note(connection, self._sourcing, taps)

    def claims_at(self, station_id: str, now: datetime, *, spare_max: int) -> tuple[Claim, ...]:
        """Return the claims of all active riders on one station."""
        with self._begun() as connection:
            return functions.claims_at(
                connection, self._sourcing, station_id, now, spare_max=spare_max
            )

    def claims_of(
        self, rider_refs: Iterable[UUID], station_ids: Iterable[str], now: datetime
    ) -> Mapping[tuple[str, UUID], tuple[Claim, ...]]:
        """Return the claims on some active riders at some stations, by station and rider."""
        with self._begun() as connection:
            return functions.claims_of(connection, self._sourcing, rider_refs, station_ids, now)

    def forget(self, rider_ref: UUID) -> None:
        """Delete everything that is kept here of a rider."""
        with self._begun() as connection:
            functions.forget(connection, [rider_ref])

    def sweep(self, now: datetime) -> int:
        """Delete what has run out or faded away; return how many records."""
        with self._begun() as connection:
            return functions.sweep(connection, now)

    def count(self, hits: Iterable[Hit]) -> None:
        """Add passages to the table of hits."""
        with self._begun() as connection:
            functions.count(connection, hits)

    def rates(self, since: date) -> tuple[HitRate, ...]:
        """Return the hit rate of every source and direction from one day on."""
        with self._begun() as connection:
            return functions.rates(connection, since)

    @contextmanager
    def _begun(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except sa.exc.SQLAlchemyError as problem:
            raise ClaimStoreFailed(type(problem).__name__) from problem
