"""The `scene` camera: real face photos composed into frames from a TOML script.

It stands in for a device in demonstrations and tests, behind the port that devices use. Actors
come from the script or, at run time, as files in its cue folder: `NAME.toml` is an actor who walks
up at once; the file goes when the walk is over. A process killed on the way plays the walk again,
unless the sign to leave is already there: then the actor has passed.
"""

import logging
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from edge_gate.adapters import picture_file
from edge_gate.adapters.opencv import NotAnImage
from edge_gate.adapters.scene_head import guess_face
from edge_gate.adapters.scene_stage import Appearance, Costume, Stage
from edge_gate.camera import CameraLost
from edge_gate.eye import Detector
from edge_gate.face import Box, Frame, Image
from edge_gate.scene import Actor, Fault, SceneWrong, parse_actor, parse_scene
from edge_gate.walk import Phase, Pose, pose_at
from fare.log import say

_LOG = logging.getLogger(__name__)
_COSTUMES_MAX = 32
"""Figures kept for their next walk, 2 to 10 MB each."""


@dataclass(slots=True, eq=False)
class _Walk:
    """One actor on stage."""

    actor: Actor
    costume: Costume
    began_s: float
    script: Path | None = None
    """The cue file that goes when the walk is over."""
    left_s: float | None = None
    code: bytes | None = None
    code_since_s: float = 0.0
    pose: Pose | None = None


@dataclass(slots=True, eq=False)
class _Troupe:
    """Who has played, and which cue files cannot be played."""

    played: set[str] = field(default_factory=set)
    refused: dict[Path, float] = field(default_factory=dict)
    """Modification times of scripts that are wrong: each is told once."""


