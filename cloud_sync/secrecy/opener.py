"""How a node reads what was sealed for it: the keys of one grant, ready for use.

A record is opened, checked, and its vector brought into the one transform in which the node
compares; all of that is in memory. This file does not know where grants are kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

import numpy as np
import numpy.typing as npt

from cloud_sync.secrecy.chunk_signature import ChunkVerifier
from cloud_sync.secrecy.grant import KeyGrant
from cloud_sync.secrecy.rotation import PLAIN, Rotation
from cloud_sync.secrecy.seal import Label, StationCipher


class Opener:
    """Opens templates of one station and epoch; keep it as long as the grant's keys stay."""

    __slots__ = ("_cipher", "_grant", "_rotations")

    def __init__(self, grant: KeyGrant, *, dimension: int) -> None:
        """Make the matrices, 0.1 s each.

        Args:
            grant: The keys.
            dimension: Values in a vector, from 1.
        """
        self._grant = grant
        self._cipher = StationCipher(grant.data_key, station_id=grant.station_id, epoch=grant.epoch)
        made = (Rotation(seed, dimension=dimension) for seed in grant.rotations)
        self._rotations = {rotation.transform_id: rotation for rotation in made}

    @property
    def key_id(self) -> str:
        """The root key behind the data key."""
        return self._grant.key_id

    @property
    def epoch(self) -> UUID:
        """The history that it is for."""
        return self._grant.epoch

    @property
    def digest_key(self) -> bytes:
        """Of the digests that are compared with the cloud, 32 bytes."""
        return self._grant.digest_key

    def serves(self, grant: KeyGrant) -> bool:
        """Return whether another grant has the same keys: a bookmark brings one every few seconds.

        Args:
            grant: A later one.
        """
        return replace(grant, valid_until=self._grant.valid_until) == self._grant

    @property
    def transforms(self) -> frozenset[str]:
        """The transforms whose vectors it brings home."""
        return frozenset((PLAIN, *self._rotations))

    def packed(self, sealed: bytes, label: Label) -> bytes:
        """Return the packed vector of a record, still turned.

        Raises:
            NotOpened: It is not what it is said to be.
        """
        return self._cipher.open(sealed, label)

    @property
    def home(self) -> Rotation | None:
        """What all templates of this node are turned by: the operator's current rotation.

        Whoever compares turns the probe in place of 50,000 templates. None where none is granted.
        """
        return next(iter(self._rotations.values()), None)

    def brought_home(
        self, vectors: npt.NDArray[np.float32], transform_ids: Sequence[str]
    ) -> tuple[npt.NDArray[np.float32], str]:
        """Return vectors in one transform, in the same order, and its id: that of `home`.

        Nearly all are there already; while keys are renewed others are not. All at once: one by
        one it takes four times as long.

        Args:
            vectors: float32, shape (N, D).
            transform_ids: Of each, one that it knows.
        """
        home = self.home
        if home is None:
            return vectors, PLAIN
        others = set(transform_ids) - {home.transform_id}
        if others:
            vectors = vectors.copy()
        for transform_id in others:
            rows = [row for row, one in enumerate(transform_ids) if one == transform_id]
            rotation = self._rotations.get(transform_id)
            plain = vectors[rows] if rotation is None else rotation.undo(vectors[rows])
            vectors[rows] = home.apply(plain)
        return vectors, home.transform_id


@dataclass(frozen=True, slots=True)
class Trust:
    """What a node believes the cloud's messages by; nothing of it is in a `repr`."""

    station_id: str
    opener: Opener | None = field(default=None, repr=False)
    """With it, only sealed templates are taken; without it, only plain ones."""
    verifier: ChunkVerifier | None = field(default=None, repr=False)
    """With it, only chunks and repairs signed by the cloud are taken."""
