"""Who means to pass."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_gate.face import Box, Face
from edge_gate.intent import (
    Intent,
    IntentConfig,
    MeansToPass,
    NobodyThere,
    NotYet,
    TooCloseTogether,
    inside_polygon,
    judge,
)
from edge_gate.pose import yaw_degrees
from edge_gate.track import Tracker

SIZE = (640, 480)
FRAME_S = 1 / 15


def face_at(x: float, width: float = 120.0, *, y: float = 220.0, yaw_deg: float = 0.0) -> Face:
    """Make a face with its centre at (x, y), turned by `yaw_deg`, as a simple solid head."""
    box = Box(x - width / 2, y - width * 0.65, width, width * 1.3)
    eyes, turn = width * 0.4, math.radians(yaw_deg)
    points = [  # across, down, towards the camera, in distances between the eyes
        (-0.5, -0.4, 0.0), (0.5, -0.4, 0.0), (0.0, 0.1, 0.55), (-0.4, 0.7, 0.2), (0.4, 0.7, 0.2),
    ]  # fmt: skip
    marks = [
        (x + eyes * (a * math.cos(turn) + c * math.sin(turn)), y + eyes * b) for a, b, c in points
    ]
    return Face(box, np.array(marks, np.float32), 0.99)


def watch(frames: list[list[Face]], config: IntentConfig | None = None) -> list[Intent]:
    """Track and judge frames at 15 a second."""
    tracker, config = Tracker(), config or IntentConfig()
    answers = []
    for index, faces in enumerate(frames):
        now_s = index * FRAME_S
        tracks = tracker.step(faces, now_s)
        answers.append(judge(tracks, now_s=now_s, size=SIZE, config=config))
    return answers


class TestOnePassenger:
    """One face alone."""

    def test_chooses_hana_after_three_frames(self) -> None:
        """Hana, alone and facing the gate, is chosen in her third frame in the zone."""
        answers = watch([[face_at(320)]] * 4)

        assert [NotYet, NotYet, MeansToPass, MeansToPass] == [type(a) for a in answers]

    def test_leaves_ivan_alone_while_he_is_far(self) -> None:
        """Ivan, whose face is small, has not come to the gate yet."""
        assert {NobodyThere} == {type(a) for a in watch([[face_at(320, 60)]] * 10)}

    def test_leaves_jana_alone_who_walks_past(self) -> None:
        """Jana crosses near the camera but outside the zone."""
        assert {NobodyThere} == {type(a) for a in watch([[face_at(70)]] * 10)}

    def test_waits_until_kofi_looks(self) -> None:
        """Kofi, who reads his phone beside the gate, is not chosen until he has faced it."""
        away, looks = [face_at(320, yaw_deg=60)], [face_at(320, yaw_deg=-10)]

        answers = watch([away, away, away, looks, looks, looks])

        assert [NotYet] * 5 == [type(a) for a in answers[:5]]
        assert isinstance(answers[5], MeansToPass)

    def test_is_not_chosen_in_a_frame_without_a_face(self) -> None:
        """A track that the newest frame does not show cannot be embedded from it."""
        answers = watch([[face_at(320)]] * 3 + [[]])

        assert [MeansToPass, NotYet] == [type(a) for a in answers[2:]]


class TestCompany:
    """Several faces in view."""

    def test_never_chooses_the_bystander(self) -> None:
        """Lena in the background is not chosen whatever Mato in front does, and Mato is."""
        lena = face_at(400, 84)
        frames = [[face_at(300, 130, yaw_deg=0 if i % 9 else 60), lena] for i in range(60)]

        answers = watch(frames)

        chosen = [a.track.face.box.width for a in answers if isinstance(a, MeansToPass)]
        assert len(chosen) > 20
        assert {130.0} == set(chosen)

    def test_two_side_by_side_are_too_close(self) -> None:
        """Nora and Otto beside each other in the zone stop the lane."""
        answers = watch([[face_at(250, 120), face_at(390, 110)]] * 5)

        assert {TooCloseTogether} == {type(a) for a in answers}
        last = answers[-1]
        assert isinstance(last, TooCloseTogether)
        assert [t.face.box.width for t in last.tracks] == [120.0, 110.0]

    def test_company_counts_while_its_face_is_lost(self) -> None:
        """Otto's face lost for three frames does not make Nora alone."""
        both = [face_at(250, 120), face_at(390, 110)]

        answers = watch([both] * 5 + [both[:1]] * 3)

        assert {TooCloseTogether} == {type(a) for a in answers}

    def test_company_counts_though_it_looks_away(self) -> None:
        """A friend close beside counts even while looking at the other one."""
        answers = watch([[face_at(250, 120), face_at(390, 115, yaw_deg=60)]] * 5)

        assert {TooCloseTogether} == {type(a) for a in answers}

    def test_next_lane_does_not_count(self) -> None:
        """Somebody as near but outside this lane's zone changes nothing: control of the above."""
        answers = watch([[face_at(320, 120), face_at(580, 120)]] * 3)

        assert isinstance(answers[-1], MeansToPass)

    @given(
        st.lists(
            st.tuples(st.floats(0, 640), st.floats(30, 240), st.floats(-80, 80)),
            min_size=1,
            max_size=5,
        )
    )
    def test_only_the_nearest_inside_and_facing(
        self, crowd: list[tuple[float, float, float]]
    ) -> None:
        """In any still crowd the chosen one is inside, faces the gate and has no rival near."""
        config = IntentConfig()
        faces = [face_at(x, width, yaw_deg=yaw) for x, width, yaw in crowd]

        answer = watch([faces] * 5, config)[-1]

        if isinstance(answer, MeansToPass):
            chosen = answer.track.face
            assert chosen.box.width >= config.face_width_min_px
            assert abs(yaw_degrees(chosen.landmarks)) <= config.yaw_max_deg
            assert 0.2 * 640 <= chosen.box.centre[0] <= 0.8 * 640
            rivals = [
                f
                for f in faces
                if f is not chosen and 128.5 < f.box.centre[0] < 511.5 and f.box.width >= 80
            ]
            assert all(f.box.width * config.alone_ratio <= chosen.box.width for f in rivals)