class SceneCamera:
    """Plays a script in real time, or in the time of a given clock."""

    def __init__(
        self,
        script: Path,
        *,
        detector: Detector | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Read the script; scene time begins with the first frame.

        Args:
            script: The TOML file; photos and the cue folder are relative to it.
            detector: Finds the faces in the photos; without it they are guessed.
            clock: Monotonic seconds.
            sleep: Waits for so many seconds of that clock.

        Raises:
            CameraLost: The script cannot be read or played.
        """
        try:
            self._scene = parse_scene(script.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, SceneWrong) as error:
            raise CameraLost(f"{script.name}: {error}") from error
        scene = self._scene
        self._stage = Stage(
            width=scene.width, height=scene.height, seed=scene.seed, noise=scene.noise
        )
        self._folder = script.parent
        self._cues = script.parent / scene.cue_dir if scene.cue_dir else None
        self._detector, self._clock, self._sleep = detector, clock, sleep
        self._began_s: float | None = None
        self._number = -1
        self._closed = False
        self._walks: list[_Walk] = []
        self._troupe = _Troupe()
        self._costumes: dict[tuple[str, tuple[float, ...]], Costume] = {}
        self._still: Image | None = None
        if self._cues is not None:
            self._cues.mkdir(parents=True, exist_ok=True)

    def read(self) -> Frame | None:
        """Wait until the next frame is due and compose it; None once closed.

        Raises:
            CameraLost: The script says so for this moment.
        """
        now_s = self._clock()
        if self._began_s is None:
            self._began_s = now_s
        # A reader who comes late gets the frame of now; those between are gone, as on a device.
        self._number = max(self._number + 1, int((now_s - self._began_s) * self._scene.fps))
        scene_s = self._number / self._scene.fps
        self._sleep(max(0.0, self._began_s + scene_s - now_s))
        if self._closed:
            return None
        self._enter(scene_s)
        appearances = self._perform(scene_s)
        image = self._suffer(scene_s, appearances)
        self._still = image
        return Frame(image, self._number, self._clock())

    def close(self) -> None:
        """Stop playing; cue files stay."""
        self._closed = True

    def _suffer(self, scene_s: float, appearances: list[Appearance]) -> Image:
        """Compose the frame, or what the fault of this moment leaves of it."""
        faults = {o.kind for o in self._scene.outages if o.from_s <= scene_s < o.to_s}
        if Fault.LOST in faults:
            raise CameraLost("the script says lost")
        if Fault.FROZEN in faults and self._still is not None:
            return self._still
        if Fault.BLACK in faults:
            return self._stage.dark(self._number)
        if Fault.OVEREXPOSED in faults:
            return self._stage.glaring(self._number)
        return self._stage.compose(appearances, self._number)

    def _enter(self, scene_s: float) -> None:
        """Let everybody begin whose time or cue has come."""
        for actor in self._scene.actors:
            if actor.name in self._troupe.played:
                continue
            if actor.start_s is not None and actor.start_s <= scene_s:
                self._troupe.played.add(actor.name)
                self._begin(actor, actor.start_s, self._folder, None)
            elif actor.cue and self._cues is not None and (self._cues / actor.cue).exists():
                playing = any(walk.actor is actor for walk in self._walks)
                if not playing:
                    self._begin(actor, scene_s, self._folder, self._cues / actor.cue)
        if self._cues is None:
            return
        playing_now = {walk.script for walk in self._walks}
        for script in sorted(self._cues.glob("*.toml")):
            if script not in playing_now:
                self._begin_from(script, scene_s)

    def _begin_from(self, script: Path, scene_s: float) -> None:
        """Begin the walk of an actor's own file; tell once if it cannot be played."""
        try:
            changed = script.stat().st_mtime
            if self._troupe.refused.get(script) == changed:
                return
            actor = parse_actor(script.read_text(encoding="utf-8"), name=script.stem)
        except FileNotFoundError:
            return  # withdrawn between listing and reading
        except (OSError, UnicodeDecodeError, SceneWrong) as error:
            self._troupe.refused[script] = changed
            say(_LOG, "actor_refused", level=logging.WARNING, script=script.name, why=str(error))
            return
        if not self._begin(actor, scene_s, script.parent, script):
            self._troupe.refused[script] = changed

    def _begin(self, actor: Actor, scene_s: float, folder: Path, script: Path | None) -> bool:
        """Bring an actor on stage; False if the photo cannot be used."""
        if script is not None and self._cue(actor.leave):
            self._over(script, actor)
            return True
        try:
            costume = self._costume(actor, folder)
        except NotAnImage as error:
            say(_LOG, "actor_refused", level=logging.WARNING, actor=actor.name, why=str(error))
            return False
        self._walks.append(_Walk(actor, costume, scene_s, script))
        say(_LOG, "actor_enters", actor=actor.name, presents=actor.presents)
        return True

    def _costume(self, actor: Actor, folder: Path) -> Costume:
        """Return the drawn figure of a photo, kept for the next walk."""
        path = folder / actor.photo
        key = (str(path), actor.face)
        if key not in self._costumes:
            photo = picture_file.load(path)
            if len(self._costumes) >= _COSTUMES_MAX:
                self._costumes.pop(next(iter(self._costumes)))
            # Clothes go with the person, not with the order of walks.
            seed = zlib.crc32(actor.name.encode()) + self._scene.seed
            self._costumes[key] = Costume(photo, self._face(photo, actor), seed)
        return self._costumes[key]

    def _face(self, photo: Image, actor: Actor) -> Box:
        """Return where the face is: as written, as found, or as guessed."""
        if actor.face:
            left, top, width, height = actor.face
            return Box(left, top, width, height)
        found = self._detector.detect(photo) if self._detector is not None else ()
        return found[0].box if found else guess_face(photo)

    def _perform(self, scene_s: float) -> list[Appearance]:
        """Move everybody on to `scene_s`; whoever has gone leaves the stage."""
        appearances = []
        for walk in tuple(self._walks):
            walked_s = max(0.0, scene_s - walk.began_s)
            if walk.left_s is None and self._cue(walk.actor.leave):
                walk.left_s = walked_s
            pose = pose_at(walk.actor, walked_s, walk.left_s)
            if pose.phase is Phase.GONE:
                self._walks.remove(walk)
                if walk.script is not None:
                    self._over(walk.script, walk.actor)
                continue
            self._hold_code(walk, pose, walked_s)
            before, walk.pose = walk.pose or pose, pose
            speed = (pose.x - before.x) * self._scene.width * self._scene.fps
            shown_s = walked_s - walk.code_since_s
            appearances.append(
                Appearance(walk.actor, walk.costume, pose, walked_s, speed, walk.code, shown_s)
            )
        return appearances

    def _hold_code(self, walk: _Walk, pose: Pose, walked_s: float) -> None:
        """Take up or put away the phone: its bytes are read when it is first shown."""
        wanted = pose.phase is Phase.STAND and self._cue(walk.actor.code)
        if not wanted:
            walk.code = None
        elif walk.code is None and self._cues is not None:
            try:
                payload = (self._cues / walk.actor.code).read_bytes()
            except OSError:
                return  # withdrawn between looking and reading; the next frame looks again
            walk.code, walk.code_since_s = payload or None, walked_s

    def _cue(self, name: str) -> bool:
        """Tell whether a cue file is there."""
        return bool(name) and self._cues is not None and (self._cues / name).exists()

    def _over(self, script: Path, actor: Actor) -> None:
        """Remove a finished walk's files, the sign to leave last: alone it replays nothing."""
        script.unlink(missing_ok=True)
        if actor.leave and self._cues is not None:
            (self._cues / actor.leave).unlink(missing_ok=True)
        say(_LOG, "actor_gone", actor=actor.name)
