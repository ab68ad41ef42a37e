"""A path of keys, and the sign to leave."""

import pytest

from edge_gate.scene import Actor, Key
from edge_gate.walk import Phase, phase_at, pose_at

KIM = Actor(
    "Kim",
    "kim.png",
    start_s=0.0,
    keys=(
        Key(0.0, -0.1, 0.4, 100.0),
        Key(1.0, 0.1, 0.4, 120.0),
        Key(10.0, 0.1, 0.4, 120.0),
        Key(11.0, -0.3, 0.4, 100.0),
    ),
)


class TestKeys:
    """`phase_at` and `pose_at` of an actor with keys."""

    def test_leaving_begins_the_last_stretch_at_once(self) -> None:
        """Kim may go at second 3 and is half way out half a second later."""
        assert pose_at(KIM, 3.5, 3.0).x == pytest.approx(-0.1)
        assert phase_at(KIM, 4.1, 3.0) is Phase.GONE

    def test_without_the_sign_the_whole_path_is_walked(self) -> None:
        """Kim waits at the reader until the last stretch is due."""
        assert pose_at(KIM, 9.9, None).x == pytest.approx(0.1)
        assert phase_at(KIM, 11.1, None) is Phase.GONE

    def test_a_sign_during_the_last_stretch_changes_nothing(self) -> None:
        """Who is already leaving does not jump back."""
        assert pose_at(KIM, 10.5, 10.2).x == pytest.approx(-0.1)
