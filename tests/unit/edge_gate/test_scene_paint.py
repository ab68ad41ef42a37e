"""Laying sprites into frames."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_gate.adapters.scene_paint import Place, Sprite, lay, sprite
from edge_gate.face import Image


def disc(side: int = 60, level: int = 200) -> Sprite:
    """Make a grey disc, its middle the anchor, 20 pixels its unit."""
    rows, columns = np.indices((side, side)) - side / 2 + 0.5
    alpha = np.where(np.hypot(rows, columns) < side / 2 - 4, 255, 0).astype(np.uint8)
    colours = np.full((side, side, 3), level, np.uint8)
    return sprite(colours, alpha, anchor=(side / 2, side / 2), unit_px=20)


def wall(level: int = 50) -> Image:
    """Make an empty frame."""
    return np.full((120, 160, 3), level, np.uint8)


class TestLay:
    """What lands where."""

    def test_lands_on_its_target_at_its_size(self) -> None:
        """The anchor lies on the target, the unit has the asked width, the rest is untouched."""
        frame = wall()

        lay(frame, disc(), Place(80, 60, 20))

        assert frame[60, 80, 0] == 200
        changed = np.argwhere(frame[:, :, 0] != 50)
        assert list(changed.min(axis=0)) == [60 - 26, 80 - 26]
        assert list(changed.max(axis=0)) == [59 + 26, 79 + 26]

    def test_standing_still_looks_the_same(self) -> None:
        """The kept stamp of the second time gives the picture of the first, to a grey level."""
        figure, place = disc(), Place(80, 60, 23, roll_deg=7)
        first, second, third = wall(), wall(), wall()

        for frame in (first, second, third):
            lay(frame, figure, place)

        assert np.abs(first.astype(int) - second).max() <= 1
        assert np.array_equal(second, third)

    def test_a_moved_stamp_is_moved_by_whole_pixels(self) -> None:
        """What is kept is the figure, not the place: it follows its target."""
        figure, there, here = disc(), wall(), wall()
        for _ in range(2):
            lay(wall(), figure, Place(80, 60, 23))

        lay(there, figure, Place(80, 60, 23))
        lay(here, figure, Place(70, 65, 23))

        assert np.array_equal(there[10:90, 40:120], here[15:95, 30:110])

    def test_light_and_shade(self) -> None:
        """The gain scales the figure and leaves what is behind it."""
        frame = wall()

        lay(frame, disc(), Place(80, 60, 20, gain=0.5))

        assert (frame[60, 80, 0], frame[2, 2, 0]) == (100, 50)

    @settings(max_examples=60)
    @given(
        st.builds(
            Place,
            x=st.floats(-300, 500),
            y=st.floats(-300, 500),
            width_px=st.floats(1, 300),
            roll_deg=st.floats(-90, 90),
            blur_px=st.floats(0, 5),
            smear_px=st.floats(0, 30),
        ),
        st.integers(1, 3),
    )
    def test_any_place_is_drawn_or_cut_off(self, place: Place, times: int) -> None:
        """Wherever a figure is laid, the frame keeps its shape and its corners far from it."""
        figure, frame = disc(), wall()

        for _ in range(times):
            lay(frame, figure, place)

        assert frame.shape == (120, 160, 3)
        reach = 2.2 * place.width_px + 4 * place.blur_px + place.smear_px + 4
        rows, columns = np.indices((120, 160))
        # A figure is blended in as an upright rectangle; rounding may tint its very corner.
        far = np.maximum(np.abs(rows - place.y), np.abs(columns - place.x)) > reach
        assert np.all(frame[far] == 50)
