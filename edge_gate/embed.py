"""Embeddings: to unit length, and several of one person into one.

The same fusion makes the probe of a track and the template of a rider.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edge_gate.face import Embedding


class NoDirection(Exception):
    """An embedding is zero or not finite, so it points nowhere."""


def normalise(rows: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """Scale each row to unit length.

    Args:
        rows: Shape (N, D).

    Returns:
        float32, shape (N, D).

    Raises:
        NoDirection: A row is zero or not finite.
    """
    lengths = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    if not (np.isfinite(lengths).all() and (lengths > 0).all()):
        raise NoDirection("an embedding is zero or not finite")
    unit: npt.NDArray[np.float32] = (rows / lengths).astype(np.float32)
    return unit


def fuse(embeddings: Sequence[Embedding], qualities: Sequence[float]) -> Embedding:
    """Combine the embeddings of one person's pictures, the better pictures counting more.

    Args:
        embeddings: Unit vectors, each shape (D,), at least one.
        qualities: Quality score of each picture, above 0.

    Returns:
        The unit vector along the weighted sum, shape (D,).

    Raises:
        ValueError: No embedding, or a weight that is missing or not above 0.
        NoDirection: The pictures cancel out, so they are not of one person.
    """
    if not embeddings or len(embeddings) != len(qualities) or min(qualities) <= 0:
        raise ValueError(f"{len(embeddings)} embeddings with weights {list(qualities)}")
    total = np.asarray(qualities, dtype=np.float64) @ np.stack(embeddings).astype(np.float64)
    # Two unit vectors of one person never point apart; rounding leaves at least this much.
    if float(np.linalg.norm(total)) < 1e-6 * sum(qualities):
        raise NoDirection("the embeddings cancel out")
    fused: Embedding = normalise(total[None, :])[0]
    return fused
