"""Evidence in, Grant or Deny out."""

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import pytest

from cloud_sync.stream.lease import Anchor, Lease
from edge_gate.decide import DecideConfig, Evidence, Grant, Standing, closed, decide
from edge_gate.moment import Moment
from edge_gate.reason import Deny, DenyReason
from edge_gate.search import NOBODY, Candidates

ANNA, BELA = UUID(int=1), UUID(int=2)
CONFIG = DecideConfig(margin_min=0.05, live_min=0.4)


@pytest.fixture
def now(noon: datetime) -> Moment:
    """Give noon, at 100 monotonic seconds."""
    return Moment(100.0, noon)


@pytest.fixture
def standing(noon: datetime) -> Standing:
    """Give a healthy gallery of 1,000 with threshold 0.5 and an hour of lease."""
    return Standing(1_000, 0, 0.5, Lease(noon + timedelta(hours=1), noon))


def _evidence(*scores: float, live: float = 0.9) -> Evidence:
    return Evidence(Candidates((ANNA, BELA)[: len(scores)], scores), live)


class TestDecide:
    """Grant or say why not."""

    @pytest.mark.parametrize(
        ("evidence", "expected"),
        [
            # far above threshold, far from the second
            (_evidence(0.8, 0.2), Grant(ANNA, 0.8, 0.8 - 0.2)),
            # exactly at the threshold is enough
            (_evidence(0.5, 0.1), Grant(ANNA, 0.5, 0.4)),
            # a hair below is not
            (_evidence(0.4999, 0.1), Deny(DenyReason.NOT_RECOGNISED)),
            # twins: both above the threshold and alike
            (_evidence(0.8, 0.76), Deny(DenyReason.AMBIGUOUS)),
            # the second may be above the threshold if it is far enough
            (_evidence(0.8, 0.7), Grant(ANNA, 0.8, 0.8 - 0.7)),
            # the only rider of a station has no second
            (_evidence(0.8), Grant(ANNA, 0.8, 0.8)),
            # nobody
            (Evidence(NOBODY, 0.9), Deny(DenyReason.NOT_RECOGNISED)),
            # a picture of Anna matches perfectly and is still a picture
            (_evidence(0.9, 0.1, live=0.39), Deny(DenyReason.PRESENTATION_ATTACK)),
            # liveness exactly at the limit is enough
            (_evidence(0.9, 0.1, live=0.4), Grant(ANNA, 0.9, 0.9 - 0.1)),
        ],
    )
    def test_judges_score_margin_and_liveness(
        self, evidence: Evidence, expected: Grant | Deny, standing: Standing, now: Moment
    ) -> None:
        """Threshold, margin and liveness decide, each at its own limit."""
        assert decide(evidence, standing, now=now, config=CONFIG) == expected

    def test_a_larger_gallery_asks_for_more(self, standing: Standing, now: Moment) -> None:
        """The same score opens on a small gallery and not on one whose threshold is higher."""
        evidence = _evidence(0.55, 0.1)
        large = replace(standing, size=50_000, threshold=0.6)

        assert isinstance(decide(evidence, standing, now=now, config=CONFIG), Grant)
        assert decide(evidence, large, now=now, config=CONFIG) == Deny(DenyReason.NOT_RECOGNISED)

    @pytest.mark.parametrize(("live", "opens"), [(0.79, False), (0.8, True)])
    def test_the_first_attempt_asks_for_more_life(
        self, live: float, opens: bool, standing: Standing, now: Moment
    ) -> None:
        """What would do with all frames seen does not open on the first two."""
        config = DecideConfig(live_min=0.4, live_at_once=0.8)
        first = replace(_evidence(0.9, 0.1, live=live), complete=False)

        assert isinstance(decide(first, standing, now=now, config=config), Grant) is opens

    def test_no_evidence_opens_a_closed_gallery(self, standing: Standing, now: Moment) -> None:
        """A perfect match on a gallery whose lease ran out is denied."""
        stale = replace(standing, lease=Lease(now.wall, now.wall))

        answer = decide(_evidence(1.0, 0.0), stale, now=now, config=CONFIG)

        assert answer == Deny(DenyReason.GALLERY_STALE)


