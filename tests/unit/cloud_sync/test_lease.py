"""How long a gallery may be used, by clocks that lie."""

from datetime import datetime, timedelta

import pytest

from cloud_sync.stream.lease import Anchor, Lease, is_usable

HOUR = timedelta(hours=1)


@pytest.fixture
def lease(noon: datetime) -> Lease:
    """Give a lease of a day that was renewed at noon."""
    return Lease(until=noon + 24 * HOUR, mark=noon)


class TestIsUsable:
    """The one question asked of a lease."""

    @pytest.mark.parametrize(
        ("after", "usable"),
        [
            (timedelta(0), True),
            (24 * HOUR - timedelta(seconds=1), True),
            (24 * HOUR, False),  # the end itself is over
            (900 * HOUR, False),
            (timedelta(seconds=-59), True),  # the edge is honestly slow
            (timedelta(seconds=-61), False),  # turned back
            (-20_000 * 24 * HOUR, False),  # a dead battery says 1971
        ],
    )
    def test_by_the_wall_clock_alone(
        self, lease: Lease, noon: datetime, after: timedelta, *, usable: bool
    ) -> None:
        """After a restart the wall clock counts, unless it is behind the mark."""
        assert is_usable(lease, None, wall=noon + after, monotonic_s=5.0) is usable

    def test_a_clock_turned_back_does_not_extend(self, lease: Lease, noon: datetime) -> None:
        """The monotonic clock carries the cloud's time on while the wall clock stands still."""
        anchor = Anchor(noon, heard_s=100.0)

        before = is_usable(lease, anchor, wall=noon, monotonic_s=100.0 + 86_399)
        after = is_usable(lease, anchor, wall=noon, monotonic_s=100.0 + 86_400)

        assert (before, after) == (True, False)

    def test_nothing_is_usable_before_the_first_lease(self, noon: datetime) -> None:
        """A gallery that was never caught up opens no gate."""
        assert not is_usable(Lease(), None, wall=noon, monotonic_s=0.0)
        assert not is_usable(Lease(until=noon + HOUR), None, wall=noon, monotonic_s=0.0)

    def test_a_raised_mark_outlives_the_anchor(self, lease: Lease, noon: datetime) -> None:
        """Time that was seen to pass has passed, even when a restart finds an older clock."""
        raised = lease.raised(noon + 25 * HOUR)

        assert not is_usable(raised, None, wall=noon + 25 * HOUR, monotonic_s=0.0)
        assert lease.raised(noon - HOUR) == lease
