"""The operator's keys as the cloud uses them, and the port behind which they are kept.

A ring has one root key and one rotation that are current, and the ones before them for as long as
a record needs them. It also has the key that signs chunks. This file does not know about folders.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Protocol

from cloud_sync.secrecy.chunk_signature import CloudKey
from cloud_sync.secrecy.keys import RootKey
from cloud_sync.secrecy.rotation import PLAIN, RotationSeed


class KeysFailed(Exception):
    """The keys cannot be read or written, or others could read them; nothing is served then."""


@dataclass(frozen=True, slots=True)
class KeyRing:
    """All keys of one operator at one moment; its `repr` shows ids alone."""

    roots: tuple[RootKey, ...]
    """At least one; the first is current, the others only open what they sealed."""
    rotations: tuple[RotationSeed, ...]
    """At least one; the first is current."""
    cloud_key: CloudKey = field(repr=False)
    """Signs chunks."""

    @property
    def root(self) -> RootKey:
        """What new records are sealed under."""
        return self.roots[0]

    @property
    def rotation(self) -> RotationSeed:
        """What new templates are turned by."""
        return self.rotations[0]

    @property
    def is_settled(self) -> bool:
        """Whether no old key is left, so that the next re-key may begin."""
        return len(self.roots) == len(self.rotations) == 1

    def root_of(self, key_id: str) -> RootKey | None:
        """Return a root key by its id."""
        return next((each for each in self.roots if each.key_id == key_id), None)

    def seed_of(self, transform_id: str) -> RotationSeed | None:
        """Return the seed of a transform; None when it is `plain` or not the operator's."""
        return next((each for each in self.rotations if each.transform_id == transform_id), None)

    def knows(self, transform_id: str) -> bool:
        """Return whether vectors of a transform can be turned back."""
        return transform_id == PLAIN or self.seed_of(transform_id) is not None


class KeyStore(Protocol):
    """Where the operator's keys are; may be used by several threads and processes."""

    def ring(self) -> KeyRing:
        """Return the keys as they are now, made at the first call ever; cheap to call often.

        Raises:
            KeysFailed: They cannot be read, or others could read them.
        """
        ...

    def renew(self) -> KeyRing:
        """Make a new root key and a new rotation current; durable on return, the old ones stay.

        Raises:
            KeysFailed: Nothing has changed.
        """
        ...

    def destroy(self, ids: Collection[str]) -> KeyRing:
        """Throw old root keys and rotations away; what is still under them is lost for ever.

        Args:
            ids: Key ids and rotation ids; those not there are passed over.

        Raises:
            ValueError: One of them is current; nothing has changed.
            KeysFailed: Some may be gone, the current ones are not.
        """
        ...
