"""The port of 1:N search over the master gallery: it proposes candidates, and promises nothing.

An index is a copy that may lag behind the database, so whoever asks it checks every candidate
against the master gallery and scores it anew with the template kept there. It holds one space; this
file does not know about FAISS, Milvus or SQL.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

import numpy as np
import numpy.typing as npt

from cloud_sync.content import Space
from cloud_sync.gallery import Template

REF_BYTES = 16
"""Of a rider's reference."""


class IndexFailed(Exception):
    """The search engine did not answer; what was asked of it may have happened or not."""


@dataclass(frozen=True, slots=True, eq=False)
class Entries:
    """Templates of one space in columns, as an index takes them."""

    rider_refs: npt.NDArray[np.uint8]
    """uint8, shape (N, 16)."""
    versions: npt.NDArray[np.int32]
    """int32, shape (N,)."""
    vectors: npt.NDArray[np.float32] = field(repr=False)
    """float32, shape (N, D), unit length."""

    def __post_init__(self) -> None:
        """Refuse columns that do not go together.

        Raises:
            ValueError: Their shapes differ.
        """
        count = len(self.versions)
        if self.rider_refs.shape != (count, REF_BYTES) or self.vectors.shape[:1] != (count,):
            raise ValueError(f"{self.rider_refs.shape}, ({count},), {self.vectors.shape}")

    def __len__(self) -> int:
        """Return how many."""
        return len(self.versions)


def entries(templates: Sequence[Template], *, dimension: int) -> Entries:
    """Return templates in columns.

    Args:
        templates: Of one space.
        dimension: Values in a vector.
    """
    refs = b"".join(each.rider_ref.bytes for each in templates)
    vectors = np.empty((len(templates), dimension), np.float32)
    for place, each in enumerate(templates):
        vectors[place] = each.vector
    return Entries(
        np.frombuffer(refs, np.uint8).reshape(-1, REF_BYTES),
        np.array([each.version for each in templates], np.int32),
        vectors,
    )


@dataclass(frozen=True, slots=True)
class Drop:
    """Forget a rider's template up to a version."""

    rider_ref: UUID
    version: int
    """A newer one stays: it came after this."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """Who may be meant."""

    rider_ref: UUID
    version: int
    """Of the template that was compared."""
    score: float
    """Cosine similarity, -1 to 1, as the index knows it."""


class CandidateIndex(Protocol):
    """Templates of one space, one a rider, searched by anybody while one at a time changes it.

    What `apply` or `build` has done is seen by every search that starts after it returns.
    """

    @property
    def space(self) -> Space:
        """The space of every template in it."""
        ...

    @property
    def size(self) -> int:
        """How many riders it holds."""
        ...

    def search(self, vectors: npt.NDArray[np.float32], k: int) -> tuple[tuple[Candidate, ...], ...]:
        """Return the k best riders for each probe, best first; fewer where fewer are held.

        Args:
            vectors: float32, shape (Q, D), unit length, of the index's own space.
            k: From 1.

        Raises:
            ValueError: The vectors are of another dimension.
            IndexFailed: The engine did not answer.
        """
        ...

    def apply(self, puts: Entries, drops: Iterable[Drop] = ()) -> None:
        """Forget `drops`, then hold `puts` in place of what those riders had before.

        A put whose version is below the one held came late and changes nothing.

        Raises:
            ValueError: The vectors are of another dimension; nothing has changed then.
            IndexFailed: The engine did not answer.
        """
        ...

    def build(self, batches: Iterable[Entries]) -> None:
        """Hold what comes and nothing else; of several templates of a rider the newest.

        Memory is bounded by the finished index and one batch. Searches go on in what was held.

        Raises:
            ValueError: Vectors are of another dimension; nothing has changed then.
            IndexFailed: The engine did not answer.
        """
        ...

    def seal(self) -> bool:
        """Reorganize for speed where that is due; slow, so never called by who waits.

        Returns:
            Whether there was something to do.
        """
        ...


def check_probes(space: Space, vectors: npt.NDArray[np.float32]) -> None:
    """Refuse vectors that an index of this space cannot compare.

    Args:
        space: Of the index.
        vectors: Whatever was given.

    Raises:
        ValueError: They are not rows of its dimension.
    """
    if vectors.ndim != 2 or vectors.shape[1] != space.dimension:
        raise ValueError(f"the vectors have shape {vectors.shape}, not (N, {space.dimension})")
