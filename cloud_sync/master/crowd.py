"""A city of people who do not exist, in slices: millions of templates, and probes of them.

Deterministic by seed. The spread is that of `open`'s templates, measured on 500 people (Labeled
Faces in the Wild, all photos of a person fused): the fall of the principal axes, and groups of
people who look a little alike. Between strangers these cosines come out (measured / generated):
mean 0.007 / 0.002, spread 0.098 / 0.100, 90 % below 0.130 / 0.131, 99 % 0.248 / 0.248, 99.9 %
0.348 / 0.345, 99.99 % 0.429 / 0.418. `generate` makes fewer, simpler people as templates.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cloud_sync.master.candidate import REF_BYTES, Entries

SLICE = 10_000
"""People made at once: 20 MB of float32 at D = 512."""

_AXES = (0, 1, 2, 4, 8, 16, 32, 64, 100, 128, 140, 150, 160)
_FALL = (1.0, 0.918, 0.905, 0.835, 0.724, 0.608, 0.441, 0.236, 0.113, 0.0542, 0.0297, 0.00484, 3e-4)
"""Variance along principal axes, against the first, as measured."""
_BIAS = 0.7
"""A covariance of 500 people overstates how fast its axes fall: to the power of this, the spread
of cosines is that of the people."""
_GROUPS = 50
_KINSHIP = 0.2
"""Share of a template that its group has in common; with 50 groups the tail is that measured."""
_BASIS_SEED = 20_260_504
"""One embedder for all crowds."""

_MATED_SHARES = (0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 1.0)
_MATED = (0.35, 0.429, 0.461, 0.513, 0.561, 0.611, 0.673, 0.710, 0.737, 0.763, 0.93)
"""Cosines of genuine probes: the calibration of `open` in `models/manifest.toml` (two photos
enrolled, one a probe), with the measured ends."""
_HARD = (0.30, 0.55)
"""Hard ones: where the worst tenth of single photos lies (0.5 % below 0.27, 10 % below 0.53)."""


@dataclass(frozen=True, slots=True, eq=False)
class Probes:
    """Looks at a gate: a third genuine, a third genuine and hard, a third strangers."""

    vectors: npt.NDArray[np.float32]
    """float32, shape (Q, D), unit length."""
    owners: npt.NDArray[np.int64]
    """The person of each, -1 for a stranger; int64, shape (Q,)."""
    kinds: tuple[str, ...]
    """`genuine`, `hard` or `stranger`."""


class Crowd:
    """So many people of one embedder; a smaller crowd is the beginning of a larger one."""

    def __init__(self, count: int, *, seed: int = 1, dimension: int = 512) -> None:
        """Make the axes; people are made when they are asked for.

        Args:
            count: People, from 1.
            seed: Which.
            dimension: Values in a template, from 2.
        """
        self.count = count
        self.dimension = dimension
        self._seed = seed
        rng = np.random.default_rng(_BASIS_SEED)
        variance = np.interp(np.arange(dimension), _AXES, _FALL) ** _BIAS
        turn, _ = np.linalg.qr(rng.standard_normal((dimension, dimension)))
        self._axes = (np.sqrt(variance)[:, np.newaxis] * turn).astype(np.float32)
        self._groups = self._faces(rng, _GROUPS)

    def slices(self) -> Iterator[Entries]:
        """Yield everybody, `SLICE` at a time."""
        for number in range(-(-self.count // SLICE)):
            yield self.part(number)

    def part(self, number: int) -> Entries:
        """Return one slice; every person's version is 1.

        Args:
            number: From 0.
        """
        rng = np.random.default_rng((self._seed, number))
        refs = rng.integers(0, 256, (SLICE, REF_BYTES), np.uint8)
        vectors = self._people(rng, SLICE)
        size = min(SLICE, self.count - number * SLICE)
        return Entries(refs[:size], np.ones(size, np.int32), vectors[:size])

    def probes(self, count: int, *, seed: int = 2) -> Probes:
        """Return looks at people of this crowd and at strangers.

        Args:
            count: How many of each kind, from 1.
            seed: Which.
        """
        rng = np.random.default_rng((self._seed, seed, 0))
        strangers = self._people(rng, 3 * count)
        owners = np.sort(rng.integers(self.count, size=2 * count))
        rng.shuffle(owners)
        own = np.empty((2 * count, self.dimension), np.float32)
        for number in np.unique(owners // SLICE):
            here = owners // SLICE == number
            own[here] = self.part(int(number)).vectors[owners[here] % SLICE]
        cosines = np.concatenate(
            (
                np.interp(rng.random(count), _MATED_SHARES, _MATED),
                rng.uniform(*_HARD, count),
            )
        ).astype(np.float32)[:, np.newaxis]
        # What a look adds is a face's worth of spread, not white noise: measured within people,
        # it uses as many axes as people do between them.
        aside = strangers[: 2 * count]
        aside = aside - (aside * own).sum(axis=1, keepdims=True) * own
        looks = cosines * own + np.sqrt(1 - cosines**2) * _unit(aside)
        return Probes(
            np.concatenate((looks, strangers[2 * count :])),
            np.concatenate((owners, np.full(count, -1, np.int64))),
            ("genuine",) * count + ("hard",) * count + ("stranger",) * count,
        )

    def _people(self, rng: np.random.Generator, count: int) -> npt.NDArray[np.float32]:
        group = self._groups[rng.integers(_GROUPS, size=count)]
        own = self._faces(rng, count)
        return _unit(np.float32(_KINSHIP**0.5) * group + np.float32((1 - _KINSHIP) ** 0.5) * own)

    def _faces(self, rng: np.random.Generator, count: int) -> npt.NDArray[np.float32]:
        return _unit(rng.standard_normal((count, self.dimension), dtype=np.float32) @ self._axes)


def _unit(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)
