"""The gallery in FAISS: one large sealed segment, a few small heads, tombstones in each.

FAISS is not safe for search beside mutation, so no index is ever changed once a search can see
it: a change adds a small flat segment and swaps one pointer. Heads of like size are merged, so that
a long run of changes costs each template a few copies and a search a few small segments. The sealed
segment is rebuilt by `seal`, which the loop calls from a thread that serves no lane.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import repeat
from threading import Lock
from typing import Any
from uuid import UUID

import faiss
import numpy as np
import numpy.typing as npt

from cloud_sync.columns import Templates
from cloud_sync.content import Space
from cloud_sync.gallery import Template
from cloud_sync.secrecy.rotation import Rotation
from edge_gate.face import Embedding
from edge_gate.search import NOBODY, Candidates, Probe, admit, admit_all, turned_space


@dataclass(frozen=True, slots=True)
class FaissConfig:
    """When to use which index; the figures were measured on one core at D = 512."""

    flat_max: int = 4_000
    """Templates, >= 1. Up to here the sealed segment is exhaustive (0.3 ms at 4,000); above it is
    product-quantised with exact refinement (0.3 ms at 50,000, against 9 to 14 ms exhaustive)."""
    head_max: int = 512
    """Templates, >= 1. Heads that hold more than this together are sealed at the next `seal`."""
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


_Place = tuple[Templates, int]
"""Where a rider's template is: in which templates, and in which row."""


@dataclass(frozen=True, slots=True, eq=False)
class _Segment:
    """An index nobody changes any more, whose row is whose, and which rows count no more."""

    index: Any
    riders: Sequence[bytes]
    members: frozenset[bytes]
    """The same riders, to look up."""
    dead: frozenset[bytes] = frozenset()
    """Riders of this segment who are gone, or whose newer template is in a later segment."""
    quantised: bool = False
    """Whether the index proposes and refines; else it is exhaustive."""

    @property
    def live(self) -> int:
        return len(self.riders) - len(self.dead)

    def without(self, riders: AbstractSet[bytes]) -> "_Segment":
        """Return the segment with tombstones on these riders, as far as they are in it."""
        dead = riders & self.members
        return replace(self, dead=self.dead | dead) if dead else self

    def best(self, vector: Embedding, k: int) -> list[tuple[float, bytes]]:
        """Return the k best living riders of the segment, fetching more where many are dead."""
        total = len(self.riders)
        fetch = min(k, total)
        while fetch:
            scores, rows = self.index.search(vector[np.newaxis], fetch)
            found = [
                (float(score), self.riders[row])
                for score, row in zip(scores[0], rows[0], strict=True)
                if row >= 0 and self.riders[row] not in self.dead
            ]
            if len(found) >= k or fetch == total:
                return found[:k]
            fetch = min(4 * fetch, total)
        return []


_EMPTY = _Segment(None, (), frozenset())


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """What one search sees; replaced as a whole, never changed."""

    sealed: _Segment
    heads: tuple[_Segment, ...]
    """Oldest and largest first; no rider lives in two segments."""
    rotation: Rotation | None = None
    """What every vector in it is turned by."""

    @property
    def size(self) -> int:
        return self.sealed.live + self.head_size

    @property
    def head_size(self) -> int:
        return sum(head.live for head in self.heads)


