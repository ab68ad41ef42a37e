"""What a node can see with: its pack of models, or why it has none, and the pack's thresholds."""

import logging
from dataclasses import dataclass
from pathlib import Path

from cloud_sync.calibration import OpeningConfig, opening_threshold
from cloud_sync.content import Space
from edge_gate.adapters.pack import open_calibration, open_eye
from edge_gate.config import StationConfig
from edge_gate.eye import Eye, ModelRefused
from edge_gate.holdings import ThresholdFor
from fare.log import say
from models import manifest

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class NodeSight:
    """The models of one node."""

    eye: Eye | None
    """None when they were refused: then codes alone open."""
    space: Space
    """The space that the node follows the cloud in, refused or not: the keys come with it."""
    words: str
    """The model's name, or why it was refused, for the staff page."""


def open_sight(config: StationConfig, models: Path) -> NodeSight:
    """Open the station's pack; a refusal is an answer, not an error.

    Args:
        config: The station's.
        models: The folder of all packs.
    """
    try:
        eye = open_eye(
            config.model_pack,
            models,
            threads=config.model_threads,
            accept_noncommercial=config.accept_noncommercial,
        )
    except ModelRefused as refused:
        say(_LOG, "model_refused", level=logging.ERROR, why=str(refused))
        return NodeSight(None, Space(_expected_model(config.model_pack)), f"refused: {refused}")
    return NodeSight(eye, Space(eye.embedder.model_id), eye.embedder.model_id)


def threshold_for(config: StationConfig) -> ThresholdFor:
    """Return the pack's threshold by size and target; none where it was never measured.

    Args:
        config: The station's.
    """
    try:
        calibration = open_calibration(config.model_pack)
    except ModelRefused as refused:
        say(_LOG, "no_calibration", level=logging.ERROR, why=str(refused))
        return lambda _size, _target: None

    def of(size: int, target_fpir: float) -> float | None:
        opening = OpeningConfig(target_fpir, config.fnir_limit)
        threshold = opening_threshold(calibration, size, opening)
        return None if threshold is None else threshold.score

    return of


def _expected_model(pack_name: str) -> str:
    """Return the name of the space that the pack would have, from the manifest alone."""
    try:
        pack = manifest.pack(pack_name)
    except manifest.PackUnknown:
        return ""
    embedder = pack.files.get("embedder")
    return "" if embedder is None else f"{pack.space}@{embedder.sha256[:12]}"
