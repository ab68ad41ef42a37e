"""Following faces over frames."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_gate.face import Box, Face
from edge_gate.track import Track, TrackConfig, Tracker

FRAME_S = 1 / 15


def face_at(x: float, y: float = 200.0, width: float = 100.0) -> Face:
    """Make a face with its centre at (x, y)."""
    height = width * 1.3
    unit = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]], np.float32)
    box = Box(x - width / 2, y - height / 2, width, height)
    marks = unit * np.array([width, height], np.float32) + np.array([box.left, box.top], np.float32)
    return Face(box, marks.astype(np.float32), 0.99)


def follow(frames: list[list[Face]], config: TrackConfig | None = None) -> list[tuple[Track, ...]]:
    """Run a tracker over frames at 15 a second."""
    tracker = Tracker(config)
    return [tracker.step(faces, index * FRAME_S) for index, faces in enumerate(frames)]


class TestOnePassenger:
    """One face alone."""

    def test_keeps_one_track_while_alice_walks_up(self) -> None:
        """A face that moves and grows at walking pace stays one track with all its sightings."""
        frames = [[face_at(300 + 5 * i, 150 + 3 * i, 40 * 1.06**i)] for i in range(24)]

        tracks = follow(frames)

        assert [t[0].track_id for t in tracks] == [1] * 24
        assert (tracks[-1][0].sightings, len(tracks[-1][0].faces)) == (24, 16)

    def test_survives_a_blink_of_the_detector(self) -> None:
        """A face that is not found for a third of a second goes on in its old track."""
        frames = [[face_at(300)], [face_at(304)], [], [], [], [], [face_at(324)]]

        tracks = follow(frames)

        assert not tracks[4][0].seen_at(4 * FRAME_S)
        assert (tracks[-1][0].track_id, tracks[-1][0].sightings) == (1, 3)

    def test_ends_when_the_passenger_is_gone(self) -> None:
        """A track is dropped after its patience and its id is not used again."""
        frames = [[face_at(300)], *([[]] * 9), [face_at(300)]]

        tracks = follow(frames)

        assert tracks[9] == ()
        assert tracks[10][0].track_id == 2

    def test_begins_anew_after_a_jump(self) -> None:
        """A face that appears three widths away is somebody else."""
        tracks = follow([[face_at(100)], [face_at(400)]])

        assert {1, 2} == {t.track_id for t in tracks[1]}


class TestSeveralPassengers:
    """Faces that meet, pass and hide each other."""

    def test_two_walk_side_by_side(self) -> None:
        """Bea and Carl beside each other keep their own tracks."""
        frames = [[face_at(200 + i), face_at(330 + i)] for i in range(20)]

        tracks = follow(frames)

        assert {t.track_id: t.face.box.centre[0] for t in tracks[-1]} == {1: 219, 2: 349}

    def test_dora_crosses_behind_emil(self) -> None:
        """A far face that passes hidden behind a near one does not take over its track."""
        frames = []
        for i in range(40):
            near, far = face_at(320, 220, 140), face_at(120 + 10 * i, 190, 50)
            hidden = abs(far.box.centre[0] - 320) < 70
            frames.append([near] if hidden else [far, near])

        tracks = follow(frames)

        near_ids = {t.track_id for step in tracks for t in step if t.face.box.width == 140}
        assert len(near_ids) == 1
        assert all(
            f.box.width == 140
            for step in tracks
            for t in step
            if t.track_id in near_ids
            for f in t.faces
        )

    @pytest.mark.parametrize("gap", [0.0, 4.0, 9.0])
    def test_cuts_rather_than_swaps_when_equals_meet(self, gap: float) -> None:
        """When Finn and Gus of one size meet in one spot, no track holds faces of both."""
        left = [face_at(200 + 8 * i, 200 + gap) for i in range(30)]
        right = [face_at(440 - 8 * i, 200 - gap) for i in range(30)]
        # At the meeting only one face is found, as a detector's suppression leaves it.
        frames = [
            [a] if a.box.overlap(b.box) > 0.4 else [a, b] for a, b in zip(left, right, strict=True)
        ]

        tracks = follow(frames)

        of_right = {id(face) for face in right}
        for step in tracks:
            for track in step:
                clear = [f for f in track.faces if abs(f.box.centre[0] - 320) > 60]
                assert len({id(f) in of_right for f in clear}) <= 1

    def test_without_doubt_equals_would_share_a_track(self) -> None:
        """Control: with the doubt margin at zero, a face that two tracks claim goes to one."""
        met = [
            [face_at(300), face_at(340)],
            [face_at(315), face_at(325)],
            [face_at(320)],
        ]

        careful, careless = follow(met), follow(met, TrackConfig(doubt_margin=0.0))

        assert careful[-1][0].sightings == 1
        assert careless[-1][0].sightings > 1


class TestProperties:
    """What holds for any crowd."""

    @given(
        st.lists(
            st.lists(
                st.tuples(st.floats(0, 640), st.floats(0, 480), st.floats(5, 300)), max_size=6
            ),
            max_size=12,
        )
    )
    def test_every_face_is_in_exactly_one_track(
        self, crowd: list[list[tuple[float, float, float]]]
    ) -> None:
        """Each face ends exactly one live track, ids are unique, no memory outgrows its limit."""
        config = TrackConfig(history_max=4)
        tracker = Tracker(config)
        for index, spots in enumerate(crowd):
            now_s = index * FRAME_S
            faces = [face_at(*spot) for spot in spots]

            tracks = tracker.step(faces, now_s)

            shown = sorted(id(t.face) for t in tracks if t.seen_at(now_s))
            assert sorted(map(id, faces)) == shown
            assert len(tracks) == len({t.track_id for t in tracks})
            assert all(1 <= len(t.faces) <= config.history_max for t in tracks)
            assert all(now_s - t.last_seen_s <= config.patience_s for t in tracks)

    def test_a_crowd_beyond_the_limit_is_left_out(self) -> None:
        """Of more faces than tracks are allowed the smallest go unfollowed."""
        tracker = Tracker(TrackConfig(tracks_max=3))

        tracks = tracker.step([face_at(60 * i, width=20 + i) for i in range(10)], 0.0)

        assert [t.face.box.width for t in tracks] == [29.0, 28.0, 27.0]

    @pytest.mark.parametrize(
        "wrong",
        [{"distance_max": 0.0}, {"growth_max": 1.0}, {"patience_s": 0.0}, {"history_max": 0}],
    )
    def test_refuses_a_wrong_config(self, wrong: dict[str, float]) -> None:
        """Values outside their documented ranges are refused at once."""
        with pytest.raises(ValueError, match="needed"):
            TrackConfig(**wrong)  # type: ignore[arg-type]
