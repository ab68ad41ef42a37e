"""A part of the FAISS index that nobody changes any more: rows, whose they are, and their scan."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cloud_sync.adapters.index.faiss_codec import Codec
from cloud_sync.master.candidate import REF_BYTES, Entries

Half = npt.NDArray[np.float16]
Rows = npt.NDArray[np.int64]

_SLICE = 64
"""Rows compared exactly at once: 64 kB of float16 and 128 kB of float32 at D = 512 stay in the
cache and on the heap; a megabyte at once would be mapped and unmapped for each probe."""
_GROWTH = 1.5


@dataclass(frozen=True, slots=True, eq=False)
class Keyed:
    """Whose row is whose, and which version; 28 bytes a row."""

    rider_refs: npt.NDArray[np.uint8]
    """uint8, shape (N, 16)."""
    versions: npt.NDArray[np.int32]
    """int32, shape (N,)."""
    order: npt.NDArray[np.int32]
    """Rows by the first half of their reference."""
    firsts: npt.NDArray[np.uint64]
    """Those halves, sorted."""

    def find(self, rider_refs: npt.NDArray[np.uint8]) -> Rows:
        """Return the last row of each reference, -1 for one that has none; int64, shape (M,).

        Args:
            rider_refs: uint8, shape (M, 16).
        """
        wanted = _firsts(rider_refs)
        low = np.searchsorted(self.firsts, wanted, "left")
        high = np.searchsorted(self.firsts, wanted, "right")
        found = np.full(len(wanted), -1, np.int64)
        for place in np.flatnonzero(low < high):
            for row in self.order[low[place] : high[place]]:
                if (self.rider_refs[row] == rider_refs[place]).all():
                    found[place] = max(found[place], row)
        return found


def keyed(rider_refs: npt.NDArray[np.uint8], versions: npt.NDArray[np.int32]) -> Keyed:
    """Return rows that can be found by their riders.

    Args:
        rider_refs: uint8, shape (N, 16).
        versions: int32, shape (N,).
    """
    firsts = _firsts(rider_refs)
    order = np.argsort(firsts, kind="stable").astype(np.int32)
    return Keyed(rider_refs, versions, order, firsts[order])


def _firsts(rider_refs: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
    return np.ascontiguousarray(rider_refs).view(">u8")[:, 0].astype(np.uint64)


def stale(keys: Keyed) -> frozenset[int]:
    """Return the rows whose rider has another row of a newer version, or a later one of the same.

    Args:
        keys: As they came from a stream, in its order.
    """
    same = np.flatnonzero(keys.firsts[1:] == keys.firsts[:-1])
    newest: dict[bytes, int] = {}
    dead: set[int] = set()
    for row in sorted({int(keys.order[each]) for at in same for each in (at, at + 1)}):
        ref = keys.rider_refs[row].tobytes()
        if ref in newest:
            older = keys.versions[row] < keys.versions[newest[ref]]
            dead.add(row if older else newest[ref])
            if older:
                continue
        newest[ref] = row
    return frozenset(dead)


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """Rows with what finds the best of them."""

    keys: Keyed
    rows: npt.NDArray[np.floating]
    """Shape (N, D): what candidates are compared with, exactly; float16 beside a codec, float32
    where every row is compared, since turning one into the other takes longer than comparing."""
    codec: Codec | None
    """None where every row is compared."""
    index: Any
    """The codec's FAISS index over the rows; None without a codec."""

    def __len__(self) -> int:
        """Return how many rows, those of tombstones among them."""
        return len(self.rows)

    def best(
        self, vector: npt.NDArray[np.float32], count: int
    ) -> tuple[npt.NDArray[np.float32], Rows]:
        """Return exact scores and rows of about the best of the segment, best first.

        Args:
            vector: float32, shape (D,).
            count: How many candidates are compared exactly, at least.
        """
        if self.codec is None:
            return ranked(self.rows, vector)
        rows = np.arange(len(self.rows))
        if count < len(rows):
            _, rows = self.codec.scan(self.index, vector, count)
        scores = _exact(self.rows, rows, vector)
        order = np.argsort(-scores, kind="stable")
        return scores[order], rows[order]


def ranked(
    held: npt.NDArray[np.floating], vector: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.float32], Rows]:
    """Return the scores and rows of everybody, best first.

    Args:
        held: float32, shape (N, D).
        vector: float32, shape (D,).
    """
    scores = held @ vector
    order = np.argsort(-scores, kind="stable")
    return scores[order].astype(np.float32, copy=False), order


def _exact(
    held: npt.NDArray[np.floating], rows: Rows, vector: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Return the cosines of some rows, float32, shape (M,)."""
    scores = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), _SLICE):
        part = slice(start, start + _SLICE)
        scores[part] = held[rows[part]].astype(np.float32) @ vector
    return scores


def sealed(
    rider_refs: npt.NDArray[np.uint8],
    versions: npt.NDArray[np.int32],
    rows: npt.NDArray[np.floating],
    codec: Codec | None,
) -> Segment:
    """Return a segment of these rows; they must not change from here on.

    Args:
        rider_refs: uint8, shape (N, 16).
        versions: int32, shape (N,).
        rows: float16 or float32, shape (N, D).
        codec: None to compare every row.
    """
    keys = keyed(rider_refs, versions)
    if codec is None:
        return Segment(keys, rows.astype(np.float32, copy=False), None, None)
    return Segment(keys, rows.astype(np.float16, copy=False), codec, codec.encode(rows))


def gather(
    batches: Iterable[Entries], *, dimension: int, room: int = 65_536
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32], Half]:
    """Return a stream's columns as three arrays, the vectors in float16.

    The arrays grow in place: the allocator moves pages, not bytes, so that there is never a second
    copy of three gigabytes.

    Args:
        batches: The stream.
        dimension: Values in a vector.
        room: Rows to make room for at first, from 1.
    """
    refs = np.empty((room, REF_BYTES), np.uint8)
    versions = np.empty(room, np.int32)
    rows = np.empty((room, dimension), np.float16)
    count = 0
    for batch in batches:
        end = count + len(batch)
        if end > len(rows):
            _resize((refs, versions, rows), max(end, int(_GROWTH * len(rows))))
        refs[count:end] = batch.rider_refs
        versions[count:end] = batch.versions
        rows[count:end] = batch.vectors
        count = end
    _resize((refs, versions, rows), count)
    return refs, versions, rows


def _resize(arrays: Iterable[npt.NDArray[Any]], count: int) -> None:
    for each in arrays:
        each.resize((count, *each.shape[1:]), refcheck=False)  # nobody else has seen them yet


def living(segment: Segment, dead: frozenset[int], *, batch: int = 8_192) -> Iterator[Entries]:
    """Yield what still counts of a segment, in its order.

    Args:
        segment: The segment.
        dead: Its tombstones.
        batch: Rows at once, from 1.
    """
    keep = np.ones(len(segment), bool)
    keep[list(dead)] = False
    for start in range(0, len(segment), batch):
        part = slice(start, start + batch)
        alive = keep[part]
        yield Entries(
            segment.keys.rider_refs[part][alive],
            segment.keys.versions[part][alive],
            segment.rows[part][alive].astype(np.float32),
        )
