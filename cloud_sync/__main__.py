"""The cloud's process for the wire, and its operator's commands.

The database is that of GATELINE_DATABASE_URL; without it a private one in ./var/postgres. The
operator's keys are in the folder GATELINE_KEYS, else in ./var/keys; the copy of the erasure ledger
is in GATELINE_LEDGER, else in ./var/ledger.
"""

import argparse
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import sqlalchemy as sa

from cloud_sync import order, rolling, service, tending, watch
from cloud_sync.adapters import device_commands
from cloud_sync.adapters.bench.arguments import parse as parse_bench
from cloud_sync.adapters.disk.authority_folder import FolderAuthority
from cloud_sync.adapters.disk.erasure_file import ErasureFile
from cloud_sync.adapters.disk.key_folder import FolderKeyStore
from cloud_sync.adapters.grpc.device_trust import DeviceTrust
from cloud_sync.adapters.postgres.membership import Membership
from cloud_sync.adapters.postgres.publish import DIMENSION, turned_to, views_of
from cloud_sync.adapters.postgres.publish import views as all_views
from cloud_sync.adapters.postgres.registry import PostgresRegistry
from cloud_sync.adapters.postgres.rekeying.sealing import prepare
from cloud_sync.adapters.postgres.view_log import VERSIONS, PostgresViewLog, stations
from cloud_sync.adapters.system_clock import SystemClock
from cloud_sync.gallery import Change, DenialReason, PutTemplate
from cloud_sync.generate import templates
from cloud_sync.prefilter.sourcing import Sourcing
from cloud_sync.secrecy.key_store import KeysFailed
from cloud_sync.secrecy.safe import Safe
from cloud_sync.stream.view import NodeRole, SpaceRefused
from fare.adapters import database
from fare.city import shipped
from fare.log import say, start_logging

_LOG = logging.getLogger("cloud_sync")
_PRIVATE = Path("var/postgres")
_CITY_DAY = Path(__file__).parent / "data" / "city-day.toml"
_ALL = "ALL"
"""In place of a station's id: every station that has a view."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status."""
    # Whoever knocks at a port can fail a handshake; gRPC would write a line of its own for each.
    # It reads this as it is imported, so nothing above may import it.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    chosen = _parser().parse_args(arguments)
    start_logging()
    alone: Callable[[argparse.Namespace], int] | None = getattr(chosen, "alone", None)
    if alone is not None:  # a command that knows no database
        return alone(chosen)
    run: Callable[[argparse.Namespace, sa.Engine], int] = chosen.run
    with database.opened(os.environ.get("GATELINE_DATABASE_URL"), _PRIVATE) as engine:
        database.migrate(engine, "cloud_sync", VERSIONS)
        try:
            sealed = prepare(engine, _safe())
        except KeysFailed as problem:
            say(_LOG, "keys_failed", level=logging.ERROR, detail=str(problem))
            return 1
        if sealed:
            say(_LOG, "records_sealed", count=sealed)
        return run(chosen, engine)


def _keys() -> FolderKeyStore:
    """Return where the operator's keys are."""
    return FolderKeyStore(_keys_folder(), entropy=os.urandom)


def _keys_folder() -> Path:
    return Path(os.environ.get("GATELINE_KEYS", "var/keys"))


def _safe() -> Safe:
    """Return what seals and opens the cloud's records."""
    return Safe(_keys(), entropy=os.urandom)


def _membership(city_name: str) -> Membership:
    """Return who is in which view of a city."""
    city = shipped(city_name)
    return Membership(Sourcing(city.network, city.tariff.timezone), _safe())


def _now() -> datetime:
    return datetime.now(UTC)


def _copy(safe: Safe) -> ErasureFile:
    """Return the ledger's copy outside the database."""
    folder = Path(os.environ.get("GATELINE_LEDGER", "var/ledger"))
    return ErasureFile(folder, lambda: safe.ring.cloud_key)


