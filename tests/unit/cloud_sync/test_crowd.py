"""Generated people: as alike as real ones, and the same every time."""

import numpy as np
import pytest

from cloud_sync.master.crowd import SLICE, Crowd

MEASURED = ((0.9, 0.130), (0.99, 0.248), (0.999, 0.348), (0.9999, 0.429))
"""Quantiles of cosines between the templates of 500 people, by `open`."""


class TestCrowd:
    """People."""

    @pytest.mark.parametrize("seed", [1, 9])
    def test_strangers_are_as_alike_as_real_ones(self, seed: int) -> None:
        """Quantiles and spread of cosines between strangers are those measured, within 0.03."""
        vectors = Crowd(2_000, seed=seed).part(0).vectors

        cosines = (vectors @ vectors.T)[np.triu_indices(len(vectors), 1)]

        assert cosines.std() == pytest.approx(0.098, abs=0.005)
        for share, cosine in MEASURED:
            assert float(np.quantile(cosines, share)) == pytest.approx(cosine, abs=0.03)

    def test_a_smaller_crowd_is_the_beginning_of_a_larger_one(self) -> None:
        """Slices do not depend on the count, and end where it ends."""
        small = list(Crowd(SLICE + 7, dimension=16).slices())
        large = list(Crowd(3 * SLICE, dimension=16).slices())

        assert [len(each) for each in small] == [SLICE, 7]
        assert (small[1].vectors == large[1].vectors[:7]).all()
        assert (small[1].rider_refs == large[1].rider_refs[:7]).all()
        assert (large[1].vectors[:7] != large[2].vectors[:7]).any()

    def test_probes_lie_where_they_are_said_to(self) -> None:
        """Genuine looks lie at the measured cosines to their template, hard ones below them."""
        crowd = Crowd(3_000)
        probes = crowd.probes(400)

        own = crowd.part(0).vectors[probes.owners[:800]]
        cosines = (own * probes.vectors[:800]).sum(axis=1)

        assert float(np.median(cosines[:400])) == pytest.approx(0.763, abs=0.03)
        assert 0.29 < cosines[400:].min() < cosines[400:].max() < 0.56
        assert set(probes.owners[800:]) == {-1}
        assert np.allclose(np.linalg.norm(probes.vectors, axis=1), 1, atol=1e-5)
