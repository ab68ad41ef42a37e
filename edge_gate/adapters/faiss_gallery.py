"""The gallery in FAISS: an immutable sealed segment, a small flat head, tombstones.

FAISS is not safe for search beside mutation, so no index is ever changed once a search can see
it: a change builds the small parts anew and swaps one pointer. The sealed segment is rebuilt by
`seal`, which the loop calls from a thread that serves no lane.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from threading import Lock
from typing import Any
from uuid import UUID

import faiss
import numpy as np
import numpy.typing as npt

from cloud_sync.content import Space
from cloud_sync.gallery import Template
from edge_gate.face import Embedding
from edge_gate.search import NOBODY, Candidates, Probe, admit, space_of


@dataclass(frozen=True, slots=True)
class FaissConfig:
    """When to use which index; the figures were measured on one core at D = 512."""

    flat_max: int = 4_000
    """Templates, >= 1. Up to here the sealed segment is exhaustive (0.3 ms at 4,000); above it is
    product-quantised with exact refinement (0.3 ms at 50,000, against 9 to 14 ms exhaustive)."""
    head_max: int = 512
    """Templates, >= 1. A head larger than this is sealed at the next `seal`."""
    dead_max: int = 512
    """Tombstones, >= 1. More than these in the sealed segment make the next `seal` due."""
    proposals: int = 8
    """Results fetched from the sealed segment, >= 2; times 32 they are the candidates compared
    exactly. At 50,000 templates 8 gave the same best two as exhaustive search in 1,000 of 1,000
    probes, 2 in 991."""
    train_max: int = 20_000
    """Templates used to train the quantiser, >= 256 (16 centroids need no more)."""

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ValueError: One is out of range.
        """
        if min(self.flat_max, self.head_max, self.dead_max) < 1 or self.proposals < 2:
            raise ValueError(f"out of range: {self}")


@dataclass(frozen=True, slots=True, eq=False)
class _Segment:
    """An index nobody changes any more, and whose row is whose."""

    index: Any
    riders: tuple[UUID, ...]

    def best(self, vector: Embedding, k: int, dead: frozenset[UUID]) -> list[tuple[float, UUID]]:
        """Return the k best living riders of the segment, fetching more where many are dead."""
        total = len(self.riders)
        fetch = min(k, total)
        while fetch:
            scores, rows = self.index.search(vector[np.newaxis], fetch)
            found = [
                (float(score), self.riders[row])
                for score, row in zip(scores[0], rows[0], strict=True)
                if row >= 0 and self.riders[row] not in dead
            ]
            if len(found) >= k or fetch == total:
                return found[:k]
            fetch = min(4 * fetch, total)
        return []


_EMPTY = _Segment(None, ())


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """What one search sees; replaced as a whole, never changed."""

    sealed: _Segment
    dead: frozenset[UUID]
    """Riders of the sealed segment who are gone or whose newer template is in the head."""
    head: _Segment

    @property
    def size(self) -> int:
        return len(self.sealed.riders) - len(self.dead) + len(self.head.riders)


