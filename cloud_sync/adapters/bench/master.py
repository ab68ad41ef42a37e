"""The candidate index on this machine, at a city's size, against exhaustive search.

The people are generated (`cloud_sync.master.crowd` says how and how near to real ones). Everything
is made in slices, so that the largest thing in memory is the index itself.
"""

import gc
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from cloud_sync.adapters.index.faiss_index import FaissCandidateIndex, FaissIndexConfig
from cloud_sync.content import Space
from cloud_sync.master.candidate import Entries
from cloud_sync.master.crowd import Crowd, Probes

_RIVAL_LOOKS = 15
"""Exhaustive search of one probe takes up to seconds; its spread is small."""
_ROOM = 1.5
"""A rival is left out where it needs more than the free memory divided by this."""
_KINDS = ("genuine", "hard", "stranger")

Now = Callable[[], float]


@dataclass(frozen=True, slots=True)
class MasterFigures:
    """What was measured at one size."""

    count: int
    build_s: float
    """Without the time in which the people were made."""
    index_bytes: int
    resident_bytes: int
    """By how much the process grew."""
    p50_ms: float
    p99_ms: float
    """Of one query on one core, by the clock on the wall."""
    cpu_p50_ms: float
    """Of the same by the time that the core spent on it: what is left when others share it."""
    equal: tuple[float, ...]
    """Share with the same first candidate as exhaustive search: genuine, hard, strangers."""
    looks: int
    """Probes of each kind."""
    found: tuple[float, ...]
    """Share of genuine and of hard probes that exhaustive search itself finds first."""
    flat_ms: float | None
    """The core's time, p50, of `IndexFlatIP`; None where it did not fit into memory."""
    half_ms: float | None
    """The core's time, p50, of `IndexScalarQuantizer` with float16; None where it did not fit."""

    def __str__(self) -> str:
        """Return some lines for people."""
        shares = ", ".join(
            f"{kind} {100 * share:.2f} %" for kind, share in zip(_KINDS, self.equal, strict=True)
        )
        return (
            f"{self.count:,} templates: built in {self.build_s:.1f} s, "
            f"{self.index_bytes / 1e9:.2f} GB (process +{self.resident_bytes / 1e9:.2f} GB)\n"
            f"  one query on one core: p50 {self.p50_ms:.2f} ms, p99 {self.p99_ms:.2f} ms "
            f"(of the core's time p50 {self.cpu_p50_ms:.2f} ms)\n"
            f"  instead of it: {_rival('IndexFlatIP', self.flat_ms, self.cpu_p50_ms)}, "
            f"{_rival('float16', self.half_ms, self.cpu_p50_ms)} of the core's time\n"
            f"  same first candidate as exhaustive search, {self.looks:,} probes a kind: {shares}\n"
            f"  (exhaustive search finds {100 * self.found[0]:.1f} % of the genuine and "
            f"{100 * self.found[1]:.1f} % of the hard probes first)"
        )


def _rival(name: str, ms: float | None, ours_ms: float) -> str:
    return f"{name} not measured" if ms is None else f"{name} {ms:.1f} ms ({ms / ours_ms:.0f} x)"


def master(
    count: int,
    *,
    looks: int,
    now_s: Now,
    cpu_s: Now,
    config: FaissIndexConfig | None = None,
    dimension: int = 512,
) -> MasterFigures:
    """Build an index of generated people, search it, and compare.

    Args:
        count: Templates, from 1.
        looks: Probes of each kind, from 1.
        now_s: A monotonic clock, seconds.
        cpu_s: The time that this thread has spent on a core, seconds.
        config: Of the index.
        dimension: Values in a template.
    """
    crowd = Crowd(count, dimension=dimension)
    probes = crowd.probes(looks)
    flat_ms = _exhaustive(crowd, probes, cpu_s, bytes_each=4 * crowd.dimension)
    half_ms = _exhaustive(crowd, probes, cpu_s, bytes_each=2 * crowd.dimension)
    before = _resident()
    index = FaissCandidateIndex(Space("bench", dimension=dimension), config)
    feed = _Timed(crowd.slices(), now_s)
    began_s = now_s()
    index.build(feed)
    build_s = now_s() - began_s - feed.spent_s
    resident = _resident() - before
    took_ms, spent_ms, first = _searched(index, probes, now_s, cpu_s)
    truth, found = _truth(crowd, probes)
    same = [mine == ref for mine, ref in zip(first, truth, strict=True)]
    return MasterFigures(
        count,
        build_s,
        index.nbytes,
        resident,
        float(np.quantile(took_ms, 0.5)),
        float(np.quantile(took_ms, 0.99)),
        float(np.quantile(spent_ms, 0.5)),
        _by_kind(same, probes),
        looks,
        _by_kind(found, probes)[:2],
        flat_ms,
        half_ms,
    )


