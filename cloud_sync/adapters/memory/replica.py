"""The ports of this package in memory: for tests, and as the plain reading of their promises."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from cloud_sync.columns import Templates
from cloud_sync.content import content_hash, dropped, key_of, root_hash
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
from cloud_sync.secrecy.opener import Opener
from cloud_sync.stream.digest import bucket_of, summed
from cloud_sync.stream.lease import Lease
from cloud_sync.stream.messages import Repair, Snapshot
from cloud_sync.stream.replica import Holding, SnapshotRefused, Standing, WrongRevision


@dataclass(slots=True)
class _Content:
    epoch: UUID | None = None
    rev: int = 0
    templates: dict[UUID, PutTemplate] = field(default_factory=dict)
    keys: dict[int, IssuerKey] = field(default_factory=dict)
    denials: dict[UUID, Denial] = field(default_factory=dict)
    settings: dict[str, Setting] = field(default_factory=dict)

    def take(self, changes: Sequence[Change]) -> None:
        for change in changes:
            match change:
                case PutTemplate(template):
                    self.templates[template.rider_ref] = change
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

    def items(self) -> list[Change]:
        """Return what would bring it all."""
        return [
            *self.templates.values(),
            *(PutKey(key) for key in self.keys.values()),
            *(PutDenial(denial) for denial in self.denials.values()),
            *(PutSetting(setting) for setting in self.settings.values()),
        ]


@dataclass(slots=True)
class _Staging:
    snapshot: Snapshot
    content: _Content
    hashes: list[bytes] = field(default_factory=list)
    expelled: list[Change] = field(default_factory=list)
    chunks: int = 0


class MemoryReplica:
    """A replica that a power cut empties."""

    def __init__(self) -> None:
        self._content = _Content()
        self._staging: _Staging | None = None
        self._lease = Lease()
        self._opener: Opener | None = None

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

    def expel(self, changes: Sequence[Change]) -> None:
        """Apply what shuts somebody out ahead of its revision."""
        self._content.take(changes)
        if self._staging is not None:
            self._staging.expelled.extend(changes)

    def digest(self, key: bytes) -> bytes:
        """Return the digest of what is held."""
        return summed(((key_of(one), content_hash(one)) for one in self._content.items()), key)

    def mend(self, repair: Repair) -> tuple[Change, ...]:
        """Hold in some buckets exactly what the view has there."""
        if (repair.epoch, repair.rev) != (self._content.epoch, self._content.rev):
            raise WrongRevision(f"at {self._content.rev}, the repair is for {repair.rev}")
        wanted = {key_of(change) for change in repair.changes}
        held = (key_of(change) for change in self._content.items())
        gone = [key for key in held if bucket_of(key) in repair.buckets and key not in wanted]
        changes = (*map(dropped, gone), *repair.changes)
        self._content.take(changes)
        return changes

    def use(self, opener: Opener | None) -> None:
        """Read what is sealed with this from now on."""
        self._opener = opener

    def damage(self, change: Change) -> None:
        """Change an item past all checks, as a damaged disk would."""
        self._content.take((change,))

    def begin_snapshot(self, snapshot: Snapshot) -> int:
        """Make room beside the current content; a staged part of the same snapshot is kept."""
        if self._staging is None or self._staging.snapshot != snapshot:
            content = _Content(epoch=snapshot.epoch, rev=snapshot.rev)
            self._staging = _Staging(snapshot, content)
        return self._staging.chunks

    def stage(self, index: int, changes: Sequence[Change], span: int = 1) -> None:
        """Keep some parts of the snapshot."""
        staging = self._staging
        if staging is None or staging.chunks != index:
            raise WrongRevision(f"chunk {index} is not due")
        staging.content.take(changes)
        staging.hashes.extend(content_hash(change) for change in changes)
        staging.chunks += span

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
        staging.content.take(staging.expelled)
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
            self._read(),
            tuple(content.keys.values()),
            tuple(content.denials.values()),
            tuple(content.settings.values()),
            None if self._opener is None else self._opener.home,
        )

    def _read(self) -> Sequence[Template]:
        """Return what can be read now, in the transform in which it is compared now."""
        puts = self._content.templates.values()
        held = tuple(put.template for put in puts if self._reads(put))
        if self._opener is None or not held:
            return held
        by = Templates.of(held)
        vectors, home = self._opener.brought_home(by.vectors, by.transform_ids)
        return dataclasses.replace(by, vectors=vectors, transform_ids=[home] * len(by))

    def _reads(self, put: PutTemplate) -> bool:
        sealed = put.sealed
        return sealed is None or (self._opener is not None and self._opener.key_id == sealed.key_id)

    def close(self) -> None:
        """Let go of nothing."""
