"""The bench's clock and pace, its comparison of decisions, and its rival."""

from datetime import datetime, timedelta
from uuid import UUID

import numpy as np
import pytest

from cloud_sync.gallery import Template
from cloud_sync.stream.lease import Lease
from edge_gate.adapters.bench_rival import Rival, face_analysis
from edge_gate.adapters.memory_eye import MemoryEye, Person, look_of
from edge_gate.bench import BenchClock, Walks, at_pace, same_decision, spread, walk
from edge_gate.decide import DecideConfig, Standing
from edge_gate.face import Image
from edge_gate.moment import Moment
from edge_gate.search import Candidates
from tests.lane import VirtualLane

ANNA, BELA = UUID(int=1), UUID(int=2)


class Computer:
    """A machine whose time passes only when it computes."""

    def __init__(self) -> None:
        self.spent_s = 100.0

    def __call__(self) -> float:
        """Return its clock."""
        return self.spent_s


def _pictures(count: int) -> list[Image]:
    return [np.full((2, 2, 3), index, np.uint8) for index in range(count)]


class TestClockAndPace:
    """Frames come at a camera's pace; waiting costs no time."""

    def test_a_fast_lane_gets_every_frame_at_its_time(self) -> None:
        """Whoever needs less than a frame's time sees all frames, each when it arrives."""
        clock = BenchClock(Computer())

        frames = list(at_pace(_pictures(5), clock, fps=10, first_number=7))

        assert [frame.number for frame in frames] == [7, 8, 9, 10, 11]
        assert [frame.arrival_s for frame in frames] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
        assert clock.now_s() == pytest.approx(0.4)

    def test_a_slow_lane_gets_the_newest_and_loses_the_others(self) -> None:
        """Whoever needs 2.5 frames' time sees every third frame, none of them twice."""
        computer = Computer()
        clock = BenchClock(computer)
        numbers = []
        for frame in at_pace(_pictures(9), clock, fps=10, first_number=0):
            numbers.append(frame.number)
            computer.spent_s += 0.25

        assert numbers == [0, 2, 5, 7]

    def test_spread_of_nothing_is_nothing(self) -> None:
        """No samples give no figures instead of zeros."""
        assert spread([]) is None
        measured = spread([1.0, 2.0, 3.0])
        assert measured is not None
        assert measured.p50_ms == 2.0


class TestWalk:
    """One passenger, measured."""

    def test_notes_the_opening_and_what_it_cost(self, noon: datetime) -> None:
        """A lane that computes 10 ms a frame opens 10 ms later than the frame arrived."""
        eye, computer = MemoryEye(), Computer()
        clock = BenchClock(computer)

        def detect(image: Image) -> tuple[object, ...]:
            computer.spent_s += 0.010
            return MemoryEye.detect(eye, image)

        eye.detect = detect  # type: ignore[assignment,method-assign]
        lane = VirtualLane(noon, eye.eye, "memory/512", clock=clock.now_s)
        lane.enroll(1, look_of(10))
        images = [eye.show(Person(10), seed=i) for i in range(30)]

        found = Walks()
        walk(lane.pipeline, images, clock, noon=noon, fps=15, into=found)

        assert (found.walks, found.opened, found.frames_lost) == (1, 1, 0)
        assert found.deciding_ms == pytest.approx([10.0])
        assert found.usable_ms == pytest.approx([210.0])


class TestSameDecision:
    """What counts as equal."""

    @pytest.mark.parametrize(
        ("ours", "oracle", "same"),
        [
            (((ANNA, BELA), (0.9, 0.2)), ((ANNA, BELA), (0.9, 0.2)), True),
            # another rider opens
            (((BELA, ANNA), (0.9, 0.2)), ((ANNA, BELA), (0.9, 0.2)), False),
            # both refuse, for the same reason, on different people
            (((BELA,), (0.3,)), ((ANNA,), (0.31,)), True),
            # a lost second candidate hides an ambiguity
            (((ANNA,), (0.9,)), ((ANNA, BELA), (0.9, 0.89)), False),
        ],
    )
    def test_the_rider_and_the_reason_count(
        self, ours: object, oracle: object, same: bool, noon: datetime
    ) -> None:
        """Equal is the same rider let in, or the same refusal."""
        standing = Standing(2, 0, 0.5, Lease(noon + timedelta(hours=1), noon))
        a, b = Candidates(*ours), Candidates(*oracle)  # type: ignore[misc]

        assert same_decision(a, b, standing, Moment(0, noon), DecideConfig()) is same


class TestRival:
    """InsightFace's own loop."""

    def test_embeds_every_face_and_finds_the_rider(self) -> None:
        """Three faces in a frame are three embeddings, and the best match opens."""
        eye = MemoryEye()
        app = face_analysis(eye, eye)
        template = Template(ANNA, 1, eye.model_id, "plain", look_of(10))
        rival = Rival(app, (template,), threshold=0.5)

        hit = rival.look(eye.show(Person(10), Person(20, x=120), Person(30, x=520)))

        assert (hit.faces, hit.rider_ref) == (3, ANNA)
        assert sorted(eye.embedded) == [10, 20, 30]

    def test_finds_nobody_in_an_empty_frame(self) -> None:
        """No face, no rider."""
        eye = MemoryEye()
        template = Template(ANNA, 1, eye.model_id, "plain", look_of(10))

        hit = Rival(face_analysis(eye, eye), (template,), threshold=0.5).look(eye.show())

        assert (hit.faces, hit.rider_ref) == (0, None)