class TestClosed:
    """Why no face at all may open."""

    def test_a_healthy_gallery_is_open(self, standing: Standing, now: Moment) -> None:
        """Control: nothing is wrong, so nothing is denied."""
        assert closed(standing, now) is None

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"size": 0}, DenyReason.GALLERY_EMPTY),
            # templates came, but all of another model
            ({"size": 0, "foreign": 7}, DenyReason.SPACE_MISMATCH),
            ({"threshold": None}, DenyReason.GALLERY_TOO_LARGE),
            # never caught up with the cloud
            ({"lease": Lease()}, DenyReason.GALLERY_STALE),
        ],
    )
    def test_names_what_is_wrong(
        self, change: dict[str, object], reason: DenyReason, standing: Standing, now: Moment
    ) -> None:
        """Each fault of the gallery has its own reason."""
        assert closed(replace(standing, **change), now) == Deny(reason)  # type: ignore[arg-type]

    def test_the_cloud_s_clock_ends_a_lease_too(self, standing: Standing, now: Moment) -> None:
        """A wall clock that stands still does not keep a lease alive."""
        assert standing.lease.until is not None
        heard = Anchor(standing.lease.until, heard_s=99.0)

        assert closed(replace(standing, anchor=heard), now) == Deny(DenyReason.GALLERY_STALE)


@pytest.mark.parametrize("bad", [{"margin_min": -0.1}, {"live_min": 0.9}, {"live_at_once": 1.1}])
def test_config_refuses_what_is_out_of_range(bad: dict[str, float]) -> None:
    """A negative margin or a liveness above 1 is refused."""
    with pytest.raises(ValueError, match="out of range"):
        DecideConfig(**bad)


class TestTwoTiers:
    """Who is found in which tier."""

    @pytest.mark.parametrize(
        ("scores", "tiers", "expected"),
        [
            # of the first tier, by its own threshold
            ((0.55, 0.2), (1, 2), Grant(ANNA, 0.55, 0.55 - 0.2)),
            # the same score in the second is not enough there
            ((0.55, 0.2), (2, 1), Deny(DenyReason.NOT_RECOGNISED)),
            ((0.7, 0.2), (2, 1), Grant(ANNA, 0.7, 0.7 - 0.2)),
            # nearly as close in the other tier: ambiguous, whichever is ahead
            ((0.8, 0.76), (1, 2), Deny(DenyReason.AMBIGUOUS)),
            ((0.8, 0.76), (2, 1), Deny(DenyReason.AMBIGUOUS)),
            # ahead in the second tier, but not enough for it: the first tier's rider, though
            # above their own threshold, does not inherit the grant
            ((0.64, 0.56), (2, 1), Deny(DenyReason.NOT_RECOGNISED)),
        ],
    )
    def test_each_tier_has_its_threshold_and_both_share_the_margin(
        self,
        scores: tuple[float, ...],
        tiers: tuple[int, ...],
        expected: Grant | Deny,
        standing: Standing,
        now: Moment,
    ) -> None:
        """The best of both tiers is judged by their own tier, and against the next of either."""
        standing = replace(standing, second_size=50_000, second_threshold=0.65)
        evidence = Evidence(Candidates((ANNA, BELA), scores, tiers), 0.9)

        assert decide(evidence, standing, now=now, config=CONFIG) == expected

    def test_a_tier_beyond_the_model_opens_nothing(self, standing: Standing, now: Moment) -> None:
        """A perfect match in a second tier that is too large is refused, and the reason says so."""
        standing = replace(standing, second_size=100_000, second_threshold=None)
        evidence = Evidence(Candidates((ANNA, BELA), (0.99, 0.1), (2, 1)), 0.9)
        of_first = Evidence(Candidates((ANNA, BELA), (0.99, 0.1), (1, 2)), 0.9)

        assert decide(evidence, standing, now=now, config=CONFIG) == Deny(
            DenyReason.SECOND_TIER_CLOSED
        )
        assert isinstance(decide(of_first, standing, now=now, config=CONFIG), Grant)

    def test_the_second_tier_alone_can_open(self, standing: Standing, now: Moment) -> None:
        """A station whose first tier is empty is not one without templates."""
        alone = replace(standing, size=0, threshold=None, second_size=9, second_threshold=0.6)

        assert closed(alone, now) is None
        assert closed(replace(alone, second_threshold=None), now) == Deny(
            DenyReason.GALLERY_TOO_LARGE
        )

    def test_a_gallery_without_its_canaries_opens_nothing(
        self, standing: Standing, now: Moment
    ) -> None:
        """A damaged index is shut, whatever it says."""
        assert closed(replace(standing, intact=False), now) == Deny(DenyReason.GALLERY_BROKEN)

    def test_the_operator_s_margin_goes_before_the_lane_s(
        self, standing: Standing, now: Moment
    ) -> None:
        """A station with a wider margin refuses what the lane's own would let through."""
        wide = replace(standing, margin_min=0.2)

        assert isinstance(decide(_evidence(0.8, 0.7), standing, now=now, config=CONFIG), Grant)
        assert decide(_evidence(0.8, 0.7), wide, now=now, config=CONFIG) == Deny(
            DenyReason.AMBIGUOUS
        )
