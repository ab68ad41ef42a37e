"""The station node's commands, and what only a process has: environment, clocks, randomness."""

import argparse
import os
import random
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from cloud_sync.adapters.collector import look_seldom

if TYPE_CHECKING:
    from edge_gate.config import StationConfig
    from edge_gate.eye import Eye

_STDIN = "-"
_TURN_S = 0.5e-3
"""After so long a thread leaves Python to one that waits, seconds. With Python's own 5 ms a lane
waited longer for a snapshot that is opened beside it than its search takes."""
_MODELS = Path(__file__).parents[1] / "models" / "files"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status."""
    # Before numpy and FAISS are loaded: a search has nothing to split, and lanes share the cores.
    for library in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(library, "1")
    chosen = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = chosen.run
    return run(chosen)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m edge_gate", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, command, words in (
        ("run", _run, "serve a station's lanes and pages"),
        ("key", _key, "print the node's public key in hex, made if missing"),
        ("doctor", _doctor, "examine a node's configuration, models and disk"),
    ):
        of_station = commands.add_parser(name, help=words)
        of_station.add_argument("config", type=Path, help="the station's TOML file")
        of_station.set_defaults(run=command)

    joining = commands.add_parser("join", help="let this node be enrolled at the cloud, once")
    joining.add_argument("config", type=Path, help="the station's TOML file")
    joining.add_argument(
        "--token", required=True, help="of `python -m cloud_sync token`; - reads it"
    )
    joining.add_argument(
        "--cloud", default="", help="HOST:PORT of the device port, if not the file's"
    )
    joining.add_argument(
        "--ca", required=True, help="file of `python -m cloud_sync ca show`, or a fingerprint of it"
    )
    joining.set_defaults(run=_join)

    bench = commands.add_parser("bench", help="measure stages, passengers and search here")
    bench.add_argument("--quick", action="store_true", help="a fifth of the repetitions")
    bench.set_defaults(run=_bench)

    evaluate = commands.add_parser("evaluate", help="measure accuracy on a folder of faces")
    evaluate.add_argument("folder", type=Path, help="with riders/<person>/*.jpg, strangers/*.jpg")
    evaluate.add_argument("--photos", type=int, default=1, help="photos enrolled a rider")
    evaluate.add_argument("--plot", type=Path, default=Path("det.png"), help="DET plot, PNG")
    evaluate.add_argument("--riders-max", type=int, help="only the first so many: a quick look")
    evaluate.add_argument("--calibrate", action="store_true", help="print a calibration")
    evaluate.set_defaults(run=_evaluate)
    for measured in (bench, evaluate):
        measured.add_argument("--pack", default="open", help="pack of models")
        measured.add_argument("--accept-noncommercial", action="store_true")
    return parser


def models_folder() -> Path:
    """Return the folder of all packs: GATELINE_MODELS, or the repository's own."""
    return Path(os.environ.get("GATELINE_MODELS", _MODELS))


def _run(chosen: argparse.Namespace) -> int:
    _quiet_grpc()
    look_seldom()  # the imports make many objects, too
    sys.setswitchinterval(_TURN_S)
    from cloud_sync.adapters.disk.node_key_file import KeyFileRefused
    from cloud_sync.adapters.system_clock import SystemClock
    from cloud_sync.stream.replica import ReplicaFailed
    from cloud_sync.taps.outbox import OutboxFailed
    from edge_gate.config import ConfigWrong
    from edge_gate.node import Given, Node
    from fare.log import start_logging

    start_logging()
    given = Given(
        clock=SystemClock(),
        entropy=os.urandom,
        draw=random.random,
        new_id=uuid4,
        models=models_folder(),
        folder=chosen.config.parent,
        give_up=lambda: os._exit(os.EX_SOFTWARE),
    )
    try:
        Node(_read(chosen.config), given).serve()
    except (ConfigWrong, KeyFileRefused, OutboxFailed, ReplicaFailed) as problem:
        return _complain(str(problem))
    return 0


