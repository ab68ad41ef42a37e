"""The chore that forgets: lines that no edge needs, days of the ledger's copy past all backups."""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime

import sqlalchemy as sa

from cloud_sync.adapters.postgres.publish import views as all_views
from cloud_sync.adapters.postgres.view_log import PostgresViewLog
from cloud_sync.fleet.erasure import LedgerFailed
from cloud_sync.stream.view import ViewLogFailed
from fare.log import say

_LOG = logging.getLogger(__name__)
_COMPACT_S = 600.0
"""Between two compactions, seconds."""
_KEEP = 10_000
"""Lines that a log keeps in any case: an edge that was away for days resumes all the same."""


async def run(
    views: PostgresViewLog,
    engine: sa.Engine,
    prune: Callable[[datetime], object],
    wall: Callable[[], datetime],
) -> None:
    """Compact all views now and then, until cancelled.

    Args:
        views: All of them.
        engine: Their database.
        prune: Removes old days of the erasure ledger's copy; raises `LedgerFailed`.
        wall: Returns the time, aware UTC.
    """

    def once() -> None:
        with engine.begin() as connection:
            known = all_views(connection)
        for view_id in known:
            views.compact(view_id, wall(), keep=_KEEP)
        prune(wall())

    while True:
        await asyncio.sleep(_COMPACT_S)
        try:
            await asyncio.to_thread(once)
        except (LedgerFailed, ViewLogFailed, sa.exc.SQLAlchemyError) as problem:
            say(_LOG, "compaction_failed", level=logging.ERROR, detail=str(problem))
