"""Streams over real HTTP and video files from a real encoder."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_gate.adapters.capture import Capture
from edge_gate.adapters.opencv_camera import OpenCvCamera, OpenCvConfig, VideoCamera
from edge_gate.camera import CameraLost


class Stream(BaseHTTPRequestHandler):
    """A network camera: JPEG after JPEG until it is switched off."""

    on = True

    def do_GET(self) -> None:
        """Send pictures of growing brightness, 30 a second."""
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=gate")
        self.end_headers()
        level = 0
        while type(self).on:
            level = (level + 5) % 250
            picture = cv2.imencode(".jpg", np.full((120, 160, 3), level, np.uint8))[1].tobytes()
            head = f"--gate\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
            try:
                self.wfile.write(head.encode() + picture + b"\r\n")
            except OSError:
                return
            time.sleep(1 / 30)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 the base's name
        """Keep quiet."""


@contextmanager
def network_camera(port: int = 0) -> Iterator[int]:
    """Serve a stream on loopback; yields the port."""

    class OneStream(Stream):
        """A switch of its own."""

    with ThreadingHTTPServer(("127.0.0.1", port), OneStream) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        OneStream.on = False
        server.shutdown()


def video(path: Path, count: int = 10, fps: float = 20.0) -> Path:
    """Write a small video whose frames grow brighter."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), fps, (160, 120))
    for index in range(count):
        writer.write(np.full((120, 160, 3), 20 * index, np.uint8))
    writer.release()
    return path


def drain(camera: OpenCvCamera) -> None:
    """Read what is still on the way."""
    while camera.read():
        pass


class TestStream:
    """A camera on the network."""

    def test_reads_a_stream(self) -> None:
        """Pictures of an HTTP camera arrive as BGR frames with growing numbers."""
        with network_camera() as port:
            camera = OpenCvCamera(f"http://127.0.0.1:{port}/")

            frames = [camera.read() for _ in range(3)]
            camera.close()

        assert [frame.number for frame in frames if frame is not None] == [0, 1, 2]
        assert frames[0] is not None
        assert frames[0].image.shape == (120, 160, 3)

    def test_comes_back_by_itself(self) -> None:
        """A camera that is switched off and on again is read on, without a restart."""
        with network_camera() as port:
            camera = OpenCvCamera(f"http://127.0.0.1:{port}/")
            assert camera.read() is not None

        with pytest.raises(CameraLost, match="no more pictures"):
            drain(camera)
        with pytest.raises(CameraLost, match="cannot be opened"):
            camera.read()
        with network_camera(port):
            frame = camera.read()

        assert frame is not None
        assert frame.number > 0

    def test_is_watched_through_a_loss(self) -> None:
        """The capturing thread outlives the loss and hands on new frames afterwards."""
        with (
            network_camera() as port,
            Capture(OpenCvCamera(f"http://127.0.0.1:{port}/")) as capture,
        ):
            before = capture.newest(5.0)
        assert before is not None
        with network_camera() as port:
            capture = Capture(OpenCvCamera(f"http://127.0.0.1:{port}/"))
            capture.start()
            assert capture.newest(5.0) is not None
        while capture.newest(1.0) is not None:
            pass
        with network_camera(port):
            again = capture.newest(10.0)
        capture.close()

        assert again is not None

    def test_a_missing_webcam_is_lost_not_fatal(self) -> None:
        """A station starts though a webcam is not there; reading says so."""
        camera = OpenCvCamera(63)

        with pytest.raises(CameraLost):
            camera.read()
        camera.close()
        assert camera.read() is None


class TestVideo:
    """A file in place of a device."""

    def test_plays_at_its_own_speed(self, tmp_path: Path) -> None:
        """Frames come as fast as the file says, however fast they are read."""
        now_s = [0.0]

        def sleep(seconds: float) -> None:
            now_s[0] += seconds

        camera = VideoCamera(str(video(tmp_path / "v.avi")), clock=lambda: now_s[0], sleep=sleep)

        frames = [camera.read() for _ in range(11)]

        arrivals = [frame.arrival_s for frame in frames if frame is not None]
        assert pytest.approx([i / 20 for i in range(10)]) == arrivals
        assert frames[-1] is None

    def test_begins_again_on_wish(self, tmp_path: Path) -> None:
        """A repeated file goes on with its first picture and new numbers."""
        path = video(tmp_path / "v.avi", count=3)
        camera = VideoCamera(str(path), repeat=True, sleep=lambda _: None)

        frames = [frame for _ in range(7) if (frame := camera.read()) is not None]

        assert list(range(7)) == [frame.number for frame in frames]
        assert abs(float(frames[3].image.mean()) - float(frames[0].image.mean())) < 3

    @pytest.mark.parametrize("content", [b"", b"no video at all" * 100])
    def test_refuses_what_is_no_video(self, tmp_path: Path, content: bytes) -> None:
        """A wrong file is a lost camera, told at once."""
        (tmp_path / "v.avi").write_bytes(content)

        with pytest.raises(CameraLost):
            VideoCamera(str(tmp_path / "v.avi")).read()

    def test_refuses_a_wrong_config(self) -> None:
        """Sizes and rates outside their ranges are refused."""
        with pytest.raises(ValueError, match="fps"):
            OpenCvConfig(fps=0)
