"""Error rates on searches whose outcome is known."""

import numpy as np
import pytest

from edge_gate import error_rate
from edge_gate.error_rate import MISSED, Searches


def _searches(mated: list[float], strangers: list[float]) -> Searches:
    return Searches(
        size=10,
        mated=np.array(mated),
        mated_person=np.arange(len(mated)),
        strangers=np.array(strangers),
        stranger_person=1000 + np.arange(len(strangers)),
    )


class TestThresholdAt:
    """`threshold_at`."""

    @pytest.mark.parametrize(
        ("target", "passing"),
        [(0.5, 2), (0.25, 1), (0.24, 0)],  # the share of four strangers that may pass
    )
    def test_lets_at_most_the_target_pass(self, target: float, passing: int) -> None:
        """As many strangers as the target allows reach the threshold, and no more."""
        strangers = np.array([0.1, 0.4, 0.3, 0.2])

        assert int((strangers >= error_rate.threshold_at(strangers, target)).sum()) == passing

    def test_ties_do_not_slip_through(self) -> None:
        """Strangers with the very same score pass together or not at all."""
        strangers = np.full(100, 0.4)

        assert (strangers >= error_rate.threshold_at(strangers, 0.5)).sum() == 0


class TestMiss:
    """`miss`."""

    def test_counts_who_is_below(self) -> None:
        """One of four riders is below the strangers' best score."""
        found = error_rate.miss(_searches([0.9, 0.8, 0.7, 0.2], [0.3, 0.1]), 0.01)

        assert found.fnir.value == 0.25
        assert found.score > 0.3
        assert found.fnir.low <= 0.25 <= found.fnir.high

    def test_counts_a_failure_to_detect(self) -> None:
        """A probe in which no face was found is a miss at any threshold."""
        found = error_rate.miss(_searches([0.9, MISSED], [-0.5, -0.6]), 0.5)

        assert found.fnir.value == 0.5

    def test_says_when_the_strangers_are_too_few(self) -> None:
        """300 strangers can speak of 1 %, not of 0.1 %."""
        searches = _searches([0.9] * 20, list(np.linspace(0, 0.4, 300)))

        assert error_rate.miss(searches, 1e-2).enough
        assert not error_rate.miss(searches, 1e-3).enough

    def test_no_miss_among_few_is_not_certainty(self) -> None:
        """None of 30 missed still allows one in ten: the rule of three."""
        found = error_rate.miss(_searches([0.9] * 30, [0.1] * 300), 1e-2)

        assert found.fnir.value == 0
        assert found.fnir.high == pytest.approx(0.1)

    def test_the_interval_narrows_with_more_people(self) -> None:
        """A hundred times the people give a far narrower interval."""
        few = error_rate.miss(_searches([0.9] * 9 + [0.1], [0.2] * 10), 0.01).fnir
        many = error_rate.miss(_searches(([0.9] * 9 + [0.1]) * 100, [0.2] * 1000), 0.01).fnir

        assert many.high - many.low < (few.high - few.low) / 4

    def test_photos_of_one_person_count_as_one(self) -> None:
        """The same misses spread over fewer people make the interval wider."""
        spread = _searches(([0.9] * 9 + [0.1]) * 10, [0.2] * 100)
        lumped = Searches(10, np.sort(spread.mated), np.arange(100) // 10, *_strangers(spread))

        wide, narrow = (error_rate.miss(s, 0.01).fnir for s in (lumped, spread))
        assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)


def _strangers(searches: Searches) -> tuple[np.ndarray, np.ndarray]:
    return searches.strangers, searches.stranger_person


class TestRankOne:
    """`rank_one`."""

    def test_counts_the_right_first(self) -> None:
        """Three of four probes ranked their own rider first."""
        assert error_rate.rank_one(_searches([0.9, 0.1, MISSED, 0.5], [0.0])).value == 0.75

    def test_all_right_among_few_is_not_certainty(self) -> None:
        """All of 30 right still allows one in ten to go wrong: the rule of three."""
        rate = error_rate.rank_one(_searches([0.9] * 30, [0.1]))

        assert rate.value == 1
        assert rate.low == pytest.approx(0.9)


class TestDet:
    """`det`."""

    def test_trades_one_error_for_the_other(self) -> None:
        """Along the curve FPIR falls while FNIR rises."""
        random = np.random.default_rng(1)
        searches = _searches(list(random.normal(0.6, 0.1, 200)), list(random.normal(0.3, 0.1, 200)))

        fpir, fnir = error_rate.det(searches)

        assert (np.diff(fpir) <= 0).all()
        assert (np.diff(fnir) >= 0).all()
        assert fpir[0] == 1.0
