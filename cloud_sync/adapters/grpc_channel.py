"""What both ends of the wire agree on about the transport.

Figures from reference/reliability.md, 2.5: without `grpc.http2.ping_timeout_ms` a frozen peer shows
after 69 s instead of 14 s, whatever `keepalive_timeout_ms` says.
"""

import grpc

MESSAGE_MAX = 8 * 1024 * 1024
"""Bytes; a chunk of 256 templates is 280 kB, a batch of 500 taps 200 kB."""
TAPS_DEADLINE_S = 10.0
"""For a batch of taps."""
HEALTH_DEADLINE_S = 2.0
"""For a report of a node's health: the next one comes soon."""

_KEEPALIVE = (
    ("grpc.keepalive_time_ms", 10_000),
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
_CLIENT_OPTIONS = (
    *_KEEPALIVE,
    ("grpc.max_reconnect_backoff_ms", 30_000),
    # Else a new channel inherits the back-off of the one before it.
    ("grpc.use_local_subchannel_pool", 1),
)


def dial(target: str) -> grpc.Channel:
    """Return a new channel; it connects when it is used first.

    Args:
        target: `host:port` of the cloud.
    """
    # Templates are noise to a compressor: 8 % at best (reference/reliability.md, 2.4).
    return grpc.insecure_channel(
        target, options=_CLIENT_OPTIONS, compression=grpc.Compression.NoCompression
    )