class FaissGallery:
    """Templates of one space in two segments; any thread searches, one at a time changes."""

    def __init__(self, space: Space, config: FaissConfig | None = None) -> None:
        self._space = space
        self._config = config or FaissConfig()
        self._templates: dict[UUID, Template] = {}
        self._in_sealed: dict[UUID, Template] = {}
        self._view = _View(_EMPTY, frozenset(), _EMPTY)
        self._writer = Lock()
        # One core a search: lanes share the machine, and one query has nothing to split.
        faiss.omp_set_num_threads(1)

    @property
    def space(self) -> Space:
        """The space of every template in it."""
        return self._space

    @property
    def size(self) -> int:
        """How many riders it holds."""
        return self._view.size

    def search(self, probe: Probe, k: int = 2) -> Candidates:
        """Return the k best riders.

        Raises:
            SpaceMismatch: The probe is of another space.
        """
        admit(self._space, probe.space)
        view = self._view
        vector = np.ascontiguousarray(probe.vector, np.float32)
        wanted = max(k, self._config.proposals)
        found = view.sealed.best(vector, wanted, view.dead)
        found += view.head.best(vector, k, frozenset())
        if not found:
            return NOBODY
        best = sorted(found, key=lambda pair: -pair[0])[:k]
        return Candidates(tuple(rider for _, rider in best), tuple(score for score, _ in best))

    def apply(self, puts: Sequence[Template], drops: Sequence[UUID]) -> None:
        """Forget `drops`, then hold `puts`; costs the size of the head, not of the gallery.

        Raises:
            SpaceMismatch: A template is of another space; nothing has changed then.
        """
        for template in puts:
            admit(self._space, space_of(template))
        with self._writer:
            for rider in drops:
                self._templates.pop(rider, None)
            self._templates.update({template.rider_ref: template for template in puts})
            touched = {*drops, *(template.rider_ref for template in puts)}
            dead = self._view.dead | (touched & self._in_sealed.keys())
            in_head = {*self._view.head.riders, *touched} & self._templates.keys()
            head = _flat({rider: self._templates[rider] for rider in in_head})
            self._view = replace(self._view, dead=dead, head=head)

    def replace(self, templates: Sequence[Template]) -> None:
        """Hold these templates and no others.

        Raises:
            SpaceMismatch: A template is of another space; nothing has changed then.
        """
        for template in templates:
            admit(self._space, space_of(template))
        fresh = {template.rider_ref: template for template in templates}
        segment = self._build(fresh)
        with self._writer:
            self._templates, self._in_sealed = fresh, dict(fresh)
            self._view = _View(segment, frozenset(), _EMPTY)

    def seal(self) -> bool:
        """Rebuild the sealed segment where head or tombstones have outgrown their limits.

        Searches and changes go on meanwhile; what changed during the build lands in the new head
        and the new tombstones.
        """
        with self._writer:
            view, snapshot = self._view, dict(self._templates)
        grown = len(view.head.riders) > self._config.head_max
        if not grown and len(view.dead) <= self._config.dead_max:
            return False
        segment = self._build(snapshot)
        with self._writer:
            current = self._templates
            dead = frozenset(r for r, t in snapshot.items() if current.get(r) is not t)
            late = {r: t for r, t in current.items() if snapshot.get(r) is not t}
            self._in_sealed = snapshot
            self._view = _View(segment, dead, _flat(late))
        return True

    def expired(self, now: datetime) -> tuple[UUID, ...]:
        """Return the riders whose templates must not be used after `now`."""
        with self._writer:
            held = tuple(self._templates.items())
        return tuple(r for r, t in held if t.expires is not None and t.expires <= now)

    def _build(self, templates: Mapping[UUID, Template]) -> _Segment:
        if len(templates) <= self._config.flat_max:
            return _flat(templates)
        # The thread that seals is not the one that made the gallery, and the limit is a thread's.
        faiss.omp_set_num_threads(1)
        matrix = _matrix(templates)
        quantised = faiss.IndexPQFastScan(matrix.shape[1], 128, 4, faiss.METRIC_INNER_PRODUCT)
        index = faiss.IndexRefineFlat(quantised)
        # Evenly spread rows: the order of arrival may follow the order of enrollment.
        index.train(matrix[:: -(-len(matrix) // self._config.train_max)])
        index.add(matrix)
        index.k_factor = 32
        return _Segment(index, tuple(templates))


def _matrix(templates: Mapping[UUID, Template]) -> npt.NDArray[np.float32]:
    """Return the vectors as rows, float32, shape (N, D), in the mapping's order."""
    return np.stack([t.vector for t in templates.values()]).astype(np.float32)


def _flat(templates: Mapping[UUID, Template]) -> _Segment:
    if not templates:
        return _EMPTY
    matrix = _matrix(templates)
    index = faiss.IndexFlatIP(matrix.shape[1])
    index.add(matrix)
    return _Segment(index, tuple(templates))