class _Timed:
    """A stream that knows how long its source took."""

    def __init__(self, source: Iterable[Entries], now_s: Now) -> None:
        self._source = iter(source)
        self._now_s = now_s
        self.spent_s = 0.0

    def __iter__(self) -> Iterator[Entries]:
        while True:
            began_s = self._now_s()
            batch = next(self._source, None)
            self.spent_s += self._now_s() - began_s
            if batch is None:
                return
            yield batch


def _searched(
    index: FaissCandidateIndex, probes: Probes, now_s: Now, cpu_s: Now
) -> tuple[list[float], list[float], list[bytes]]:
    took_ms, spent_ms, first = [], [], []
    index.search(probes.vectors[:3], 2)  # the first touch of the pages
    for vector in probes.vectors:
        began_s, began_cpu_s = now_s(), cpu_s()
        (found,) = index.search(vector[np.newaxis], 2)
        spent_ms.append(1e3 * (cpu_s() - began_cpu_s))
        took_ms.append(1e3 * (now_s() - began_s))
        first.append(found[0].rider_ref.bytes)
    return took_ms, spent_ms, first


def _truth(crowd: Crowd, probes: Probes) -> tuple[list[bytes], list[bool]]:
    """Compare every probe with everybody: float32 over the float16 that wire and disk hold."""
    best = np.full(len(probes.vectors), -2.0, np.float32)
    place = np.zeros(len(best), np.int64)
    refs = np.zeros((len(best), 16), np.uint8)
    start = 0
    for part in crowd.slices():
        held = part.vectors.astype(np.float16).astype(np.float32)
        scores = probes.vectors @ held.T
        row = scores.argmax(axis=1)
        top = scores[np.arange(len(row)), row]
        better = top > best
        best[better], place[better] = top[better], start + row[better]
        refs[better] = part.rider_refs[row[better]]
        start += len(part)
    return [ref.tobytes() for ref in refs], (place == probes.owners).tolist()


def _by_kind(marks: Iterable[bool], probes: Probes) -> tuple[float, ...]:
    marked, kinds = np.array(list(marks)), np.array(probes.kinds)
    return tuple(float(marked[kinds == kind].mean()) for kind in _KINDS)


def _exhaustive(crowd: Crowd, probes: Probes, cpu_s: Now, *, bytes_each: int) -> float | None:
    """Return the p50 of what somebody would run instead, milliseconds, on one core."""
    if crowd.count * bytes_each * _ROOM > _free():
        return None
    faiss.omp_set_num_threads(1)
    index: Any = faiss.IndexFlatIP(crowd.dimension)
    if bytes_each == 2 * crowd.dimension:
        kind = faiss.ScalarQuantizer.QT_fp16
        index = faiss.IndexScalarQuantizer(crowd.dimension, kind, faiss.METRIC_INNER_PRODUCT)
    index.codes.resize(crowd.count * bytes_each)  # all at once, or it would grow by copies
    index.codes.resize(0)
    for part in crowd.slices():
        index.add(part.vectors)
    took_ms = []
    step = max(1, len(probes.vectors) // _RIVAL_LOOKS)
    for vector in probes.vectors[::step]:
        began_s = cpu_s()
        index.search(vector[np.newaxis], 2)
        took_ms.append(1e3 * (cpu_s() - began_s))
    del index
    gc.collect()
    return float(np.median(took_ms))


def _resident() -> int:
    """Return the bytes of memory that this process holds now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096


def _free() -> int:
    """Return the bytes of memory that this machine has to spare."""
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0
