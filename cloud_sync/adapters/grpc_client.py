"""The edge's end of the wire: follows the view, sends the taps up, tells how the node is.

Each runs in a thread of the edge's, for ever, and come back by themselves after any loss. What they
do is decided in `follow` and `uplink`.
"""

from cloud_sync.adapters.grpc_channel import dial
from cloud_sync.adapters.grpc_follower import FollowerConfig, GalleryFollower
from cloud_sync.adapters.grpc_reporter import HealthReporter, ReporterConfig
from cloud_sync.adapters.grpc_uplink import GrpcTapSink, TapUplink, UplinkConfig

__all__ = [
    "FollowerConfig",
    "GalleryFollower",
    "GrpcTapSink",
    "HealthReporter",
    "ReporterConfig",
    "TapUplink",
    "UplinkConfig",
    "dial",
]
