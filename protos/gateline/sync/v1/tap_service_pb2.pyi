import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class BatchCreateTapsRequest(_message.Message):
    __slots__ = ("edge_id", "outbox_id", "taps")
    EDGE_ID_FIELD_NUMBER: _ClassVar[int]
    OUTBOX_ID_FIELD_NUMBER: _ClassVar[int]
    TAPS_FIELD_NUMBER: _ClassVar[int]
    edge_id: str
    outbox_id: bytes
    taps: _containers.RepeatedCompositeFieldContainer[SealedTap]
    def __init__(self, edge_id: _Optional[str] = ..., outbox_id: _Optional[bytes] = ..., taps: _Optional[_Iterable[_Union[SealedTap, _Mapping]]] = ...) -> None: ...

class BatchCreateTapsResponse(_message.Message):
    __slots__ = ("durable_seq", "resend_from_seq", "is_forked")
    DURABLE_SEQ_FIELD_NUMBER: _ClassVar[int]
    RESEND_FROM_SEQ_FIELD_NUMBER: _ClassVar[int]
    IS_FORKED_FIELD_NUMBER: _ClassVar[int]
    durable_seq: int
    resend_from_seq: int
    is_forked: bool
    def __init__(self, durable_seq: _Optional[int] = ..., resend_from_seq: _Optional[int] = ..., is_forked: _Optional[bool] = ...) -> None: ...

class SealedTap(_message.Message):
    __slots__ = ("seq", "prev_hash", "tap", "signature")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    PREV_HASH_FIELD_NUMBER: _ClassVar[int]
    TAP_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    seq: int
    prev_hash: bytes
    tap: Tap
    signature: bytes
    def __init__(self, seq: _Optional[int] = ..., prev_hash: _Optional[bytes] = ..., tap: _Optional[_Union[Tap, _Mapping]] = ..., signature: _Optional[bytes] = ...) -> None: ...

class Tap(_message.Message):
    __slots__ = ("tap_id", "rider_ref", "station_id", "lane_id", "direction", "medium", "tap_time", "clock_error_ms", "model_id", "score_e4", "code_id", "flags")
    class Direction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        DIRECTION_UNSPECIFIED: _ClassVar[Tap.Direction]
        DIRECTION_ENTRY: _ClassVar[Tap.Direction]
        DIRECTION_EXIT: _ClassVar[Tap.Direction]
    DIRECTION_UNSPECIFIED: Tap.Direction
    DIRECTION_ENTRY: Tap.Direction
    DIRECTION_EXIT: Tap.Direction
    class Medium(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        MEDIUM_UNSPECIFIED: _ClassVar[Tap.Medium]
        MEDIUM_FACE: _ClassVar[Tap.Medium]
        MEDIUM_CODE: _ClassVar[Tap.Medium]
    MEDIUM_UNSPECIFIED: Tap.Medium
    MEDIUM_FACE: Tap.Medium
    MEDIUM_CODE: Tap.Medium
    class Flag(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        FLAG_UNSPECIFIED: _ClassVar[Tap.Flag]
        FLAG_ORDER_EXEMPT: _ClassVar[Tap.Flag]
        FLAG_TIME_EXEMPT: _ClassVar[Tap.Flag]
        FLAG_FARE_EXEMPT: _ClassVar[Tap.Flag]
        FLAG_DENIED: _ClassVar[Tap.Flag]
    FLAG_UNSPECIFIED: Tap.Flag
    FLAG_ORDER_EXEMPT: Tap.Flag
    FLAG_TIME_EXEMPT: Tap.Flag
    FLAG_FARE_EXEMPT: Tap.Flag
    FLAG_DENIED: Tap.Flag
    TAP_ID_FIELD_NUMBER: _ClassVar[int]
    RIDER_REF_FIELD_NUMBER: _ClassVar[int]
    STATION_ID_FIELD_NUMBER: _ClassVar[int]
    LANE_ID_FIELD_NUMBER: _ClassVar[int]
    DIRECTION_FIELD_NUMBER: _ClassVar[int]
    MEDIUM_FIELD_NUMBER: _ClassVar[int]
    TAP_TIME_FIELD_NUMBER: _ClassVar[int]
    CLOCK_ERROR_MS_FIELD_NUMBER: _ClassVar[int]
    MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    SCORE_E4_FIELD_NUMBER: _ClassVar[int]
    CODE_ID_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    tap_id: bytes
    rider_ref: bytes
    station_id: str
    lane_id: str
    direction: Tap.Direction
    medium: Tap.Medium
    tap_time: _timestamp_pb2.Timestamp
    clock_error_ms: int
    model_id: str
    score_e4: int
    code_id: bytes
    flags: _containers.RepeatedScalarFieldContainer[Tap.Flag]
    def __init__(self, tap_id: _Optional[bytes] = ..., rider_ref: _Optional[bytes] = ..., station_id: _Optional[str] = ..., lane_id: _Optional[str] = ..., direction: _Optional[_Union[Tap.Direction, str]] = ..., medium: _Optional[_Union[Tap.Medium, str]] = ..., tap_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., clock_error_ms: _Optional[int] = ..., model_id: _Optional[str] = ..., score_e4: _Optional[int] = ..., code_id: _Optional[bytes] = ..., flags: _Optional[_Iterable[_Union[Tap.Flag, str]]] = ...) -> None: ...
