"""Normalising and fusing embeddings."""

import numpy as np
import numpy.typing as npt
import pytest

from edge_gate import embed


def _f32(values: npt.ArrayLike) -> npt.NDArray[np.float32]:
    return np.asarray(values, np.float32)


class TestNormalise:
    """`normalise`."""

    def test_gives_unit_rows(self) -> None:
        """Each row keeps its direction and gets length 1."""
        rows = np.array([[3.0, 4.0], [0.0, -2.0]])

        assert np.allclose([[0.6, 0.8], [0.0, -1.0]], embed.normalise(rows))

    @pytest.mark.parametrize("row", [[0.0, 0.0], [np.nan, 1.0], [np.inf, 0.0]])
    def test_refuses_what_has_no_direction(self, row: list[float]) -> None:
        """Zero, nan and infinity are refused, not divided by."""
        with pytest.raises(embed.NoDirection):
            embed.normalise(np.array([row]))


class TestFuse:
    """`fuse`."""

    def test_leans_to_the_better_picture(self) -> None:
        """Weights 3 and 1 put the result three times nearer to the first."""
        x, y = _f32([1, 0]), _f32([0, 1])

        fused = embed.fuse([x, y], [3, 1])

        assert np.allclose(np.array([3, 1]) / np.sqrt(10), fused)
        assert fused.dtype == np.float32

    def test_brings_noisy_pictures_nearer_to_the_person(self) -> None:
        """Four noisy embeddings fused are closer to the truth than each of them alone."""
        random = np.random.default_rng(3)
        truth = embed.normalise(random.normal(size=(1, 512)))[0]
        noisy = embed.normalise(truth + random.normal(0, 0.06, (4, 512)))

        fused = embed.fuse(list(noisy), [1, 1, 1, 1])

        assert fused @ truth > (noisy @ truth).max()

    def test_refuses_pictures_that_cancel_out(self) -> None:
        """Opposite embeddings have no mean direction."""
        x = _f32([1, 0])

        with pytest.raises(embed.NoDirection):
            embed.fuse([x, -x], [1, 1])

    @pytest.mark.parametrize(
        ("count", "weights"),
        [(0, []), (2, [1.0]), (1, [0.0])],  # none, one weight short, a weight of zero
    )
    def test_refuses_missing_weights(self, count: int, weights: list[float]) -> None:
        """There is one weight above 0 for each of at least one embedding."""
        with pytest.raises(ValueError, match="weights"):
            embed.fuse([_f32([1, 0])] * count, weights)
