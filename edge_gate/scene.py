"""The script of a simulated camera: who walks up, when, with what, and which faults happen.

TOML text in, a checked `Scene` or `Actor` out. This file does not know how anything is drawn;
`edge_gate.walk` says where an actor is at a moment.
"""

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any


class SceneWrong(Exception):
    """The script cannot be played; says what is wrong in it."""


class Presents(StrEnum):
    """What the actor turns towards the camera."""

    FACE = "face"
    """The person of the photo in the flesh."""
    PHOTO = "photo"
    """A paper print of the photo, held before the own face."""
    SCREEN = "screen"
    """A tablet that shows the photo, held before the own face."""


class Fault(StrEnum):
    """What a camera can suffer."""

    LOST = "lost"
    BLACK = "black"
    FROZEN = "frozen"
    OVEREXPOSED = "overexposed"


@dataclass(frozen=True, slots=True)
class Outage:
    """A fault for a span of scene time."""

    kind: Fault
    from_s: float
    to_s: float
    """Seconds since the camera was opened."""


@dataclass(frozen=True, slots=True)
class Key:
    """Where an actor is at a moment of the walk; between two keys it moves steadily."""

    at_s: float
    """Seconds since the walk began, 0 or more, growing from key to key."""
    x: float
    y: float
    """Centre of the face, shares of the frame; outside 0 to 1 is outside the picture."""
    width_px: float
    """Width of the face in the frame, pixels, 4 to 400."""


@dataclass(frozen=True, slots=True)
class Actor:
    """One person's walk up to the gate, the wait there, and the way on or back."""

    name: str
    photo: str
    """The picture file of the face, relative to the script."""
    presents: Presents = Presents.FACE
    face: tuple[float, ...] = ()
    """Left, top, width, height of the face in the photo, pixels; empty: found or guessed."""
    start_s: float | None = None
    """Scene time of the first step, seconds; None waits for `cue`."""
    cue: str = ""
    """A file under the cue folder: the walk starts when it is there, and removes it at its end,
    so that a process killed on the way plays the walk again."""
    leave: str = ""
    """A file under the cue folder: when it is there the actor walks on through the gate."""
    code: str = ""
    """A file under the cue folder: while it is there a phone shows its bytes as a QR code."""
    approach_s: float = 1.5
    """Time from far to the gate, seconds, > 0."""
    stand_s: float = 2.0
    """Longest wait at the gate before turning away, seconds, 0 or more."""
    leave_s: float = 0.8
    """Time to walk out of the picture, seconds, > 0."""
    x: float = 0.5
    y: float = 0.42
    """Centre of the face while standing, shares of the frame."""
    far_px: float = 34.0
    """Width of the face when it comes into view, pixels, 4 to 400."""
    width_px: float = 120.0
    """Width of the face while standing, pixels, 4 to 400."""
    turn_deg: float = 6.0
    """How far the head swings to either side while walking and waiting, degrees, 0 to 25."""
    yaw_deg: float = 0.0
    """Where the head is turned besides, degrees, -25 to 25, positive to the picture's right."""
    tilt_deg: float = 0.0
    """Turn of the head in the picture, degrees, positive clockwise: rights a tilted portrait."""
    gain: float = 1.0
    """Light on the actor, 0.05 to 4; 1 is the photo's own."""
    blur_px: float = 0.0
    """Defocus, standard deviation in pixels of the frame, 0 to 20."""
    keys: tuple[Key, ...] = ()
    """A path of one's own instead of approach, wait and leaving; ends with the last key. When
    `leave` appears, its last stretch begins at once."""

    def __post_init__(self) -> None:
        """Refuse what cannot be played.

        Raises:
            SceneWrong: A value is outside its range.
        """
        spans = {
            "approach_s": (0.01, 3600), "stand_s": (0, 86400), "leave_s": (0.01, 3600),
            "far_px": (4, 400), "width_px": (4, 400), "turn_deg": (0, 25), "yaw_deg": (-25, 25),
            "tilt_deg": (-90, 90), "gain": (0.05, 4), "blur_px": (0, 20), "x": (-2, 3),
            "y": (-2, 3),
        }  # fmt: skip
        for field, (low, high) in spans.items():
            if not low <= getattr(self, field) <= high:
                raise SceneWrong(f"{self.name}: {field} must be {low} to {high}")
        if not self.name or not self.photo:
            raise SceneWrong(f"{self.name or 'an actor'}: name and photo are needed")
        if self.face and (len(self.face) != 4 or min(self.face[2:]) <= 0):
            raise SceneWrong(f"{self.name}: face is left, top, width, height")
        times = [key.at_s for key in self.keys]
        if times and (len(times) < 2 or times[0] < 0 or times != sorted(set(times))):
            raise SceneWrong(f"{self.name}: two or more keys are needed, each later than the last")
        if any(not 4 <= key.width_px <= 400 for key in self.keys):
            raise SceneWrong(f"{self.name}: width_px of a key must be 4 to 400")


