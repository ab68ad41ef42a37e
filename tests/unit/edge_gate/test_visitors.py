"""Who is before a lane, and who reappears."""

from uuid import UUID

import numpy as np
import pytest

from edge_gate.approach import Approach
from edge_gate.decide import Grant
from edge_gate.face import Box, Face
from edge_gate.reason import Deny, DenyReason
from edge_gate.sight import Recognised
from edge_gate.track import Track
from edge_gate.visitors import Visitors, VisitorsConfig

NO = Deny(DenyReason.NOT_RECOGNISED)
YES = Grant(UUID(int=1), 0.8, 0.5)


def _track(track_id: int, *, x: float = 300.0, born_s: float = 0.0, seen_s: float = 0.0) -> Track:
    face = Face(Box(x, 100, 100, 120), np.zeros((5, 2), np.float32), 0.9)
    return Track(track_id, (face,), 1, born_s, seen_s)


def _refused(visitors: Visitors, track: Track, now_s: float) -> None:
    visitors.see([track], now_s)
    approach = visitors.approach(track, now_s)
    assert approach is not None
    visitors.put(Approach(track.track_id, now_s, verdict=NO))


class TestReappearing:
    """A track ends and another begins."""

    def test_the_refused_in_the_same_place_stays_refused(self) -> None:
        """A face lost for a second behind a phone is not looked at again."""
        visitors = Visitors()
        _refused(visitors, _track(1), 0.0)
        visitors.see([], 0.6)
        back = _track(2, x=310, born_s=1.0, seen_s=1.0)
        visitors.see([back], 1.0)

        approach = visitors.approach(back, 1.0)

        assert approach is not None
        assert approach.verdict == NO

    @pytest.mark.parametrize(
        ("x", "born_s"),
        [
            # somebody else, a step aside
            (420.0, 1.0),
            # the next in the queue, two seconds later
            (300.0, 2.0),
        ],
    )
    def test_somebody_else_is_looked_at(self, x: float, born_s: float) -> None:
        """Another place or a later time is another person."""
        visitors = Visitors()
        _refused(visitors, _track(1), 0.0)
        visitors.see([], 0.6)
        other = _track(2, x=x, born_s=born_s, seen_s=born_s)
        visitors.see([other], born_s)

        approach = visitors.approach(other, born_s)

        assert approach is not None
        assert approach.verdict is None

    def test_evidence_is_never_carried_over(self) -> None:
        """Whoever vanishes before an answer begins anew."""
        visitors = Visitors()
        first = _track(1)
        visitors.see([first], 0.0)
        seen = visitors.approach(first, 0.0)
        assert seen is not None
        visitors.put(seen.usable_from(0.0))
        visitors.see([], 0.6)
        back = _track(2, born_s=0.8, seen_s=0.8)
        visitors.see([back], 0.8)

        approach = visitors.approach(back, 0.8)

        assert approach is not None
        assert (approach.first_usable_s, approach.began_s) == (None, 0.8)

    def test_whoever_rode_on_a_code_stays_excused(self) -> None:
        """Somebody excused who reappears in the same place is not looked at."""
        visitors = Visitors()
        first = _track(1)
        visitors.see([first], 0.0)
        visitors.approach(first, 0.0)
        visitors.excuse(1)
        visitors.see([], 0.6)
        back = _track(2, born_s=1.0, seen_s=1.0)
        visitors.see([back], 1.0)

        assert visitors.approach(back, 1.0) is None


class TestWaiting:
    """Recognised, but the way is not free."""

    def _recognised(self, visitors: Visitors) -> Track:
        track = _track(1)
        visitors.see([track], 0.0)
        visitors.put(Approach(1, 0.0, verdict=YES))
        visitors.recognised(Recognised(1, YES, 0.9, 1, 0.0, 0.0))
        return track

    def test_is_offered_again_for_three_seconds(self) -> None:
        """After three seconds the rider is looked at anew."""
        visitors = Visitors()
        track = self._recognised(visitors)

        assert visitors.waiting(1, 3.0) is not None
        assert visitors.waiting(1, 3.1) is None
        approach = visitors.approach(track, 3.1)
        assert approach is not None
        assert not approach.over

    def test_somebody_elses_passage_does_not_forget_them(self) -> None:
        """A rider who still waits is not looked at anew when the one before has passed."""
        visitors = Visitors()
        self._recognised(visitors)

        visitors.passed()

        assert visitors.waiting(1, 1.0) is not None


@pytest.mark.parametrize("bad", [{"grant_hold_s": -1.0}, {"overlap_min": 0.0}])
def test_config_refuses_what_is_out_of_range(bad: dict[str, float]) -> None:
    """Negative waits and an overlap of nothing are refused."""
    with pytest.raises(ValueError, match="out of range"):
        VisitorsConfig(**bad)
