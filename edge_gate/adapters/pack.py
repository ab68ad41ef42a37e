"""A pack of models, chosen by name, to an eye."""

from pathlib import Path

from cloud_sync import calibration
from cloud_sync.calibration import Calibration
from edge_gate.adapters import onnx, opencv
from edge_gate.detect import DetectConfig
from edge_gate.eye import Eye, LivenessModel, ModelRefused
from models import manifest
from models.manifest import Pack

DETECT_WIDTH = 320
"""Width at which frames are searched, pixels: a face in the zone (90 pixels of 640) is still
45 wide, all 1,140 shared faces were found at that size, and a search takes 4 ms against 16."""


def open_eye(
    pack_name: str,
    folder: Path,
    *,
    threads: int = 1,
    detect_width: int = DETECT_WIDTH,
    accept_noncommercial: bool = False,
) -> Eye:
    """Load and verify a pack.

    Args:
        pack_name: As in the manifest, for example `open`.
        folder: The folder of all packs (`models/files`).
        threads: Threads that one inference may use, at least 1.
        detect_width: Pictures wider than this are searched for faces at this width, pixels;
            boxes and landmarks come back in the picture's own.
        accept_noncommercial: Whether the operator accepts a licence that forbids commerce.

    Raises:
        ModelRefused: A file is missing, corrupt, swapped or wrong-shaped, the licence is not
            accepted, or there is no such pack; says which and why.
    """
    try:
        pack = manifest.pack(pack_name)
    except manifest.PackUnknown as error:
        raise ModelRefused(str(error)) from error
    if not pack.commercial and not accept_noncommercial:
        raise ModelRefused(f"{pack.name}: the licence ({pack.licence}) has not been accepted")
    opencv.one_thread()
    if pack.insightface:
        # Only here: importing insightface takes a second that the default pack need not wait.
        from edge_gate.adapters import insightface  # noqa: PLC0415

        liveness = _open_liveness(folder, threads=threads)
        return insightface.open_pack(
            pack, folder / pack.name, liveness=liveness, threads=threads, detect_width=detect_width
        )
    return _open_onnx(pack, folder / pack.name, threads=threads, detect_width=detect_width)


def open_calibration(pack_name: str) -> Calibration:
    """Return what the scores of a pack's embedder are worth.

    Args:
        pack_name: As in the manifest.

    Raises:
        ModelRefused: There is no such pack, it was never measured, or the measurement is of
            another embedder; `python -m edge_gate evaluate --calibrate` measures.
    """
    try:
        pack = manifest.pack(pack_name)
    except manifest.PackUnknown as error:
        raise ModelRefused(str(error)) from error
    if not pack.calibration:
        raise ModelRefused(f"{pack.name}: has no calibration, so no gallery has a threshold")
    if pack.calibration["embedder_sha256"] != pack.files["embedder"].sha256:
        raise ModelRefused(f"{pack.name}: the calibration is of another embedder")
    return calibration.from_table(pack.calibration)


def _open_onnx(pack: Pack, place: Path, *, threads: int, detect_width: int) -> Eye:
    sessions = {
        role: onnx.open_session(place / file.file, file, threads=threads)
        for role, file in pack.files.items()
    }
    model_id = f"{pack.space}@{pack.files['embedder'].sha256[:12]}"
    detector = onnx.RetinaFace(sessions["detector"], width=detect_width, config=DetectConfig())
    return Eye(
        detector=detector,
        warp=onnx.SecondLook(detector),
        liveness=onnx.FacepluginLiveness(sessions["liveness"]),
        embedder=onnx.FacepluginEmbedder(sessions["embedder"], model_id=model_id),
    )


def _open_liveness(folder: Path, *, threads: int) -> LivenessModel:
    """Return the liveness model of the default pack, which InsightFace's packs lack."""
    file = manifest.pack("open").files["liveness"]
    session = onnx.open_session(folder / "open" / file.file, file, threads=threads)
    return onnx.FacepluginLiveness(session)
