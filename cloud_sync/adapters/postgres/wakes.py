"""Tells streams that a view has changed or an edge was revoked, as soon as PostgreSQL says so."""

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator

import psycopg
import sqlalchemy as sa

from cloud_sync.adapters.postgres.publish import VIEW_CHANNEL
from cloud_sync.adapters.postgres.registry import DEVICE_CHANNEL
from fare.log import say

_LOG = logging.getLogger(__name__)
_AGAIN_S = 1.0
"""Between two attempts to listen; meanwhile each bookmark looks at the view."""


_Sleepers = dict[str, set[Callable[[], None]]]


class Wakes:
    """Who wants to be woken; lives in one event loop."""

    def __init__(self) -> None:
        self._sleepers: _Sleepers = defaultdict(set)
        self._watchers: _Sleepers = defaultdict(set)
        self.is_ended = False
        """Whether the server stops: every sleeper was woken for the last time."""

    @property
    def stations(self) -> frozenset[str]:
        """The stations that somebody follows now."""
        return frozenset(self._sleepers)

    @contextlib.contextmanager
    def subscribed(self, station_id: str, wake: Callable[[], None]) -> Iterator[None]:
        """Have `wake` called whenever the station's view may have changed.

        Args:
            station_id: The station.
            wake: Returns at once.
        """
        with _entered(self._sleepers, station_id, wake):
            yield

    @contextlib.contextmanager
    def watched(self, edge_id: str, wake: Callable[[], None]) -> Iterator[None]:
        """Have `wake` called whenever the edge may have been revoked.

        Args:
            edge_id: The edge.
            wake: Returns at once.
        """
        with _entered(self._watchers, edge_id, wake):
            yield

    def wake(self, station_id: str) -> None:
        """Wake the streams of a station."""
        for wake in tuple(self._sleepers.get(station_id, ())):
            wake()

    def look_at(self, edge_id: str) -> None:
        """Wake whoever watches an edge."""
        for wake in tuple(self._watchers.get(edge_id, ())):
            wake()

    def wake_all(self) -> None:
        """Wake every stream: something may have been missed."""
        for station_id in tuple(self._sleepers):
            self.wake(station_id)
        for edge_id in tuple(self._watchers):
            self.look_at(edge_id)

    def end(self) -> None:
        """Let every stream end."""
        self.is_ended = True
        self.wake_all()


@contextlib.contextmanager
def _entered(sleepers: _Sleepers, name: str, wake: Callable[[], None]) -> Iterator[None]:
    sleepers[name].add(wake)
    try:
        yield
    finally:
        sleepers[name].discard(wake)
        if not sleepers[name]:
            del sleepers[name]  # a stranger may name any


def conninfo(engine: sa.Engine) -> str:
    """Return the database's address as libpq takes it.

    Args:
        engine: On psycopg.
    """
    url = engine.url.set(drivername="postgresql")
    return url.render_as_string(hide_password=False)


async def listen(wakes: Wakes, conninfo: str) -> None:
    """Wake streams by PostgreSQL's notifications, for ever; survives a lost connection.

    Args:
        wakes: Whom to wake.
        conninfo: Of the database, as libpq takes it.
    """
    while True:
        try:
            connection = await psycopg.AsyncConnection.connect(conninfo, autocommit=True)
            async with connection:
                for channel in (VIEW_CHANNEL, DEVICE_CHANNEL):
                    await connection.execute(f"LISTEN {channel}")
                wakes.wake_all()  # what was announced while nobody listened
                async for notice in connection.notifies():
                    tell = wakes.look_at if notice.channel == DEVICE_CHANNEL else wakes.wake
                    tell(notice.payload)
        except psycopg.Error as problem:
            say(_LOG, "listen_lost", level=logging.WARNING, detail=str(problem))
        await asyncio.sleep(_AGAIN_S)
