import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ReportHealthRequest(_message.Message):
    __slots__ = ("edge_id", "health")
    EDGE_ID_FIELD_NUMBER: _ClassVar[int]
    HEALTH_FIELD_NUMBER: _ClassVar[int]
    edge_id: str
    health: NodeHealth
    def __init__(self, edge_id: _Optional[str] = ..., health: _Optional[_Union[NodeHealth, _Mapping]] = ...) -> None: ...

class ReportHealthResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class NodeHealth(_message.Message):
    __slots__ = ("report_time", "start_time", "revision", "lease_end_time", "certificate_begin_time", "certificate_end_time", "outbox_depth", "outbox_age", "first_tier_count", "second_tier_count", "model_digest", "protocol", "software_version", "clock_error_ms", "deny_list_age", "disk_free_bytes", "lanes")
    REPORT_TIME_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    LEASE_END_TIME_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_BEGIN_TIME_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_END_TIME_FIELD_NUMBER: _ClassVar[int]
    OUTBOX_DEPTH_FIELD_NUMBER: _ClassVar[int]
    OUTBOX_AGE_FIELD_NUMBER: _ClassVar[int]
    FIRST_TIER_COUNT_FIELD_NUMBER: _ClassVar[int]
    SECOND_TIER_COUNT_FIELD_NUMBER: _ClassVar[int]
    MODEL_DIGEST_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    SOFTWARE_VERSION_FIELD_NUMBER: _ClassVar[int]
    CLOCK_ERROR_MS_FIELD_NUMBER: _ClassVar[int]
    DENY_LIST_AGE_FIELD_NUMBER: _ClassVar[int]
    DISK_FREE_BYTES_FIELD_NUMBER: _ClassVar[int]
    LANES_FIELD_NUMBER: _ClassVar[int]
    report_time: _timestamp_pb2.Timestamp
    start_time: _timestamp_pb2.Timestamp
    revision: int
    lease_end_time: _timestamp_pb2.Timestamp
    certificate_begin_time: _timestamp_pb2.Timestamp
    certificate_end_time: _timestamp_pb2.Timestamp
    outbox_depth: int
    outbox_age: _duration_pb2.Duration
    first_tier_count: int
    second_tier_count: int
    model_digest: str
    protocol: int
    software_version: str
    clock_error_ms: int
    deny_list_age: _duration_pb2.Duration
    disk_free_bytes: int
    lanes: _containers.RepeatedCompositeFieldContainer[LaneHealth]
    def __init__(self, report_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., revision: _Optional[int] = ..., lease_end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., certificate_begin_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., certificate_end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., outbox_depth: _Optional[int] = ..., outbox_age: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., first_tier_count: _Optional[int] = ..., second_tier_count: _Optional[int] = ..., model_digest: _Optional[str] = ..., protocol: _Optional[int] = ..., software_version: _Optional[str] = ..., clock_error_ms: _Optional[int] = ..., deny_list_age: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., disk_free_bytes: _Optional[int] = ..., lanes: _Optional[_Iterable[_Union[LaneHealth, _Mapping]]] = ...) -> None: ...

class LaneHealth(_message.Message):
    __slots__ = ("lane_id", "camera", "frame_age", "shut_reason", "face_count", "code_count", "refused_count")
    LANE_ID_FIELD_NUMBER: _ClassVar[int]
    CAMERA_FIELD_NUMBER: _ClassVar[int]
    FRAME_AGE_FIELD_NUMBER: _ClassVar[int]
    SHUT_REASON_FIELD_NUMBER: _ClassVar[int]
    FACE_COUNT_FIELD_NUMBER: _ClassVar[int]
    CODE_COUNT_FIELD_NUMBER: _ClassVar[int]
    REFUSED_COUNT_FIELD_NUMBER: _ClassVar[int]
    lane_id: str
    camera: str
    frame_age: _duration_pb2.Duration
    shut_reason: str
    face_count: int
    code_count: int
    refused_count: int
    def __init__(self, lane_id: _Optional[str] = ..., camera: _Optional[str] = ..., frame_age: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., shut_reason: _Optional[str] = ..., face_count: _Optional[int] = ..., code_count: _Optional[int] = ..., refused_count: _Optional[int] = ...) -> None: ...
