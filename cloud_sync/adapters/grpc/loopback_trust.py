"""Trust in memory, for a cloud and its nodes inside one process: a measurement, a test.

Real certificates and real handshakes; only the authorities end with the process.
"""

from collections.abc import Callable
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric import ec

from cloud_sync.adapters.grpc.channel import Badge
from cloud_sync.adapters.grpc.device_trust import DeviceTrust
from cloud_sync.adapters.memory.authority import MemoryAuthority
from cloud_sync.clock import Clock
from cloud_sync.trust.authority import SERIAL_BYTES, bundle, serial_of, sign_node, signer
from cloud_sync.trust.certificate import key_to_pem, read_node
from cloud_sync.trust.device import Identity
from cloud_sync.trust.registry import DeviceRegistry

_NO_CLOUD_KEY = bytes(32)


def loopback_trust(
    registry: DeviceRegistry,
    clock: Clock,
    entropy: Callable[[int], bytes],
    *,
    cloud_key: Callable[[], bytes] = lambda: _NO_CLOUD_KEY,
) -> DeviceTrust:
    """Return trust with an authority of its own, for listeners on loopback.

    Args:
        registry: Where devices are.
        clock: The time.
        entropy: Gives that many random bytes.
        cloud_key: Gives the public half of what chunks are signed with.
    """
    return DeviceTrust(registry, MemoryAuthority(clock), cloud_key, entropy)


def badge_of(
    trust: DeviceTrust,
    identity: Identity,
    now: datetime,
    *,
    key: ec.EllipticCurvePrivateKey | None = None,
) -> Badge:
    """Return what a node would have after enrollment at a moment; nothing is noted of it.

    Args:
        trust: Of the cloud.
        identity: Who the node is.
        now: When it was issued, aware UTC.
        key: The node's; None makes one.
    """
    key = key or ec.generate_private_key(ec.SECP256R1())
    authorities = trust.authority.authorities()
    serial = serial_of(trust.entropy(SERIAL_BYTES))
    pem = sign_node(signer(authorities), key.public_key(), identity, serial=serial, now=now)
    return Badge(
        read_node(pem).certified, pem, key_to_pem(key), bundle(authorities), trust.cloud_key()
    )
