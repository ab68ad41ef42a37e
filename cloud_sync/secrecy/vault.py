"""Where an edge node keeps its key grant: in memory that a power cut empties, never on a disk."""

from typing import Protocol

from cloud_sync.secrecy.grant import KeyGrant


class VaultFailed(Exception):
    """The vault cannot be used: it is no memory, or others could read it."""


class Vault(Protocol):
    """The place of one node's grant; used by one thread at a time."""

    def keep(self, grant: KeyGrant) -> None:
        """Keep a grant in the place of the one before.

        Raises:
            VaultFailed: It is not kept; the one before may be.
        """
        ...

    def load(self) -> KeyGrant | None:
        """Return the grant kept last; None without one, and when it is damaged.

        Whether it is still valid is for the caller to say, by the lease.

        Raises:
            VaultFailed: The vault cannot be read.
        """
        ...

    def forget(self) -> None:
        """Make the grant unreadable: the lease has ended. Without one, nothing happens.

        Raises:
            VaultFailed: It may still be there.
        """
        ...
