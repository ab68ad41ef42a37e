"""The ports of this package in memory: for tests, and as the plain reading of their promises."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from cloud_sync.content import content_hash, root_hash
from cloud_sync.gallery import (
    Change,
    Delta,
    Denial,
    DropDenial,
    DropKey,
    DropSetting,
    DropTemplate,
    IssuerKey,
    PutDenial,
    PutKey,
    PutSetting,
    PutTemplate,
    Setting,
    Template,
)
from cloud_sync.lease import Lease
from cloud_sync.messages import Snapshot
from cloud_sync.replica import Holding, SnapshotRefused, Standing, WrongRevision


@dataclass(slots=True)
class _Content:
    epoch: UUID | None = None
    rev: int = 0
    templates: dict[UUID, Template] = field(default_factory=dict)
    keys: dict[int, IssuerKey] = field(default_factory=dict)
    denials: dict[UUID, Denial] = field(default_factory=dict)
    settings: dict[str, Setting] = field(default_factory=dict)

    def take(self, changes: Sequence[Change]) -> None:
        for change in changes:
            match change:
                case PutTemplate(template):
                    self.templates[template.rider_ref] = template
                case DropTemplate(rider_ref):
                    self.templates.pop(rider_ref, None)
                case PutKey(key):
                    self.keys[key.key_id] = key
                case DropKey(key_id):
                    self.keys.pop(key_id, None)
                case PutDenial(denial):
                    self.denials[denial.rider_ref] = denial
                case DropDenial(rider_ref):
                    self.denials.pop(rider_ref, None)
                case PutSetting(setting):
                    self.settings[setting.name] = setting
                case DropSetting(name):
                    self.settings.pop(name, None)


@dataclass(slots=True)
class _Staging:
    snapshot: Snapshot
    content: _Content
    hashes: list[bytes] = field(default_factory=list)
    chunks: int = 0


class MemoryReplica:
    """A replica that a power cut empties."""

    def __init__(self) -> None:
        self._content = _Content()
        self._staging: _Staging | None = None
        self._lease = Lease()

    def standing(self) -> Standing:
        """Return where it stands."""
        staging = self._staging
        return Standing(
            epoch=self._content.epoch,
            applied_rev=self._content.rev,
            template_count=len(self._content.templates),
            lease=self._lease,
            staged_root=staging.snapshot.root_hash if staging else b"",
            staged_chunks=staging.chunks if staging else 0,
        )

    def apply(self, delta: Delta) -> None:
        """Apply a delta and its revision together."""
        if (delta.epoch, delta.from_rev) != (self._content.epoch, self._content.rev):
            raise WrongRevision(f"at {self._content.rev}, the delta starts at {delta.from_rev}")
        self._content.take(delta.changes)
        self._content.rev = delta.to_rev

    def begin_snapshot(self, snapshot: Snapshot) -> int:
        """Make room beside the current content; a staged part of the same snapshot is kept."""
        if self._staging is None or self._staging.snapshot != snapshot:
            content = _Content(epoch=snapshot.epoch, rev=snapshot.rev)
            self._staging = _Staging(snapshot, content)
        return self._staging.chunks

    def stage(self, index: int, changes: Sequence[Change]) -> None:
        """Keep one chunk of the snapshot."""
        staging = self._staging
        if staging is None or staging.chunks != index:
            raise WrongRevision(f"chunk {index} is not due")
        staging.content.take(changes)
        staging.hashes.extend(content_hash(change) for change in changes)
        staging.chunks += 1

    def finish_snapshot(self) -> None:
        """Check count and root hash, then replace the current content in one step."""
        staging, self._staging = self._staging, None
        if staging is None:
            raise SnapshotRefused("no snapshot is begun")
        announced = staging.snapshot
        if len(staging.content.templates) != announced.template_count:
            raise SnapshotRefused(f"{len(staging.content.templates)} templates")
        if root_hash(staging.hashes) != announced.root_hash:
            raise SnapshotRefused("the root hash does not fit")
        self._content = staging.content

    def renew_lease(self, until: datetime, mark: datetime) -> None:
        """Note a lease."""
        self._lease = replace(self._lease.raised(mark), until=until, renewed=mark)

    def raise_mark(self, mark: datetime) -> None:
        """Note that time has passed."""
        self._lease = self._lease.raised(mark)

    def load(self) -> Holding:
        """Return everything held."""
        content = self._content
        return Holding(
            content.epoch,
            content.rev,
            tuple(content.templates.values()),
            tuple(content.keys.values()),
            tuple(content.denials.values()),
            tuple(content.settings.values()),
        )

    def close(self) -> None:
        """Let go of nothing."""