def _key(chosen: argparse.Namespace) -> int:
    from cloud_sync.adapters.disk.node_key_file import KeyFileRefused
    from edge_gate.config import ConfigWrong
    from edge_gate.node import node_key

    try:
        print(node_key(_read(chosen.config), os.urandom).public_key.hex())
    except (ConfigWrong, KeyFileRefused) as problem:
        return _complain(str(problem))
    return 0


def _join(chosen: argparse.Namespace) -> int:
    _quiet_grpc()
    from cloud_sync.adapters.disk.node_key_file import KeyFileRefused
    from cloud_sync.adapters.grpc.client import DeviceAway, DeviceRefused, NoBadge
    from edge_gate.config import ConfigWrong
    from edge_gate.node import join_cloud

    typed = sys.stdin.readline() if chosen.token == _STDIN else chosen.token
    try:
        badge = join_cloud(
            _read(chosen.config), typed, target=chosen.cloud, ca=chosen.ca, entropy=os.urandom
        )
    except (ConfigWrong, DeviceAway, DeviceRefused, NoBadge, KeyFileRefused) as problem:
        return _complain(str(problem))
    me = badge.certified
    until = me.not_after.isoformat(timespec="minutes")
    print(f"{me.identity.edge_id} at {me.identity.station_id} has certificate {me.serial}", end=" ")
    print(f"until {until}; the running node renews it")
    return 0


def _quiet_grpc() -> None:
    """A handshake that fails is told by whoever dialled; gRPC would tell it a second time.

    It reads this as it is imported: call it before.
    """
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")


def _doctor(chosen: argparse.Namespace) -> int:
    from edge_gate.adapters.doctor import examine
    from edge_gate.config import ConfigWrong

    try:
        folder, now = chosen.config.parent, datetime.now(UTC)
        findings = examine(_read(chosen.config), models_folder(), folder=folder, now=now)
    except ConfigWrong as problem:
        return _complain(str(problem))
    for finding in findings:
        print(finding)
    return int(any(finding.bad for finding in findings))


def _bench(chosen: argparse.Namespace) -> int:
    from edge_gate.adapters.bench import BenchOptions, run

    eye = _eye(chosen)
    if eye is None:
        return 2
    options = BenchOptions(
        chosen.pack, models_folder(), chosen.accept_noncommercial, quick=chosen.quick
    )
    return run(options, eye)


def _evaluate(chosen: argparse.Namespace) -> int:
    from edge_gate.adapters.evaluation import EvaluateOptions, run
    from edge_gate.adapters.pack import open_calibration
    from edge_gate.eye import ModelRefused

    eye = _eye(chosen)
    if eye is None:
        return 2
    try:
        known = open_calibration(chosen.pack)
    except ModelRefused:
        known = None  # an unmeasured pack can still be evaluated: that is how it gets measured
    options = EvaluateOptions(
        folder=chosen.folder,
        photos=chosen.photos,
        plot=chosen.plot,
        riders_max=chosen.riders_max,
        calibrate=chosen.calibrate,
    )
    return run(options, eye, known=known)


def _eye(chosen: argparse.Namespace) -> "Eye | None":
    """Return the chosen pack's eye; None, with a word on why, if it is refused."""
    from edge_gate.adapters.pack import open_eye
    from edge_gate.eye import ModelRefused

    accepted = chosen.accept_noncommercial
    try:
        return open_eye(chosen.pack, models_folder(), accept_noncommercial=accepted)
    except ModelRefused as refused:
        _complain(str(refused))
        return None


def _read(path: Path) -> "StationConfig":
    """Read a station's file.

    Raises:
        ConfigWrong: It cannot be read or used.
    """
    from edge_gate.config import ConfigWrong, parse

    try:
        return parse(path.read_text(encoding="utf-8"), folder=path.parent)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigWrong(f"{path}: {error}") from error


def _complain(words: str) -> int:
    print(f"edge_gate: {words}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
