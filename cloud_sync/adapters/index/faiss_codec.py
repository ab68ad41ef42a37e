"""Templates in 32 bytes each, for a scan of millions: principal axes, then product quantization.

An embedder uses its 512 dimensions unevenly: of `open`'s templates 128 principal axes hold 98 %
(measured on the templates of 500 people). So the rest is dropped from the scan, the axes are dealt
out to the sub-quantizers so that each gets as much spread as any other (the allocation of optimized
product quantization, Ge 2013, section 3.2), and FAISS's 4-bit fast scan does the rest. What the
scan proposes is compared exactly afterwards; how many it must propose is in `docs/decisions/0007`.
"""

from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float32]

CENTROIDS = 16
"""Of 4 bits: what the fast scan holds in a register."""
_BLOCK = 16_384
"""Rows encoded at once: 32 MB of float32 at D = 512."""


@dataclass(frozen=True, slots=True)
class CodecConfig:
    """How coarse the scan is."""

    axes: int = 128
    """Principal axes kept, a multiple of `quantizers`, at most D."""
    quantizers: int = 64
    """Sub-quantizers of 4 bits, even (the fast scan takes them in pairs); half as many bytes a
    template are scanned, and the time of a scan follows them."""
    train_max: int = 65_536
    """Templates that the codec is trained on, from 16 (as many as it has centroids)."""

    def __post_init__(self) -> None:
        """Refuse figures that FAISS cannot use.

        Raises:
            ValueError: A figure is out of range.
        """
        fits = self.quantizers >= 2 and self.quantizers % 2 == 0
        if not fits or self.axes < 1 or self.axes % self.quantizers or self.train_max < CENTROIDS:
            raise ValueError(f"out of range: {self}")


@dataclass(frozen=True, slots=True, eq=False)
class Codec:
    """A trained way to shorten vectors; never changed."""

    axes: Matrix
    """float32, shape (D, axes): what a vector is multiplied with, grouped by sub-quantizer."""
    empty: Any
    """A trained FAISS index without rows."""
    trained_on: int
    """Templates it was trained on."""

    def encode(self, rows: npt.NDArray[np.floating]) -> Any:
        """Return a FAISS index of these rows, in their order.

        Args:
            rows: Any float type, shape (N, D); taken in blocks, so N may be millions.
        """
        # A thread that encodes is not the one that made the codec, and the limit is a thread's.
        faiss.omp_set_num_threads(1)
        index = faiss.clone_index(self.empty)
        for start in range(0, len(rows), _BLOCK):
            block = rows[start : start + _BLOCK].astype(np.float32)
            index.add(block @ self.axes)
        return index

    def scan(self, index: Any, vector: Matrix, count: int) -> tuple[Matrix, npt.NDArray[np.int64]]:
        """Return the rough scores and rows of the best of an index, best first.

        Args:
            index: As `encode` returned it.
            vector: float32, shape (D,).
            count: How many, at most what the index holds.
        """
        faiss.omp_set_num_threads(1)  # one core a search: one query has nothing to split
        scores, rows = index.search((vector @ self.axes)[np.newaxis], count)
        found = rows[0] >= 0
        return scores[0][found], rows[0][found]


def train(sample: Matrix, config: CodecConfig) -> Codec:
    """Learn axes and centroids.

    Args:
        sample: float32, shape (N, D), from 16 rows, spread over all that will be encoded.
        config: How coarse.
    """
    faiss.omp_set_num_threads(1)
    # Not centered: inner products are compared, and the mean is a part of them.
    moments = sample.T.astype(np.float64) @ sample / len(sample)
    spread, axes = np.linalg.eigh(moments)
    kept = spread[::-1][: config.axes]
    order = _dealt(kept, config.quantizers)
    chosen = np.ascontiguousarray(axes[:, ::-1][:, order], np.float32)
    empty = faiss.IndexPQFastScan(config.axes, config.quantizers, 4, faiss.METRIC_INNER_PRODUCT)
    empty.train(sample @ chosen)
    return Codec(chosen, empty, len(sample))


def _dealt(spread: npt.NDArray[np.float64], quantizers: int) -> list[int]:
    """Deal axes out, the widest first, each to the sub-quantizer with the least so far."""
    places = len(spread) // quantizers
    floor = max(float(spread[-1]), 1e-9)
    hands: list[list[int]] = [[] for _ in range(quantizers)]
    weight = [0.0] * quantizers
    for axis, wide in enumerate(spread):
        hand = min(
            (each for each in range(quantizers) if len(hands[each]) < places),
            key=weight.__getitem__,
        )
        hands[hand].append(axis)
        weight[hand] += float(np.log1p(max(float(wide), 0.0) / floor))
    return [axis for hand in hands for axis in hand]
