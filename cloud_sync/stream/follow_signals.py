"""What happens to the edge's end of the gallery stream, and what it wants done.

The driver performs effects in order and reports what became of them as events.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from cloud_sync.gallery import Change, Delta
from cloud_sync.stream.messages import Chunk, FromCloud, FromEdge, Repair, Snapshot
from cloud_sync.stream.replica import Standing


@dataclass(frozen=True, slots=True)
class Connected:
    """A stream is open; what the disk holds, read just now."""

    standing: Standing
    wall: datetime
    """The wall clock, aware UTC."""
    outbox_depth: int = 0
    disk_free_bytes: int = 0
    stream_key: bytes = b""
    """The public half of the key made for this stream; empty where nothing is to be sealed."""


@dataclass(frozen=True, slots=True)
class Received:
    """The cloud said something."""

    message: FromCloud


@dataclass(frozen=True, slots=True)
class Applied:
    """A delta is on disk."""

    nonce: int
    rev: int


@dataclass(frozen=True, slots=True)
class SnapshotBegun:
    """There is room for the snapshot; this chunk is needed next."""

    due_index: int


@dataclass(frozen=True, slots=True)
class Staged:
    """A chunk of the snapshot is on disk."""

    nonce: int
    index: int
    span: int = 1
    """Parts in it."""


@dataclass(frozen=True, slots=True)
class Expelled:
    """An expulsion is in force and on disk."""

    nonce: int


@dataclass(frozen=True, slots=True)
class DigestTaken:
    """What the disk holds was summed up."""

    epoch: UUID
    rev: int
    buckets: bytes


@dataclass(frozen=True, slots=True)
class Mended:
    """The buckets of a repair are what the view has, on disk and in force."""

    nonce: int


@dataclass(frozen=True, slots=True)
class Replaced:
    """The snapshot has replaced what was held."""

    epoch: UUID
    rev: int


@dataclass(frozen=True, slots=True)
class Failed:
    """The disk did not do what an effect asked for."""

    nonce: int
    detail: str


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


Outcome = Applied | SnapshotBegun | Staged | Expelled | DigestTaken | Mended | Replaced | Failed
Event = Connected | Received | Tick | Outcome


@dataclass(frozen=True, slots=True)
class Say:
    """Send this to the cloud."""

    message: FromEdge


@dataclass(frozen=True, slots=True, eq=False)
class Apply:
    """Apply a delta; answer `Applied` or `Failed`."""

    nonce: int
    delta: Delta


@dataclass(frozen=True, slots=True)
class BeginSnapshot:
    """Make room for a snapshot; answer `SnapshotBegun` or `Failed`."""

    snapshot: Snapshot


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """Keep a chunk of the snapshot; answer `Staged` or `Failed`."""

    chunk: Chunk


@dataclass(frozen=True, slots=True)
class FinishSnapshot:
    """Check and swap; answer `Replaced` or `Failed`."""

    snapshot: Snapshot


@dataclass(frozen=True, slots=True, eq=False)
class Expel:
    """Shut somebody out before the log gets there; answer `Expelled` or `Failed`."""

    nonce: int
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class TakeDigest:
    """Sum up what the disk holds; answer `DigestTaken`, or nothing where there is no key."""


@dataclass(frozen=True, slots=True, eq=False)
class Mend:
    """Make buckets what the view has, all or none; a person must look.

    Answer `Mended` or `Failed`.
    """

    repair: Repair


@dataclass(frozen=True, slots=True)
class TakeGrant:
    """Open the key grant and keep it; what was sealed can be read from now on."""

    epoch: UUID
    wrapped: bytes


@dataclass(frozen=True, slots=True)
class RenewLease:
    """Note the lease; the gallery is caught up."""

    until: datetime
    cloud_time: datetime


@dataclass(frozen=True, slots=True)
class NoteTime:
    """The cloud's time was heard; it renews nothing."""

    cloud_time: datetime


@dataclass(frozen=True, slots=True)
class HangUp:
    """Close the stream and dial again later; the next hello says what is held."""

    reason: str
    alarm: bool = False
    """Whether a person must look."""


Storing = Apply | BeginSnapshot | Stage | FinishSnapshot | Expel | Mend | TakeDigest
Effect = Say | Storing | TakeGrant | RenewLease | NoteTime | HangUp
