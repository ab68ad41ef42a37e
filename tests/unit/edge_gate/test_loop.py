"""The threads of a node, and what they survive."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Self

import pytest

from edge_gate.adapters.memory_code_reader import MemoryCodeReader
from edge_gate.adapters.memory_eye import MemoryEye, Person, look_of
from edge_gate.answer import Answer
from edge_gate.face import Face, Frame, Image
from edge_gate.loop import STUCK_S, Chore, LaneLoop, NodeLoop, Service
from edge_gate.moment import Moment
from edge_gate.reason import DenyReason
from tests.lane import VirtualLane, reasons


class Frames:
    """A camera that shows the same people for ever, 200 frames a second."""

    def __init__(self, show: Callable[[], Image | None]) -> None:
        self._show = show
        self._number = 0
        self.dropped = 0

    def newest(self, timeout_s: float = 0.0) -> Frame | None:
        """Return a new frame, or wait in vain."""
        time.sleep(0.005 if timeout_s else 0)
        image = self._show()
        if image is None:
            return None
        self._number += 1
        return Frame(image, self._number, time.monotonic())


class Clockwork:
    """A lane in a loop, on real threads."""

    def __init__(self, noon: datetime) -> None:
        self.began_s = time.monotonic()
        self.noon = noon
        self.eye = MemoryEye()
        self.reader = MemoryCodeReader()
        self.lane = VirtualLane(
            noon, self.eye.eye, "memory/512", reader=self.reader, clock=time.monotonic
        )
        self.lane.enroll(1, look_of(10))
        self.answers: list[Answer] = []
        self.people: tuple[Person, ...] = ()
        self.camera_on = True
        self.seed = 0
        self.loop = LaneLoop(
            self.lane.pipeline,
            Frames(self._show),
            code_source=None,
            moment=self.moment,
            heard=lambda place, now, answer: self.answers.append(answer),
            keep_picture=True,
        )

    def moment(self) -> Moment:
        """Return now."""
        now_s = time.monotonic()
        return Moment(now_s, self.noon + timedelta(seconds=now_s - self.began_s))

    def _show(self) -> Image | None:
        self.seed += 1
        return self.eye.show(*self.people, seed=self.seed) if self.camera_on else None


@pytest.fixture
def clockwork(noon: datetime) -> Clockwork:
    """Give a lane whose loop is not yet running."""
    return Clockwork(noon)


def _until(done: Callable[[], bool], seconds: float = 5.0) -> bool:
    ends_s = time.monotonic() + seconds
    while time.monotonic() < ends_s:
        if done():
            return True
        time.sleep(0.005)
    return False


class _Running:
    """A node loop that is stopped at the end of the test."""

    def __init__(self, clockwork: Clockwork, *extra: Chore | Service) -> None:
        self.stuck = threading.Event()
        self.node = NodeLoop(
            [clockwork.loop],
            [chore for chore in extra if isinstance(chore, Chore)],
            [service for service in extra if isinstance(service, Service)],
            moment=clockwork.moment,
            on_stuck=self.stuck.set,
        )

    def __enter__(self) -> Self:
        self.node.start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self.node.stop() == ()


class TestLaneLoop:
    """One lane's thread."""

    def test_lets_a_rider_through(self, clockwork: Clockwork) -> None:
        """Frames that come on a thread end in one answer and one tap."""
        clockwork.people = (Person(10),)
        with _Running(clockwork):
            assert _until(lambda: bool(clockwork.answers))

        assert reasons(clockwork.answers) == ["face"]
        assert clockwork.lane.outbox.depth() == 1

    def test_shows_its_pace_and_its_picture(self, clockwork: Clockwork) -> None:
        """Frames a second and the newest picture are there for the staff page."""
        with _Running(clockwork):
            assert _until(lambda: clockwork.loop.status.frames_per_s > 10)

        assert clockwork.loop.picture is not None
        assert clockwork.loop.status.id == "bei-1"

    def test_an_eye_that_breaks_leaves_the_codes(
        self, clockwork: Clockwork, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Invariant 11: an exception no adapter foresaw shuts the faces, and codes still open."""

        def broken(image: Image) -> tuple[Face, ...]:
            raise RuntimeError("the accelerator is gone")

        clockwork.eye.detect = broken  # type: ignore[method-assign]
        with _Running(clockwork), caplog.at_level(logging.CRITICAL):
            assert _until(lambda: clockwork.loop.status.view.shut is DenyReason.MODEL_REFUSED)
            clockwork.reader.shown = (clockwork.lane.code(77),)
            assert _until(lambda: bool(clockwork.answers))

        assert reasons(clockwork.answers) == ["code"]

    def test_a_camera_that_stops_is_noticed(self, clockwork: Clockwork) -> None:
        """Without frames the lane says so within two seconds; the loop goes on stepping."""
        with _Running(clockwork):
            assert _until(lambda: clockwork.loop.status.view.shut is None)
            clockwork.camera_on = False
            began_s = time.monotonic()
            assert _until(lambda: clockwork.loop.status.view.shut is DenyReason.CAMERA_LOST)

        assert time.monotonic() - began_s <= 2.0

    def test_staff_put_the_lane_back_into_service(self, clockwork: Clockwork) -> None:
        """A reset asked for on another thread is done by the lane's own."""
        done = threading.Event()
        clockwork.lane.pipeline.reset = lambda now: done.set()  # type: ignore[method-assign]
        with _Running(clockwork):
            clockwork.loop.ask_reset()

            assert done.wait(5)


class TestChoresAndServices:
    """What runs beside the lanes."""

    def test_a_chore_that_fails_is_done_again(
        self, clockwork: Clockwork, caplog: pytest.LogCaptureFixture
    ) -> None:
        """One failing turn does not end a chore, nor the lane."""
        turns: list[Moment] = []

        def do(now: Moment) -> None:
            turns.append(now)
            if len(turns) == 1:
                raise OSError("disk busy")

        with _Running(clockwork, Chore("sweep", 0.01, do)), caplog.at_level(logging.CRITICAL):
            assert _until(lambda: len(turns) >= 3)

    def test_a_service_that_fails_begins_anew(
        self, clockwork: Clockwork, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The way to the cloud is taken again after a failure, and told to stop at the end."""
        begun: list[int] = []

        def run(stop: threading.Event) -> None:
            begun.append(1)
            if len(begun) == 1:
                raise OSError("no route")
            stop.wait()

        with _Running(clockwork, Service("gallery", run)), caplog.at_level(logging.CRITICAL):
            assert _until(lambda: len(begun) == 2)


class TestWatchdog:
    """The watch over the lanes."""

    def _watched(self, clockwork: Clockwork, silent_s: float) -> bool:
        running = _Running(clockwork)
        now = clockwork.moment()
        clockwork.loop.beat_s = now.mono_s - silent_s
        running.node._watch(now)
        return running.stuck.is_set()

    def test_a_lane_that_hangs_ends_the_process(self, clockwork: Clockwork) -> None:
        """A lane without a step for 15 seconds is reported to whoever can end the process."""
        assert self._watched(clockwork, STUCK_S + 1)

    def test_control_a_lane_that_steps_does_not(self, clockwork: Clockwork) -> None:
        """Control: a lane that stepped a moment ago is left alone."""
        assert not self._watched(clockwork, 1.0)


@pytest.fixture(autouse=True)
def _no_thread_outlives_its_test() -> Iterator[None]:
    """Fail a test that leaves a lane's thread behind."""
    yield
    assert not [thread for thread in threading.enumerate() if thread.name == "bei-1"]
