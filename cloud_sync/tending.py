"""What an operator has and asks of the prefilter: its chores, its budgets, its reasons.

A part of `__main__`: it joins adapters, and no rule stands here.
"""

import argparse
import asyncio
import json
import logging
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

import sqlalchemy as sa

from cloud_sync.adapters.postgres.membership import Membership
from cloud_sync.prefilter.budget import FIRST_MOST, SECOND_MOST, Budget, for_station
from fare.log import say

_LOG = logging.getLogger("cloud_sync")
_CITY = "xian"


@dataclass(frozen=True, slots=True)
class Tools:
    """What only the process has."""

    membership: Callable[[str], Membership]
    """Returns who is in which view of a city, by the city's name."""
    now: Callable[[], datetime]
    """Aware UTC."""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", tools: Tools) -> None:
    """Add the commands.

    Args:
        commands: Of `python -m cloud_sync`.
        tools: What the process has.
    """
    asked = commands.add_parser("why", help="why a rider is in a station's view, or is not")
    asked.add_argument("rider", type=UUID)
    asked.add_argument("station_id", help="or a second view, as `status` names it")
    asked.add_argument("--json", action="store_true", help="as one JSON object")
    asked.add_argument("--city", default=_CITY, help="a city shipped in fare/data")
    asked.set_defaults(run=partial(_why, tools))

    prefilter = commands.add_parser("prefilter", help="hit rates of sources, sizes of views")
    prefilter.add_argument("--days", type=int, default=7, help="passages of so many days")
    prefilter.set_defaults(run=partial(_prefilter, tools))

    tend = commands.add_parser("tend", help="keep the views, in a process that does nothing else")
    tend.add_argument("--city", default=_CITY, help="a city shipped in fare/data")
    tend.set_defaults(run=partial(_tend, tools))

    budget = commands.add_parser("budget", help="how many riders one station's view may hold")
    budget.add_argument("station_id")
    budget.add_argument("--first", type=int, help=f"as a rule, 1 to {FIRST_MOST:,}: face alone")
    budget.add_argument("--first-max", type=int, help="at a rush, from --first up")
    budget.add_argument("--second", type=int, help=f"on the station's disk, 0 to {SECOND_MOST:,}")
    budget.add_argument("--clear", action="store_true", help="the usual budget again")
    budget.set_defaults(run=partial(_budget, tools))


def _why(tools: Tools, chosen: argparse.Namespace, engine: sa.Engine) -> int:
    from cloud_sync.adapters.postgres.prefilter.why import why
    from cloud_sync.prefilter.explain import as_json, in_words

    membership = tools.membership(chosen.city)
    with engine.connect() as connection:
        connection.execution_options(isolation_level="REPEATABLE READ")
        told = why(connection, membership, chosen.rider, chosen.station_id, tools.now())
    if told is None:
        print(f"no station has the id {chosen.station_id}", file=sys.stderr)
        return 1
    zone = membership.sourcing.zone
    print(json.dumps(as_json(told)) if chosen.json else "\n".join(in_words(told, zone)))
    return 0


def _prefilter(tools: Tools, chosen: argparse.Namespace, engine: sa.Engine) -> int:
    from cloud_sync.adapters.postgres.prefilter.why import report

    since = tools.now().date() - timedelta(days=chosen.days)
    with engine.connect() as connection:
        print("\n".join(report(connection, Budget(), since)))
    return 0


def _budget(tools: Tools, chosen: argparse.Namespace, engine: sa.Engine) -> int:
    from cloud_sync.adapters.postgres.budgets import budget_of, set_budget

    usual, station = Budget(), chosen.station_id
    wanted = (chosen.first, chosen.first_max, chosen.second)
    is_order = chosen.clear or any(each is not None for each in wanted)
    try:
        with engine.begin() as connection:
            before = budget_of(connection, usual, station)
            if is_order:
                first, first_max, second = wanted
                own = for_station(before, first=first, first_max=first_max, second=second)
                set_budget(connection, station, None if chosen.clear else own, tools.now())
            now = budget_of(connection, usual, station)
    except (LookupError, ValueError) as problem:
        print(f"nothing was ordered: {problem}", file=sys.stderr)
        return 1
    whose = "as everywhere" if now == usual else "its own"
    print(f"{station}: {now} ({whose})")
    return 0


def _tend(tools: Tools, chosen: argparse.Namespace, engine: sa.Engine) -> int:
    from cloud_sync.adapters.collector import look_seldom

    look_seldom()
    asyncio.run(_until_told(tools, tools.membership(chosen.city), engine))
    say(_LOG, "stopped", service="prefilter")
    return 0


async def _until_told(tools: Tools, membership: Membership, engine: sa.Engine) -> None:
    from cloud_sync.adapters.postgres.prefilter import chores as prefilter_chores

    work = asyncio.create_task(prefilter_chores.run(engine, membership, tools.now))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, work.cancel)
    say(_LOG, "ready", service="prefilter")
    await asyncio.gather(work, return_exceptions=True)
