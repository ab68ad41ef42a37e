"""What happens to the cloud's end of a gallery stream, and what it wants done.

The driver performs effects in order and reports what became of them, in that order too, as events.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from cloud_sync.stream.messages import Ack, Digest, FromCloud, Nack, Plan
from cloud_sync.stream.view import Head, Page


@dataclass(frozen=True, slots=True)
class Planned:
    """How the edge is served was decided."""

    plan: Plan
    head: Head | None
    first_index: int = 0
    """Where a snapshot begun earlier goes on."""


@dataclass(frozen=True, slots=True)
class Heard:
    """The edge said something."""

    message: Ack | Nack | Digest


@dataclass(frozen=True, slots=True)
class HeadSeen:
    """The view was looked at."""

    head: Head


@dataclass(frozen=True, slots=True, eq=False)
class PageRead:
    """A part of the log was read."""

    page: Page


@dataclass(frozen=True, slots=True, eq=False)
class UrgentRead:
    """What shuts somebody out was looked for in the log."""

    base_rev: int
    """The revision that the edge will stand at."""
    page: Page


@dataclass(frozen=True, slots=True)
class Compared:
    """The edge's digest was compared with the view."""

    epoch: UUID
    rev: int
    """The revision that the view stood at."""
    groups: tuple[tuple[int, ...], ...]
    """The buckets that differ, in groups that travel together; none when both are the same."""


@dataclass(frozen=True, slots=True)
class Gone:
    """The log does not reach back any more, or has a new epoch."""


@dataclass(frozen=True, slots=True)
class LeaseOffered:
    """A lease was noted durably, together with the head it is valid for."""

    head: Head
    until: datetime
    cloud_time: datetime


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


Event = Planned | Heard | HeadSeen | PageRead | UrgentRead | Compared | Gone | LeaseOffered | Tick


@dataclass(frozen=True, slots=True)
class Send:
    """Send this to the edge."""

    message: FromCloud


@dataclass(frozen=True, slots=True)
class SendPart:
    """Send some parts of the snapshot that was taken as one chunk."""

    nonce: int
    index: int
    span: int = 1
    """So many parts from there on."""


@dataclass(frozen=True, slots=True)
class Read:
    """Read the log after a revision; answer `PageRead` or `Gone`."""

    epoch: UUID
    from_rev: int
    limit: int


@dataclass(frozen=True, slots=True)
class ReadUrgent:
    """Read what shuts somebody out after a revision, to the head; answer `UrgentRead` or `Gone`."""

    epoch: UUID
    base_rev: int
    """The revision that the edge will stand at."""
    from_rev: int
    """At least `base_rev`: what was read before is not read again."""


@dataclass(frozen=True, slots=True)
class ReadAbsent:
    """Look whom the edge may have and the view has not; answer `UrgentRead`."""

    rev: int
    """Of the snapshot that the edge takes meanwhile, at which it will stand."""


@dataclass(frozen=True, slots=True)
class Compare:
    """Compare a digest with the view; answer `Compared`."""

    digest: Digest


@dataclass(frozen=True, slots=True)
class NoteDivergence:
    """Edge and view differ at the same revision: count it; a person must look."""

    epoch: UUID
    rev: int
    buckets: int


@dataclass(frozen=True, slots=True)
class SendRepair:
    """Send what the view had in some buckets when it was compared."""

    nonce: int
    epoch: UUID
    rev: int
    buckets: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TakeSnapshot:
    """Take the view as it stands now; answer `Planned`."""


@dataclass(frozen=True, slots=True)
class LetSnapshotGo:
    """The snapshot is no longer needed."""


@dataclass(frozen=True, slots=True)
class NoteAck:
    """Note what the edge holds durably."""

    epoch: UUID
    rev: int


@dataclass(frozen=True, slots=True)
class OfferLease:
    """Note a lease of this length; answer `LeaseOffered`."""

    length: timedelta


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Take an item out of the view; a person must look."""

    content_hash: bytes
    detail: str


@dataclass(frozen=True, slots=True)
class HangUp:
    """Close the stream."""

    reason: str
    alarm: bool = False


Effect = (
    Send
    | SendPart
    | Read
    | ReadUrgent
    | ReadAbsent
    | Compare
    | NoteDivergence
    | SendRepair
    | TakeSnapshot
    | LetSnapshotGo
    | NoteAck
    | OfferLease
    | Quarantine
    | HangUp
)
