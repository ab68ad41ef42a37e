"""`python -m enroll`: the rider app, its database, and an operator's look-alike pairs."""

import argparse
import logging
import os
import secrets
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import sqlalchemy as sa

from cloud_sync.adapters.disk.erasure_file import ErasureFile
from cloud_sync.adapters.disk.key_folder import FolderKeyStore
from cloud_sync.adapters.index.arguments import add_choice
from cloud_sync.adapters.index.choice import IndexChoice, chosen_index
from cloud_sync.adapters.postgres import view_log as cloud
from cloud_sync.adapters.postgres.master_follower import MasterSearch
from cloud_sync.adapters.postgres.membership import Membership
from cloud_sync.adapters.postgres.rekeying import sealing as cloud_sealing
from cloud_sync.adapters.postgres.replay import SLACK, replay
from cloud_sync.fleet.erasure import LedgerFailed
from cloud_sync.master.intake import Cohort, IntakeConfig
from cloud_sync.prefilter.sourcing import Sourcing
from cloud_sync.secrecy.key_store import KeysFailed
from cloud_sync.secrecy.safe import Safe
from enroll.adapters import sealing
from enroll.adapters.postgres import VERSIONS, PostgresRiderStore
from enroll.code import CodeConfig, make_key
from enroll.enrollment import Enrollment, EnrollmentConfig
from enroll.lookalike import LookalikeConfig
from enroll.photo import Assessor, PhotoConfig
from enroll.store import RiderStore, StoreFailed
from enroll.welcome import issuer_key, welcome_stations
from fare.adapters import database
from fare.city import shipped
from fare.log import say, start_logging

_LOG = logging.getLogger("enroll")
CITY = "xian"
"""The city shipped in `fare/data` whose stations and time zone hold by default."""
_WELCOME_S = 1.0  # how soon a station that joins gets its keys and templates


