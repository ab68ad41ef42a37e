"""What the two ends say to each other on the gallery stream, as values.

`wire.py` turns these into protobuf and back; the state machines know nothing but these.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from uuid import UUID

from cloud_sync.gallery import Change

PROTOCOL = 2
"""The newest protocol this code speaks."""
PROTOCOL_MIN = 1
"""The oldest it still speaks: the one before, so that either end may be upgraded first."""


@dataclass(frozen=True, slots=True)
class Hello:
    """The edge says what it holds; the first message of a stream, and again after a mismatch."""

    edge_id: str
    station_id: str
    epoch: UUID | None
    """The history of what it holds; None when it holds nothing."""
    applied_rev: int
    """The revision that is durable on its disk."""
    model_id: str
    """The embedder it has loaded; empty when none is."""
    transform_id: str
    template_count: int
    utc_time: datetime
    """The edge's wall clock, aware UTC."""
    proto_min: int = PROTOCOL_MIN
    proto_max: int = PROTOCOL
    staged_root: bytes = b""
    """The root hash of a snapshot begun and not finished, else empty."""
    staged_chunks: int = 0
    """How many of its chunks are on disk."""
    boot_id: str = ""
    disk_free_bytes: int = 0
    outbox_depth: int = 0
    """Taps that wait for the cloud."""
    stream_key: bytes = b""
    """X25519, 32 bytes, made for this stream: what its key grant is wrapped to. Empty from version
    1, and from a node that takes templates in plain."""


@dataclass(frozen=True, slots=True)
class Ack:
    """The edge holds everything up to `durable_rev` on its disk."""

    nonce: int
    durable_rev: int


class NackCode(Enum):
    """Why a chunk was refused."""

    BAD_HASH = 1
    """The chunk's own digest does not fit."""
    WRONG_REVISION = 2
    """The chunk does not start where the edge stands."""
    WRONG_SPACE = 3
    """Templates of another model or transform than the edge has loaded."""
    BAD_ITEM = 4
    """Templates that no embedder made, or whose content hash does not fit."""
    UNSUPPORTED = 5
    """An operation this edge does not know."""
    DISK = 6
    """The edge could not write."""


@dataclass(frozen=True, slots=True)
class Nack:
    """The edge refuses a chunk and keeps its last good state."""

    nonce: int
    code: NackCode
    detail: str
    content_hashes: tuple[bytes, ...] = ()
    """The items refused, when the code is about items."""


@dataclass(frozen=True, slots=True)
class Digest:
    """What the edge holds, summed up in buckets; see `cloud_sync.stream.digest`."""

    epoch: UUID
    rev: int
    buckets: bytes
    """256 values of 16 bytes."""


FromEdge = Hello | Ack | Nack | Digest


@dataclass(frozen=True, slots=True)
class Resume:
    """Deltas follow, from the edge's own revision."""

    epoch: UUID
    rev: int
    protocol: int = PROTOCOL
    """The version that this stream goes on in."""
    grant: bytes = field(default=b"", repr=False)
    """The wrapped key grant; empty without sealing."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A whole view follows in chunks; the old one keeps serving until it is complete."""

    epoch: UUID
    rev: int
    chunk_count: int
    template_count: int
    root_hash: bytes
    """SHA-256 over the content hashes of all changes in order."""
    protocol: int = PROTOCOL
    """The version that this stream goes on in."""
    grant: bytes = field(default=b"", repr=False, compare=False)
    """The wrapped key grant, another one each time; empty without sealing."""


@dataclass(frozen=True, slots=True)
class UpgradeRequired:
    """The edge's protocol is too old or too new."""

    detail: str


@dataclass(frozen=True, slots=True)
class Deny:
    """This edge may not have this view."""

    detail: str


Plan = Resume | Snapshot | UpgradeRequired | Deny


@dataclass(frozen=True, slots=True)
class Refusal:
    """An item of a chunk that may not be applied."""

    content_hash: bytes
    code: NackCode
    detail: str


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Changes from one revision to another, one part of a snapshot, or an expulsion.

    An expulsion moves no revision: what it holds comes later in the log, and counts from now on.
    """

    nonce: int
    epoch: UUID
    from_rev: int
    """The revision the edge must be at; 0 in a snapshot."""
    to_rev: int
    """The revision afterwards; the snapshot's own in a snapshot, `from_rev` in an expulsion."""
    changes: Sequence[Change]
    hashes: Sequence[bytes]
    """The content hash of each change, 32 bytes each."""
    index: int = 0
    """Place in the snapshot, from 0: the first of the parts in it."""
    is_snapshot: bool = False
    intact: bool = True
    """Whether the chunk's digest fitted when it arrived, and the cloud's signature where asked."""
    refusals: tuple[Refusal, ...] = ()
    """Filled at arrival: items that may not be applied."""
    span: int = 1
    """How many parts of the snapshot are in it, from 1."""

    @property
    def is_expulsion(self) -> bool:
        """Whether it moves no revision."""
        return not self.is_snapshot and self.from_rev == self.to_rev


@dataclass(frozen=True, slots=True)
class Bookmark:
    """Renews the lease of an edge that stands at `head_rev`, and of no other."""

    epoch: UUID
    head_rev: int
    lease_until: datetime
    cloud_time: datetime
    grant: bytes = field(default=b"", repr=False)
    """The wrapped key grant, good as long as the lease; empty without sealing."""


@dataclass(frozen=True, slots=True, eq=False)
class Repair:
    """All that the view has in some buckets: the edge holds that there and nothing else.

    Without buckets: edge and view are the same.
    """

    nonce: int
    epoch: UUID
    rev: int
    """The revision that both ends stand at."""
    buckets: tuple[int, ...]
    """0 to 255, each once."""
    changes: tuple[Change, ...]
    hashes: tuple[bytes, ...]
    """The content hash of each change, 32 bytes each."""
    intact: bool = True
    """As in a chunk."""
    refusals: tuple[Refusal, ...] = ()
    """As in a chunk."""


FromCloud = Plan | Chunk | Bookmark | Repair
