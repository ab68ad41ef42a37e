"""The chore that lets the views' logs forget what no edge needs any more."""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime

import sqlalchemy as sa

from cloud_sync.adapters.postgres import PostgresViewLog, stations
from cloud_sync.view import ViewLogFailed
from fare.log import say

_LOG = logging.getLogger(__name__)
_COMPACT_S = 600.0
"""Between two compactions, seconds."""
_KEEP = 10_000
"""Lines that a log keeps in any case: an edge that was away for days resumes all the same."""


async def run(views: PostgresViewLog, engine: sa.Engine, wall: Callable[[], datetime]) -> None:
    """Compact all views now and then, until cancelled.

    Args:
        views: All of them.
        engine: Their database.
        wall: Returns the time, aware UTC.
    """

    def once() -> None:
        with engine.begin() as connection:
            known = stations(connection)
        for station in known:
            views.compact(station, wall(), keep=_KEEP)

    while True:
        await asyncio.sleep(_COMPACT_S)
        try:
            await asyncio.to_thread(once)
        except (ViewLogFailed, sa.exc.SQLAlchemyError) as problem:
            say(_LOG, "compaction_failed", level=logging.ERROR, detail=str(problem))
