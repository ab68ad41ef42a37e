"""The scene camera in virtual time, seen by the real detector, embedder and code reader."""

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import zxingcpp

from edge_gate.adapters.scene_camera import SceneCamera
from edge_gate.camera import CameraLost
from edge_gate.eye import Eye
from edge_gate.face import Embedding, Frame, Image
from edge_gate.intent import IntentConfig, MeansToPass, TooCloseTogether, judge
from edge_gate.track import Tracker
from edge_gate.watch import CameraState, CameraWatch
from tests.people import portraits
from tests.riders import eye as open_packs_eye

PHOTOS = portraits()


class Time:
    """A clock that only sleeping moves."""

    now_s = 100.0

    def sleep(self, seconds: float) -> None:
        """Pass the time at once."""
        self.now_s += seconds

    def clock(self) -> float:
        """Return the seconds so far."""
        return self.now_s


Opener = Callable[[str], SceneCamera]


@pytest.fixture(scope="module")
def eye() -> Eye:
    """Give the real models of the open pack."""
    return open_packs_eye()


@pytest.fixture
def hall(tmp_path: Path, eye: Eye) -> Opener:
    """Give a way to open scripts beside the portraits of all people."""
    for name, photo in PHOTOS.items():
        cv2.imwrite(str(tmp_path / f"{name}.png"), photo)

    def opened(script: str) -> SceneCamera:
        (tmp_path / "scene.toml").write_text(f'[scene]\ncue_dir = "cues"\n{script}')
        time = Time()
        return SceneCamera(
            tmp_path / "scene.toml", detector=eye.detector, clock=time.clock, sleep=time.sleep
        )

    return opened


def frames(camera: SceneCamera, count: int) -> Iterator[Frame]:
    """Read frames; a lost one is left out."""
    for _ in range(count):
        try:
            frame = camera.read()
        except CameraLost:
            continue
        assert frame is not None
        yield frame


def actor(name: str, **words: object) -> str:
    """Write an actor of a script."""
    lines = [f"{word} = {value!r}" for word, value in words.items()]
    return "\n".join(("[[actor]]", f'name = "{name}"', f'photo = "{name}.png"', *lines, ""))


def own(eye: Eye, name: str) -> Embedding:
    """Return the embedding of a portrait as a rider enrolls it."""
    return eye.embedding(PHOTOS[name], eye.detector.detect(PHOTOS[name])[0])


class TestFaces:
    """What the gate's own eye makes of composed frames."""

    @pytest.mark.parametrize("name", ["Kim", "Eileen", "Toni", "Jules"])
    def test_walks_up_and_is_known(self, hall: Opener, eye: Eye, name: str) -> None:
        """A face is found all the way from 60 pixels on, and standing it is wide and its own."""
        seen = list(frames(hall(actor(name, start_s=0.0)), 50))

        found = [eye.detector.detect(frame.image) for frame in seen]
        assert all(len(faces) == 1 for faces in found[15:50])
        standing = [(seen[i], found[i][0]) for i in range(25, 50, 4)]
        assert min(face.box.width for _, face in standing) >= 90
        alike = [float(eye.embedding(f.image, face) @ own(eye, name)) for f, face in standing]
        assert max(alike) >= 0.85
        assert min(alike) >= 0.75

    def test_is_nobody_else(self, hall: Opener, eye: Eye) -> None:
        """Control: the figures differ as their portraits do; Kim in the scene is not Eileen."""
        frame = list(frames(hall(actor("Kim", start_s=0.0)), 35))[-1]

        face = eye.detector.detect(frame.image)[0]

        assert float(eye.embedding(frame.image, face) @ own(eye, "Eileen")) < 0.4

    def test_bystander_behind_is_never_chosen(self, hall: Opener, eye: Eye) -> None:
        """Toni in front is chosen; Eileen, who waits farther behind, is not, in any frame."""
        script = actor("Toni", start_s=0.0, x=0.4, stand_s=3.0) + actor(
            "Eileen", start_s=0.0, x=0.72, width_px=60, stand_s=3.0
        )
        tracker, chosen = Tracker(), []
        for frame in frames(hall(script), 60):
            faces = eye.detector.detect(frame.image)
            tracks = tracker.step(faces, frame.arrival_s)
            intent = judge(tracks, now_s=frame.arrival_s, size=(640, 480), config=IntentConfig())
            if isinstance(intent, MeansToPass):
                chosen.append(
                    float(eye.embedding(frame.image, intent.track.face) @ own(eye, "Toni"))
                )

        assert len(chosen) > 20
        assert min(chosen) > 0.6

    def test_two_abreast_are_too_close(self, hall: Opener, eye: Eye) -> None:
        """Kim and Jules shoulder to shoulder stop the lane while they stand."""
        script = actor("Kim", start_s=0.0, x=0.3) + actor("Jules", start_s=0.0, x=0.7)
        tracker, intents = Tracker(), []
        for frame in frames(hall(script), 50):
            tracks = tracker.step(eye.detector.detect(frame.image), frame.arrival_s)
            intents.append(
                judge(tracks, now_s=frame.arrival_s, size=(640, 480), config=IntentConfig())
            )

        assert {TooCloseTogether} == {type(intent) for intent in intents[24:50]}
        assert not any(isinstance(intent, MeansToPass) for intent in intents)

    @pytest.mark.parametrize("kind", ["photo", "screen"])
    def test_holds_up_a_picture_of_somebody(self, hall: Opener, eye: Eye, kind: str) -> None:
        """A print and a tablet carry one recognisable face, whose own owner stands behind it."""
        frame = list(frames(hall(actor("Kim", start_s=0.0, presents=kind)), 35))[-1]

        faces = eye.detector.detect(frame.image)

        assert len(faces) == 1
        assert float(eye.embedding(frame.image, faces[0]) @ own(eye, "Kim")) > 0.6


