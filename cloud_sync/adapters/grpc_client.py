"""The edge's end of the wire: joins, follows the view, sends the taps up, tells how the node is.

Each runs in a thread of the edge's, for ever, and come back by themselves after any loss. What they
do is decided in `follow` and `uplink`.
"""

from cloud_sync.adapters.grpc_channel import Badge, BadgeSource, NoBadge, dial
from cloud_sync.adapters.grpc_device_client import DeviceAway, DeviceRefused, fetched_ca, join
from cloud_sync.adapters.grpc_follower import FollowerConfig, GalleryFollower
from cloud_sync.adapters.grpc_keeper import CertificateKeeper, KeeperConfig
from cloud_sync.adapters.grpc_presence import GrpcPresence, PresenceConfig
from cloud_sync.adapters.grpc_reporter import HealthReporter, ReporterConfig
from cloud_sync.adapters.grpc_uplink import GrpcTapSink, TapUplink, UplinkConfig

__all__ = [
    "Badge",
    "BadgeSource",
    "CertificateKeeper",
    "DeviceAway",
    "DeviceRefused",
    "FollowerConfig",
    "GalleryFollower",
    "GrpcPresence",
    "GrpcTapSink",
    "HealthReporter",
    "KeeperConfig",
    "NoBadge",
    "PresenceConfig",
    "ReporterConfig",
    "TapUplink",
    "UplinkConfig",
    "dial",
    "fetched_ca",
    "join",
]
