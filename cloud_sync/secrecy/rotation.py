"""Keyed rotations of embeddings: templates that can be renewed, and not linked across operators.

A secret orthogonal matrix turns every template of an operator. Cosines between templates turned
by the same matrix are what they were, so nothing is lost in accuracy; a template that got out is
worthless to another operator, and a new matrix renews them all. It is *not* irreversible: whoever
has the seed, or as many known pairs of plain and turned vectors as there are dimensions, turns
them back. What keeps templates secret is their encryption.
"""

import hashlib
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from cloud_sync.secrecy.keys import KEY_BYTES, check_key_id

PLAIN = "plain"
"""The transform id of vectors that are not turned."""

_PREFIX = "rot-"
_UNIT = 2.0**-53
"""Distance between the uniform values taken from the stream: the precision of a double."""


@dataclass(frozen=True, slots=True)
class RotationSeed:
    """What a rotation is made from; its `repr` shows the id alone."""

    rotation_id: str
    """8 hex digits; never used for two seeds."""
    secret: bytes = field(repr=False)
    """32 random bytes."""

    def __post_init__(self) -> None:
        """Refuse what is no seed; the message holds nothing of it.

        Raises:
            ValueError: The id or the secret has another shape.
        """
        check_key_id(self.rotation_id)
        if len(self.secret) != KEY_BYTES:
            raise ValueError(f"a seed has {KEY_BYTES} bytes, not {len(self.secret)}")

    @property
    def transform_id(self) -> str:
        """What templates turned by it say of themselves: `rot-` and the id."""
        return _PREFIX + self.rotation_id


class Rotation:
    """One orthogonal matrix, ready for use; 1 MB at 512 dimensions, made in about 0.1 s."""

    __slots__ = ("_matrix", "transform_id")

    def __init__(self, seed: RotationSeed, *, dimension: int = 512) -> None:
        """Make the matrix; the same seed and dimension give the same one everywhere.

        Args:
            seed: The secret.
            dimension: Values in a vector, from 1.
        """
        self.transform_id = seed.transform_id
        self._matrix = orthogonal(seed.secret, dimension).astype(np.float32)

    def apply(self, vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Turn vectors; cosines between them stay what they are.

        Args:
            vectors: float32, shape (D,) or (N, D).
        """
        return vectors @ self._matrix

    def undo(self, vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Turn vectors back.

        Args:
            vectors: float32, shape (D,) or (N, D), as `apply` returned them.
        """
        return vectors @ self._matrix.T


def orthogonal(secret: bytes, dimension: int) -> npt.NDArray[np.float64]:
    """Return an orthogonal matrix drawn from all of them alike (Haar), float64, shape (D, D).

    The secret is stretched by SHAKE-256 into uniform values, these become normal ones by
    Box and Muller, and the Q of their QR decomposition with the signs of R's diagonal moved into
    it is the matrix (Mezzadri 2007, section 5): that decomposition is unique, so that two builds of
    LAPACK agree to within rounding. NumPy's own generators promise no such thing across versions.

    Args:
        secret: Random bytes.
        dimension: D, from 1.
    """
    count = dimension * dimension
    stream = hashlib.shake_256(b"gateline rotation 1" + secret).digest(16 * count)
    drawn = np.frombuffer(stream, dtype="<u8").reshape(2, count) >> np.uint64(11)
    radius = np.sqrt(-2.0 * np.log((drawn[0].astype(np.float64) + 0.5) * _UNIT))
    normal = radius * np.cos(2.0 * np.pi * _UNIT * drawn[1].astype(np.float64))
    q, r = np.linalg.qr(normal.reshape(dimension, dimension))
    return np.asarray(q * np.where(np.diag(r) < 0, -1.0, 1.0), dtype=np.float64)
