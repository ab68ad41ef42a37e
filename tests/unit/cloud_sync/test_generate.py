"""Templates of people who do not exist."""

import numpy as np

from cloud_sync.content import check
from cloud_sync.generate import templates


class TestTemplates:
    """The generator."""

    def test_is_the_same_each_time(self) -> None:
        """The same seed gives the same riders and vectors, and a shorter list is a prefix."""
        many = templates(1_200, seed=3, model_id="m")
        few = templates(700, seed=3, model_id="m")

        assert [one.rider_ref for one in many[:700]] == [one.rider_ref for one in few]
        assert np.array_equal(many[699].vector, few[699].vector)
        assert len({one.rider_ref for one in many}) == 1_200

    def test_another_seed_is_other_people(self) -> None:
        """Two seeds share no rider and no vector."""
        left, right = templates(10, seed=3, model_id="m"), templates(10, seed=4, model_id="m")

        assert not {one.rider_ref for one in left} & {one.rider_ref for one in right}
        assert not np.allclose(left[0].vector, right[0].vector)

    def test_are_as_alike_as_strangers(self) -> None:
        """Cosines between them have mean 0 and the spread of a face model's, not of noise."""
        made = templates(2_000, seed=5, model_id="m")
        for one in made[:50]:
            check(one.vector, dimension=512)
        vectors = np.stack([one.vector for one in made])
        cosines = (vectors @ vectors.T)[np.triu_indices(len(made), 1)]

        assert abs(float(cosines.mean())) < 0.01
        assert 0.07 < float(cosines.std()) < 0.09  # plain noise in 512 dimensions has 0.044
        assert float(cosines.max()) < 0.6
