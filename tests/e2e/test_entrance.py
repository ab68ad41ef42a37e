"""An entrance camera with real models and composed scenes: who is looked at, and what leaves it."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import random
from uuid import uuid4

import numpy as np
import numpy.typing as npt
import pytest

from cloud_sync.adapters.system_clock import SystemClock
from cloud_sync.master.presence import Allowance, Look, Outcome
from edge_gate.adapters.memory_presence import MemoryPresence
from edge_gate.adapters.opencv import encode
from edge_gate.adapters.pack import open_eye
from edge_gate.adapters.scene_camera import SceneCamera
from edge_gate.camera import CameraLost
from edge_gate.config import parse
from edge_gate.entrance import EntranceConfig, EntrancePath
from edge_gate.eye import Embedder, Eye, ModelRefused
from edge_gate.face import Frame, Image
from edge_gate.intent import IntentConfig
from edge_gate.lap import Laps
from edge_gate.moment import Moment
from edge_gate.node import Given, Node
from tests.people import portraits

MODELS = Path(__file__).parents[2] / "models" / "files"
FPS = 15.0


@dataclass
class CountingEmbedder:
    """The real embedder, keeping what it is asked to embed."""

    real: Embedder
    made: list[npt.NDArray[np.float32]] = field(default_factory=list)

    @property
    def model_id(self) -> str:
        """The real one's."""
        return self.real.model_id

    def embed(self, crops: Sequence[Image]) -> npt.NDArray[np.float32]:
        """Embed and keep."""
        found = self.real.embed(crops)
        self.made += list(found)
        return found


@pytest.fixture(scope="module")
def eye() -> Eye:
    """Open the real models, or skip where they are not installed."""
    try:
        return open_eye("open", MODELS)
    except ModelRefused as refused:
        pytest.skip(f"needs the installed models: {refused}")


@dataclass
class Entrance:
    """A hall with a camera."""

    eye: Eye
    folder: Path
    config: EntranceConfig = field(default_factory=EntranceConfig)

    def __post_init__(self) -> None:
        """Lay out everybody's portrait, and begin with nobody in view."""
        self.embedder = CountingEmbedder(self.eye.embedder)
        self.counted = replace(self.eye, embedder=self.embedder)
        self.cloud = MemoryPresence()
        self.now_s = 0.0
        for name, photo in portraits().items():
            (self.folder / f"{name}.png").write_bytes(encode(photo, suffix=".png"))

    def watch(self, seconds: float, *actors: str) -> list[Look]:
        """Play a scene and return what was sent."""
        script = self.folder / "scene.toml"
        script.write_text(f"[scene]\nfps = {FPS}\nseed = 1\n" + "\n".join(actors))
        camera = SceneCamera(
            script, detector=self.eye.detector, clock=lambda: self.now_s, sleep=lambda _: None
        )
        path = EntrancePath(self.counted, self.config, Laps(lambda: self.now_s))
        for number in range(round(seconds * FPS)):
            look = path.step(_frame(camera, number, self.now_s), self.now_s)
            if look is not None:
                self.cloud.identify(look)
            self.now_s += 1 / FPS
        return self.cloud.looks

    def actor(self, name: str, *, x: float = 0.5, **words: object) -> str:
        """Return the script of somebody who comes."""
        settings = {"start_s": 0.1, "approach_s": 0.6, "stand_s": 8.0, **words}
        lines = [f'[[actor]]\nname = "{name}"', f'photo = "{self.folder / name}.png"', f"x = {x}"]
        return "\n".join([*lines, *(f"{key} = {value}" for key, value in settings.items())])


def _frame(camera: SceneCamera, number: int, now_s: float) -> Frame | None:
    try:
        shown = camera.read()
    except CameraLost:
        return None
    return None if shown is None else Frame(shown.image, number, now_s)


@pytest.fixture
def entrance(eye: Eye, tmp_path: Path) -> Entrance:
    """Give an entrance whose zone is the middle of the picture."""
    return Entrance(eye, tmp_path)


