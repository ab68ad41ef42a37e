"""The similarity onto the template."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_gate import align


def _f32(values: npt.ArrayLike) -> npt.NDArray[np.float32]:
    return np.asarray(values, np.float32)


def _moved(scale: float, turn_deg: float, shift: tuple[float, float]) -> npt.NDArray[np.float32]:
    turn = np.deg2rad(turn_deg)
    spin = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return _f32(scale * align.TEMPLATE @ spin.T + shift)


class TestOntoTemplate:
    """`onto_template`."""

    @given(
        st.floats(0.2, 8),
        st.floats(-179, 179),
        st.tuples(st.floats(-500, 1500), st.floats(-500, 1500)),
    )
    def test_undoes_any_scale_turn_and_shift(
        self, scale: float, turn_deg: float, shift: tuple[float, float]
    ) -> None:
        """A template that was scaled, turned and shifted lands back on the template."""
        landmarks = _moved(scale, turn_deg, shift)

        onto = align.onto_template(landmarks)

        landed = landmarks @ onto[:, :2].T + onto[:, 2]
        assert np.allclose(align.TEMPLATE, landed, atol=0.01)

    def test_finds_the_least_squares_similarity(self) -> None:
        """No nearby similarity brings uneven landmarks closer to the template."""
        landmarks = _moved(2, 10, (100, 50)) + _f32([[3, -2], [0, 4], [-5, 1], [2, 2], [1, -3]])
        onto = align.onto_template(landmarks)

        def error(similarity: npt.NDArray[np.float64]) -> float:
            landed = landmarks @ similarity[:, :2].T + similarity[:, 2]
            return float(((landed - align.TEMPLATE) ** 2).sum())

        a, b = onto[0, 0], onto[1, 0]
        for da, db, dx, dy in np.eye(4) * 1e-3:
            for sign in (-1, 1):
                other = np.array([[a + sign * da, -b - sign * db], [b + sign * db, a + sign * da]])
                shifted = onto[:, 2] + (sign * dx, sign * dy)
                assert error(onto) < error(np.column_stack((other, shifted)))

    def test_never_mirrors(self) -> None:
        """Landmarks of a mirrored face get a turn, not a mirror."""
        mirrored = (align.TEMPLATE * (-1, 1)).astype(np.float32)

        onto = align.onto_template(mirrored)

        assert np.linalg.det(onto[:, :2]) > 0

    def test_margin_shifts_the_template_inwards(self) -> None:
        """A margin moves the face by that many pixels and changes nothing else."""
        landmarks = _moved(3, -20, (10, 10))

        narrow, wide = align.onto_template(landmarks), align.onto_template(landmarks, margin=16)

        assert np.allclose(narrow[:, :2], wide[:, :2])
        assert np.allclose(narrow[:, 2] + 16, wide[:, 2])

    @pytest.mark.parametrize(
        "landmarks",
        [
            np.zeros((5, 2)),  # one spot
            np.column_stack((np.arange(5), 2 * np.arange(5))),  # one line
            np.full((5, 2), np.nan),  # the network overflowed
        ],
    )
    def test_refuses_landmarks_without_a_frame(self, landmarks: npt.NDArray[np.float64]) -> None:
        """Points on a line, in one spot or not finite are refused."""
        with pytest.raises(align.DegenerateLandmarks):
            align.onto_template(landmarks.astype(np.float32))

    def test_accepts_a_strong_profile(self) -> None:
        """A face whose width is a fifth of a frontal one's is still aligned."""
        profile = (align.TEMPLATE * (0.2, 1)).astype(np.float32)

        assert np.isfinite(align.onto_template(profile)).all()


class TestBack:
    """`back`."""

    def test_inverts_the_similarity(self) -> None:
        """Points mapped into the crop and back are where they were."""
        landmarks = _moved(2.5, 33, (400, 20))
        onto = align.onto_template(landmarks, margin=16)

        returned = align.back(onto, (landmarks @ onto[:, :2].T + onto[:, 2]).astype(np.float32))

        assert np.allclose(landmarks, returned, atol=0.01)
