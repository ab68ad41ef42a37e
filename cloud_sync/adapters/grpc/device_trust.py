"""By what the cloud knows its nodes, and they it.

Imported before gRPC is: a process says first how much gRPC may write, which that reads only once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cloud_sync.trust.authority import CertificateAuthority
from cloud_sync.trust.registry import DeviceRegistry


@dataclass(frozen=True, slots=True)
class DeviceTrust:
    """By what the cloud knows its nodes, and they it."""

    registry: DeviceRegistry
    authority: CertificateAuthority
    cloud_key: Callable[[], bytes]
    """Gives the public half of what chunks are signed with, 32 bytes."""
    entropy: Callable[[int], bytes]
    """Gives that many random bytes, for serials and challenges."""
    names: Sequence[str] = ("localhost", "127.0.0.1", "::1")
    """Host names and addresses that nodes dial, at least one."""
