"""From a line of configuration to a camera."""

from pathlib import Path
from urllib.parse import parse_qs

from edge_gate.adapters.folder_camera import FolderCamera
from edge_gate.adapters.opencv_camera import OpenCvCamera, VideoCamera
from edge_gate.adapters.scene_camera import SceneCamera
from edge_gate.camera import Camera
from edge_gate.eye import Detector


class UnknownSource(ValueError):
    """The configuration names no camera that exists; says what can be written."""


def open_camera(source: str, *, folder: Path = Path(), detector: Detector | None = None) -> Camera:
    """Open the camera that `source` names.

    Args:
        source: `webcam:0`, `rtsp://...`, `rtsps://...`, `http://...`, `https://...`,
            `video:FILE`, `video:FILE?repeat=1`, `folder:DIR?fps=5`, `folder:DIR?fps=5&repeat=1`
            or `scene:FILE.toml`.
        folder: What relative files start from.
        detector: Lets a scene find the faces in its actors' photos.

    Raises:
        UnknownSource: None of these.
        CameraLost: A file or folder cannot be used. Devices and streams are opened by the first
            read, so that a station starts with a camera that is off.
    """
    scheme, _, rest = source.partition(":")
    if scheme in {"rtsp", "rtsps", "http", "https"} and rest.startswith("//"):
        return OpenCvCamera(source)
    if scheme == "webcam" and rest.isdecimal():
        return OpenCvCamera(int(rest))
    path, options = _options(rest, source)
    if scheme == "scene" and path and not options:
        return SceneCamera(folder / path, detector=detector)
    repeat = options.pop("repeat", "0") == "1"
    if scheme == "video" and path and not options:
        return VideoCamera(str(folder / path), repeat=repeat)
    if scheme == "folder" and path and set(options) <= {"fps"}:
        return FolderCamera(
            folder / path, fps=_rate(options.get("fps", "5"), source), repeat=repeat
        )
    raise UnknownSource(_unknown(source))


def _options(rest: str, source: str) -> tuple[str, dict[str, str]]:
    """Split a path from the options behind its question mark."""
    path, _, query = rest.partition("?")
    try:
        pairs = parse_qs(query, strict_parsing=True) if query else {}
    except ValueError as error:
        raise UnknownSource(_unknown(source)) from error
    return path, {word: values[-1] for word, values in pairs.items()}


def _rate(text: str, source: str) -> float:
    try:
        rate = float(text)
    except ValueError as error:
        raise UnknownSource(_unknown(source)) from error
    if not 0 < rate <= 120:
        raise UnknownSource(_unknown(source))
    return rate


def _unknown(source: str) -> str:
    # An address may hold a password, so only the scheme is told.
    scheme = source.partition(":")[0][:16]
    return (
        f"no camera can be opened from {scheme!r}: write webcam:0, rtsp://..., http://..., "
        "video:FILE[?repeat=1], folder:DIR[?fps=5&repeat=1] or scene:FILE.toml"
    )
