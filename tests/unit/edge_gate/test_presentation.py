"""Simulated attacks, and what the liveness model makes of the plainest of them."""

from pathlib import Path

import numpy as np
import pytest

from edge_gate import presentation
from edge_gate.adapters import evaluation
from edge_gate.adapters.pack import open_eye
from edge_gate.presentation import Instrument, Presentation
from tests.people import portraits

MODELS = Path(__file__).parents[3] / "models" / "files"


class TestPresented:
    """`presented`."""

    @pytest.mark.parametrize("instrument", Instrument)
    def test_keeps_the_size_without_edges(self, instrument: Instrument) -> None:
        """A picture that fills the view has the portrait's own size, and is altered."""
        portrait = portraits()["Eileen"]

        shown = presentation.presented(
            portrait, Presentation(instrument, edges=False), np.random.default_rng(0)
        )

        assert shown.shape == portrait.shape
        assert shown.dtype == np.uint8
        assert np.abs(shown.astype(int) - portrait).mean() > 3

    def test_shows_the_wall_beyond_the_edges(self) -> None:
        """With its edges in view the picture lies in the middle of a grey wall."""
        portrait = np.zeros((100, 80, 3), np.uint8)

        how = Presentation(Instrument.PAPER, edges=True)
        shown = presentation.presented(portrait, how, np.random.default_rng(0))

        assert shown.shape == (150, 120, 3)
        assert 140 <= shown[0, 0, 0] <= 165
        assert shown[75, 60].max() < 60


class TestAuc:
    """`auc`."""

    @pytest.mark.parametrize(
        ("live", "attacks", "area"),
        [
            ([0.8, 0.9], [0.1, 0.2], 1.0),  # apart
            ([0.1, 0.2], [0.8, 0.9], 0.0),  # the wrong way round
            ([0.5, 0.5], [0.5], 0.5),  # no difference
            ([0.9, 0.3], [0.5, 0.1], 0.75),
        ],
    )
    def test_golden(self, live: list[float], attacks: list[float], area: float) -> None:
        """The share of pairs in which the live face scores higher, ties as halves."""
        assert presentation.auc(np.array(live), np.array(attacks)) == area


def test_paper_with_edges_is_told_from_people() -> None:
    """The model tells the eight portraits from sheets of paper that show them, edges in view."""
    eye = open_eye("open", MODELS)
    random = np.random.default_rng(3)
    people = list(portraits().values())
    how = Presentation(Instrument.PAPER, edges=True)

    live = evaluation.live_scores(people, eye)
    attacks = evaluation.live_scores(
        [presentation.presented(photo, how, random) for photo in people], eye
    )

    assert len(attacks) == len(people)
    assert presentation.auc(live, attacks) > 0.95
