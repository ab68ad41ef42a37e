"""What the cloud does to a station's templates before they leave it: seal, sign, grant keys.

One for each station and epoch. Randomness is an argument.
"""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from cloud_sync.secrecy.chunk_signature import ChunkStamp
from cloud_sync.secrecy.grant import KeyGrant, wrap
from cloud_sync.secrecy.key_store import KeyRing
from cloud_sync.secrecy.keys import KEY_BYTES, RootKey, data_key, digest_key
from cloud_sync.secrecy.rotation import RotationSeed
from cloud_sync.secrecy.seal import NONCE_BYTES, Label, StationCipher


class Sealer:
    """Seals for one station and epoch; may be used by several threads."""

    __slots__ = (
        "_cipher",
        "_data_key",
        "_entropy",
        "_epoch",
        "_ring",
        "_root",
        "_station_id",
        "digest_key",
    )

    def __init__(
        self,
        ring: KeyRing,
        root: RootKey,
        *,
        station_id: str,
        epoch: UUID,
        entropy: Callable[[int], bytes],
    ) -> None:
        """Derive the keys.

        Args:
            ring: The operator's keys.
            root: The one of them that the epoch's keys come from.
            station_id: The station.
            epoch: The view's history.
            entropy: Gives that many random bytes, fit for keys.
        """
        self._ring, self._root = ring, root
        self._station_id, self._epoch = station_id, epoch
        self._entropy = entropy
        self._data_key = data_key(root, station_id=station_id, epoch=epoch)
        self._cipher = StationCipher(self._data_key, station_id=station_id, epoch=epoch)
        self.digest_key = digest_key(root, station_id=station_id, epoch=epoch)

    @property
    def key_id(self) -> str:
        """The root key that records are sealed under."""
        return self._root.key_id

    @property
    def rotations(self) -> tuple[RotationSeed, ...]:
        """What it grants for comparing templates."""
        return self._ring.rotations

    @property
    def station_id(self) -> str:
        """The station that it seals for."""
        return self._station_id

    @property
    def epoch(self) -> UUID:
        """The history that it seals for."""
        return self._epoch

    def seal(self, label: Label, packed: bytes) -> bytes:
        """Return the record that stands for a template's packed vector.

        Args:
            label: Whose it is, and what.
            packed: float16 little-endian values.
        """
        return self._cipher.seal(packed, label, nonce=self._entropy(NONCE_BYTES))

    def sign(self, stamp: ChunkStamp) -> bytes:
        """Return the cloud's signature of a chunk, 64 bytes."""
        return self._ring.cloud_key.sign(stamp)

    def granted(self, until: datetime, *, edge_id: str, recipient: bytes) -> bytes:
        """Return the keys that one node needs, wrapped to it.

        Args:
            until: The end of its lease, aware UTC.
            edge_id: The node, proven.
            recipient: The key it made for the stream, 32 bytes.

        Raises:
            GrantRefused: That is no key.
        """
        grant = KeyGrant(
            station_id=self._station_id,
            epoch=self._epoch,
            key_id=self.key_id,
            data_key=self._data_key,
            digest_key=self.digest_key,
            rotations=self._ring.rotations,
            valid_until=until,
        )
        entropy = self._entropy(KEY_BYTES)
        return wrap(grant, recipient=recipient, edge_id=edge_id, ephemeral=entropy)