def _replayed(connection: sa.Connection) -> int:
    """Carry out what the database has forgotten; return how many erasures that were."""
    from cloud_sync.adapters.postgres.replay import leaving, replay

    safe = _safe()
    return replay(connection, _copy(safe), leaving(safe), datetime.now(UTC))


def _authority() -> FolderAuthority:
    return FolderAuthority(_keys_folder(), clock=SystemClock(), entropy=os.urandom)


def _trust(engine: sa.Engine, names: Sequence[str]) -> DeviceTrust:
    """Return by what the cloud knows its nodes, and they it under these names."""
    keys = _keys()
    return DeviceTrust(
        PostgresRegistry(engine),
        _authority(),
        lambda: keys.ring().cloud_key.public_key,
        os.urandom,
        names,
    )


def _desk(engine: sa.Engine) -> device_commands.Desk:
    return device_commands.Desk(
        PostgresRegistry(engine),
        _authority(),
        now=SystemClock().wall,
        entropy=os.urandom,
        say=print,
        complain=lambda words: print(words, file=sys.stderr),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m cloud_sync", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    tools = service.Tools(_safe, _membership, _copy, _replayed, _trust, SystemClock())
    service.add(commands, tools)

    tending.add(commands, tending.Tools(_membership, _now))
    watch.add(commands, watch.Tools(_safe, _membership, _copy, _replayed, _now))
    rolling.add(commands, rolling.Tools(_safe, _now))

    device_commands.add_to(commands, _desk)
    role = commands.add_parser("role", help="say what a node is for: gates, or an entrance")
    role.add_argument("edge_id")
    role.add_argument("role", type=NodeRole, choices=list(NodeRole))
    role.set_defaults(run=_role)

    fill = commands.add_parser("fill", help="put generated templates into a station's view")
    fill.add_argument("station_id")
    fill.add_argument("--count", type=int, required=True)
    fill.add_argument("--seed", type=int, default=1)
    fill.add_argument("--model-id", required=True)
    fill.set_defaults(run=_fill)

    renew = commands.add_parser("renew-epoch", help="make every edge of a station start anew")
    renew.add_argument("station_id")
    renew.set_defaults(run=_renew_epoch)

    rekey = commands.add_parser("rekey", help="new keys and a new rotation for everything")
    part = rekey.add_mutually_exclusive_group()
    part.add_argument("--status", action="store_true", help="how many records need the old keys")
    part.add_argument("--finish", action="store_true", help="destroy the old keys, if none does")
    rekey.add_argument("--turn-plain", action="store_true", help="turn plain templates, too")
    rekey.set_defaults(run=_rekey)

    migrate = commands.add_parser("migrate", help="bring the schema to its newest version")
    migrate.set_defaults(run=lambda _chosen, _engine: 0)
    status = commands.add_parser("status", help="print all views and where their edges stand")
    status.set_defaults(run=_status)

    _add_orders(commands)

    simulate = commands.add_parser("simulate", help="a city's day through the prefilter")
    simulate.add_argument("--day", type=Path, default=_CITY_DAY, help="TOML of the city's day")
    simulate.add_argument("--out", type=Path, default=Path("var/simulate"), help="for pictures")
    simulate.add_argument("--pack", default="open", help="whose calibration counts")
    simulate.add_argument("--riders", type=int, help="a city alike of another size")
    simulate.add_argument("--presence", type=float, help="share of passages with entrance cameras")
    simulate.set_defaults(alone=_simulate)

    bench = commands.add_parser("bench", help="measure what the docs promise, on this machine")
    parse_bench(bench)
    bench.set_defaults(run=_bench)
    return parser


def _add_orders(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add what an operator orders stations to do."""
    mode = commands.add_parser("mode", help="what a station leaves out, until it is cleared")
    mode.add_argument("station_id", help="or ALL")
    which = mode.add_mutually_exclusive_group(required=True)
    which.add_argument("--set", dest="modes", help="modes with commas, e.g. fare_exempt")
    which.add_argument("--clear", action="store_true", help="back to normal")
    mode.set_defaults(run=_mode)

    deny = commands.add_parser("deny", help="put a rider on the deny list of all stations")
    deny.add_argument("rider_ref", type=UUID)
    why = deny.add_mutually_exclusive_group(required=True)
    why.add_argument("--reason", choices=[reason.value for reason in DenialReason])
    why.add_argument("--clear", action="store_true", help="take the rider off it")
    deny.add_argument("--days", type=float, help="for so long; until it is cleared if not given")
    deny.set_defaults(run=_deny)

    threshold = commands.add_parser("threshold", help="override a station's target or margin")
    threshold.add_argument("station_id", help="or ALL")
    threshold.add_argument("--target-fpir", type=float)
    threshold.add_argument("--margin", type=float)
    threshold.add_argument("--clear", action="store_true", help="the node's own again")
    threshold.set_defaults(run=_threshold)

    tariff = commands.add_parser("tariff", help="send the tariff in force to all stations")
    tariff.add_argument("--city", default="xian", help="a city shipped in fare/data")
    tariff.set_defaults(run=_tariff)


def _mode(chosen: argparse.Namespace, engine: sa.Engine) -> int:
    words = [] if chosen.clear else [word.strip() for word in chosen.modes.split(",")]
    return _order(engine, chosen.station_id, lambda: order.mode(words))


def _deny(chosen: argparse.Namespace, engine: sa.Engine) -> int:
    reason = None if chosen.clear else DenialReason(chosen.reason)
    now = datetime.now(UTC)
    who, days = chosen.rider_ref, chosen.days
    return _order(engine, _ALL, lambda: order.denial(who, reason, now=now, days=days))


def _threshold(chosen: argparse.Namespace, engine: sa.Engine) -> int:
    wanted = (None, None) if chosen.clear else (chosen.target_fpir, chosen.margin)
    return _order(engine, chosen.station_id, lambda: order.threshold(*wanted))


def _tariff(chosen: argparse.Namespace, engine: sa.Engine) -> int:
    from fare.city import shipped

    now = datetime.now(UTC)
    return _order(engine, _ALL, lambda: order.tariff(shipped(chosen.city).tariff, now))


def _order(engine: sa.Engine, station_id: str, made: Callable[[], Change]) -> int:
    """Publish an order to a station or to all, and print it; or print why there is none."""
    from fare.city import CityUnreadable

    with engine.connect() as connection:
        known = stations(connection)
    where = known if station_id == _ALL else (station_id,)
    try:
        change = made()
        PostgresViewLog(engine, _safe()).publish(where, [change])
    except (LookupError, ValueError, CityUnreadable) as problem:
        print(f"nothing was ordered: {problem}", file=sys.stderr)
        return 1
    told = f"{len(where)} stations" if station_id == _ALL else station_id
    print(f"{told}: {order.in_words(change)}")
    return 0


def _simulate(chosen: argparse.Namespace) -> int:
    from cloud_sync.adapters.city.day import Options, SimulationRefused, run

    try:
        run(Options(chosen.day, chosen.out, chosen.pack, chosen.riders, chosen.presence), print)
    except SimulationRefused as problem:
        print(f"simulate: {problem}", file=sys.stderr)
        return 2
    return 0


def _role(chosen: argparse.Namespace, engine: sa.Engine) -> int:
    try:
        PostgresViewLog(engine, _safe()).set_role(chosen.edge_id, chosen.role)
    except LookupError as problem:
        print(problem, file=sys.stderr)
        return 1
    print(f"{chosen.edge_id}: {chosen.role}")
    return 0


def _fill(chosen: argparse.Namespace, engine: sa.Engine) -> int:
    began_s, safe = time.monotonic(), _safe()
    views = PostgresViewLog(engine, safe)
    head = views.head(chosen.station_id)
    made = templates(chosen.count, seed=chosen.seed, model_id=chosen.model_id)
    # As enrollment would have put them: into a view that has no transform yet, a turned one.
    target = (head.transform_id if head else "") or safe.ring.rotation.transform_id
    puts = [PutTemplate(template) for template in made]
    changes = turned_to(puts, target, safe, dimension=DIMENSION)
    new = views.lacking(chosen.station_id, changes)
    try:
        views.publish((chosen.station_id,), new)
    except (LookupError, SpaceRefused) as problem:
        print(f"nothing was filled: {problem}", file=sys.stderr)
        return 1
    seconds = time.monotonic() - began_s
    print(
        f"{len(new)} of {len(changes)} templates were new at {chosen.station_id}, {seconds:.1f} s"
    )
    return 0


def _renew_epoch(chosen: argparse.Namespace, engine: sa.Engine) -> int:
    with engine.connect() as connection:
        if chosen.station_id not in stations(connection):
            print(f"no station has the id {chosen.station_id}", file=sys.stderr)
            return 1
    views = PostgresViewLog(engine, _safe())
    with engine.connect() as connection:
        mine = views_of(connection, [chosen.station_id])
    for view_id in mine:
        views.renew_epoch(view_id, uuid4())
    print(f"{chosen.station_id} starts a new history; its edges take a snapshot")
    return 0


def _rekey(chosen: argparse.Namespace, engine: sa.Engine) -> int:
    from cloud_sync.adapters.postgres.rekeying import rekey

    safe, keys = _safe(), _keys()
    if not (chosen.status or chosen.finish):
        ring = rekey.begin(engine, safe, keys)
        print(f"root key {ring.root.key_id}, rotation {ring.rotation.rotation_id}", flush=True)
        command = [sys.executable, "-m", "enroll", "reseal"]
        command += ["--turn-plain"] * chosen.turn_plain
        if subprocess.run(command, check=False).returncode != 0:  # noqa: S603  # our own
            print("enrollment's records are not all sealed anew", file=sys.stderr)
            return 1
        rekey.seal_all(
            engine,
            safe,
            new_epoch=uuid4,
            is_plain_turned=chosen.turn_plain,
            told=lambda name, count: print(f"{name}: {count} sealed anew", flush=True),
        )
    found = rekey.finish(engine, safe, keys) if chosen.finish else rekey.standing(engine, safe)
    for name, count in found.left:
        print(f"{name}: {count} need the old keys")
    print(f"{found.views_left} of {found.views} views need the old keys")
    if found.ring.is_settled:
        print("there are no old keys")
    elif not found.is_done:
        print("the old keys are needed; `rekey` goes on where it stopped")
    elif chosen.finish:
        print("the old keys are destroyed")
    else:
        print("nothing needs the old keys; `rekey --finish` destroys them")
    return int(chosen.finish and not found.is_done)


def _status(chosen: argparse.Namespace, engine: sa.Engine) -> int:
    del chosen
    views = PostgresViewLog(engine, _safe())
    with engine.begin() as connection:
        known = all_views(connection)
    for view_id in known:
        head = views.head(view_id)
        if head is None:  # a change of the model has ended meanwhile
            continue
        print(f"{view_id}: revision {head.head_rev}, model {head.model_id or 'none yet'}")
        for edge in views.edges(view_id):
            behind = head.head_rev - edge.acked_rev if edge.epoch == head.epoch else None
            place = "needs a snapshot" if behind is None else f"{behind} behind"
            lease = edge.lease_until.isoformat(timespec="seconds") if edge.lease_until else "none"
            print(f"  {edge.edge_id}: {place}, lease until {lease}")
    return 0


def _bench(chosen: argparse.Namespace, engine: sa.Engine) -> int:
    from cloud_sync.adapters.bench.command import run

    return run(chosen, engine, _membership(chosen.city), SystemClock())


if __name__ == "__main__":
    sys.exit(main())
