"""Fusing photos to a template."""

from dataclasses import replace
from datetime import datetime
from uuid import UUID

import numpy as np
import pytest

from edge_gate.face import Embedding
from enroll.template import PLAIN, NothingToFuse, Photo, fuse
from tests.riders import direction

ADA = UUID(int=1)


def photo(embedding: Embedding, noon: datetime, *, quality: float = 0.5) -> Photo:
    """Give an accepted photo."""
    return Photo(UUID(int=2), ADA, noon, "test/space", embedding, quality)


class TestFuse:
    """One unit vector of several."""

    def test_one_photo_is_its_template(self, noon: datetime) -> None:
        """The template of one photo is its embedding."""
        made = fuse([photo(direction(1), noon)], version=3, made=noon)

        np.testing.assert_allclose(made.vector, direction(1), atol=1e-6)
        assert (made.version, made.photos, made.transform_id) == (3, 1, PLAIN)

    def test_unit_length(self, noon: datetime) -> None:
        """A template of five photos has unit length and float32 values."""
        made = fuse([photo(direction(n), noon) for n in range(5)], version=1, made=noon)

        assert made.vector.dtype == np.float32
        assert np.linalg.norm(made.vector) == pytest.approx(1, abs=1e-5)

    def test_better_photo_counts_more(self, noon: datetime) -> None:
        """The template is closer to the photo of higher quality; with equal weights it is not."""
        good, poor = direction(1), direction(2)
        weighed = fuse(
            [photo(good, noon, quality=0.9), photo(poor, noon, quality=0.3)], version=1, made=noon
        )
        equal = fuse([photo(good, noon), photo(poor, noon)], version=1, made=noon)

        assert weighed.vector @ good > weighed.vector @ poor + 0.3
        assert equal.vector @ good == pytest.approx(equal.vector @ poor, abs=1e-5)

    def test_nothing(self, noon: datetime) -> None:
        """No photo gives no template."""
        with pytest.raises(NothingToFuse):
            fuse([], version=1, made=noon)

    def test_mixed_spaces(self, noon: datetime) -> None:
        """Photos measured by two models are refused, not averaged."""
        other = replace(photo(direction(1), noon), model_id="other/space")
        with pytest.raises(NothingToFuse):
            fuse([photo(direction(1), noon), other], version=1, made=noon)

    def test_opposites(self, noon: datetime) -> None:
        """Embeddings that cancel out are refused instead of blowing rounding up to a face."""
        with pytest.raises(NothingToFuse):
            fuse([photo(direction(1), noon), photo(-direction(1), noon)], version=1, made=noon)