@dataclass(frozen=True, slots=True)
class Scene:
    """All that one simulated camera plays."""

    width: int = 640
    height: int = 480
    """Size of the frames in pixels, 64 to 4096."""
    fps: float = 15.0
    """Frames a second, 0.1 to 120."""
    seed: int = 1
    """Of the noise and the clothes."""
    noise: float = 0.5
    """Standard deviation of the sensor's noise, grey levels, 0 to 40; 0 looks frozen. Cameras that
    denoise leave about half a level; above one the `open` pack's liveness model sees a screen."""
    cue_dir: str = ""
    """Folder of cue files, relative to the script; `*.toml` files in it are actors who walk at
    once and whose files go when they have gone. Empty: none."""
    actors: tuple[Actor, ...] = ()
    outages: tuple[Outage, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what cannot be played.

        Raises:
            SceneWrong: A value is outside its range.
        """
        if not (64 <= self.width <= 4096 and 64 <= self.height <= 4096):
            raise SceneWrong("scene: width and height must be 64 to 4096")
        if not 0.1 <= self.fps <= 120 or not 0 <= self.noise <= 40:
            raise SceneWrong("scene: fps must be 0.1 to 120, noise 0 to 40")
        for actor in self.actors:
            if (actor.start_s is None) == (not actor.cue):
                raise SceneWrong(f"{actor.name}: needs either start_s or cue")
        needs = any(actor.cue or actor.leave or actor.code for actor in self.actors)
        if needs and not self.cue_dir:
            raise SceneWrong("scene: cue, leave and code need a cue_dir")


def parse_scene(text: str) -> Scene:
    """Read a script: a `[scene]` table, `[[actor]]` and `[[fault]]` tables.

    Raises:
        SceneWrong: The text is no TOML, has unknown words, or values outside their range.
    """
    table = _toml(text)
    unknown = set(table) - {"scene", "actor", "fault"}
    if unknown:
        raise SceneWrong(f"unknown tables: {', '.join(sorted(unknown))}")
    actors = tuple(_actor(row) for row in _rows(table, "actor"))
    outages = tuple(_outage(row) for row in _rows(table, "fault"))
    settings = table.get("scene", {})
    if not isinstance(settings, dict):
        raise SceneWrong("scene must be a table")
    return Scene(**_fitting(Scene, settings, "scene"), actors=actors, outages=outages)


def parse_actor(text: str, *, name: str) -> Actor:
    """Read one actor's own file: the words of an `[[actor]]` at top level, keys as `[[key]]`.

    Args:
        text: The file.
        name: The actor's name if the file gives none.

    Raises:
        SceneWrong: The text is no TOML, has unknown words, or values outside their range.
    """
    return _actor({"name": name, **_toml(text)})


def _toml(text: str) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SceneWrong(f"no TOML: {error}") from error


def _rows(table: Mapping[str, object], name: str) -> list[dict[str, object]]:
    """Return an array of tables."""
    rows = table.get(name, [])
    if not isinstance(rows, list) or any(not isinstance(row, dict) for row in rows):
        raise SceneWrong(f"{name} must be an array of tables: [[{name}]]")
    return rows


def _actor(row: Mapping[str, object]) -> Actor:
    name = str(row.get("name", ""))
    words = {word: value for word, value in row.items() if word != "key"}
    keys = tuple(Key(**_fitting(Key, key, f"{name}: key")) for key in _rows(row, "key"))
    fitting = _fitting(Actor, words, name)
    try:
        fitting["presents"] = Presents(fitting.get("presents", Presents.FACE))
    except ValueError as error:
        raise SceneWrong(f"{name}: {error}") from error
    try:
        return Actor(**fitting, keys=keys)
    except TypeError as error:
        raise SceneWrong(f"{name}: {error}") from error


def _outage(row: Mapping[str, object]) -> Outage:
    fitting = _fitting(Outage, row, "fault")
    try:
        fitting["kind"] = Fault(fitting["kind"])
        outage = Outage(**fitting)
    except (KeyError, TypeError, ValueError) as error:
        raise SceneWrong(f"fault: needs kind, from_s and to_s: {error}") from error
    if not 0 <= outage.from_s < outage.to_s:
        raise SceneWrong("fault: 0 <= from_s < to_s is needed")
    return outage


def _fitting(shape: type, row: Mapping[str, object], where: str) -> dict[str, Any]:
    """Return the row's words, each known to the dataclass `shape` and of the default's type."""
    known = {field.name: field.type for field in fields(shape)}
    fitting: dict[str, Any] = {}
    for word, value in row.items():
        if word not in known or word in {"keys", "actors", "outages"}:
            raise SceneWrong(f"{where}: unknown word {word!r}")
        fitting[word] = _typed(value, known[word], f"{where}: {word}")
    return fitting


def _typed(value: object, wanted: object, where: str) -> object:
    """Return the value as the field's type, or refuse it."""
    if wanted is str or wanted is Presents or wanted is Fault:
        good = isinstance(value, str)
    elif wanted is int:
        good = isinstance(value, int) and not isinstance(value, bool)
    elif isinstance(value, list):
        value, good = tuple(value), all(_is_number(number) for number in value)
    else:
        good = _is_number(value)
    if not good:
        raise SceneWrong(f"{where} does not take {value!r}")
    return value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
