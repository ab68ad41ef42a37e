"""The cloud's tap log read by plain SQL; LISTEN wakes the reader, polling is the fall-back.

The table `cloud_sync.tap` is written by `cloud_sync` alone; the columns named here are its
contract.
"""

import time
from collections.abc import Sequence

import psycopg
import sqlalchemy as sa

from fare.adapters import rows
from fare.feed import PlacedTap
from fare.store import StoreFailed

CHANNEL = "gateline_tap"
"""`cloud_sync` notifies it after each commit that added taps."""

_READ = sa.text("""
    SELECT position, tap_id, rider_ref, station_id, lane_id, direction, medium, tap_time,
           clock_error_ms, model_id, score_e4, code_id, flags, doubted
    FROM cloud_sync.tap WHERE position > :position ORDER BY position LIMIT :limit
""")


class PostgresTapFeed:
    """A `TapFeed` on the database that `cloud_sync` writes; one thread waits on it."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._ear: psycopg.Connection | None = None

    def read_after(self, position: int, limit: int) -> Sequence[PlacedTap]:
        """Return up to `limit` taps behind a position.

        Raises:
            StoreFailed: The database is gone, or has no tap log yet.
        """
        try:
            with self._engine.connect() as connection:
                found = connection.execute(_READ, {"position": position, "limit": limit})
                return tuple(PlacedTap(row.position, rows.judged_tap_of(row)) for row in found)
        except sa.exc.DBAPIError as error:
            raise StoreFailed(str(error.orig)) from error

    def wait(self, timeout_s: float) -> None:
        """Return when the cloud announced taps, at the latest after `timeout_s`."""
        try:
            if self._ear is None:
                self._ear = self._listen()
            for _ in self._ear.notifies(timeout=timeout_s, stop_after=1):
                pass
        except (psycopg.Error, sa.exc.DBAPIError):
            self.close()
            time.sleep(timeout_s)  # no announcements now: the reader polls at this pace

    def close(self) -> None:
        """Give the listening connection up."""
        if self._ear is not None:
            self._ear.close()
            self._ear = None

    def _listen(self) -> psycopg.Connection:
        # Detached from the pool: it must not go back there while it listens.
        pooled = self._engine.raw_connection()
        ear = pooled.driver_connection
        pooled.detach()
        assert isinstance(ear, psycopg.Connection), "database.connect uses psycopg"
        ear.rollback()
        ear.autocommit = True
        ear.execute(f"LISTEN {CHANNEL}")
        return ear