class TestEntrance:
    """Who comes."""

    def test_eileen_steps_onto_the_marked_ground(self, entrance: Entrance) -> None:
        """However long she stands there one look is sent: her own face, and nothing else."""
        before = _files(entrance.folder)

        (look,) = entrance.watch(3, entrance.actor("Eileen"))

        photo = portraits()["Eileen"]
        own = entrance.eye.embedding(photo, entrance.eye.detector.detect(photo)[0])
        assert float(look.vector @ own) > 0.6
        assert look.model_id == entrance.eye.embedder.model_id
        assert np.linalg.norm(look.vector) == pytest.approx(1, abs=1e-4)
        assert _files(entrance.folder) - before == {"scene.toml"}  # the test's own script

    def test_a_bystander_outside_the_zone_is_never_embedded(self, entrance: Entrance) -> None:
        """Noor stands beside the marked ground, facing the camera, and stays a box."""
        assert entrance.watch(2.5, entrance.actor("Noor", x=0.9)) == []
        assert entrance.embedder.made == []

    def test_control_a_zone_that_covers_all_embeds_the_bystander(self, entrance: Entrance) -> None:
        """Control: it is the zone that keeps Noor out, not the distance, the light or the scene."""
        everywhere = IntentConfig(zone=((0, 0), (1, 0), (1, 1), (0, 1)))
        entrance.config = EntranceConfig(intent=everywhere)

        assert len(entrance.watch(2.5, entrance.actor("Noor", x=0.9))) == 1

    def test_a_rate_is_kept(self, entrance: Entrance) -> None:
        """Beyond its allowance a camera sends nothing; the person is met at the gate."""
        entrance.config = EntranceConfig(allowance=Allowance(rate_hz=0.01, burst=1, left=0))

        assert entrance.watch(2, entrance.actor("Eileen")) == []

    def test_without_models_nothing_is_seen(self, entrance: Entrance) -> None:
        """A refused model leaves a camera that looks at nobody."""
        path = EntrancePath(None, EntranceConfig(), Laps(lambda: 0.0))
        image = np.full((48, 64, 3), 90, np.uint8)

        assert path.step(Frame(image, 1, 0.0), 0.0) is None


class TestLoop:
    """The thread of one entrance."""

    @pytest.mark.parametrize("answer", [Outcome.ACCEPTED, Outcome.OFF, None])
    def test_a_look_is_sent_once_whatever_the_answer(
        self, answer: Outcome | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Neither silence nor a refusal makes it ask again, and the status names nobody."""
        from edge_gate.loop import EntranceLoop

        path = EntrancePath(None, EntranceConfig(), Laps(lambda: 0.0))
        looks = [Look(np.eye(1, 512, dtype=np.float32)[0], "open", "plain"), None, None]
        monkeypatch.setattr(path, "step", lambda _frame, _now_s: looks.pop(0))
        cloud = MemoryPresence(answer)
        loop = EntranceLoop("hall", path, _NoFrames(), cloud, moment=_never)

        for _ in range(3):
            loop.step()

        assert len(cloud.looks) == loop.status.looks == 1
        assert loop.status.answer == (answer.value if answer else "")


class _NoFrames:
    dropped = 0

    def newest(self, timeout_s: float = 0.0) -> Frame | None:
        return None


def _never() -> Moment:
    from datetime import UTC, datetime

    return Moment(0.0, datetime(2026, 5, 4, tzinfo=UTC))


def _files(folder: Path) -> set[str]:
    return {entry for _, _, files in os.walk(folder) for entry in files}


class TestNode:
    """A node whose only camera is an entrance's."""

    def test_holds_nobody_and_follows_no_gallery(self, entrance: Entrance) -> None:
        """Without a gate the node asks for no template, makes no tap, and still tells how it is."""
        (entrance.folder / "scene.toml").write_text("[scene]\n")
        text = (
            '[station]\nstation_id = "bei"\nedge_id = "edge-hall"\ndata_dir = "."\n'
            'cloud = "127.0.0.1:1"\npresence = true\n'
            '[[lane]]\nid = "hall"\nrole = "entrance"\ndirection = "entry"\n'
            'camera = "scene:scene.toml"\n'
        )
        given = Given(
            SystemClock(), os.urandom, random, uuid4, MODELS, entrance.folder, lambda: None
        )
        node = Node(parse(text, folder=entrance.folder), given)

        services = {service.name for service in node._services()}
        status = node._status()
        node._outbox.close()

        assert services == {"health", "certificate", "entrance-hall"}
        assert status.lanes == ()
        assert [(each.id, each.looks) for each in status.entrances] == [("hall", 0)]
        assert status.gallery.templates == 0
