from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EnrollRequest(_message.Message):
    __slots__ = ("token", "certificate_request", "tap_key", "tap_key_proof")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_REQUEST_FIELD_NUMBER: _ClassVar[int]
    TAP_KEY_FIELD_NUMBER: _ClassVar[int]
    TAP_KEY_PROOF_FIELD_NUMBER: _ClassVar[int]
    token: str
    certificate_request: bytes
    tap_key: bytes
    tap_key_proof: bytes
    def __init__(self, token: _Optional[str] = ..., certificate_request: _Optional[bytes] = ..., tap_key: _Optional[bytes] = ..., tap_key_proof: _Optional[bytes] = ...) -> None: ...

class EnrollResponse(_message.Message):
    __slots__ = ("badge",)
    BADGE_FIELD_NUMBER: _ClassVar[int]
    badge: Badge
    def __init__(self, badge: _Optional[_Union[Badge, _Mapping]] = ...) -> None: ...

class Badge(_message.Message):
    __slots__ = ("certificate", "trusted", "cloud_key")
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    TRUSTED_FIELD_NUMBER: _ClassVar[int]
    CLOUD_KEY_FIELD_NUMBER: _ClassVar[int]
    certificate: bytes
    trusted: bytes
    cloud_key: bytes
    def __init__(self, certificate: _Optional[bytes] = ..., trusted: _Optional[bytes] = ..., cloud_key: _Optional[bytes] = ...) -> None: ...

class GetChallengeRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetChallengeResponse(_message.Message):
    __slots__ = ("challenge",)
    CHALLENGE_FIELD_NUMBER: _ClassVar[int]
    challenge: bytes
    def __init__(self, challenge: _Optional[bytes] = ...) -> None: ...

class Proof(_message.Message):
    __slots__ = ("certificate", "challenge", "signature")
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    CHALLENGE_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    certificate: bytes
    challenge: bytes
    signature: bytes
    def __init__(self, certificate: _Optional[bytes] = ..., challenge: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class RenewRequest(_message.Message):
    __slots__ = ("certificate_request", "proof")
    CERTIFICATE_REQUEST_FIELD_NUMBER: _ClassVar[int]
    PROOF_FIELD_NUMBER: _ClassVar[int]
    certificate_request: bytes
    proof: Proof
    def __init__(self, certificate_request: _Optional[bytes] = ..., proof: _Optional[_Union[Proof, _Mapping]] = ...) -> None: ...

class RenewResponse(_message.Message):
    __slots__ = ("badge",)
    BADGE_FIELD_NUMBER: _ClassVar[int]
    badge: Badge
    def __init__(self, badge: _Optional[_Union[Badge, _Mapping]] = ...) -> None: ...

class UploadTapsRequest(_message.Message):
    __slots__ = ("batch", "proof")
    BATCH_FIELD_NUMBER: _ClassVar[int]
    PROOF_FIELD_NUMBER: _ClassVar[int]
    batch: bytes
    proof: Proof
    def __init__(self, batch: _Optional[bytes] = ..., proof: _Optional[_Union[Proof, _Mapping]] = ...) -> None: ...

class UploadTapsResponse(_message.Message):
    __slots__ = ("receipt",)
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    receipt: bytes
    def __init__(self, receipt: _Optional[bytes] = ...) -> None: ...