class TestZone:
    """The corners and the limits."""

    def test_a_slanted_zone_follows_its_corners(self) -> None:
        """A lane seen from the side is a polygon, not a rectangle."""
        triangle = ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0))

        assert inside_polygon((0.2, 0.2), triangle)
        assert not inside_polygon((0.8, 0.8), triangle)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"zone": ((0.0, 0.0), (1.0, 1.0))},
            {"zone": ((0.0, 0.0), (1.0, 0.0), (1.0, 3.0))},
            {"yaw_max_deg": 120.0},
            {"frames_min": 0},
            {"alone_ratio": 1.0},
        ],
    )
    def test_refuses_a_wrong_config(self, wrong: dict[str, object]) -> None:
        """Values outside their documented ranges are refused at once."""
        with pytest.raises(ValueError, match=" "):
            IntentConfig(**wrong)  # type: ignore[arg-type]


class TestYaw:
    """The turn of a head, from landmarks."""

    @pytest.mark.parametrize("yaw_deg", [-60, -30, -5, 0, 5, 30, 60])
    @pytest.mark.parametrize("roll_deg", [-20, 0, 15])
    def test_reads_the_turn_of_a_solid_head(self, yaw_deg: float, roll_deg: float) -> None:
        """The turn of a head of mean shape is read back, tilted or not."""
        marks = face_at(0, yaw_deg=yaw_deg, y=0).landmarks
        a = math.radians(roll_deg)
        rolled = marks @ np.array([[math.cos(a), math.sin(a)], [-math.sin(a), math.cos(a)]])

        assert yaw_deg == pytest.approx(yaw_degrees(rolled.astype(np.float32)), abs=0.1)

    def test_a_face_without_width_looks_away(self) -> None:
        """Landmarks on one point are a profile, not a division by zero."""
        assert yaw_degrees(np.zeros((5, 2), np.float32)) == 90.0
