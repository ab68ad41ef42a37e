"""Thresholds from measured scores."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_sync import calibration
from cloud_sync.calibration import Calibration, OpeningConfig
from edge_gate.adapters.pack import open_calibration

OPEN = open_calibration("open")
SIZES = st.integers(1, 3_000_000)
TARGETS = st.floats(1e-6, 0.5)


class TestThreshold:
    """`Calibration.threshold`."""

    @given(SIZES, TARGETS)
    def test_keeps_the_target_over_the_whole_gallery(self, size: int, target: float) -> None:
        """With N independent comparisons at the threshold's FMR the target is not passed."""
        threshold = OPEN.threshold(size, target)

        assert 1 - (1 - threshold.fmr) ** size <= target * 1.001

    @given(SIZES, TARGETS)
    def test_rises_with_the_gallery_and_with_strictness(self, size: int, target: float) -> None:
        """A larger gallery or a stricter target never lowers the threshold."""
        threshold = OPEN.threshold(size, target)

        assert OPEN.threshold(size * 2, target).score >= threshold.score
        assert OPEN.threshold(size, target / 2).score >= threshold.score

    def test_its_score_has_its_fmr(self) -> None:
        """The curve read forwards and backwards is the same curve."""
        threshold = OPEN.threshold(20_000, 0.01)

        assert OPEN.fmr(threshold.score) == pytest.approx(threshold.fmr)

    @pytest.mark.parametrize(
        ("size", "target", "score"),
        [
            (1, 0.01, 0.279),  # below the tail: its start
            (200, 0.01, 0.460),  # 0.453 was counted on the shared faces
            (1_000, 0.01, 0.524),
            (20_000, 0.01, 0.642),  # the story's gallery
        ],
    )
    def test_golden_scores_of_the_open_pack(self, size: int, target: float, score: float) -> None:
        """The default pack's thresholds are these."""
        assert OPEN.threshold(size, target).score == pytest.approx(score, abs=0.001)

    def test_says_where_it_extrapolates(self) -> None:
        """Ten templates at 1 % rest on counted pairs, a thousand on the fitted tail."""
        assert not OPEN.threshold(10, 0.01).extrapolated
        assert OPEN.threshold(1_000, 0.01).extrapolated

    @pytest.mark.parametrize(("size", "target"), [(0, 0.01), (5, 0.0), (5, 1.0)])
    def test_refuses_nonsense(self, size: int, target: float) -> None:
        """No templates, or a target of none or all, has no threshold."""
        with pytest.raises(ValueError, match="target FPIR"):
            OPEN.threshold(size, target)


class TestGalleryMax:
    """`Calibration.gallery_max`."""

    @given(st.floats(1e-5, 0.2), st.floats(0.006, 0.5))
    def test_is_the_last_size_that_keeps_both_limits(self, target: float, limit: float) -> None:
        """At the maximum FNIR and extrapolation are within bounds; a tenth more is not."""
        size = OPEN.gallery_max(target, limit)
        if size >= 1:
            threshold = OPEN.threshold(size, target)
            assert OPEN.expected_fnir(threshold.score) <= limit * 1.001
            assert threshold.fmr >= OPEN.fmr_min * 0.999

        beyond = OPEN.threshold(int(size * 1.1) + 2, target)
        assert OPEN.expected_fnir(beyond.score) > limit * 0.99 or beyond.fmr < OPEN.fmr_min * 1.01

    def test_the_open_pack_bears_the_story(self) -> None:
        """20,000 templates are supported at 1 % FPIR, not at 0.1 %, where 4,000 are."""
        limit = OpeningConfig().fnir_limit

        assert OPEN.gallery_max(0.01, limit) >= 20_000 + 10
        assert 4_000 <= OPEN.gallery_max(0.001, limit) < 20_000

    def test_no_gallery_for_an_impossible_limit(self) -> None:
        """A limit below what was ever measured is not promised by any size."""
        assert OPEN.gallery_max(0.01, 0.001) == 0


