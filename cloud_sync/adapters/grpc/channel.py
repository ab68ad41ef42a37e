"""What both ends of the wire agree on about the transport, and how a node dials.

Figures from reference/reliability.md, 2.5: without `grpc.http2.ping_timeout_ms` a frozen peer shows
after 69 s instead of 14 s, whatever `keepalive_timeout_ms` says. A ping after 8 s of silence and
5 s for its answer: a half-open line is given up after 13 s, two less than promised.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import grpc

from cloud_sync.trust.device import Certified

MESSAGE_MAX = 8 * 1024 * 1024
"""Bytes; a chunk of 256 templates is 280 kB, a batch of 500 taps 200 kB."""
TAPS_DEADLINE_S = 10.0
"""For a batch of taps."""
HEALTH_DEADLINE_S = 2.0
"""For a report of a node's health: the next one comes soon."""
DEVICE_DEADLINE_S = 10.0
"""For a call of the device service."""

_KEEPALIVE = (
    ("grpc.keepalive_time_ms", 8_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.ping_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_receive_message_length", MESSAGE_MAX),
    ("grpc.max_send_message_length", MESSAGE_MAX),
)
SERVER_OPTIONS = (
    *_KEEPALIVE,
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    # Edges come back after so long and are spread anew; gRPC adds 10 % of jitter itself.
    ("grpc.max_connection_age_ms", 2_700_000),
    ("grpc.max_connection_age_grace_ms", 30_000),
    # A second server on the port must fail, not take every other connection.
    ("grpc.so_reuseport", 0),
)
DEVICE_SERVER_OPTIONS = tuple(
    {
        **dict(SERVER_OPTIONS),
        # Strangers may knock here: nobody stays, and nothing is larger than a batch of taps.
        "grpc.max_receive_message_length": 1024 * 1024,
        "grpc.max_connection_idle_ms": 30_000,
        "grpc.max_connection_age_ms": 300_000,
    }.items()
)
_CLIENT_OPTIONS = (
    *_KEEPALIVE,
    ("grpc.max_reconnect_backoff_ms", 30_000),
    # Else a new channel inherits the back-off of the one before it.
    ("grpc.use_local_subchannel_pool", 1),
)


class NoBadge(Exception):
    """This node has no certificate that it could show; says what to do."""


@dataclass(frozen=True, slots=True)
class Badge:
    """What a node shows and what it trusts; its `repr` holds no key."""

    certified: Certified
    """What the certificate says."""
    certificate: bytes
    """PEM."""
    key: bytes = field(repr=False)
    """The certificate's private key, PEM."""
    trusted: bytes = field(repr=False)
    """The authorities by which the cloud is known, PEM."""
    cloud_key: bytes
    """What the cloud's chunks are signed with, Ed25519, 32 bytes."""


BadgeSource = Callable[[], Badge]
"""Gives the badge that is on disk now; raises `NoBadge`."""


def dial(target: str, badge: Badge) -> grpc.Channel:
    """Return a new channel to the main port; it connects when it is used first.

    Args:
        target: `host:port` of the cloud; its certificate must be for this host.
        badge: Whom the node is, and whom it trusts.
    """
    return _dialled(
        target, grpc.ssl_channel_credentials(badge.trusted, badge.key, badge.certificate)
    )


def dial_device(target: str, trusted: bytes) -> grpc.Channel:
    """Return a new channel to the device port; it connects when it is used first.

    Args:
        target: `host:port` of the cloud's device port.
        trusted: The authorities by which the cloud is known, PEM.
    """
    return _dialled(target, grpc.ssl_channel_credentials(trusted))


def _dialled(target: str, credentials: grpc.ChannelCredentials) -> grpc.Channel:
    # Templates are noise to a compressor: 8 % at best (reference/reliability.md, 2.4).
    return grpc.secure_channel(
        target,
        credentials,
        options=_CLIENT_OPTIONS,
        compression=grpc.Compression.NoCompression,
    )
