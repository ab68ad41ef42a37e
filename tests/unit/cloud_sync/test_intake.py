"""What is no template is not taken, nor one that would match strangers."""

from functools import cache

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cloud_sync.content import NORM_ERROR_MAX
from cloud_sync.generate import templates
from cloud_sync.master.intake import Cohort, IntakeConfig, IntakeFault, poisson_limit

Vector = npt.NDArray[np.float32]
CONFIG = IntakeConfig()


@cache
def cohort() -> Cohort:
    """Give the shipped cohort of 10,000, made once."""
    return Cohort(CONFIG)


def hub() -> Vector:
    """Give a vector that was moved again and again to the middle of those it matches best."""
    members, best, most = cohort().members, cohort().members[0], 0
    for start in range(10):
        vector = members[start]
        for _ in range(40):
            near = np.argsort(-(members @ vector))[:12]
            vector = members[near].mean(axis=0)
            vector = vector / np.linalg.norm(vector)
            found = int((members @ vector >= CONFIG.score_min).sum())
            if found > most:
                best, most = vector, found
        if most > 2 * cohort().matches_max:
            break  # enough, and not by a hair
    return np.asarray(best, dtype=np.float32)


class TestJudge:
    """Every fault, and none."""

    def test_takes_people(self) -> None:
        """Control: of 2,000 people who are not in the cohort none is refused."""
        people = templates(2_000, seed=77, model_id="m")

        assert [cohort().judge(each.vector) for each in people[:200]] == [None] * 200
        # The others by what `judge` counts, for all of them in one product.
        scores = cohort().members @ np.stack([each.vector for each in people]).T
        assert (scores >= CONFIG.score_min).sum(axis=0).max() <= cohort().matches_max

    def test_refuses_a_hub(self) -> None:
        """A vector made to match many is refused, and is a fine template to every other check."""
        made = hub()

        assert cohort().judge(made) is IntakeFault.HUB
        assert abs(float(np.linalg.norm(made)) - 1) < NORM_ERROR_MAX
        lax = Cohort(CONFIG)
        lax.matches_max = CONFIG.cohort_size  # the control: without the check it gets in
        assert lax.judge(made) is None

    def test_refuses_a_models_collapse(self) -> None:
        """A cohort all in one direction, as a broken model makes them, is one great hub."""
        with pytest.MonkeyPatch.context() as patched:
            small = Cohort(IntakeConfig(cohort_size=1_000), dimension=16)
            people = np.random.default_rng(1).standard_normal((1_000, 16)).astype(np.float32)
            people /= np.linalg.norm(people, axis=1, keepdims=True)
            patched.setitem(small.__dict__, "members", people)
            patched.setitem(small.__dict__, "matches_max", 40)
            assert small.judge(people[0]) is None

            people[:500] = people[0]
            assert small.judge(people[0]) is IntakeFault.HUB

    @pytest.mark.parametrize(
        "vector",
        [
            np.full(512, np.nan, np.float32),
            np.full(512, np.inf, np.float32),
            np.zeros(512, np.float32),
            np.full(512, 1e9, np.float32),
            np.full(511, 511**-0.5, np.float32),
            np.full((2, 256), 512**-0.5, np.float32),
            np.zeros(0, np.float32),
            np.float32(1.0).reshape(()),
        ],
        ids=["nan", "inf", "zero", "1e9", "short", "matrix", "empty", "scalar"],
    )
    def test_refuses_what_is_no_template(self, vector: Vector) -> None:
        """Not finite, not of unit length, or of another shape."""
        assert cohort().judge(vector) is IntakeFault.NO_UNIT_VECTOR

    @settings(max_examples=60, deadline=None)
    @given(arrays(np.float32, st.integers(0, 600), elements=st.floats(width=32)))
    def test_judges_anything(self, vector: Vector) -> None:
        """Whatever comes, the answer is a value, and only a unit vector of 512 is ever taken."""
        fault = cohort().judge(vector)

        with np.errstate(over="ignore", invalid="ignore"):
            length = float(np.sqrt(np.dot(vector, vector)))
        is_unit = vector.shape == (512,) and abs(length - 1) <= NORM_ERROR_MAX
        assert (fault is IntakeFault.NO_UNIT_VECTOR) is not is_unit

    def test_is_the_same_everywhere(self) -> None:
        """Two machines refuse the same templates: the cohort is fixed."""
        again = Cohort(CONFIG)

        assert again.members.shape == (10_000, 512)
        assert np.array_equal(again.members[:50], cohort().members[:50])
        assert again.matches_max == cohort().matches_max >= 1


class TestPoissonLimit:
    """How many matches chance allows."""

    @pytest.mark.parametrize(
        ("mean", "chance", "limit"),
        # By hand: P(X > 1 | 0.001) = 5e-7; P(X > 2 | 0.1) = 1.5e-4, P(X > 4 | 0.1) = 7.7e-8.
        [(0.001, 1e-6, 1), (0.001, 1e-2, 0), (0.1, 1e-3, 2), (0.1, 1e-6, 4)],
    )
    def test_is_the_quantile(self, mean: float, chance: float, limit: int) -> None:
        """The smallest count that is exceeded less often than the chance given."""
        assert poisson_limit(mean, chance) == limit


class TestIntakeConfig:
    """Ranges."""

    @pytest.mark.parametrize("wrong", [{"cohort_size": 999}, {"score_min": 1.0}, {"chance": 0.0}])
    def test_refuses_what_is_no_check(self, wrong: dict[str, float]) -> None:
        """A cohort too small to learn from, or a score or chance outside 0 to 1."""
        with pytest.raises(ValueError):
            IntakeConfig(**wrong)  # type: ignore[arg-type]
