"""Templates of people who do not exist, to fill a gallery to the size of a city's.

Deterministic by seed. Real embeddings do not use all their dimensions evenly: these lie near a
subspace of 160 with a little noise around it, which gives cosines between strangers a mean of 0 and
a spread of 0.08, near what face models show.
"""

from uuid import UUID, uuid5

import numpy as np

from cloud_sync.gallery import Template

_RANK = 160
"""Dimensions that carry most of the spread."""
_NOISE = 0.15
"""Of the rest, against each of those."""
_BASIS_SEED = 20_260_504
"""One subspace for all galleries, as one model has."""
_NAMESPACE = UUID("6a8f2d0c-5f0b-5c59-9d6e-2f7f3f0a6b11")


def templates(
    count: int, *, seed: int, model_id: str, transform_id: str = "plain", dimension: int = 512
) -> tuple[Template, ...]:
    """Return templates of generated riders; the same arguments give the same ones.

    Args:
        count: How many, 0 or more; a smaller count gives the first of a larger one.
        seed: Which people.
        model_id: The embedder they pretend to come from.
        transform_id: The transform they pretend to have.
        dimension: Values in a vector.
    """
    basis = np.random.default_rng(_BASIS_SEED).standard_normal((_RANK, dimension))
    basis /= np.sqrt(_RANK)
    riders = np.random.default_rng(seed)
    made: list[Template] = []
    for start in range(0, count, 1_000):  # in slices, so that a prefix does not depend on count
        inner = riders.standard_normal((1_000, _RANK), dtype=np.float32)
        outer = riders.standard_normal((1_000, dimension), dtype=np.float32)
        vectors = inner @ basis.astype(np.float32) + _NOISE * outer
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        made.extend(
            Template(
                rider_ref=uuid5(_NAMESPACE, f"{seed}/{start + place}"),
                version=1,
                model_id=model_id,
                transform_id=transform_id,
                vector=vectors[place],
            )
            for place in range(min(1_000, count - start))
        )
    return tuple(made)
