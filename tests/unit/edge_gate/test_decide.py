"""Evidence in, Grant or Deny out."""

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import pytest

from cloud_sync.lease import Anchor, Lease
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
