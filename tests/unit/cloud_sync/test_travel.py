"""Whoever entered is a candidate at every exit, when the train can be there."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from cloud_sync.prefilter.claim import LONG_SHOT, OPEN_TRIP
from cloud_sync.prefilter.ranking import priority_of
from cloud_sync.prefilter.travel import (
    LastTap,
    TravelConfig,
    later,
    left_here,
    nearness,
    on_the_way,
    rides,
    weight_of_exit,
)
from cloud_sync.prefilter.travel import window as window_of
from fare.city import shipped
from fare.tap import Direction
from tests.templates import rider

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
CONFIG = TravelConfig()
ENTRY = LastTap(rider("Ana"), "xianbeizhan", Direction.ENTRY, NOON)
EXIT = LastTap(rider("Ana"), "zhonglou", Direction.EXIT, NOON)


class TestRides:
    """How long a ride takes."""

    def test_agrees_with_the_fare(self) -> None:
        """The ride is along the very way that is charged."""
        network = shipped("xian").network
        path = network.shortest("xianbeizhan", "fangzhicheng")
        assert path is not None

        ride = rides(network, "xianbeizhan", CONFIG)["fangzhicheng"]

        assert ride == CONFIG.access + timedelta(seconds=path.metres / CONFIG.speed_m_s)

    def test_reaches_the_whole_network(self) -> None:
        """Every station is reached, the nearer one sooner, the own one by the walk alone."""
        network = shipped("xian").network

        found = rides(network, "xianbeizhan", CONFIG)

        assert set(found) == set(network.stations)
        assert found["xianbeizhan"] == CONFIG.access < found["beiyuan"] < found["zhonglou"]

    def test_unknown_station_reaches_none(self) -> None:
        """A station outside the network has no rides, and no error."""
        assert rides(shipped("xian").network, "atlantis", CONFIG) == {}


class TestWindow:
    """When a train can be there."""

    RIDE = timedelta(minutes=30)

    @pytest.mark.parametrize(
        ("minutes", "near"),
        [
            (0, 0.0),  # still at the entry
            (17, 0.0),  # no train is so fast
            (18, 0.25),  # the window opens
            (30, 1.0),  # due now
            (57.9, 0.25),  # somebody who missed a train and then sat down
            (58, 0.0),
        ],
    )
    def test_nearness(self, minutes: float, near: float) -> None:
        """Nobody counts before a train can be there; whoever is due counts most."""
        when = window_of(self.RIDE, CONFIG)

        assert nearness(timedelta(minutes=minutes), when) == pytest.approx(near, abs=0.01)

    def test_nearest_in_travel_time_first(self) -> None:
        """Of two who entered at once, the one whose ride ends here sooner weighs more at first."""
        near, far = window_of(timedelta(minutes=10), CONFIG), window_of(self.RIDE, CONFIG)
        at = NOON + timedelta(minutes=10)

        close = on_the_way(ENTRY, "beiyuan", near, at, otherwise=0.5)

        assert close is not None
        assert close.weight == pytest.approx(0.5)
        assert on_the_way(ENTRY, "zhonglou", far, at, otherwise=0.5) is None

    def test_without_track_the_window_is_open(self) -> None:
        """Where no way is known a traveller counts for as long as a trip may last."""
        when = window_of(None, CONFIG)

        assert on_the_way(ENTRY, "atlantis", when, NOON) is not None
        assert on_the_way(ENTRY, "atlantis", when, NOON + timedelta(hours=4)) is None

    def test_unknown_traveller_is_a_long_shot(self) -> None:
        """Somebody of whom nothing else is known does not push out a likely rider."""
        made = on_the_way(ENTRY, "beiyuan", window_of(self.RIDE, CONFIG), NOON + self.RIDE)

        assert made is not None
        assert made.weight < OPEN_TRIP.likely_min

    def test_a_closed_trip_claims_no_exit(self) -> None:
        """Whoever has left is on the way nowhere."""
        when = window_of(self.RIDE, CONFIG)

        assert on_the_way(EXIT, "beiyuan", when, NOON + self.RIDE) is None


class TestLastExit:
    """A trip begins where the last one ended."""

    def test_halves_within_the_day(self) -> None:
        """The claim is half as strong after eight hours and gone after a week."""
        now, then = left_here(EXIT, NOON), left_here(EXIT, NOON + timedelta(hours=8))

        assert now is not None
        assert then is not None
        assert then.weight == pytest.approx(now.weight / 2)
        assert left_here(EXIT, NOON + timedelta(days=7)) is None

    def test_at_home_it_is_a_long_shot(self) -> None:
        """Whoever came home keeps nobody likely out of the first tier; control: elsewhere."""
        back, away = left_here(EXIT, NOON, is_home=True), left_here(EXIT, NOON)

        assert back is not None
        assert away is not None
        assert priority_of(back) == LONG_SHOT
        assert priority_of(away) > LONG_SHOT

    def test_one_rule_for_riders_and_arrays(self) -> None:
        """The simulated city weighs exits as the views do."""
        halvings, is_home = np.array([0.0, 1.0, 2.5]), np.array([True, False, True])

        made = weight_of_exit(halvings, is_home)

        assert list(made) == [
            weight_of_exit(h, bool(b)) for h, b in zip(halvings, is_home, strict=True)
        ]

    def test_an_entry_is_no_exit(self) -> None:
        """Somebody on the way does not wait where they entered."""
        assert left_here(ENTRY, NOON) is None


class TestLater:
    """Taps arrive in any order."""

    def test_the_clock_of_the_gate_decides(self) -> None:
        """An entry that is told after the exit it belongs to opens no trip."""
        exit_tap = LastTap(rider("Ana"), "zhonglou", Direction.EXIT, NOON + timedelta(minutes=30))

        assert later(later(None, ENTRY), exit_tap) == later(later(None, exit_tap), ENTRY)
        assert later(exit_tap, ENTRY) is exit_tap
