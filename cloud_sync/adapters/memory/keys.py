"""Keys and grants in memory: for tests, for a look around, and for a node without tmpfs."""

from collections.abc import Callable, Collection

from cloud_sync.secrecy.chunk_signature import CloudKey
from cloud_sync.secrecy.grant import KeyGrant
from cloud_sync.secrecy.key_store import KeyRing
from cloud_sync.secrecy.keys import KEY_BYTES, KEY_ID_BYTES, RootKey
from cloud_sync.secrecy.rotation import RotationSeed


class MemoryKeyStore:
    """A `KeyStore` that ends with the process; see the port for its promises."""

    def __init__(self, *, entropy: Callable[[int], bytes]) -> None:
        """Make the first keys.

        Args:
            entropy: Gives that many random bytes.
        """
        self._entropy = entropy
        self._ring = KeyRing((self._root(),), (self._seed(),), CloudKey(entropy(KEY_BYTES)))

    def ring(self) -> KeyRing:
        """See `KeyStore.ring`."""
        return self._ring

    def renew(self) -> KeyRing:
        """See `KeyStore.renew`."""
        old = self._ring
        self._ring = KeyRing(
            (self._root(), *old.roots), (self._seed(), *old.rotations), old.cloud_key
        )
        return self._ring

    def destroy(self, ids: Collection[str]) -> KeyRing:
        """See `KeyStore.destroy`."""
        old = self._ring
        if old.root.key_id in ids or old.rotation.rotation_id in ids:
            raise ValueError("a current key is not destroyed")
        self._ring = KeyRing(
            tuple(each for each in old.roots if each.key_id not in ids),
            tuple(each for each in old.rotations if each.rotation_id not in ids),
            old.cloud_key,
        )
        return self._ring

    def _root(self) -> RootKey:
        return RootKey(self._entropy(KEY_ID_BYTES).hex(), self._entropy(KEY_BYTES))

    def _seed(self) -> RotationSeed:
        return RotationSeed(self._entropy(KEY_ID_BYTES).hex(), self._entropy(KEY_BYTES))


class MemoryVault:
    """A `Vault` that ends with the process; see the port for its promises."""

    def __init__(self) -> None:
        """Begin without a grant."""
        self._grant: KeyGrant | None = None

    def keep(self, grant: KeyGrant) -> None:
        """See `Vault.keep`."""
        self._grant = grant

    def load(self) -> KeyGrant | None:
        """See `Vault.load`."""
        return self._grant

    def forget(self) -> None:
        """See `Vault.forget`."""
        self._grant = None
