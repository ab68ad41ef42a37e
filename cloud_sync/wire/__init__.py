"""The only place where domain values become protobuf and come back."""

from cloud_sync.wire.fleet import health_from_proto, health_to_proto
from cloud_sync.wire.gallery import (
    request_from_proto,
    request_to_proto,
    response_from_proto,
    response_to_proto,
)
from cloud_sync.wire.presence import (
    look_from_proto,
    look_to_proto,
    outcome_from_proto,
    outcome_to_proto,
)
from cloud_sync.wire.primitive import WireBroken
from cloud_sync.wire.taps import (
    batch_from_proto,
    batch_request_of,
    batch_to_proto,
    receipt_from_proto,
    receipt_to_proto,
)

__all__ = [
    "WireBroken",
    "batch_from_proto",
    "batch_request_of",
    "batch_to_proto",
    "health_from_proto",
    "health_to_proto",
    "look_from_proto",
    "look_to_proto",
    "outcome_from_proto",
    "outcome_to_proto",
    "receipt_from_proto",
    "receipt_to_proto",
    "request_from_proto",
    "request_to_proto",
    "response_from_proto",
    "response_to_proto",
]