class TestPicture:
    """What frames are made of."""

    def test_the_same_script_gives_the_same_frames(self, hall: Opener) -> None:
        """Pictures depend on script and seed alone."""
        script = actor("Kim", start_s=0.0)

        first, second = (list(frames(hall(script), 12)) for _ in range(2))

        assert all(np.array_equal(a.image, b.image) for a, b in zip(first, second, strict=True))

    def test_light_and_blur_do_what_they_say(self, hall: Opener) -> None:
        """Half the light halves the face's brightness, and defocus takes its edges."""

        def face(**words: object) -> Image:
            frame = list(frames(hall(actor("Kim", start_s=0.0, turn_deg=0.0, **words)), 40))[-1]
            return frame.image[150:260, 280:360]

        plain, dim, soft = face(), face(gain=0.5), face(blur_px=4.0)

        assert float(dim.mean()) == pytest.approx(plain.mean() / 2, rel=0.05)
        assert float(cv2.Laplacian(soft, cv2.CV_64F).var()) < 0.2 * float(
            cv2.Laplacian(plain, cv2.CV_64F).var()
        )

    def test_a_late_reader_gets_the_frame_of_now(self, hall: Opener) -> None:
        """Two seconds without a read skip two seconds of numbers, as on a device."""
        camera = hall("")
        first = camera.read()
        camera._sleep(2.0)

        second = camera.read()

        assert first is not None
        assert second is not None
        assert second.number - first.number == 30


class TestCues:
    """Actors who are sent up at run time."""

    def test_plays_an_actor_file_and_takes_it_away(self, hall: Opener, tmp_path: Path) -> None:
        """A file in the cue folder walks up, stands, walks on at its sign, and is gone."""
        camera = hall("")
        cue, sign = tmp_path / "cues/kim.toml", tmp_path / "cues/kim.leave"
        empty = camera.read()
        cue.write_text('photo = "../Kim.png"\nleave = "kim.leave"\nstand_s = 60\n')
        waiting = list(frames(camera, 90))[-1]
        assert empty is not None
        assert cue.exists()
        sign.touch()

        after = list(frames(camera, 15))[-1]

        assert not cue.exists()
        assert not sign.exists()
        middle = (slice(120, 260), slice(260, 380))
        emptied = empty.image[middle].astype(int)
        assert np.abs(waiting.image[middle].astype(int) - emptied).mean() > 20
        assert np.abs(after.image[middle].astype(int) - emptied).mean() < 2

    def test_gives_up_without_a_sign(self, hall: Opener, tmp_path: Path) -> None:
        """Whom the gate does not let in turns away after the wait, and the file goes."""
        camera, cue = hall(""), tmp_path / "cues/kim.toml"
        cue.write_text('photo = "../Kim.png"\nstand_s = 1\n')

        assert len(list(frames(camera, 40))) == 40
        assert cue.exists()
        assert len(list(frames(camera, 15))) == 15
        assert not cue.exists()

    def test_plays_again_after_a_kill(self, hall: Opener, tmp_path: Path) -> None:
        """A camera that dies on the way leaves the file, and the next one begins the walk anew."""
        cue = tmp_path / "cues/kim.toml"
        first = hall("")
        cue.write_text('photo = "../Kim.png"\nleave = "kim.leave"\n')
        assert len(list(frames(first, 30))) == 30
        first.close()

        second = hall("")

        before = second.read()
        last = list(frames(second, 30))[-1]
        assert before is not None
        assert cue.exists()
        assert np.abs(before.image.astype(int) - last.image).mean() > 5

    def test_does_not_play_again_who_was_let_through(self, hall: Opener, tmp_path: Path) -> None:
        """If the gate had opened before the kill, the walk is over: nobody passes twice."""
        cue, sign = tmp_path / "cues/kim.toml", tmp_path / "cues/kim.leave"
        camera = hall("")
        cue.write_text('photo = "../Kim.png"\nleave = "kim.leave"\n')
        sign.touch()

        camera.read()

        assert (cue.exists(), sign.exists()) == (False, False)

    def test_a_cue_starts_a_written_actor(self, hall: Opener, tmp_path: Path) -> None:
        """An actor of the script waits for its cue and takes it away at the end."""
        camera = hall(actor("Kim", cue="go", stand_s=0.5))
        quiet = list(frames(camera, 10))
        assert np.abs(quiet[0].image.astype(int) - quiet[-1].image).mean() < 2
        (tmp_path / "cues/go").touch()

        walking = list(frames(camera, 50))

        assert np.abs(quiet[0].image.astype(int) - walking[25].image).mean() > 5
        assert not (tmp_path / "cues/go").exists()

    @pytest.mark.parametrize(
        "text", ["photo = 3", "not toml [", 'photo = "../none.png"', 'photo = "kim.toml"']
    )
    def test_passes_over_a_wrong_file(self, hall: Opener, tmp_path: Path, text: str) -> None:
        """A file that cannot be played stops nobody, and is played once it is put right."""
        camera, cue = hall(""), tmp_path / "cues/kim.toml"
        cue.write_text(text)
        assert len(list(frames(camera, 5))) == 5

        cue.unlink()
        cue.write_text('photo = "../Kim.png"\nstand_s = 0\n')

        assert len(list(frames(camera, 60))) == 60
        assert not cue.exists()


