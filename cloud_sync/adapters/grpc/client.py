"""The edge's end of the wire: joins, follows the view, sends the taps up, tells how the node is.

Each runs in a thread of the edge's, for ever, and come back by themselves after any loss. What they
do is decided in `follow` and `uplink`.
"""

from cloud_sync.adapters.grpc.channel import Badge, BadgeSource, NoBadge, dial
from cloud_sync.adapters.grpc.device_client import DeviceAway, DeviceRefused, fetched_ca, join
from cloud_sync.adapters.grpc.follower import FollowerConfig, GalleryFollower
from cloud_sync.adapters.grpc.keeper import CertificateKeeper, KeeperConfig
from cloud_sync.adapters.grpc.presence import GrpcPresence, PresenceConfig
from cloud_sync.adapters.grpc.reporter import HealthReporter, ReporterConfig
from cloud_sync.adapters.grpc.uplink import GrpcTapSink, TapUplink, UplinkConfig

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