class FaissGallery:
    """Templates of one space in two segments; any thread searches, one at a time changes."""

    def __init__(self, space: Space, config: FaissConfig | None = None) -> None:
        self._space = space
        self._config = config or FaissConfig()
        self._places: dict[bytes, _Place] = {}
        self._view = _View(_EMPTY, ())
        self._writer = Lock()
        # One core a search: lanes share the machine, and one query has nothing to split.
        faiss.omp_set_num_threads(1)

    @property
    def space(self) -> Space:
        """The space of every probe."""
        return self._space

    @property
    def template_space(self) -> Space:
        """The space of every template in it."""
        return turned_space(self._space, self._view.rotation)

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
        vector = np.ascontiguousarray(probe.turned(view.rotation), np.float32)
        wanted = max(k, self._config.proposals)
        found = view.sealed.best(vector, wanted if view.sealed.quantised else k)
        for head in view.heads:
            found += head.best(vector, k)
        if not found:
            return NOBODY
        best = sorted(found, key=lambda pair: -pair[0])[:k]
        riders = tuple(UUID(bytes=rider) for _, rider in best)
        return Candidates(riders, tuple(score for score, _ in best))

    def apply(self, puts: Sequence[Template], drops: Sequence[UUID]) -> None:
        """Forget `drops`, then hold `puts`; costs the size of the step, not of the gallery.

        Raises:
            SpaceMismatch: A template is of another space; nothing has changed then.
        """
        coming = _placed(admit_all(self.template_space, puts))
        gone = {rider.bytes for rider in drops}
        touched = coming.keys() | gone
        with self._writer:
            for rider in gone:
                self._places.pop(rider, None)
            self._places.update(coming)
            view = self._view
            heads = [head.without(touched) for head in view.heads]
            if coming:
                heads.append(_flat(coming))
            sealed = view.sealed.without(touched)
            self._view = _View(sealed, self._merged(heads), view.rotation)

    def replace(self, *parts: Sequence[Template], rotation: Rotation | None = None) -> None:
        """Hold the templates of these parts and no others, exhaustively until the next `seal`.

        Raises:
            SpaceMismatch: A template is of another space; nothing has changed then.
        """
        space = turned_space(self._space, rotation)
        held = [part for part in (admit_all(space, part) for part in parts) if part]
        places = _placed(*held)
        if len(places) == sum(map(len, held)):
            segment = _indexed(tuple(places), [part.vectors for part in held])
        else:  # a rider has several: one row for each would be one too many
            segment = _flat(places)
        with self._writer:
            self._places = places
            self._view = _View(segment, (), rotation)

    def seal(self) -> bool:
        """Rebuild the sealed segment where heads or tombstones have outgrown their limits.

        Also where it is exhaustive and larger than exhaustive search is good for. Searches and
        changes go on meanwhile; what changed during the build lands in a head and in tombstones.
        """
        with self._writer:
            view, snapshot = self._view, dict(self._places)
        slow = not view.sealed.quantised and view.sealed.live > self._config.flat_max
        grown = view.head_size > self._config.head_max
        if not (slow or grown or len(view.sealed.dead) > self._config.dead_max):
            return False
        segment = self._build(snapshot)
        with self._writer:
            current = self._places
            dead = frozenset(r for r, place in snapshot.items() if current.get(r) is not place)
            late = {r: place for r, place in current.items() if snapshot.get(r) is not place}
            heads = (_flat(late),) if late else ()
            self._view = _View(replace(segment, dead=dead), heads, self._view.rotation)
        return True

    def rebuild(self) -> None:
        """Build every index anew from the templates held, exhaustive until the next `seal`."""
        with self._writer:
            self._view = _View(_flat(self._places), (), self._view.rotation)

    def expired(self, now: datetime) -> tuple[UUID, ...]:
        """Return the riders whose templates must not be used after `now`."""
        with self._writer:
            held = tuple(self._places.items())
        ends = ((rider, part.expires[row]) for rider, (part, row) in held)
        return tuple(UUID(bytes=r) for r, end in ends if end is not None and end <= now)

    def _merged(self, heads: Sequence[_Segment]) -> tuple[_Segment, ...]:
        """Merge the last heads while they are of like size, and leave out the empty ones."""
        kept = [head for head in heads if head.live]
        while len(kept) > 1 and kept[-2].live <= 2 * kept[-1].live:
            riders = [r for head in kept[-2:] for r in head.riders if r not in head.dead]
            kept[-2:] = [_flat({rider: self._places[rider] for rider in riders})]
        return tuple(kept)

    def _build(self, places: Mapping[bytes, _Place]) -> _Segment:
        if len(places) <= self._config.flat_max:
            return _flat(places)
        # The thread that seals is not the one that made the gallery, and the limit is a thread's.
        faiss.omp_set_num_threads(1)
        matrix = _matrix(places)
        quantised = faiss.IndexPQFastScan(matrix.shape[1], 128, 4, faiss.METRIC_INNER_PRODUCT)
        index = faiss.IndexRefineFlat(quantised)
        # Evenly spread rows: the order of arrival may follow the order of enrollment.
        index.train(matrix[:: -(-len(matrix) // self._config.train_max)])
        index.add(matrix)
        index.k_factor = 32
        return _Segment(index, tuple(places), frozenset(places), quantised=True)


def _placed(*parts: Templates) -> dict[bytes, _Place]:
    """Return where each rider's template is, the last where one has several."""
    places: dict[bytes, _Place] = {}
    for part in parts:
        places.update(zip(part.riders, zip(repeat(part), range(len(part))), strict=True))
    return places


def _matrix(places: Mapping[bytes, _Place]) -> npt.NDArray[np.float32]:
    """Return the vectors as rows, float32, shape (N, D), in the mapping's order.

    Row by row: one call that copies all of them would hold up every other thread.
    """
    part, _ = next(iter(places.values()))
    matrix = np.empty((len(places), part.vectors.shape[1]), np.float32)
    for place, (part, row) in enumerate(places.values()):
        matrix[place] = part.vectors[row]
    return matrix


def _flat(places: Mapping[bytes, _Place]) -> _Segment:
    return _indexed(tuple(places), [_matrix(places)] if places else [])


def _indexed(riders: Sequence[bytes], rows: Sequence[npt.NDArray[np.float32]]) -> _Segment:
    """Return an exhaustive segment of these riders, whose vectors are in these matrices."""
    if not riders:
        return _EMPTY
    index = faiss.IndexFlatIP(rows[0].shape[1])
    for each in rows:
        index.add(each)  # without Python's lock; in many pieces it would be copied twice
    return _Segment(index, riders, frozenset(riders))