class TestPhone:
    """An actor with a ride code."""

    PAYLOAD = bytes(range(107))

    def read_codes(self, camera: SceneCamera, count: int) -> list[list[bytes]]:
        """Read the codes in each of `count` frames."""
        return [
            [code.bytes for code in zxingcpp.read_barcodes(frame.image)]
            for frame in frames(camera, count)
        ]

    def test_shows_the_code_while_the_file_is_there(self, hall: Opener, tmp_path: Path) -> None:
        """The phone comes up when the file appears, shows its bytes, and goes with it."""
        camera, code = (
            hall(actor("Kim", start_s=0.0, stand_s=60.0, code="kim.code")),
            (tmp_path / "cues/kim.code"),
        )
        assert not any(self.read_codes(camera, 30))
        code.write_bytes(self.PAYLOAD)

        shown = self.read_codes(camera, 15)
        code.unlink()
        gone = self.read_codes(camera, 5)

        assert shown[7:] == [[self.PAYLOAD]] * 8
        assert not any(gone)

    def test_does_not_hide_the_face(self, hall: Opener, tmp_path: Path, eye: Eye) -> None:
        """Face and code are read from the same frame."""
        camera = hall(actor("Kim", start_s=0.0, stand_s=60.0, code="kim.code"))
        (tmp_path / "cues/kim.code").write_bytes(self.PAYLOAD)

        frame = list(frames(camera, 45))[-1]

        assert [code.bytes for code in zxingcpp.read_barcodes(frame.image)] == [self.PAYLOAD]
        assert eye.detector.detect(frame.image)[0].box.width >= 90


class TestFaults:
    """A camera that breaks by script, watched by the gate."""

    @pytest.mark.parametrize("kind", ["lost", "black", "frozen", "overexposed"])
    def test_is_noticed_within_two_seconds(self, hall: Opener, kind: str) -> None:
        """Each scripted fault shows under its name within 2 s, and is over after it ends."""
        camera = hall(f'[[fault]]\nkind = "{kind}"\nfrom_s = 2\nto_s = 6\n')
        watch, states = CameraWatch(0.0), []
        for index in range(8 * 15):
            try:
                frame = camera.read()
            except CameraLost:
                frame = None
            states.append(watch.step(frame, index / 15))

        assert {CameraState.OK} == set(states[: 2 * 15])
        assert {CameraState(kind)} == set(states[4 * 15 : 6 * 15 - 1])
        assert states[-1] == CameraState.OK

    def test_a_healthy_scene_is_never_blamed(self, hall: Opener) -> None:
        """Control: sixty seconds of an empty hall stay OK."""
        watch = CameraWatch(0.0)

        states = {watch.step(f, i / 15) for i, f in enumerate(frames(hall(""), 60 * 15))}

        assert {CameraState.OK} == states

    def test_refuses_a_wrong_script(self, hall: Opener) -> None:
        """A script that cannot be played is a lost camera with the reason."""
        with pytest.raises(CameraLost, match="unknown word"):
            hall('colour = "red"\n')
