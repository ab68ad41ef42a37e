"""Whether a template may be taken into the master gallery: is it one, and does it match too many?

A hub is a vector that many people match: made on purpose (a master face), or by a picture that
says little. One in the gallery opens the gate for strangers, so a new template is compared with a
fixed cohort of people who do not exist, and refused when it matches more of them than templates of
that cohort match one another. Pure; vectors are in the model's own space.

What it sees is a vector made against people like these. Real faces come no closer to them than
0.24 (1,140 photos of 500 people), and neither does a hub made of real faces: the best one made of
those photos matched 4 of the 500 at 0.5, and nobody here. That kind is caught by the look-alike
search, which compares with the real gallery (`enroll.lookalike.LookalikeConfig.matches_max`).
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import numpy as np
import numpy.typing as npt

from cloud_sync.content import TemplateRefused, check
from cloud_sync.generate import templates

_SEED = 20_260_507
"""Which people; others than those that fill a gallery for a load test."""
_PROBES = 1_000
"""Members that are compared with the whole cohort to learn how many others one matches."""


class IntakeFault(StrEnum):
    """Why a template is not taken."""

    NO_UNIT_VECTOR = "no_unit_vector"
    """Another dimension than the model's, not finite, or not of length 1 to 1e-3."""
    HUB = "hub"
    """It matches more people of the cohort than chance allows: it would match strangers."""


@dataclass(frozen=True, slots=True)
class IntakeConfig:
    """How a hub is told from a face."""

    cohort_size: int = 10_000
    """People in the cohort, from 1,000 (reference/reliability.md, 2.7, asks for 10,000)."""
    score_min: float = 0.5
    """Cosine from which a member counts as matched, above 0, below 1: near the threshold of a view
    of 1,000 at FPIR 1 % with the shipped model, 0.52, and what makes two riders look-alikes."""
    chance: float = 1e-6
    """Share of honest templates that may be taken for hubs, above 0, below 1: three riders of
    three million."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges.

        Raises:
            ValueError: A value is out of range.
        """
        shares = (self.score_min, self.chance)
        if self.cohort_size < _PROBES or not all(0 < share < 1 for share in shares):
            raise ValueError(f"out of range: {self}")


class Cohort:
    """People who do not exist, the same ones on every machine and at every start."""

    def __init__(self, config: IntakeConfig, *, dimension: int = 512, seed: int = _SEED) -> None:
        """Choose them; they are made at the first question, in about a second.

        Args:
            config: How many, and what counts as a match.
            dimension: Values in a vector.
            seed: Which people.
        """
        self._config = config
        self._dimension = dimension
        self._seed = seed

    @cached_property
    def members(self) -> npt.NDArray[np.float32]:
        """Their templates, float32, shape (cohort size, D)."""
        made = templates(
            self._config.cohort_size, seed=self._seed, model_id="", dimension=self._dimension
        )
        return np.stack([each.vector for each in made])

    @cached_property
    def matches_max(self) -> int:
        """The most members that an honest template may match."""
        scores = self.members[:_PROBES] @ self.members.T
        pairs = int((scores >= self._config.score_min).sum()) - _PROBES  # without oneself
        # One pair in all is what so few probes can show.
        return poisson_limit(max(pairs, 1) / _PROBES, self._config.chance)

    def judge(self, vector: npt.NDArray[np.float32]) -> IntakeFault | None:
        """Return why a template may not be taken; None when it may.

        Args:
            vector: In the model's own space; any shape and values.
        """
        try:
            check(vector, dimension=self._dimension)
        except TemplateRefused:
            return IntakeFault.NO_UNIT_VECTOR
        matches = int((self.members @ vector >= self._config.score_min).sum())
        return IntakeFault.HUB if matches > self.matches_max else None


def poisson_limit(mean: float, chance: float) -> int:
    """Return the count that is exceeded with at most that chance.

    Args:
        mean: Of a Poisson distribution, above 0.
        chance: Above 0, below 1.
    """
    count, term, left = 0, math.exp(-mean), 1.0
    while True:
        left -= term
        if left <= chance:
            return count
        count += 1
        term *= mean / count
