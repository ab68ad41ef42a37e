"""The command `bench`: its parts by name, and what each prints."""

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType

import sqlalchemy as sa

from cloud_sync.adapters.bench.arguments import PART_NAMES
from cloud_sync.adapters.bench.master import master
from cloud_sync.adapters.bench.presence import presence
from cloud_sync.adapters.bench.reach import reach
from cloud_sync.adapters.bench.sync import resync
from cloud_sync.adapters.bench.views import views
from cloud_sync.adapters.collector import look_seldom
from cloud_sync.adapters.index.presence_pack import calibrated
from cloud_sync.adapters.postgres.membership import Membership
from cloud_sync.clock import Clock

Part = Callable[[argparse.Namespace, sa.Engine, Membership, Clock], None]


def run(chosen: argparse.Namespace, engine: sa.Engine, membership: Membership, clock: Clock) -> int:
    """Measure what was asked for; return the exit status.

    Args:
        chosen: The arguments.
        engine: A migrated database.
        membership: Of the city.
        clock: The time.
    """
    unknown = set(chosen.part) - set(PARTS)
    if unknown:
        print(f"no such part: {', '.join(sorted(unknown))}", file=sys.stderr)  # noqa: T201  # a command
        return 2
    for part in chosen.part or PARTS:
        PARTS[part](chosen, engine, membership, clock)
    return 0


def _sync(
    chosen: argparse.Namespace, engine: sa.Engine, membership: Membership, clock: Clock
) -> None:
    for count in chosen.count:
        _say(resync(engine, count, safe=membership.safe, clock=clock))


def _master(
    chosen: argparse.Namespace, engine: sa.Engine, membership: Membership, clock: Clock
) -> None:
    del engine, membership, clock  # everything is made up
    for size in chosen.sizes:
        _say(master(size, looks=chosen.looks, now_s=time.perf_counter, cpu_s=time.thread_time))


def _presence(
    chosen: argparse.Namespace, engine: sa.Engine, membership: Membership, clock: Clock
) -> None:
    (calibration,) = calibrated(chosen.pack).values()
    riders, looks = chosen.riders, min(chosen.seen, chosen.riders)
    _say(presence(engine, membership, calibration, riders=riders, looks=looks, clock=clock))


def _reach(
    chosen: argparse.Namespace, engine: sa.Engine, membership: Membership, clock: Clock
) -> None:
    _say(reach(engine, membership, edges=chosen.edges, riders=chosen.leaving, clock=clock))


def _views(
    chosen: argparse.Namespace, engine: sa.Engine, membership: Membership, clock: Clock
) -> None:
    del clock  # the city's time is made up
    look_seldom()
    claimed, stations = chosen.claims, chosen.stations
    _say(views(engine, membership, claimed=claimed, stations=stations, cpu_s=time.process_time))


def _say(figures: object) -> None:
    print(figures, flush=True)  # noqa: T201  # a command prints


PARTS: Mapping[str, Part] = MappingProxyType(
    dict(zip(PART_NAMES, (_sync, _master, _presence, _reach, _views), strict=True))
)
"""By name, in their order."""
