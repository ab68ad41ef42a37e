"""The wait before the next attempt."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_sync.stream.backoff import Backoff


class TestBackoff:
    """Full jitter."""

    @pytest.mark.parametrize(
        ("failures", "longest_s"), [(1, 1.0), (2, 2.0), (4, 8.0), (7, 60.0), (10_000, 60.0)]
    )
    def test_doubles_up_to_the_cap(self, failures: int, longest_s: float) -> None:
        """The longest wait doubles with each failure and stays at a minute."""
        assert Backoff().delay_s(failures, 1.0) == longest_s

    @given(failures=st.integers(1, 100), draw=st.floats(0, 1, exclude_max=True))
    def test_is_spread_from_zero(self, failures: int, draw: float) -> None:
        """The wait is the drawn share of the longest one, so a city does not dial at once."""
        backoff = Backoff()

        assert backoff.delay_s(failures, draw) == draw * backoff.delay_s(failures, 1.0)

    def test_starts_anew_only_after_a_stable_minute(self) -> None:
        """A connection that breaks at once counts as one more failure."""
        backoff = Backoff()

        assert backoff.failures_after(5, held_s=59.9) == 6
        assert backoff.failures_after(5, held_s=60.0) == 1

    @pytest.mark.parametrize(("base_s", "cap_s"), [(0.0, 1.0), (-1.0, 1.0), (2.0, 1.0)])
    def test_refuses_to_dial_without_a_pause(self, base_s: float, cap_s: float) -> None:
        """Figures that would spin are refused."""
        with pytest.raises(ValueError):
            Backoff(base_s, cap_s)
