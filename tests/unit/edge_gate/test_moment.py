"""What a node knows of its clock, and what follows: skew, steps, and a boot in 1970."""

from datetime import UTC, datetime, timedelta

import pytest

from cloud_sync.stream.lease import Anchor, Lease, assumed, is_usable
from edge_gate.moment import CLOCK_ERROR_MS_MAX, moment

BOOT_1970 = datetime(1970, 1, 1, 0, 0, 12, tzinfo=UTC)


class TestMoment:
    """The wall clock held against the cloud's time."""

    @pytest.mark.parametrize("off_s", [5, -5, 3_600, -3_600, 0.25])
    def test_skew_is_told_in_every_tap(self, noon: datetime, off_s: float) -> None:
        """Seconds or hours, fast or slow: the distance from the cloud's time is the error."""
        anchor = Anchor(noon, 100.0)

        now = moment(anchor, wall=noon + timedelta(seconds=60 + off_s), mono_s=160.0)

        assert now.clock_error_ms == round(abs(off_s) * 1_000)

    def test_a_step_shows_at_once(self, noon: datetime) -> None:
        """A clock that jumps back an hour is an hour off with the very next step of the lane."""
        anchor = Anchor(noon, 100.0)
        before = moment(anchor, wall=noon + timedelta(seconds=1), mono_s=101.0)
        after = moment(anchor, wall=noon - timedelta(hours=1), mono_s=101.1)

        assert before.clock_error_ms == 0
        assert after.clock_error_ms == pytest.approx(3_601_100, abs=2)

    @pytest.mark.parametrize(
        "year_end", [datetime(2038, 1, 19, 3, 14, 7, tzinfo=UTC), datetime(2028, 2, 29, tzinfo=UTC)]
    )
    def test_no_date_is_special(self, year_end: datetime) -> None:
        """The last second of 32 bits and a leap day are moments like all others."""
        anchor = Anchor(year_end, 0.0)

        now = moment(anchor, wall=year_end + timedelta(seconds=2), mono_s=2.0)

        assert now.clock_error_ms == 0

    def test_a_boot_in_1970_is_known_by_the_mark(self, noon: datetime) -> None:
        """Without battery and without cloud the mark on disk tells that the clock is years off."""
        lease = Lease(noon + timedelta(hours=20), noon)
        anchor = assumed(lease, wall=BOOT_1970, monotonic_s=3.0)

        now = moment(anchor, wall=BOOT_1970, mono_s=3.0)

        assert now.clock_error_ms == CLOCK_ERROR_MS_MAX  # what fits into a tap on the wire
        assert not is_usable(lease, anchor, wall=BOOT_1970, monotonic_s=3.0)

    @pytest.mark.parametrize(
        "back", [timedelta(seconds=61), timedelta(hours=5), timedelta(days=20_000)]
    )
    def test_no_clock_extends_a_lease(self, noon: datetime, back: timedelta) -> None:
        """However far the wall clock is set back, a lease that is over stays over."""
        lease, anchor = Lease(noon, noon - timedelta(hours=1)), Anchor(noon, 50.0)

        assert not is_usable(lease, anchor, wall=noon - back, monotonic_s=51.0)
        assert is_usable(  # control: an hour before its end it is good
            lease,
            Anchor(noon - timedelta(hours=1), 50.0),
            wall=noon - timedelta(hours=1),
            monotonic_s=51.0,
        )
