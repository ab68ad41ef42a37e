"""The process that nodes talk to: galleries, taps, reports, devices, and the chores beside them.

A part of `__main__`: it joins adapters, and no rule stands here.
"""

import argparse
import asyncio
import logging
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import sqlalchemy as sa

from cloud_sync.adapters.disk.erasure_file import ErasureFile
from cloud_sync.adapters.grpc.counts import Counts
from cloud_sync.adapters.grpc.device_trust import DeviceTrust
from cloud_sync.adapters.index.arguments import add_choice
from cloud_sync.adapters.postgres.membership import Membership
from cloud_sync.adapters.postgres.view_log import PostgresViewLog
from cloud_sync.clock import Clock
from cloud_sync.fleet.erasure import LedgerFailed
from cloud_sync.profile import PROFILES, STRICTEST
from cloud_sync.secrecy.safe import Safe
from cloud_sync.trust.authority import AuthorityFailed
from fare.log import say

_LOG = logging.getLogger("cloud_sync")
_LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Tools:
    """What only the process has."""

    safe: Callable[[], Safe]
    """Returns what seals and opens the cloud's records."""
    membership: Callable[[str], Membership]
    """Returns who is in which view of a city."""
    copy: Callable[[Safe], ErasureFile]
    """Returns the erasure ledger's copy outside the database."""
    replayed: Callable[[sa.Connection], int]
    """Carries out what the database has forgotten; returns how many erasures that were."""
    trust: Callable[[sa.Engine, Sequence[str]], DeviceTrust]
    """Returns by what the cloud knows its nodes, and they it under some names."""
    clock: Clock


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", tools: Tools) -> None:
    """Add the command.

    Args:
        commands: Of `python -m cloud_sync`.
        tools: What the process has.
    """
    serve = commands.add_parser("serve", help="serve galleries and take taps over gRPC")
    serve.add_argument("--listen", default="127.0.0.1:7443", help="host:port; port 0 is any free")
    serve.add_argument(
        "--device-listen", default="127.0.0.1:7444", help="for nodes without a good certificate"
    )
    serve.add_argument(
        "--name", action="append", default=[], help="a host name or address that nodes dial"
    )
    serve.add_argument("--city", default="xian", help="a city shipped in fare/data")
    serve.add_argument(
        "--no-prefilter", action="store_true", help="leave the keeping of views to `tend`"
    )
    serve.add_argument(
        "--allow-plain",
        action="store_true",
        help="send templates unsealed, also to nodes of the version before",
    )
    serve.add_argument(
        "--profile", default=STRICTEST, choices=PROFILES, help="the law of the place"
    )
    serve.add_argument(
        "--presence", action="store_true", help="let entrances ask who comes, if the law allows it"
    )
    serve.add_argument("--metrics", help="host:port where Prometheus reads this process's events")
    serve.add_argument("--pack", default="open", help="whose calibration counts for presence")
    serve.add_argument("--next-pack", help="and of the coming one, while the model is changed")
    add_choice(serve)
    serve.set_defaults(run=partial(_serve, tools))


def _serve(tools: Tools, chosen: argparse.Namespace, engine: sa.Engine) -> int:
    from cloud_sync.adapters.console.serve_metrics import counted

    counts = Counts()
    profile = PROFILES[chosen.profile]
    if chosen.presence and not profile.presence_allowed:
        reason = profile.presence_why
        say(_LOG, "presence_stays_off", level=logging.ERROR, profile=profile.name, detail=reason)
        return 2
    try:
        with engine.begin() as connection:
            tools.replayed(connection)
    except LedgerFailed as problem:
        say(_LOG, "ledger_failed", level=logging.ERROR, detail=str(problem))
        return 1
    with ExitStack() as counting:
        if chosen.metrics:
            try:
                counting.enter_context(counted(chosen.metrics, lambda: counts.divergences))
            except OSError as problem:
                where, why = chosen.metrics, str(problem)
                say(_LOG, "cannot_serve", level=logging.ERROR, listen=where, detail=why)
                return 1
        return asyncio.run(_serve_until_told(tools, chosen, engine, counts))


async def _serve_until_told(
    tools: Tools, chosen: argparse.Namespace, engine: sa.Engine, counts: Counts
) -> int:
    from cloud_sync.adapters.collector import look_seldom
    from cloud_sync.adapters.grpc.outgoing import Sealing
    from cloud_sync.adapters.grpc.server import Ports, ServerConfig, Stores, serve
    from cloud_sync.adapters.index.choice import chosen_index
    from cloud_sync.adapters.index.presence_pack import opened
    from cloud_sync.adapters.postgres import compaction
    from cloud_sync.adapters.postgres.fleet import PostgresFleetLog
    from cloud_sync.adapters.postgres.prefilter import chores as prefilter_chores
    from cloud_sync.adapters.postgres.taps import PostgresTapLog
    from cloud_sync.adapters.postgres.wakes import Wakes, conninfo, listen

    look_seldom()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    safe = tools.safe()
    views = PostgresViewLog(engine, safe, on_new_history=tools.replayed)
    sealing = None if chosen.allow_plain else Sealing(lambda: safe.ring)
    trust = tools.trust(engine, (*_LOCAL_NAMES, socket.gethostname(), *chosen.name))
    wakes, clock = Wakes(), tools.clock
    membership = tools.membership(chosen.city)
    chores = [
        asyncio.create_task(listen(wakes, conninfo(engine))),
        asyncio.create_task(compaction.run(views, engine, tools.copy(safe).prune, clock.wall)),
    ]
    if not chosen.no_prefilter:
        keeping = prefilter_chores.run(engine, membership, clock.wall)
        chores.append(asyncio.create_task(keeping))
    desk = None
    if chosen.presence:
        packs = [name for name in (chosen.pack, chosen.next_pack) if name]
        desk = opened(engine, membership, packs, chosen_index(chosen))
        chores.append(asyncio.create_task(desk.attend_for_ever()))

    def ready(ports: Ports) -> None:
        say(_LOG, "ready", service="cloud_sync", port=ports.main, device_port=ports.device)

    try:
        await serve(
            Stores(
                views,
                PostgresTapLog(engine),
                trust,
                PostgresFleetLog(engine),
                sealing,
                desk,
                counts,
            ),
            ServerConfig(chosen.listen, device_listen=chosen.device_listen),
            wakes=wakes,
            clock=clock,
            stop=stop,
            on_ready=ready,
        )
    except (RuntimeError, AuthorityFailed) as problem:
        listens = f"{chosen.listen}, {chosen.device_listen}"
        say(_LOG, "cannot_serve", level=logging.ERROR, listen=listens, detail=str(problem))
        return 1
    finally:
        for chore in chores:
            chore.cancel()
        await asyncio.gather(*chores, return_exceptions=True)
    say(_LOG, "stopped", service="cloud_sync")
    return 0
