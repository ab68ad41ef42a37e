"""What a station's disk holds of its view; a cache that can always be fetched anew.

The port is `Replica`. A delta and its revision become durable together or not at all; a snapshot
grows in a second file and replaces the first in one step. This file does not know about SQLite.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import UUID

from cloud_sync.gallery import Change, Delta, Denial, IssuerKey, Setting, Template
from cloud_sync.secrecy.opener import Opener
from cloud_sync.secrecy.rotation import Rotation
from cloud_sync.stream.lease import Lease
from cloud_sync.stream.messages import Repair, Snapshot


class ReplicaFailed(Exception):
    """The disk did not take it; what was held before is held still."""


class WrongRevision(Exception):
    """The delta starts elsewhere than the replica stands, or belongs to another history."""


class SnapshotRefused(Exception):
    """The staged chunks are not the snapshot that was announced; they are thrown away."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a replica stands."""

    epoch: UUID | None = None
    """The history; None when it holds nothing."""
    applied_rev: int = 0
    template_count: int = 0
    lease: Lease = field(default_factory=Lease)
    staged_root: bytes = b""
    """The root hash of a snapshot begun and not finished."""
    staged_chunks: int = 0
    """How many of its chunks are there, from index 0."""


@dataclass(frozen=True, slots=True, eq=False)
class Holding:
    """Everything a replica holds."""

    epoch: UUID | None
    rev: int
    templates: Sequence[Template]
    keys: tuple[IssuerKey, ...]
    denials: tuple[Denial, ...] = ()
    settings: tuple[Setting, ...] = ()
    rotation: Rotation | None = field(default=None, repr=False)
    """What all templates are turned by, and what a probe must be; None: nothing."""


class Replica(Protocol):
    """A station's copy of its view; one writer."""

    def standing(self) -> Standing:
        """Return where it stands; a file found corrupt is dropped and stands at nothing."""
        ...

    def apply(self, delta: Delta) -> None:
        """Apply a delta and its revision in one transaction, durable on return.

        Raises:
            WrongRevision: It does not start here.
            ReplicaFailed: Nothing of it was applied.
        """
        ...

    def expel(self, changes: Sequence[Change]) -> None:
        """Apply what shuts somebody out ahead of its revision, durable on return.

        The revision stays. A snapshot being staged takes it over when it is finished.

        Raises:
            ReplicaFailed: Nothing of it was applied.
        """
        ...

    def digest(self, key: bytes) -> bytes:
        """Return the digest of what can be read now, see `cloud_sync.stream.digest`, 4,096 bytes.

        It is taken from the content itself, not from hashes kept beside it.

        Args:
            key: Of this station and epoch.

        Raises:
            ReplicaFailed: It cannot be read.
        """
        ...

    def mend(self, repair: Repair) -> tuple[Change, ...]:
        """Hold in some buckets exactly what the view has there, in one transaction.

        Returns:
            What has changed by it, drops first.

        Raises:
            WrongRevision: The repair is for another revision or history.
            ReplicaFailed: Nothing of it was applied.
        """
        ...

    def use(self, opener: Opener | None) -> None:
        """Read what is sealed with this from now on.

        Args:
            opener: The keys granted; None when the lease has ended: no template can be read then.
        """
        ...

    def begin_snapshot(self, snapshot: Snapshot) -> int:
        """Make room beside the current content; a staged part of the same snapshot is kept.

        Returns:
            The index of the chunk needed next.

        Raises:
            ReplicaFailed: There is no room.
        """
        ...

    def stage(self, index: int, changes: Sequence[Change], span: int = 1) -> None:
        """Keep some parts of the snapshot; they come in the order of their index.

        Args:
            index: The first part.
            changes: All that is in them.
            span: How many there are, from 1.

        Raises:
            WrongRevision: No snapshot is begun, or another index is due.
            ReplicaFailed: The disk did not take it.
        """
        ...

    def finish_snapshot(self) -> None:
        """Check count and root hash, then replace the current content in one step.

        The lease stays as it was.

        Raises:
            SnapshotRefused: The staged content is not what was announced.
            ReplicaFailed: The disk did not take it.
        """
        ...

    def renew_lease(self, until: datetime, mark: datetime) -> None:
        """Note a lease; the mark never goes back.

        Args:
            until: Aware UTC.
            mark: The cloud's time, aware UTC.

        Raises:
            ReplicaFailed: The disk did not take it.
        """
        ...

    def raise_mark(self, mark: datetime) -> None:
        """Note that time has passed, without renewing anything.

        Raises:
            ReplicaFailed: The disk did not take it.
        """
        ...

    def load(self) -> Holding:
        """Return everything held; a file found corrupt is dropped and holds nothing."""
        ...

    def close(self) -> None:
        """Let go of the files."""
        ...
