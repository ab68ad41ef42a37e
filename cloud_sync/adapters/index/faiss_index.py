"""The candidate index in process: sealed segments, a growing head, tombstones, one pointer.

FAISS is not safe for search beside mutation, so nothing that a search can see is ever changed: the
head is appended to behind what its readers see, tombstones are new sets, and each change ends with
the swap of one pointer. A full head becomes a segment at once; segments are merged, and the codec
is trained again, by `seal`, in a thread that nobody waits for.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from threading import Lock
from uuid import UUID

import numpy as np
import numpy.typing as npt

from cloud_sync.adapters.index.faiss_codec import CENTROIDS, Codec, CodecConfig, train
from cloud_sync.adapters.index.segment import (
    Rows,
    Segment,
    gather,
    living,
    ranked,
    sealed,
    stale,
)
from cloud_sync.content import Space
from cloud_sync.master.candidate import REF_BYTES, Candidate, Drop, Entries, check_probes

_NONE: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class FaissIndexConfig:
    """When to use which part; the figures are those of `docs/decisions/0007`."""

    codec: CodecConfig = field(default_factory=CodecConfig)
    """How coarse the scan is."""
    refine: int = 1_024
    """Candidates that the scan proposes and that are compared exactly, from 1."""
    flat_max: int = 8_192
    """Templates, from 16 (a codec needs as many), up to which every row is compared: 3 ms."""
    head_max: int = 4_096
    """Templates in the head, from 1; a full head becomes a segment."""
    segments_max: int = 6
    """Segments, from 2; more are merged at the next `seal`, all but the largest."""
    dead_share_max: float = 0.1
    """Share of tombstones, above 0, from which everything is built anew at the next `seal`."""

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ValueError: One is out of range.
        """
        counts = min(self.refine, self.head_max) >= 1 and self.segments_max >= 2
        counts = counts and self.flat_max >= CENTROIDS
        if not counts or not 0 < self.dead_share_max < 1:
            raise ValueError(f"out of range: {self}")


class _Head:
    """Rows that came last; written behind what any view shows."""

    def __init__(self, room: int, dimension: int) -> None:
        self.rider_refs = np.empty((room, REF_BYTES), np.uint8)
        self.versions = np.empty(room, np.int32)
        self.rows = np.empty((room, dimension), np.float32)
        self.row_of: dict[bytes, int] = {}
        self.count = 0

    def append(self, ref: bytes, version: int, vector: npt.NDArray[np.float32]) -> None:
        """Write one more row."""
        row = self.count
        self.rider_refs[row] = np.frombuffer(ref, np.uint8)
        self.versions[row] = version
        self.rows[row] = vector
        self.row_of[ref] = row
        self.count += 1


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """What one search sees; replaced as a whole, never changed."""

    segments: tuple[Segment, ...]
    dead: tuple[frozenset[int], ...]
    """The tombstones of each segment."""
    head: _Head
    shown: int
    """Rows of the head that count."""
    head_dead: frozenset[int]

    @property
    def rows(self) -> int:
        """Rows in all, tombstones among them."""
        return sum(map(len, self.segments)) + self.shown

    @property
    def size(self) -> int:
        return self.rows - sum(map(len, self.dead)) - len(self.head_dead)

    @property
    def codec(self) -> Codec | None:
        """The codec of the largest segment that has one."""
        coded = [each for each in self.segments if each.codec is not None]
        return max(coded, key=len).codec if coded else None


