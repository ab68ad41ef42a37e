"""The prefilter's chores beside the server: learn from taps, reconcile views, sweep.

Each runs in its own loop and its own thread at a time; what fails is told and tried again. Several
processes may run them at once: cursor and stations are taken, not shared out.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime

import sqlalchemy as sa

from cloud_sync.adapters.postgres.membership import Membership
from cloud_sync.adapters.postgres.prefilter.reconcile import Reconciler, sweep
from cloud_sync.adapters.postgres.prefilter.tap_tail import TapTail
from cloud_sync.content import TemplateRefused
from cloud_sync.secrecy.key_store import KeysFailed
from cloud_sync.stream.view import SpaceRefused
from fare.log import say

_LOG = logging.getLogger(__name__)

_TAIL_S = 0.5
"""Between two looks at a tap log that had nothing new: far below the shortest ride."""
_LOOK_S = 0.5
"""Between two questions whether a station is due."""
_SWEEP_S = 60.0
_FADE_S = 3_600.0
"""Between two sweeps of all habits and trips: none of them counts once it is over."""
_AGAIN_S = 5.0
"""After a failure."""


async def run(engine: sa.Engine, membership: Membership, clock: Callable[[], datetime]) -> None:
    """Run all chores until cancelled.

    Args:
        engine: The database.
        membership: Who is in which view.
        clock: Now, aware UTC.
    """
    tail = TapTail(engine, membership)
    reconciler = Reconciler(engine, membership)

    def look() -> bool:
        due = reconciler.due(clock())
        if due is None:
            return False
        done = reconciler.tend(due, clock())
        if done.puts or done.drops:
            say(_LOG, "reconciled", station=due.view_id, puts=done.puts, drops=done.drops)
        return True

    await asyncio.gather(
        _for_ever("tail", lambda: tail.step(clock()) > 0, _TAIL_S),
        _for_ever("reconcile", look, _LOOK_S),
        _for_ever("sweep", lambda: sweep(engine, membership, clock(), ways=False) < 0, _SWEEP_S),
        _for_ever("fade", lambda: sweep(engine, membership, clock()) < 0, _FADE_S),
    )


async def _for_ever(name: str, step: Callable[[], bool], pause_s: float) -> None:
    """Do a step again at once while there is more to do, else after a pause."""
    while True:
        try:
            more = await asyncio.to_thread(step)
        except (sa.exc.SQLAlchemyError, KeysFailed, SpaceRefused, TemplateRefused) as problem:
            # The driver's words can quote a row: only the kind is told.
            kind = type(problem).__name__
            say(_LOG, "chore_failed", level=logging.ERROR, chore=name, kind=kind)
            await asyncio.sleep(_AGAIN_S)
            continue
        if not more:
            await asyncio.sleep(pause_s)