class TestOpeningThreshold:
    """`opening_threshold`."""

    def test_refuses_to_open_beyond_the_maximum(self) -> None:
        """The largest supported gallery has a threshold, one template more has none."""
        config = OpeningConfig(target_fpir=0.001)
        size = OPEN.gallery_max(config.target_fpir, config.fnir_limit)

        assert calibration.opening_threshold(OPEN, size, config) is not None
        assert calibration.opening_threshold(OPEN, size + 1, config) is None


class TestExpectedFnir:
    """`Calibration.expected_fnir`."""

    def test_reads_the_measured_quantiles(self) -> None:
        """At a kept quantile its share is the answer."""
        for share, score in zip(calibration.FNIR_SHARES, OPEN.mated, strict=True):
            assert OPEN.expected_fnir(score) == pytest.approx(share)

    def test_promises_nothing_beyond_what_was_measured(self) -> None:
        """Above the last quantile every rider counts as missed."""
        assert OPEN.expected_fnir(OPEN.mated[-1] + 0.001) == 1.0


class TestFit:
    """`fit`."""

    def test_recovers_a_known_tail(self) -> None:
        """Exponential scores give back their own mean excess and quantile."""
        random = np.random.default_rng(2)
        impostor = random.exponential(0.04, 400_000)
        mated = random.normal(0.7, 0.1, 5_000)

        fitted = calibration.fit(impostor, mated, pairs=400_000, decades=3)

        assert fitted.tail_mean == pytest.approx(0.04, rel=0.05)
        assert fitted.tail_from == pytest.approx(0.04 * np.log(1 / fitted.tail_share), rel=0.02)
        assert fitted.fmr_counted == pytest.approx(30 / 400_000)
        assert fitted.fmr_min == pytest.approx(30 / 400_000 / 1000)
        assert fitted.mated[4] == pytest.approx(np.quantile(mated, 0.1))

    def test_is_cautious_about_a_lighter_tail(self) -> None:
        """On normal scores the threshold lets through fewer than it promises."""
        scores = np.random.default_rng(6).normal(0, 0.1, 3_000_000)

        fitted = calibration.fit(scores[:150_000], np.full(99, 0.7), pairs=150_000, decades=3)

        threshold = fitted.threshold(100, 0.001)
        assert threshold.fmr == pytest.approx(1e-5, rel=0.01)
        assert (scores >= threshold.score).mean() < 1e-5

    def test_refuses_too_few_scores(self) -> None:
        """A handful of people is no calibration."""
        with pytest.raises(ValueError, match="too few"):
            calibration.fit(np.zeros(1000), np.zeros(100), pairs=1000, decades=3)


class TestFromTable:
    """`from_table`."""

    def test_refuses_a_missing_figure(self) -> None:
        """A table without one of the figures is refused by its name."""
        with pytest.raises(ValueError, match="tail_mean"):
            calibration.from_table({"tail_from": 0.2, "tail_share": 0.005})

    @pytest.mark.parametrize(
        "changed",
        [
            {"tail_mean": 0.0},
            {"fmr_min": 0.1},  # above what was counted
            {"mated": (0.5, 0.4, 0.6, 0.7, 0.8, 0.81, 0.82, 0.83, 0.84)},  # falls
        ],
    )
    def test_refuses_impossible_figures(self, changed: dict[str, object]) -> None:
        """Figures that contradict each other are refused."""
        table = {
            "tail_from": 0.28,
            "tail_share": 0.005,
            "tail_mean": 0.04,
            "fmr_counted": 2e-4,
            "fmr_min": 2e-7,
            "mated": OPEN.mated,
        }
        assert isinstance(calibration.from_table(table), Calibration)

        with pytest.raises(ValueError, match=r"out of range|rise"):
            calibration.from_table(table | changed)
