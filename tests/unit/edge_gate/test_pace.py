"""How often a lane looks."""

import numpy as np
import pytest

from edge_gate.face import Image
from edge_gate.pace import Pace, PaceConfig


def _hall(seed: int, *, person: bool = False) -> Image:
    noise = np.random.default_rng(seed).normal(120, 4, (480, 640, 3))
    if person:
        noise[200:260, 300:350] -= 60
    return noise.clip(0, 255).astype(np.uint8)


def _looks(pace: Pace, *, seconds: float, person_from_s: float = 1e9, followed: bool) -> int:
    frames = int(seconds * 15)
    return sum(
        pace.faces_due(_hall(i, person=i / 15 >= person_from_s), i / 15, followed=followed)
        for i in range(frames)
    )


class TestPace:
    """Always when somebody is there, seldom when not."""

    def test_looks_at_every_frame_while_somebody_is_followed(self) -> None:
        """Nobody who is followed waits for a frame."""
        assert _looks(Pace(), seconds=2, followed=True) == 30

    def test_an_empty_hall_costs_one_look_a_second(self) -> None:
        """Sensor noise alone does not count as movement."""
        assert _looks(Pace(), seconds=4, followed=False) <= 5

    def test_movement_brings_the_next_look_within_a_fifth_of_a_second(self) -> None:
        """A person who comes into an empty hall is looked at at once."""
        pace = Pace()
        looks = [
            i / 15
            for i in range(45)
            if pace.faces_due(_hall(i, person=i / 15 >= 1.4), i / 15, followed=False)
        ]

        assert any(1.4 <= at <= 1.6 for at in looks)

    def test_codes_are_looked_for_five_times_a_second(self) -> None:
        """The code reader gets every third frame at 15 a second."""
        pace = Pace()

        assert sum(pace.codes_due(i / 15) for i in range(30)) == 10

    @pytest.mark.parametrize("bad", [{"idle_period_s": -1.0}, {"moved_min": 0.0}, {"block_px": 0}])
    def test_config_refuses_what_is_out_of_range(self, bad: dict[str, float]) -> None:
        """Negative periods and empty blocks are refused."""
        with pytest.raises(ValueError, match="out of range"):
            PaceConfig(**bad)  # type: ignore[arg-type]
