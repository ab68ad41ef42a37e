"""What every camera keeps, whatever it is made of."""

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_gate.adapters.cameras import UnknownSource, open_camera
from edge_gate.adapters.folder_camera import FolderCamera
from edge_gate.adapters.opencv_camera import OpenCvCamera, VideoCamera
from edge_gate.adapters.push_camera import PushCamera
from edge_gate.adapters.scene_camera import SceneCamera
from edge_gate.camera import Camera
from edge_gate.face import Frame
from tests.unit.edge_gate.test_opencv_camera import network_camera, video


class Pushed(PushCamera):
    """A push camera with somebody who pushes before each read."""

    def read(self) -> Frame | None:
        """Offer a picture, then read."""
        picture = cv2.imencode(".png", np.full((120, 160, 3), 90, np.uint8))[1].tobytes()
        self.offer(picture)
        return super().read()


def scene(folder: Path) -> Iterator[Camera]:
    """Open an empty hall."""
    (folder / "scene.toml").write_text("[scene]\nfps = 100\n")
    yield open_camera("scene:scene.toml", folder=folder)


def pictures(folder: Path) -> Iterator[Camera]:
    """Open a folder of one picture, for ever."""
    cv2.imwrite(str(folder / "a.png"), np.full((120, 160, 3), 90, np.uint8))
    yield open_camera(f"folder:{folder}?fps=100&repeat=1")


def film(folder: Path) -> Iterator[Camera]:
    """Open a video file, for ever."""
    video(folder / "v.avi")
    yield open_camera("video:v.avi?repeat=1", folder=folder)


def stream(folder: Path) -> Iterator[Camera]:
    """Open a camera on the network."""
    with network_camera() as port:
        yield open_camera(f"http://127.0.0.1:{port}/")


def pushed(folder: Path) -> Iterator[Camera]:
    """Open a camera that a browser feeds."""
    yield Pushed()


@pytest.fixture(params=[scene, pictures, film, stream, pushed], ids=lambda make: make.__name__)
def camera(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Camera]:
    """Give each kind of camera in turn."""
    make: Callable[[Path], Iterator[Camera]] = request.param
    yield from make(tmp_path)


class TestCamera:
    """The port's promises."""

    def test_gives_colour_frames_in_order(self, camera: Camera) -> None:
        """Frames are BGR bytes; numbers grow from 0 and arrivals never go back."""
        frames = [frame for _ in range(5) if (frame := camera.read()) is not None]
        camera.close()

        assert len(frames) == 5
        assert all(f.image.dtype == np.uint8 and f.image.shape[2] == 3 for f in frames)
        numbers, arrivals = [f.number for f in frames], [f.arrival_s for f in frames]
        assert numbers[0] == 0
        assert numbers == sorted(set(numbers))
        assert arrivals == sorted(arrivals)

    def test_frames_stay_as_they_were(self, camera: Camera) -> None:
        """A frame in hand is not overwritten by the next one."""
        first = camera.read()
        assert first is not None
        before = first.image.copy()

        camera.read()
        camera.close()

        assert np.array_equal(before, first.image)

    def test_ends_when_closed(self, camera: Camera) -> None:
        """After closing, twice if need be, a read says that there is no more."""
        assert camera.read() is not None

        camera.close()
        camera.close()

        assert camera.read() is None


class TestOpenCamera:
    """From a line of configuration to a camera."""

    @pytest.mark.parametrize(
        ("source", "kind"),
        [
            ("webcam:0", OpenCvCamera),
            ("rtsp://10.0.0.7/stream1", OpenCvCamera),
            ("https://10.0.0.7/video", OpenCvCamera),
            ("video:v.avi", VideoCamera),
            ("folder:.?fps=2.5", FolderCamera),
            ("scene:scene.toml", SceneCamera),
        ],
    )
    def test_opens_each_scheme(self, tmp_path: Path, source: str, kind: type) -> None:
        """Each way of writing a source opens its camera; devices are not touched yet."""
        video(tmp_path / "v.avi")
        cv2.imwrite(str(tmp_path / "a.png"), np.zeros((32, 32, 3), np.uint8))
        (tmp_path / "scene.toml").write_text("")

        camera = open_camera(source, folder=tmp_path)
        camera.close()

        assert type(camera) is kind

    @pytest.mark.parametrize(
        "source",
        [
            "",
            "webcam:front",
            "ftp://user:secret@10.0.0.7/",
            "http:/half",
            "folder:.?speed=2",
            "folder:.?fps=0",
            "folder:.?fps=fast",
            "folder:.?fps",
            "video:",
            "scene:s.toml?fps=3",
        ],
    )
    def test_refuses_what_it_does_not_know(self, tmp_path: Path, source: str) -> None:
        """A wrong source says what can be written, and never repeats a password."""
        with pytest.raises(UnknownSource, match="webcam:0") as refusal:
            open_camera(source, folder=tmp_path)

        assert "secret" not in str(refusal.value)
