"""The candidate index in plain numpy: exhaustive, exact, slow; the oracle for every other."""

from collections.abc import Iterable
from uuid import UUID

import numpy as np
import numpy.typing as npt

from cloud_sync.content import Space
from cloud_sync.master.candidate import Candidate, Drop, Entries, check_probes

_Held = dict[UUID, tuple[int, npt.NDArray[np.float32]]]


class MemoryCandidateIndex:
    """All templates as one matrix, built anew at each change."""

    def __init__(self, space: Space) -> None:
        """Start empty.

        Args:
            space: Of every template that will come.
        """
        self._space = space
        self._held: _Held = {}
        self._view = _view({}, space.dimension)

    @property
    def space(self) -> Space:
        """The space of every template in it."""
        return self._space

    @property
    def size(self) -> int:
        """How many riders it holds."""
        return len(self._view[0])

    def search(self, vectors: npt.NDArray[np.float32], k: int) -> tuple[tuple[Candidate, ...], ...]:
        """Return the k best riders for each probe, best first."""
        check_probes(self._space, vectors)
        named, matrix = self._view
        scores = vectors @ matrix.T
        best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return tuple(
            tuple(
                Candidate(named[place][0], named[place][1], float(row[place])) for place in places
            )
            for row, places in zip(scores, best, strict=True)
        )

    def apply(self, puts: Entries, drops: Iterable[Drop] = ()) -> None:
        """Forget `drops`, then hold `puts`."""
        check_probes(self._space, puts.vectors)
        for drop in drops:
            if drop.rider_ref in self._held and self._held[drop.rider_ref][0] <= drop.version:
                del self._held[drop.rider_ref]
        _take(self._held, puts)
        self._view = _view(self._held, self._space.dimension)

    def build(self, batches: Iterable[Entries]) -> None:
        """Hold what comes and nothing else."""
        held: _Held = {}
        for batch in batches:
            check_probes(self._space, batch.vectors)
            _take(held, batch)
        self._held, self._view = held, _view(held, self._space.dimension)

    def seal(self) -> bool:
        """Do nothing: there is nothing to reorganize."""
        return False


def _take(held: _Held, puts: Entries) -> None:
    for ref, version, vector in zip(puts.rider_refs, puts.versions, puts.vectors, strict=True):
        rider_ref = UUID(bytes=ref.tobytes())
        if rider_ref not in held or held[rider_ref][0] <= version:
            held[rider_ref] = int(version), vector


def _view(held: _Held, dimension: int) -> tuple[list[tuple[UUID, int]], npt.NDArray[np.float32]]:
    """Return whose row is whose, and the rows; swapped in by one assignment."""
    vectors = [vector for _, vector in held.values()]
    matrix = np.stack(vectors) if vectors else np.empty((0, dimension), np.float32)
    return [(ref, version) for ref, (version, _) in held.items()], matrix
