import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FollowRequest(_message.Message):
    __slots__ = ("hello", "ack", "nack", "digest")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    ACK_FIELD_NUMBER: _ClassVar[int]
    NACK_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    ack: Ack
    nack: Nack
    digest: Digest
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., ack: _Optional[_Union[Ack, _Mapping]] = ..., nack: _Optional[_Union[Nack, _Mapping]] = ..., digest: _Optional[_Union[Digest, _Mapping]] = ...) -> None: ...

class FollowResponse(_message.Message):
    __slots__ = ("plan", "chunk", "bookmark", "repair")
    PLAN_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    BOOKMARK_FIELD_NUMBER: _ClassVar[int]
    REPAIR_FIELD_NUMBER: _ClassVar[int]
    plan: Plan
    chunk: Chunk
    bookmark: Bookmark
    repair: Repair
    def __init__(self, plan: _Optional[_Union[Plan, _Mapping]] = ..., chunk: _Optional[_Union[Chunk, _Mapping]] = ..., bookmark: _Optional[_Union[Bookmark, _Mapping]] = ..., repair: _Optional[_Union[Repair, _Mapping]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("edge_id", "station_id", "proto_min", "proto_max", "epoch", "applied_rev", "model_id", "transform_id", "template_count", "bucket_digest", "clock", "disk_free_bytes", "outbox_depth", "staged_root_hash", "staged_chunks", "stream_key")
    EDGE_ID_FIELD_NUMBER: _ClassVar[int]
    STATION_ID_FIELD_NUMBER: _ClassVar[int]
    PROTO_MIN_FIELD_NUMBER: _ClassVar[int]
    PROTO_MAX_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    APPLIED_REV_FIELD_NUMBER: _ClassVar[int]
    MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    TRANSFORM_ID_FIELD_NUMBER: _ClassVar[int]
    TEMPLATE_COUNT_FIELD_NUMBER: _ClassVar[int]
    BUCKET_DIGEST_FIELD_NUMBER: _ClassVar[int]
    CLOCK_FIELD_NUMBER: _ClassVar[int]
    DISK_FREE_BYTES_FIELD_NUMBER: _ClassVar[int]
    OUTBOX_DEPTH_FIELD_NUMBER: _ClassVar[int]
    STAGED_ROOT_HASH_FIELD_NUMBER: _ClassVar[int]
    STAGED_CHUNKS_FIELD_NUMBER: _ClassVar[int]
    STREAM_KEY_FIELD_NUMBER: _ClassVar[int]
    edge_id: str
    station_id: str
    proto_min: int
    proto_max: int
    epoch: bytes
    applied_rev: int
    model_id: str
    transform_id: str
    template_count: int
    bucket_digest: bytes
    clock: Clock
    disk_free_bytes: int
    outbox_depth: int
    staged_root_hash: bytes
    staged_chunks: int
    stream_key: bytes
    def __init__(self, edge_id: _Optional[str] = ..., station_id: _Optional[str] = ..., proto_min: _Optional[int] = ..., proto_max: _Optional[int] = ..., epoch: _Optional[bytes] = ..., applied_rev: _Optional[int] = ..., model_id: _Optional[str] = ..., transform_id: _Optional[str] = ..., template_count: _Optional[int] = ..., bucket_digest: _Optional[bytes] = ..., clock: _Optional[_Union[Clock, _Mapping]] = ..., disk_free_bytes: _Optional[int] = ..., outbox_depth: _Optional[int] = ..., staged_root_hash: _Optional[bytes] = ..., staged_chunks: _Optional[int] = ..., stream_key: _Optional[bytes] = ...) -> None: ...

class Clock(_message.Message):
    __slots__ = ("utc_time", "boot_id", "error_ms")
    UTC_TIME_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    ERROR_MS_FIELD_NUMBER: _ClassVar[int]
    utc_time: _timestamp_pb2.Timestamp
    boot_id: str
    error_ms: int
    def __init__(self, utc_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., boot_id: _Optional[str] = ..., error_ms: _Optional[int] = ...) -> None: ...

class Plan(_message.Message):
    __slots__ = ("mode", "epoch", "rev", "chunk_count", "template_count", "root_hash", "detail", "protocol", "grant")
    class Mode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        MODE_UNSPECIFIED: _ClassVar[Plan.Mode]
        MODE_RESUME: _ClassVar[Plan.Mode]
        MODE_SNAPSHOT: _ClassVar[Plan.Mode]
        MODE_UPGRADE_REQUIRED: _ClassVar[Plan.Mode]
        MODE_DENY: _ClassVar[Plan.Mode]
    MODE_UNSPECIFIED: Plan.Mode
    MODE_RESUME: Plan.Mode
    MODE_SNAPSHOT: Plan.Mode
    MODE_UPGRADE_REQUIRED: Plan.Mode
    MODE_DENY: Plan.Mode
    MODE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    REV_FIELD_NUMBER: _ClassVar[int]
    CHUNK_COUNT_FIELD_NUMBER: _ClassVar[int]
    TEMPLATE_COUNT_FIELD_NUMBER: _ClassVar[int]
    ROOT_HASH_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    GRANT_FIELD_NUMBER: _ClassVar[int]
    mode: Plan.Mode
    epoch: bytes
    rev: int
    chunk_count: int
    template_count: int
    root_hash: bytes
    detail: str
    protocol: int
    grant: bytes
    def __init__(self, mode: _Optional[_Union[Plan.Mode, str]] = ..., epoch: _Optional[bytes] = ..., rev: _Optional[int] = ..., chunk_count: _Optional[int] = ..., template_count: _Optional[int] = ..., root_hash: _Optional[bytes] = ..., detail: _Optional[str] = ..., protocol: _Optional[int] = ..., grant: _Optional[bytes] = ...) -> None: ...

class Chunk(_message.Message):
    __slots__ = ("nonce", "epoch", "from_rev", "to_rev", "changes", "sha256", "index", "is_snapshot", "signature", "span")
    NONCE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    FROM_REV_FIELD_NUMBER: _ClassVar[int]
    TO_REV_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    IS_SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    SPAN_FIELD_NUMBER: _ClassVar[int]
    nonce: int
    epoch: bytes
    from_rev: int
    to_rev: int
    changes: _containers.RepeatedCompositeFieldContainer[Change]
    sha256: bytes
    index: int
    is_snapshot: bool
    signature: bytes
    span: int
    def __init__(self, nonce: _Optional[int] = ..., epoch: _Optional[bytes] = ..., from_rev: _Optional[int] = ..., to_rev: _Optional[int] = ..., changes: _Optional[_Iterable[_Union[Change, _Mapping]]] = ..., sha256: _Optional[bytes] = ..., index: _Optional[int] = ..., is_snapshot: _Optional[bool] = ..., signature: _Optional[bytes] = ..., span: _Optional[int] = ...) -> None: ...

class Change(_message.Message):
    __slots__ = ("put_template", "drop_template", "put_key", "drop_key", "put_denial", "drop_denial", "put_setting", "drop_setting", "content_hash")
    PUT_TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    DROP_TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    PUT_KEY_FIELD_NUMBER: _ClassVar[int]
    DROP_KEY_FIELD_NUMBER: _ClassVar[int]
    PUT_DENIAL_FIELD_NUMBER: _ClassVar[int]
    DROP_DENIAL_FIELD_NUMBER: _ClassVar[int]
    PUT_SETTING_FIELD_NUMBER: _ClassVar[int]
    DROP_SETTING_FIELD_NUMBER: _ClassVar[int]
    CONTENT_HASH_FIELD_NUMBER: _ClassVar[int]
    put_template: PutTemplate
    drop_template: DropTemplate
    put_key: PutKey
    drop_key: DropKey
    put_denial: PutDenial
    drop_denial: DropDenial
    put_setting: PutSetting
    drop_setting: DropSetting
    content_hash: bytes
    def __init__(self, put_template: _Optional[_Union[PutTemplate, _Mapping]] = ..., drop_template: _Optional[_Union[DropTemplate, _Mapping]] = ..., put_key: _Optional[_Union[PutKey, _Mapping]] = ..., drop_key: _Optional[_Union[DropKey, _Mapping]] = ..., put_denial: _Optional[_Union[PutDenial, _Mapping]] = ..., drop_denial: _Optional[_Union[DropDenial, _Mapping]] = ..., put_setting: _Optional[_Union[PutSetting, _Mapping]] = ..., drop_setting: _Optional[_Union[DropSetting, _Mapping]] = ..., content_hash: _Optional[bytes] = ...) -> None: ...

class PutTemplate(_message.Message):
    __slots__ = ("rider_ref", "version", "model_id", "transform_id", "vector", "expire_time", "key_id", "tier")
    RIDER_REF_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    TRANSFORM_ID_FIELD_NUMBER: _ClassVar[int]
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    TIER_FIELD_NUMBER: _ClassVar[int]
    rider_ref: bytes
    version: int
    model_id: str
    transform_id: str
    vector: bytes
    expire_time: _timestamp_pb2.Timestamp
    key_id: str
    tier: int
    def __init__(self, rider_ref: _Optional[bytes] = ..., version: _Optional[int] = ..., model_id: _Optional[str] = ..., transform_id: _Optional[str] = ..., vector: _Optional[bytes] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., key_id: _Optional[str] = ..., tier: _Optional[int] = ...) -> None: ...

class DropTemplate(_message.Message):
    __slots__ = ("rider_ref",)
    RIDER_REF_FIELD_NUMBER: _ClassVar[int]
    rider_ref: bytes
    def __init__(self, rider_ref: _Optional[bytes] = ...) -> None: ...

class PutKey(_message.Message):
    __slots__ = ("key_id", "public_key")
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    key_id: int
    public_key: bytes
    def __init__(self, key_id: _Optional[int] = ..., public_key: _Optional[bytes] = ...) -> None: ...

class DropKey(_message.Message):
    __slots__ = ("key_id",)
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    key_id: int
    def __init__(self, key_id: _Optional[int] = ...) -> None: ...

class PutDenial(_message.Message):
    __slots__ = ("rider_ref", "reason", "since_time", "until_time")
    class Reason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        REASON_UNSPECIFIED: _ClassVar[PutDenial.Reason]
        REASON_WITHDRAWN: _ClassVar[PutDenial.Reason]
        REASON_DEBT: _ClassVar[PutDenial.Reason]
        REASON_LOST: _ClassVar[PutDenial.Reason]
        REASON_FRAUD: _ClassVar[PutDenial.Reason]
    REASON_UNSPECIFIED: PutDenial.Reason
    REASON_WITHDRAWN: PutDenial.Reason
    REASON_DEBT: PutDenial.Reason
    REASON_LOST: PutDenial.Reason
    REASON_FRAUD: PutDenial.Reason
    RIDER_REF_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SINCE_TIME_FIELD_NUMBER: _ClassVar[int]
    UNTIL_TIME_FIELD_NUMBER: _ClassVar[int]
    rider_ref: bytes
    reason: PutDenial.Reason
    since_time: _timestamp_pb2.Timestamp
    until_time: _timestamp_pb2.Timestamp
    def __init__(self, rider_ref: _Optional[bytes] = ..., reason: _Optional[_Union[PutDenial.Reason, str]] = ..., since_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., until_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class DropDenial(_message.Message):
    __slots__ = ("rider_ref",)
    RIDER_REF_FIELD_NUMBER: _ClassVar[int]
    rider_ref: bytes
    def __init__(self, rider_ref: _Optional[bytes] = ...) -> None: ...

class PutSetting(_message.Message):
    __slots__ = ("name", "body")
    NAME_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    name: str
    body: bytes
    def __init__(self, name: _Optional[str] = ..., body: _Optional[bytes] = ...) -> None: ...

class DropSetting(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class Ack(_message.Message):
    __slots__ = ("nonce", "durable_rev")
    NONCE_FIELD_NUMBER: _ClassVar[int]
    DURABLE_REV_FIELD_NUMBER: _ClassVar[int]
    nonce: int
    durable_rev: int
    def __init__(self, nonce: _Optional[int] = ..., durable_rev: _Optional[int] = ...) -> None: ...

class Nack(_message.Message):
    __slots__ = ("nonce", "code", "detail", "content_hashes")
    class Code(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        CODE_UNSPECIFIED: _ClassVar[Nack.Code]
        CODE_BAD_HASH: _ClassVar[Nack.Code]
        CODE_WRONG_REVISION: _ClassVar[Nack.Code]
        CODE_WRONG_SPACE: _ClassVar[Nack.Code]
        CODE_BAD_ITEM: _ClassVar[Nack.Code]
        CODE_UNSUPPORTED: _ClassVar[Nack.Code]
        CODE_DISK: _ClassVar[Nack.Code]
    CODE_UNSPECIFIED: Nack.Code
    CODE_BAD_HASH: Nack.Code
    CODE_WRONG_REVISION: Nack.Code
    CODE_WRONG_SPACE: Nack.Code
    CODE_BAD_ITEM: Nack.Code
    CODE_UNSUPPORTED: Nack.Code
    CODE_DISK: Nack.Code
    NONCE_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    CONTENT_HASHES_FIELD_NUMBER: _ClassVar[int]
    nonce: int
    code: Nack.Code
    detail: str
    content_hashes: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, nonce: _Optional[int] = ..., code: _Optional[_Union[Nack.Code, str]] = ..., detail: _Optional[str] = ..., content_hashes: _Optional[_Iterable[bytes]] = ...) -> None: ...

class Bookmark(_message.Message):
    __slots__ = ("epoch", "head_rev", "lease_until_time", "cloud_time", "grant")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    HEAD_REV_FIELD_NUMBER: _ClassVar[int]
    LEASE_UNTIL_TIME_FIELD_NUMBER: _ClassVar[int]
    CLOUD_TIME_FIELD_NUMBER: _ClassVar[int]
    GRANT_FIELD_NUMBER: _ClassVar[int]
    epoch: bytes
    head_rev: int
    lease_until_time: _timestamp_pb2.Timestamp
    cloud_time: _timestamp_pb2.Timestamp
    grant: bytes
    def __init__(self, epoch: _Optional[bytes] = ..., head_rev: _Optional[int] = ..., lease_until_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., cloud_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., grant: _Optional[bytes] = ...) -> None: ...

class Digest(_message.Message):
    __slots__ = ("rev", "buckets", "epoch")
    REV_FIELD_NUMBER: _ClassVar[int]
    BUCKETS_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    rev: int
    buckets: bytes
    epoch: bytes
    def __init__(self, rev: _Optional[int] = ..., buckets: _Optional[bytes] = ..., epoch: _Optional[bytes] = ...) -> None: ...

class Repair(_message.Message):
    __slots__ = ("nonce", "epoch", "rev", "buckets", "changes", "sha256", "signature")
    NONCE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    REV_FIELD_NUMBER: _ClassVar[int]
    BUCKETS_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    nonce: int
    epoch: bytes
    rev: int
    buckets: bytes
    changes: _containers.RepeatedCompositeFieldContainer[Change]
    sha256: bytes
    signature: bytes
    def __init__(self, nonce: _Optional[int] = ..., epoch: _Optional[bytes] = ..., rev: _Optional[int] = ..., buckets: _Optional[bytes] = ..., changes: _Optional[_Iterable[_Union[Change, _Mapping]]] = ..., sha256: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...
