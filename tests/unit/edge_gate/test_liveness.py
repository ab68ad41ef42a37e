"""The region that the liveness model sees, and the fusion of its scores."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_gate import liveness
from edge_gate.face import Box


class TestRegion:
    """`region`."""

    def test_widens_a_central_face(self) -> None:
        """A box of 100 by 120 in a large frame gets 270 by 324 about the same centre."""
        assert liveness.region(Box(450, 440, 100, 120), width=1000, height=1000) == (
            365,
            338,
            635,
            662,
        )

    def test_moves_inwards_at_a_corner(self) -> None:
        """At the frame's corner the region keeps its size and is moved inside."""
        assert liveness.region(Box(0, 0, 100, 120), width=1000, height=1000) == (0, 0, 270, 324)

    def test_shrinks_in_a_small_picture(self) -> None:
        """Where 2.7 times do not fit, the largest region of the same proportions is taken."""
        left, top, right, bottom = liveness.region(Box(30, 20, 50, 60), width=120, height=100)

        assert (bottom - top) == 99
        assert (right - left) == pytest.approx(99 * 50 / 60, abs=1)

    @given(
        st.floats(-300, 900),
        st.floats(-300, 900),
        st.floats(0.0, 900),
        st.floats(0.0, 900),
        st.integers(2, 700),
        st.integers(2, 700),
    )
    def test_is_never_empty_nor_outside(
        self, left: float, top: float, wide: float, tall: float, width: int, height: int
    ) -> None:
        """Whatever the box, the region lies inside the picture and holds a pixel."""
        found = liveness.region(Box(left, top, wide, tall), width=width, height=height)

        assert 0 <= found[0] < found[2] <= width
        assert 0 <= found[1] < found[3] <= height


class TestFused:
    """`fused`."""

    def test_of_one_is_itself(self) -> None:
        """One score stays as it is."""
        assert liveness.fused([0.8]) == pytest.approx(0.8)

    def test_even_odds_cancel(self) -> None:
        """A score and its opposite say nothing."""
        assert liveness.fused([0.9, 0.1]) == pytest.approx(0.5)

    def test_one_certain_frame_does_not_outvote_the_rest(self) -> None:
        """A single frame at 0 does not turn four at 0.99 into an attack."""
        assert liveness.fused([0.0, 0.99, 0.99, 0.99, 0.99]) > 0.5

    def test_refuses_no_scores(self) -> None:
        """No frame is not a score."""
        with pytest.raises(ValueError, match="no liveness score"):
            liveness.fused([])