class FaissCandidateIndex:
    """Millions of templates of one space; any thread searches, one at a time changes."""

    def __init__(self, space: Space, config: FaissIndexConfig | None = None) -> None:
        """Start empty.

        Args:
            space: Of every template that will come.
            config: When to use which part.
        """
        self._space = space
        self._config = config or FaissIndexConfig()
        self._writer = Lock()
        self._view = self._empty()

    @property
    def space(self) -> Space:
        """The space of every template in it."""
        return self._space

    @property
    def size(self) -> int:
        """How many riders it holds."""
        return self._view.size

    @property
    def nbytes(self) -> int:
        """Bytes of rows, references and codes."""
        view = self._view
        total = view.head.rows.nbytes
        for each in view.segments:
            keys = each.keys
            columns = (each.rows, keys.rider_refs, keys.versions, keys.order, keys.firsts)
            total += sum(column.nbytes for column in columns)
            total += 0 if each.codec is None else len(each) * self._config.codec.quantizers // 2
        return total

    def search(self, vectors: npt.NDArray[np.float32], k: int) -> tuple[tuple[Candidate, ...], ...]:
        """Return the k best riders for each probe, best first."""
        check_probes(self._space, vectors)
        view = self._view
        return tuple(self._best(view, each, k) for each in vectors.astype(np.float32, copy=False))

    def apply(self, puts: Entries, drops: Iterable[Drop] = ()) -> None:
        """Forget `drops`, then hold `puts`; costs what changes, not what is held."""
        check_probes(self._space, puts.vectors)
        gone = tuple(drops)
        with self._writer:
            edit = _Edit(self._view, self._config)
            refs = b"".join(each.rider_ref.bytes for each in gone)
            edit.drop(_columns(refs), [each.version for each in gone])
            edit.put(puts)
            self._view = edit.view

    def build(self, batches: Iterable[Entries]) -> None:
        """Hold what comes and nothing else; searches go on in what was held."""
        segment, dead = self._built(self._checked(batches), None)
        with self._writer:
            self._view = replace(self._empty(), segments=(segment,), dead=(dead,))

    def seal(self) -> bool:
        """Merge segments, drop tombstones and train the codec anew, where that is due."""
        with self._writer:
            view = self._view
        merged, codec = _due(view, self._config)
        if not merged:
            return False
        parts = [living(view.segments[each], view.dead[each]) for each in merged]
        segment, dead = self._built(chain.from_iterable(parts), codec)
        with self._writer:
            now = self._view
            place = {id(each): number for number, each in enumerate(now.segments)}
            old = [view.segments[each] for each in merged]
            if not all(id(each) in place for each in old):
                return False  # everything was built anew meanwhile
            for number, each in zip(merged, old, strict=True):
                late = sorted(now.dead[place[id(each)]] - view.dead[number])
                found = segment.keys.find(each.keys.rider_refs[late])
                dead |= frozenset(found.tolist())
            gone = {place[id(each)] for each in old}
            keep = [number for number in range(len(now.segments)) if number not in gone]
            self._view = replace(
                now,
                segments=(segment, *(now.segments[each] for each in keep)),
                dead=(dead, *(now.dead[each] for each in keep)),
            )
        return True

    def _empty(self) -> _View:
        head = _Head(self._config.head_max, self._space.dimension)
        return _View((), (), head, 0, _NONE)

    def _checked(self, batches: Iterable[Entries]) -> Iterable[Entries]:
        for batch in batches:
            check_probes(self._space, batch.vectors)
            yield batch

    def _built(
        self, batches: Iterable[Entries], codec: Codec | None
    ) -> tuple[Segment, frozenset[int]]:
        """Return a stream as one segment, and what in it was overtaken by later entries."""
        refs, versions, rows = gather(batches, dimension=self._space.dimension)
        if codec is None and len(rows) > self._config.flat_max:
            step = -(-len(rows) // self._config.codec.train_max)
            # Evenly spread: the order of the stream may follow the order of enrollment.
            codec = train(rows[::step].astype(np.float32), self._config.codec)
        segment = sealed(refs, versions, rows, codec)
        return segment, stale(segment.keys)

    def _best(self, view: _View, vector: npt.NDArray[np.float32], k: int) -> tuple[Candidate, ...]:
        fetch = max(self._config.refine, 4 * k)
        while True:
            found = _found(view, vector, k, fetch)
            if len(found) >= min(k, view.size) or fetch >= view.rows:
                return tuple(found)
            fetch *= 4  # tombstones were in the way


def _found(view: _View, vector: npt.NDArray[np.float32], k: int, fetch: int) -> list[Candidate]:
    """Return the k best living rows of all parts."""
    best: list[tuple[float, bytes, int]] = []
    for segment, dead in zip(view.segments, view.dead, strict=True):
        # A part holds its share of the riders who come close; a few more, for the luck of it.
        share = max(min(fetch, 64), fetch * len(segment) // max(view.rows, 1))
        scores, rows = segment.best(vector, share)
        best += _named(segment.keys.rider_refs, segment.keys.versions, dead, (scores, rows), k)
    head = view.head
    latest = ranked(head.rows[: view.shown], vector)
    best += _named(head.rider_refs, head.versions, view.head_dead, latest, k)
    best.sort(key=lambda each: -each[0])
    return [Candidate(UUID(bytes=ref), version, score) for score, ref, version in best[:k]]


def _named(
    rider_refs: npt.NDArray[np.uint8],
    versions: npt.NDArray[np.int32],
    dead: frozenset[int],
    found: tuple[npt.NDArray[np.float32], Rows],
    k: int,
) -> list[tuple[float, bytes, int]]:
    """Return score, reference and version of the first k rows that are not tombstones."""
    named: list[tuple[float, bytes, int]] = []
    for score, row in zip(*found, strict=True):
        if len(named) == k:
            break
        if int(row) not in dead:
            named.append((float(score), rider_refs[row].tobytes(), int(versions[row])))
    return named


class _Edit:
    """A change in progress: the next view, made of the one before."""

    def __init__(self, view: _View, config: FaissIndexConfig) -> None:
        self._config = config
        self._segments = list(view.segments)
        self._dead: list[frozenset[int] | set[int]] = list(view.dead)
        self._head = view.head
        self._head_dead = set(view.head_dead)
        self._codec = view.codec

    @property
    def view(self) -> _View:
        """The view after the change."""
        dead = tuple(map(frozenset, self._dead))  # those that did not change are not copied
        head_dead = frozenset(self._head_dead)
        return _View(tuple(self._segments), dead, self._head, self._head.count, head_dead)

    def drop(self, rider_refs: npt.NDArray[np.uint8], versions: Sequence[int]) -> None:
        """Bury rows of these versions and older ones."""
        rows = [each.keys.find(rider_refs) for each in self._segments]
        for place, version in enumerate(versions):
            ref = rider_refs[place].tobytes()
            self._bury(ref, [int(each[place]) for each in rows], version)

    def put(self, puts: Entries) -> None:
        """Add rows, and bury those they replace; one that comes late is passed over."""
        rows = [each.keys.find(puts.rider_refs) for each in self._segments]
        for place, version in enumerate(puts.versions):
            ref = puts.rider_refs[place].tobytes()
            if not self._bury(ref, [int(each[place]) for each in rows], int(version)):
                continue
            if self._head.count == len(self._head.rows):
                self._seal_head()
                rows.append(self._segments[-1].keys.find(puts.rider_refs))
            self._head.append(ref, int(version), puts.vectors[place])

    def _bury(self, ref: bytes, rows: Sequence[int], version: int) -> bool:
        """Bury the living row of a rider; return whether none of a newer version is left."""
        row = self._head.row_of.get(ref, -1)
        if row >= 0 and row not in self._head_dead:
            if self._head.versions[row] > version:
                return False
            self._head_dead.add(row)
        for number, row in enumerate(rows):
            if row < 0 or row in self._dead[number]:
                continue
            if self._segments[number].keys.versions[row] > version:
                return False
            dead = self._dead[number]
            self._dead[number] = dead = dead if isinstance(dead, set) else set(dead)
            dead.add(row)
        return True

    def _seal_head(self) -> None:
        head = self._head
        codec = self._codec if head.count > self._config.refine else None
        self._segments.append(sealed(head.rider_refs, head.versions, head.rows, codec))
        self._dead.append(frozenset(self._head_dead))
        self._head = _Head(len(head.rows), head.rows.shape[1])
        self._head_dead = set()


def _due(view: _View, config: FaissIndexConfig) -> tuple[tuple[int, ...], Codec | None]:
    """Return which segments are to be merged, and the codec; None is a new one where one is due."""
    everything = tuple(range(len(view.segments)))
    rows = sum(map(len, view.segments))
    codec = view.codec
    dead = sum(map(len, view.dead))
    if codec is None and rows - dead > config.flat_max:
        return everything, None
    # Evenly spread rows are at least half of `train_max` once there are as many.
    if codec is not None and codec.trained_on < min(rows // 4, config.codec.train_max // 2):
        return everything, None
    if dead > config.dead_share_max * rows:
        return everything, codec
    if len(everything) > config.segments_max:
        largest = max(everything, key=lambda each: len(view.segments[each]))
        return tuple(each for each in everything if each != largest), codec
    return (), codec


def _columns(refs: bytes) -> npt.NDArray[np.uint8]:
    return np.frombuffer(refs, np.uint8).reshape(-1, REF_BYTES)
