"""What the two ends say to each other on the gallery stream, as values.

`wire.py` turns these into protobuf and back; the state machines know nothing but these.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from uuid import UUID

from cloud_sync.gallery import Change

PROTOCOL = 1
"""The protocol this code speaks."""


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
    proto_min: int = PROTOCOL
    proto_max: int = PROTOCOL
    staged_root: bytes = b""
    """The root hash of a snapshot begun and not finished, else empty."""
    staged_chunks: int = 0
    """How many of its chunks are on disk."""
    boot_id: str = ""
    disk_free_bytes: int = 0
    outbox_depth: int = 0
    """Taps that wait for the cloud."""


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


FromEdge = Hello | Ack | Nack


@dataclass(frozen=True, slots=True)
class Resume:
    """Deltas follow, from the edge's own revision."""

    epoch: UUID
    rev: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A whole view follows in chunks; the old one keeps serving until it is complete."""

    epoch: UUID
    rev: int
    chunk_count: int
    template_count: int
    root_hash: bytes
    """SHA-256 over the content hashes of all changes in order."""


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
    """Changes from one revision to another, or one part of a snapshot."""

    nonce: int
    epoch: UUID
    from_rev: int
    """The revision the edge must be at; 0 in a snapshot."""
    to_rev: int
    """The revision afterwards; the snapshot's own in a snapshot."""
    changes: tuple[Change, ...]
    hashes: tuple[bytes, ...]
    """The content hash of each change, 32 bytes each."""
    index: int = 0
    """Place in the snapshot, from 0."""
    is_snapshot: bool = False
    intact: bool = True
    """Whether the chunk's digest fitted when it arrived."""
    refusals: tuple[Refusal, ...] = ()
    """Filled at arrival: items that may not be applied."""


@dataclass(frozen=True, slots=True)
class Bookmark:
    """Renews the lease of an edge that stands at `head_rev`, and of no other."""

    epoch: UUID
    head_rev: int
    lease_until: datetime
    cloud_time: datetime


FromCloud = Plan | Chunk | Bookmark
