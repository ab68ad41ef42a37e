"""The cloud's own records at rest: sealed under the current root key, opened under any known one.

A record says of itself which root key it is under; what it is for (its table and column) is in
the key, and what it belongs to (its row) is authenticated beside it. Pure but for the key store
and the randomness given to it; this file does not know about SQL.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cloud_sync.secrecy.key_store import KeyRing, KeyStore
from cloud_sync.secrecy.keys import KEY_ID_BYTES, RootKey, at_rest_key
from cloud_sync.secrecy.rotation import PLAIN, Rotation
from cloud_sync.secrecy.seal import NONCE_BYTES, TAG_BYTES, NotOpened, opened

MAGIC = b"\0gl1"
"""What every record begins with; the digit is its format."""
HEAD_BYTES = len(MAGIC) + KEY_ID_BYTES
"""Of what a record says in plain: that it is one, and under which root key."""
OVERHEAD = HEAD_BYTES + NONCE_BYTES + TAG_BYTES
"""Bytes that a record has more than its content: 36."""

VIEW_ITEM = "cloud_sync.view_item.body"
"""A packed template in a station's view."""
MASTER_TEMPLATE = "cloud_sync.master_template.body"
"""A packed template in the master gallery."""


class UnknownTransform(LookupError):
    """Vectors of this transform cannot be turned: it is none of the operator's."""


def head_of(root: RootKey) -> bytes:
    """Return the first 8 bytes of every record under a root key.

    Args:
        root: The key.
    """
    return MAGIC + bytes.fromhex(root.key_id)


def key_id_of(record: bytes) -> str | None:
    """Return the id of the root key that a record is under; None when it is no record.

    Args:
        record: Any bytes.
    """
    if len(record) < OVERHEAD or not record.startswith(MAGIC):
        return None
    return record[len(MAGIC) : HEAD_BYTES].hex()


class Safe:
    """Seals and opens records, and turns templates; may be used by several threads."""

    def __init__(
        self, keys: KeyStore, *, entropy: Callable[[int], bytes], dimension: int = 512
    ) -> None:
        """Take where the keys are.

        Args:
            keys: The operator's.
            entropy: Gives that many random bytes; `os.urandom` in service.
            dimension: Values in a template's vector.
        """
        self._keys = keys
        self._entropy = entropy
        self._dimension = dimension
        # Read without asking the folder: ids are never used twice.
        self._aeads: dict[tuple[str, str], AESGCM] = {}
        self._rotations: dict[str, Rotation] = {}

    @property
    def ring(self) -> KeyRing:
        """The keys as they are now.

        Raises:
            KeysFailed: They cannot be read.
        """
        return self._keys.ring()

    def sealer(self, purpose: str) -> Callable[[bytes, bytes], bytes]:
        """Return a function that seals content beside its label, for a batch of records.

        It goes on with the root key of this moment: take a new one for each transaction, after
        `at_rest.hold_keys`.

        Args:
            purpose: What the records are for, e.g. `VIEW_ITEM`.

        Raises:
            KeysFailed: The keys cannot be read.
        """
        root = self.ring.root
        aead = self._aeads.get((purpose, root.key_id)) or self._found(purpose, root.key_id)
        head, entropy = head_of(root), self._entropy

        def seal(content: bytes, label: bytes) -> bytes:
            nonce = entropy(NONCE_BYTES)
            return head + nonce + aead.encrypt(nonce, content, label)

        return seal

    def seal(self, purpose: str, content: bytes, label: bytes) -> bytes:
        """Return one record; see `sealer`."""
        return self.sealer(purpose)(content, label)

    def opener(self, purpose: str) -> Callable[[bytes, bytes], bytes]:
        """Return a function that opens records beside their labels, for a batch of them.

        It raises as `open` does.

        Args:
            purpose: What the records are said to be for.
        """
        aeads: dict[bytes, AESGCM] = {}

        def open_record(record: bytes, label: bytes) -> bytes:
            aead = aeads.get(record[:HEAD_BYTES])
            if aead is None:
                aead = aeads[record[:HEAD_BYTES]] = self._aead_of(purpose, record)
            return opened(aead, record[HEAD_BYTES:], label)

        return open_record

    def open(self, purpose: str, record: bytes, label: bytes) -> bytes:
        """Return the content of a record.

        Args:
            purpose: What it is said to be for.
            record: What was sealed.
            label: What it is said to belong to.

        Raises:
            NotOpened: It is no record, belongs elsewhere, was changed, or its root key is gone.
            KeysFailed: The keys cannot be read.
        """
        return opened(self._aead_of(purpose, record), record[HEAD_BYTES:], label)

    def _aead_of(self, purpose: str, record: bytes) -> AESGCM:
        key_id = key_id_of(record)
        if key_id is None:
            raise NotOpened("this is no sealed record")
        return self._aeads.get((purpose, key_id)) or self._found(purpose, key_id)

    def turn(
        self, vectors: npt.NDArray[np.float32], *, source: str, target: str
    ) -> npt.NDArray[np.float32]:
        """Bring vectors from one transform to another; `plain` is the model's own space.

        Args:
            vectors: float32, shape (D,) or (N, D), of transform `source`.
            source: A transform id.
            target: A transform id.

        Raises:
            UnknownTransform: One of the two is not the operator's.
            KeysFailed: The keys cannot be read.
        """
        if source == target:
            return vectors
        plain = vectors if source == PLAIN else self._rotation(source).undo(vectors)
        return plain if target == PLAIN else self._rotation(target).apply(plain)

    def _found(self, purpose: str, key_id: str) -> AESGCM:
        root = self.ring.root_of(key_id)
        if root is None:
            raise NotOpened(f"the root key {key_id} is not here")
        made = self._aeads[purpose, key_id] = AESGCM(at_rest_key(root, purpose))
        return made

    def _rotation(self, transform_id: str) -> Rotation:
        found = self._rotations.get(transform_id)
        if found is not None:
            return found
        seed = self.ring.seed_of(transform_id)
        if seed is None:
            raise UnknownTransform(f"{transform_id} is none of the operator's transforms")
        made = self._rotations[transform_id] = Rotation(seed, dimension=self._dimension)
        return made
