"""What an operator watches a city with: the console's pages, and the proofs of erasure.

A part of `__main__`: it joins adapters, and no rule stands here.
"""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from uuid import UUID

import sqlalchemy as sa

from cloud_sync.adapters.disk.erasure_file import ErasureFile
from cloud_sync.adapters.postgres.membership import Membership
from cloud_sync.fleet.erasure import LedgerFailed
from cloud_sync.secrecy.safe import Safe
from fare.city import shipped


@dataclass(frozen=True, slots=True)
class Tools:
    """What only the process has."""

    safe: Callable[[], Safe]
    """Returns what seals and opens the cloud's records."""
    membership: Callable[[str], Membership]
    """Returns who is in which view of a city, by the city's name."""
    copy: Callable[[Safe], ErasureFile]
    """Returns the ledger's copy outside the database."""
    replayed: Callable[[sa.Connection], int]
    """Carries out what the database has forgotten; returns how many erasures that were."""
    now: Callable[[], datetime]
    """Aware UTC."""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", tools: Tools) -> None:
    """Add the commands.

    Args:
        commands: Of `python -m cloud_sync`.
        tools: What the process has.
    """
    console = commands.add_parser("console", help="the operator's pages, and /metrics")
    console.add_argument("--listen", default="127.0.0.1:8500", help="host:port")
    console.add_argument("--city", default="xian", help="a city shipped in fare/data, for names")
    console.add_argument(
        "--name", action="append", default=[], help="a host name it goes by, beside its address"
    )
    console.set_defaults(run=partial(_console, tools))

    erasure = commands.add_parser("erasure", help="print the proof that a rider's face is gone")
    erasure.add_argument("rider", type=UUID)
    erasure.add_argument("--json", action="store_true", help="for a program")
    erasure.set_defaults(run=partial(_erasure, tools))

    replay = commands.add_parser(
        "replay-erasures", help="carry out what a restored database has forgotten; serve does so"
    )
    replay.add_argument(
        "--restored", action="store_true", help="new histories for all views in any case"
    )
    replay.set_defaults(run=partial(_replay_erasures, tools))


def _console(tools: Tools, chosen: argparse.Namespace, engine: sa.Engine) -> int:
    from cloud_sync.adapters.console.city_desk import PostgresCityDesk
    from cloud_sync.adapters.console.metrics import MEDIA_TYPE, FleetCollector, exposition
    from cloud_sync.adapters.console.view_metrics import ViewCollector
    from cloud_sync.adapters.postgres.erasures import PostgresErasureLedger
    from cloud_sync.adapters.postgres.fleet import PostgresFleetLog
    from cloud_sync.adapters.postgres.registry import PostgresRegistry
    from cloud_sync.web.app import create_app
    from cloud_sync.web.sources import CityDoors, Exposition, Sources
    from fare.adapters import serving

    fleet, city = PostgresFleetLog(engine), shipped(chosen.city)
    desk = PostgresCityDesk(engine, tools.membership(chosen.city))
    views = ViewCollector(desk.rates, desk.sizes, clock=tools.now)
    collectors = (FleetCollector(fleet, clock=tools.now), views)
    sources = Sources(
        fleet=fleet,
        erasures=PostgresErasureLedger(engine, copy=tools.copy(tools.safe()).append),
        city=CityDoors(desk.why, desk.rates, desk.sizes, desk.orders, desk.denials, desk.order),
        audited=PostgresRegistry(engine).audited,
        metrics=lambda: Exposition(exposition(collectors), MEDIA_TYPE),
        clock=tools.now,
        network=city.network,
        zone=city.tariff.timezone,
    )
    names = frozenset(name.lower() for name in chosen.name)
    serving.serve(create_app(sources, names=names), chosen.listen)
    return 0


def _erasure(tools: Tools, chosen: argparse.Namespace, engine: sa.Engine) -> int:
    from cloud_sync.adapters.postgres.erasures import PostgresErasureLedger
    from cloud_sync.fleet.erasure import as_json, in_words

    now = tools.now()
    proofs = PostgresErasureLedger(engine, copy=tools.copy(tools.safe()).append).proofs(
        chosen.rider
    )
    if not proofs:
        print(f"nothing of {chosen.rider} was ever erased", file=sys.stderr)
        return 1
    if chosen.json:
        print(json.dumps([as_json(proof, now) for proof in proofs], indent=2))
    else:
        print("\n".join(in_words(proofs, now)))
    return 0 if all(proof.is_complete(now) for proof in proofs) else 3


def _replay_erasures(tools: Tools, chosen: argparse.Namespace, engine: sa.Engine) -> int:
    from cloud_sync.adapters.postgres.replay import renew_all

    try:
        with engine.begin() as connection:
            count = tools.replayed(connection)
            if chosen.restored and not count:
                renew_all(connection)
    except LedgerFailed as problem:
        print(f"nothing was replayed: {problem}", file=sys.stderr)
        return 1
    print(f"{count} erasures were forgotten and are carried out again")
    return 0
