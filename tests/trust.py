"""Certificates for tests: real ones, made in milliseconds, of any age and of any authority.

The authority is that of the run's key folder, so processes that tests start trust it as well.
"""

import functools
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric import ec

from cloud_sync.adapters.disk.authority_folder import FolderAuthority
from cloud_sync.adapters.grpc.client import Badge, BadgeSource
from cloud_sync.adapters.grpc.device_trust import DeviceTrust
from cloud_sync.adapters.grpc.loopback_trust import badge_of
from cloud_sync.adapters.memory.authority import MemoryAuthority
from cloud_sync.adapters.memory.registry import MemoryRegistry
from cloud_sync.adapters.memory.view_log import MemoryViewLog
from cloud_sync.adapters.system_clock import SystemClock
from cloud_sync.trust.authority import CertificateAuthority
from cloud_sync.trust.device import Identity
from cloud_sync.trust.registry import DeviceRegistry
from tests.keys import FOLDER, SAFE

AUTHORITY = FolderAuthority(FOLDER, clock=SystemClock(), entropy=os.urandom)
"""Signs nodes and listeners in tests, and in processes that inherit the environment."""


def trust_of(registry: DeviceRegistry, authority: CertificateAuthority = AUTHORITY) -> DeviceTrust:
    """Return what a cloud knows its nodes by.

    Args:
        registry: Where it keeps its devices.
        authority: Who signs.
    """
    return DeviceTrust(registry, authority, lambda: SAFE.ring.cloud_key.public_key, os.urandom)


def badge(
    edge_id: str = "edge-1",
    station_id: str = "bell-tower",
    *,
    age: timedelta = timedelta(0),
    key: ec.EllipticCurvePrivateKey | None = None,
    authority: CertificateAuthority = AUTHORITY,
) -> Badge:
    """Return what a node would have, issued so long ago (or hence, if negative)."""
    nowhere = MemoryRegistry(MemoryViewLog(uuid4))
    identity, now = Identity(station_id, edge_id), datetime.now(UTC) - age
    return badge_of(trust_of(nowhere, authority), identity, now, key=key)


def foreign(edge_id: str = "edge-1", station_id: str = "bell-tower") -> Badge:
    """Return a badge of an authority that nobody trusts, of a node that trusts this cloud."""
    stranger = badge(edge_id, station_id, authority=MemoryAuthority(SystemClock()))
    return replace(stranger, trusted=badge().trusted)


@functools.cache
def source(edge_id: str = "edge-1", station_id: str = "bell-tower") -> BadgeSource:
    """Return what gives a node's badge, always the same one."""
    return once(badge(edge_id, station_id))


def once(only: Badge) -> BadgeSource:
    """Return a source of one badge."""
    return lambda: only
