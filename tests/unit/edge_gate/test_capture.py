"""The thread that keeps only the newest frame."""

import threading

import numpy as np
import pytest

from edge_gate.adapters.capture import Capture
from edge_gate.camera import CameraLost
from edge_gate.face import Frame


class Scripted:
    """A camera that gives what it is told, when it is told."""

    def __init__(self, *acts: Frame | Exception | None) -> None:
        """Take the acts in order; afterwards reads wait until it is closed."""
        self._acts = list(acts)
        self.go = threading.Semaphore(0)
        self.reads = threading.Semaphore(0)
        self.closed = threading.Event()

    def read(self) -> Frame | None:
        """Wait for leave, then play the next act."""
        self.reads.release()
        while not self.closed.is_set():
            if self.go.acquire(timeout=0.01):
                break
        act = self._acts.pop(0) if self._acts and not self.closed.is_set() else None
        if isinstance(act, Exception):
            raise act
        return act

    def close(self) -> None:
        """Release a waiting read."""
        self.closed.set()

    def play(self, count: int) -> None:
        """Let `count` acts pass and wait until the next read has begun."""
        for _ in range(count):
            assert self.reads.acquire(timeout=5)
            self.go.release()
        assert self.reads.acquire(timeout=5)
        self.reads.release()


def frame(number: int) -> Frame:
    """Make a small frame."""
    return Frame(np.zeros((4, 4, 3), np.uint8), number, float(number))


class TestCapture:
    """What it hands on, drops and survives."""

    def test_the_newest_frame_wins(self) -> None:
        """A reader that comes after three frames gets the third, and the two are counted."""
        camera = Scripted(frame(0), frame(1), frame(2))
        with Capture(camera) as capture:
            camera.play(3)

            newest = capture.newest(1.0)

            assert newest is not None
            assert (newest.number, capture.dropped, capture.taken) == (2, 2, 1)

    def test_a_frame_is_handed_on_once(self) -> None:
        """The same frame is never taken twice, so a lane cannot mistake it for a new one."""
        camera = Scripted(frame(0))
        with Capture(camera) as capture:
            camera.play(1)

            assert capture.newest(1.0) is not None
            assert capture.newest() is None

    def test_waits_for_the_next_frame(self) -> None:
        """A reader that is early is woken by the frame, not by the end of its patience."""
        camera = Scripted(frame(7))
        with Capture(camera) as capture:
            threading.Timer(0.05, camera.go.release).start()

            newest = capture.newest(30.0)

        assert newest is not None
        assert newest.number == 7

    def test_outlives_a_lost_camera(self) -> None:
        """After two losses the third read's frame arrives."""
        camera = Scripted(CameraLost("unplugged"), CameraLost("still"), frame(3))
        with Capture(camera) as capture:
            for _ in range(3):
                camera.go.release()

            newest = capture.newest(10.0)

        assert newest is not None
        assert newest.number == 3

    def test_outlives_what_no_adapter_foresaw(self, caplog: pytest.LogCaptureFixture) -> None:
        """A driver that raises anything at all is logged and read again: the lane is not blind."""
        camera = Scripted(ValueError("a frame of no known shape"), frame(3))
        with Capture(camera, name="entry") as capture:
            for _ in range(2):
                camera.go.release()

            newest = capture.newest(10.0)

        assert newest is not None
        assert newest.number == 3
        assert "camera_failed" in [record.message for record in caplog.records]

    def test_tells_the_end_of_a_file(self) -> None:
        """A finite source has ended only when its last frame was taken."""
        camera = Scripted(frame(0), None)
        with Capture(camera) as capture:
            camera.go.release()
            camera.go.release()
            capture._thread.join(5)

            assert not capture.ended
            assert capture.newest() is not None
            assert capture.ended

    def test_closes_twice_and_leaves_no_thread(self) -> None:
        """Closing ends the thread and the camera, and may be repeated."""
        camera = Scripted()
        capture = Capture(camera)
        capture.start()

        capture.close()
        capture.close()

        assert camera.closed.is_set()
        assert not capture._thread.is_alive()

    @pytest.mark.parametrize("frames", [1, 10, 100])
    def test_every_frame_is_taken_or_dropped(self, frames: int) -> None:
        """Whatever the speeds, frames taken and dropped sum to frames read."""
        camera = Scripted(*(frame(i) for i in range(frames)), None)
        with Capture(camera) as capture:
            for _ in range(frames + 1):
                camera.go.release()
            numbers = []
            while not capture.ended:
                newest = capture.newest(0.01)
                if newest is not None:
                    numbers.append(newest.number)

            assert numbers == sorted(set(numbers))
            assert numbers[-1] == frames - 1
            assert frames == capture.taken + capture.dropped