def main(argv: list[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: Arguments without the program's name; those of the process by default.

    Returns:
        The exit status.
    """
    start_logging()
    arguments = _parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = arguments.command
    try:
        return command(arguments)
    except KeysFailed as problem:
        say(_LOG, "keys_failed", level=logging.ERROR, detail=str(problem))
        return 1
    except LedgerFailed as problem:
        say(_LOG, "ledger_failed", level=logging.ERROR, detail=str(problem))
        return 1
    except StoreFailed as problem:
        say(_LOG, "store_failed", level=logging.ERROR, doing="start", error=str(problem))
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m enroll", description=__doc__)
    commands = parser.add_subparsers(required=True)

    serve = commands.add_parser("serve", help="the rider app and its API")
    serve.add_argument("--listen", default="127.0.0.1:8080", help="host:port")
    serve.add_argument("--pack", default="open", help="pack of models, as the gates use it")
    serve.add_argument("--city", default=CITY, help="a city shipped in fare/data")
    serve.add_argument(
        "--accept-noncommercial", action="store_true", help="accept a pack's licence as it is"
    )
    serve.add_argument("--next-pack", help="the coming pack, while the model is changed")
    add_choice(serve)
    serve.set_defaults(command=_serve)

    migrate = commands.add_parser("migrate", help="bring the database to the newest version")
    migrate.set_defaults(command=_migrate)

    reseal = commands.add_parser("reseal", help="bring riders' records under the current keys")
    reseal.add_argument("--turn-plain", action="store_true", help="turn plain templates, too")
    reseal.set_defaults(command=_reseal)

    reembed = commands.add_parser("reembed", help="measure kept photos anew by a coming model")
    reembed.add_argument("--pack", help="the coming pack")
    reembed.add_argument(
        "--accept-noncommercial", action="store_true", help="accept a pack's licence as it is"
    )
    part = reembed.add_mutually_exclusive_group()
    part.add_argument("--status", metavar="MODEL_ID", help="how far it is")
    part.add_argument("--adopt", action="store_true", help="for `cloud_sync model finish`")
    part.add_argument("--forget", metavar="MODEL_ID", help="for `cloud_sync model rollback`")
    reembed.add_argument("--json", action="store_true", help="for a program")
    reembed.add_argument("--city", default=CITY, help="a city shipped in fare/data")
    add_choice(reembed)
    reembed.set_defaults(command=_reembed)

    pairs = commands.add_parser("lookalikes", help="pairs of riders that wait for a decision")
    pairs.set_defaults(command=_lookalikes)

    clear = commands.add_parser("clear", help="let both faces of a look-alike pair work")
    clear.add_argument("one", type=UUID)
    clear.add_argument("other", type=UUID)
    clear.add_argument("--city", default=CITY, help="a city shipped in fare/data")
    clear.set_defaults(command=_clear)
    return parser


def _now() -> datetime:
    return datetime.now(UTC)


def _database() -> AbstractContextManager[sa.Engine]:
    return database.opened(os.environ.get("GATELINE_DATABASE_URL"), Path("var/postgres"))


def _safe() -> Safe:
    """Return what seals and opens records, with the operator's keys."""
    folder = Path(os.environ.get("GATELINE_KEYS", "var/keys"))
    return Safe(FolderKeyStore(folder, entropy=os.urandom), entropy=os.urandom)


def _prepare(
    engine: sa.Engine, city_name: str = CITY, index: IndexChoice | None = None
) -> Enrollment:
    """Migrate what enrollment reads and writes, whoever starts first, and build the use cases."""
    from fare.adapters.postgres import VERSIONS as FARE_VERSIONS

    database.migrate(engine, "fare", FARE_VERSIONS)
    database.migrate(engine, "cloud_sync", cloud.VERSIONS)
    database.migrate(engine, "enroll", VERSIONS)
    safe = _safe()
    cloud_sealing.prepare(engine, safe)
    sealed = sealing.prepare(engine, safe)
    if sealed:
        say(_LOG, "records_sealed", count=sealed)
    city = shipped(city_name)
    cohort = Cohort(IntakeConfig())
    sourcing = Sourcing(city.network, city.tariff.timezone)
    membership = Membership(sourcing, safe, cohort=cohort)
    folder = Path(os.environ.get("GATELINE_LEDGER", "var/ledger"))
    copy = ErasureFile(folder, lambda: safe.ring.cloud_key)
    with engine.begin() as connection:  # before anything else: whoever has left stays away
        replay(connection, copy, membership.settle, _now())
    search = MasterSearch(safe, (index or IndexChoice()).make)
    store = PostgresRiderStore(engine, membership, copy.append, search)
    carried = store.carry_over(_now())
    if carried:
        say(_LOG, "riders_carried_over", count=carried)
    enrollment = Enrollment(
        store,
        EnrollmentConfig(),
        LookalikeConfig(),
        turn=sealing.turner(safe),
        judge=cohort.judge,
    )
    _replay_riders(enrollment, copy)
    return enrollment


def _replay_riders(enrollment: Enrollment, copy: ErasureFile) -> None:
    """Take out of dossiers what a restored backup has brought back."""
    last = enrollment.store.last_erasure()
    told = enrollment.store.forgotten(copy.read(last and last - SLACK))
    done = sum(enrollment.replay(erasure) for erasure in told)
    if done:
        say(_LOG, "erasures_replayed", level=logging.WARNING, count=done)


def _migrate(_: argparse.Namespace) -> int:
    with _database() as engine:
        _prepare(engine)
    say(_LOG, "migrated", schema="enroll")
    return 0


def _reseal(arguments: argparse.Namespace) -> int:
    with _database() as engine:
        _prepare(engine)
        done = sealing.reseal_all(engine, _safe(), is_plain_turned=arguments.turn_plain)
    for name, (count, unread) in done.items():
        print(f"{name}: {count} sealed anew, {unread} do not open")
    return int(any(unread for _, unread in done.values()))


def _reembed(arguments: argparse.Namespace) -> int:
    from enroll.adapters import reembedding
    from enroll.remeasure import Remeasure

    with _database() as engine:
        enrollment = _prepare(engine, arguments.city, chosen_index(arguments))
        store, anew = enrollment.store, Remeasure(enrollment)
        if arguments.status is not None:
            told = reembedding.in_words(store.remeasured(arguments.status), arguments.json)
        elif arguments.forget is not None:
            told = f"{store.forget_model(arguments.forget)} records forgotten"
        elif arguments.adopt:
            told = reembedding.adopt(anew, reembedding.state(engine), _now)
        else:
            judge = _eye(arguments, arguments.pack) if arguments.pack else None
            if judge is None:
                print("reembed needs the coming pack: --pack NAME", file=sys.stderr)
                return 2
            found = reembedding.run(anew, judge, _now)
            told = reembedding.counted(found)
            if not found.is_running:
                print(told)
                print(f"the model is not being changed to {judge.model_id}", file=sys.stderr)
                return 1
    print(told)
    return 0


def _lookalikes(_: argparse.Namespace) -> int:
    with _database() as engine:
        pairs = _prepare(engine).store.open_pairs()
    for pair in pairs:
        print(f"{pair.one} {pair.other} {pair.score:.3f} {pair.found.isoformat()}")
    print(f"{len(pairs)} pairs wait; both riders of each ride by code only")
    return 0


def _clear(arguments: argparse.Namespace) -> int:
    with _database() as engine:
        cleared = _prepare(engine, arguments.city).clear_pair(
            arguments.one, arguments.other, now=_now()
        )
    if cleared is None:
        print("There is no such pair.", file=sys.stderr)
        return 1
    say(_LOG, "pair_cleared", one=cleared.one, other=cleared.other)
    return 0


def _eye(arguments: argparse.Namespace, pack: str) -> Assessor | None:
    """Open the gate's own eye, or go on without photos when a model is refused."""
    from edge_gate.adapters.pack import open_eye
    from edge_gate.eye import ModelRefused
    from enroll.adapters.pictures import OpenCvPictures

    folder = Path(os.environ.get("GATELINE_MODELS", "models/files"))
    try:
        eye = open_eye(pack, folder, accept_noncommercial=arguments.accept_noncommercial)
    except ModelRefused as error:
        say(_LOG, "model_refused", level=logging.ERROR, why=str(error))
        return None
    return Assessor(eye, OpenCvPictures(), PhotoConfig())


def _serve(arguments: argparse.Namespace) -> int:
    from enroll.adapters.qr import draw
    from enroll.purse import Purse
    from enroll.web.app import build
    from enroll.web.desk import Desk
    from fare.adapters import serving
    from fare.adapters.postgres import PostgresStore
    from fare.adapters.statements import PostgresStatements

    with _database() as engine:
        enrollment = _prepare(engine, arguments.city, chosen_index(arguments))
        say(_LOG, "gallery_read", changes=enrollment.store.read_gallery())
        network = shipped(arguments.city).network
        names = {each.station_id: each.name for each in network.stations.values()}
        desk = Desk(
            enrollment=enrollment,
            assess=_eye(arguments, arguments.pack),
            coming=_eye(arguments, arguments.next_pack) if arguments.next_pack else None,
            purse=Purse(PostgresStore(engine), PostgresStatements(engine), names),
            stations=names,
            issuer=issuer_key(
                enrollment.store, lambda: make_key(1, secrets.token_bytes(32), _now())
            ),
            codes=CodeConfig(),
            draw=draw,
            clock=_now,
            randomness=secrets.token_bytes,
        )
        ended = threading.Event()
        greeter = threading.Thread(target=_greet, args=(enrollment.store, ended), name="greeter")
        greeter.start()
        try:
            # A photo that is being judged is judged to the end.
            serving.serve(build(desk), arguments.listen, grace_s=5)
        finally:
            ended.set()
            greeter.join()
    say(_LOG, "stopped")
    return 0


def _greet(store: RiderStore, ended: threading.Event) -> None:
    """Fill stations as they join, and keep the search of look-alikes in order."""
    while not ended.wait(_WELCOME_S):
        try:
            store.read_gallery()
            joined = welcome_stations(store, _now())
        except StoreFailed as error:
            say(_LOG, "store_failed", level=logging.ERROR, doing="welcome", error=str(error))
            continue
        for station in joined:
            say(_LOG, "station_filled", station=station)


if __name__ == "__main__":
    sys.exit(main())
