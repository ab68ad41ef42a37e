"""The command `doctor`: is this node fit to run? One line a finding, bad ones say what to do."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cloud_sync.adapters.disk.node_key_file import KeyFileRefused, load_or_make
from cloud_sync.adapters.grpc.channel import NoBadge
from cloud_sync.adapters.grpc.node_trust import NodeTrust
from cloud_sync.trust.device import Route, route
from edge_gate.adapters.cameras import UnknownSource, open_camera
from edge_gate.adapters.pack import open_calibration, open_eye
from edge_gate.camera import CameraLost
from edge_gate.config import StationConfig
from edge_gate.eye import ModelRefused
from edge_gate.status import certificate_status

_FREE_MIN_BYTES = 200_000_000
"""Disk that must be free: 200,000 taps of 500 bytes, and a second gallery of 50,000 templates."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing examined."""

    what: str
    words: str
    bad: bool = False

    def __str__(self) -> str:
        return f"{'BAD ' if self.bad else 'good'}  {self.what}: {self.words}"


def examine(
    config: StationConfig, models: Path, *, folder: Path, now: datetime
) -> tuple[Finding, ...]:
    """Return what was found; nothing is changed and no camera device is opened.

    Args:
        config: The station's.
        models: The folder of all packs.
        folder: What relative camera paths start from.
        now: Aware UTC.
    """
    cameras = [(lane.id, lane.camera) for lane in config.lanes]
    cameras += [(f"{lane.id} (codes)", lane.code_camera) for lane in config.lanes]
    return (
        _models(config, models),
        _threshold(config),
        _disk(config.data_dir),
        _key(config.data_dir / "node.key"),
        _certificate(config, now),
        *(_camera(name, source, folder) for name, source in cameras if source),
    )


def _models(config: StationConfig, models: Path) -> Finding:
    try:
        eye = open_eye(config.model_pack, models, accept_noncommercial=config.accept_noncommercial)
    except ModelRefused as refused:
        return Finding("models", f"{refused}; python -m models.fetch {config.model_pack}", bad=True)
    return Finding("models", eye.embedder.model_id)


def _threshold(config: StationConfig) -> Finding:
    try:
        calibration = open_calibration(config.model_pack)
    except ModelRefused as refused:
        return Finding("threshold", str(refused), bad=True)
    most = calibration.gallery_max(config.target_fpir, config.fnir_limit)
    words = f"faces open among up to {most:,} templates at FPIR {config.target_fpir:g}"
    return Finding("threshold", words, bad=most < 1)


def _disk(data_dir: Path) -> Finding:
    place = next(path for path in (data_dir, *data_dir.absolute().parents) if path.exists())
    free = shutil.disk_usage(place).free
    return Finding("disk", f"{free / 1e9:.1f} GB free", bad=free < _FREE_MIN_BYTES)


def _key(path: Path) -> Finding:
    if not path.exists():
        return Finding("key", "none yet; python -m edge_gate key makes it")
    try:
        key = load_or_make(path, entropy=_no_entropy)
    except KeyFileRefused as refused:
        return Finding("key", str(refused), bad=True)
    return Finding("key", key.public_key.hex())


def _certificate(config: StationConfig, now: datetime) -> Finding:
    if not config.cloud:
        return Finding("certificate", "none needed without a cloud")
    try:
        certified = NodeTrust(config.data_dir / "trust").badge().certified
    except NoBadge as problem:
        return Finding("certificate", str(problem), bad=True)
    words = certificate_status(certified, now).words
    return Finding("certificate", words, bad=route(certified, now) is not Route.MAIN)


def _no_entropy(_: int) -> bytes:
    raise AssertionError("the key exists, so none is made")


def _camera(name: str, source: str, folder: Path) -> Finding:
    what = f"camera of {name}"
    if source == "push":
        return Finding(what, "pictures from a browser")
    try:
        close: Callable[[], None] = open_camera(source, folder=folder).close
    except (UnknownSource, CameraLost) as problem:
        return Finding(what, str(problem), bad=True)
    close()
    return Finding(what, source.partition(":")[0])
