"""A node's health as protobuf and back."""

from datetime import datetime, timedelta

from gateline.sync.v1 import fleet_service_pb2 as pb

from cloud_sync.fleet.health import EdgeHealth, LaneHealth
from cloud_sync.stream.view import EdgeNode
from cloud_sync.wire.primitive import WireBroken, time_of

LANES_MAX = 64
"""Lanes of one node; the widest gate lines have some thirty."""
WORD_MAX = 200
"""Characters of a name or word in a report."""


def health_to_proto(health: EdgeHealth) -> pb.ReportHealthRequest:
    """Return a report as protobuf."""
    return pb.ReportHealthRequest(
        edge_id=health.edge_id,
        health=pb.NodeHealth(
            report_time=health.told_at,
            start_time=health.started_at,
            revision=health.revision,
            lease_end_time=health.lease_until,
            certificate_begin_time=health.certificate_from,
            certificate_end_time=health.certificate_until,
            outbox_depth=health.outbox_depth,
            outbox_age=_length(health.outbox_age_s),
            first_tier_count=health.first_tier,
            second_tier_count=health.second_tier,
            model_digest=health.model_digest,
            protocol=health.protocol,
            software_version=health.software,
            clock_error_ms=min(max(health.clock_error_ms, 0), 2**32 - 1),
            deny_list_age=_length(health.deny_list_age_s),
            disk_free_bytes=health.disk_free_bytes,
            lanes=[_lane_to_proto(lane) for lane in health.lanes],
        ),
    )


def health_from_proto(request: pb.ReportHealthRequest, node: EdgeNode) -> EdgeHealth:
    """Return the report.

    Args:
        request: As it came.
        node: Who has sent it, proven: the message's own name is not looked at.

    Raises:
        WireBroken: It cannot be read, or is larger than a report may be.
    """
    told = request.health
    words = [told.model_digest, told.software_version]
    words += [word for lane in told.lanes for word in (lane.lane_id, lane.camera, lane.shut_reason)]
    if len(told.lanes) > LANES_MAX or max(map(len, words)) > WORD_MAX:
        raise WireBroken("a report of this size is none")
    if any("\x00" in word for word in words):  # which no database takes as text
        raise WireBroken("a word that is none")
    return EdgeHealth(
        edge_id=node.edge_id,
        station_id=node.station_id,
        told_at=time_of(told.report_time),
        started_at=time_of(told.start_time),
        revision=_count(told.revision),
        lease_until=_time(told, "lease_end_time"),
        certificate_from=_time(told, "certificate_begin_time"),
        certificate_until=_time(told, "certificate_end_time"),
        outbox_depth=_count(told.outbox_depth),
        outbox_age_s=_seconds(told, "outbox_age"),
        first_tier=_count(told.first_tier_count),
        second_tier=_count(told.second_tier_count),
        model_digest=told.model_digest,
        protocol=told.protocol,
        software=told.software_version,
        clock_error_ms=told.clock_error_ms,
        deny_list_age_s=_seconds(told, "deny_list_age"),
        disk_free_bytes=_count(told.disk_free_bytes),
        lanes=tuple(_lane_from_proto(lane) for lane in told.lanes),
    )


def _lane_to_proto(lane: LaneHealth) -> pb.LaneHealth:
    return pb.LaneHealth(
        lane_id=lane.lane_id,
        camera=lane.camera,
        frame_age=_length(lane.frame_age_s),
        shut_reason=lane.shut,
        face_count=lane.by_face,
        code_count=lane.by_code,
        refused_count=lane.refused,
    )


def _lane_from_proto(lane: pb.LaneHealth) -> LaneHealth:
    return LaneHealth(
        lane_id=lane.lane_id,
        camera=lane.camera,
        frame_age_s=_seconds(lane, "frame_age"),
        shut=lane.shut_reason,
        by_face=_count(lane.face_count),
        by_code=_count(lane.code_count),
        refused=_count(lane.refused_count),
    )


def _length(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=max(seconds, 0.0))


def _time(message: pb.NodeHealth, name: str) -> datetime | None:
    return time_of(getattr(message, name)) if message.HasField(name) else None


def _seconds(message: pb.NodeHealth | pb.LaneHealth, name: str) -> float | None:
    if not message.HasField(name):
        return None
    length = getattr(message, name)
    if not 0 <= length.seconds < 2**32 or not 0 <= length.nanos < 10**9:
        raise WireBroken("a length of time out of range")
    return float(round(length.seconds + length.nanos / 1e9, 6))  # a timedelta has microseconds


def _count(number: int) -> int:
    """Return a count that fits into the database's bigint.

    Raises:
        WireBroken: It does not.
    """
    if number >= 2**63:
        raise WireBroken("a count out of range")
    return number
