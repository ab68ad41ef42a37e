from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class IdentifyRequest(_message.Message):
    __slots__ = ("edge_id", "embedding", "model_id", "transform_id")
    EDGE_ID_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_FIELD_NUMBER: _ClassVar[int]
    MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    TRANSFORM_ID_FIELD_NUMBER: _ClassVar[int]
    edge_id: str
    embedding: bytes
    model_id: str
    transform_id: str
    def __init__(self, edge_id: _Optional[str] = ..., embedding: _Optional[bytes] = ..., model_id: _Optional[str] = ..., transform_id: _Optional[str] = ...) -> None: ...

class IdentifyResponse(_message.Message):
    __slots__ = ("outcome",)
    class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        OUTCOME_UNSPECIFIED: _ClassVar[IdentifyResponse.Outcome]
        OUTCOME_ACCEPTED: _ClassVar[IdentifyResponse.Outcome]
        OUTCOME_OFF: _ClassVar[IdentifyResponse.Outcome]
        OUTCOME_NO_ENTRANCE: _ClassVar[IdentifyResponse.Outcome]
        OUTCOME_WRONG_SPACE: _ClassVar[IdentifyResponse.Outcome]
        OUTCOME_MALFORMED: _ClassVar[IdentifyResponse.Outcome]
        OUTCOME_NOT_SUPPORTED: _ClassVar[IdentifyResponse.Outcome]
        OUTCOME_BUSY: _ClassVar[IdentifyResponse.Outcome]
    OUTCOME_UNSPECIFIED: IdentifyResponse.Outcome
    OUTCOME_ACCEPTED: IdentifyResponse.Outcome
    OUTCOME_OFF: IdentifyResponse.Outcome
    OUTCOME_NO_ENTRANCE: IdentifyResponse.Outcome
    OUTCOME_WRONG_SPACE: IdentifyResponse.Outcome
    OUTCOME_MALFORMED: IdentifyResponse.Outcome
    OUTCOME_NOT_SUPPORTED: IdentifyResponse.Outcome
    OUTCOME_BUSY: IdentifyResponse.Outcome
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    outcome: IdentifyResponse.Outcome
    def __init__(self, outcome: _Optional[_Union[IdentifyResponse.Outcome, str]] = ...) -> None: ...
