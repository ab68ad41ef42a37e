"""The replica in SQLite: a cache file beside the outbox, dropped and fetched anew when corrupt.

What is in a file is in `replica_rows`, a snapshot that arrives in `staging`.
"""

import contextlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import apsw

from cloud_sync.adapters.disk.files import Disk
from cloud_sync.adapters.disk.replica_file import CORRUPT, open_file, transaction, translated
from cloud_sync.adapters.disk.replica_rows import (
    DAMAGED,
    digest_items,
    drops_in,
    holding,
    micros_of,
    moment_of,
    take,
)
from cloud_sync.adapters.disk.staging import Fresh, Staging
from cloud_sync.content import is_drop, key_of
from cloud_sync.gallery import Change, Delta
from cloud_sync.secrecy.opener import Opener
from cloud_sync.stream.digest import summed
from cloud_sync.stream.lease import Lease
from cloud_sync.stream.messages import Repair, Snapshot
from cloud_sync.stream.replica import (
    Holding,
    ReplicaFailed,
    SnapshotRefused,
    Standing,
    WrongRevision,
)
from fare.log import say

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ReplicaConfig:
    """How the file is written."""

    synchronous: Literal["FULL", "NORMAL"] = "FULL"
    """FULL: what is acknowledged to the cloud is on the disk. NORMAL is the power-cut test's
    control."""
    vfs: str = ""
    """The SQLite VFS; empty for the usual one."""


class SqliteReplica:
    """A replica in one file, with a second one while a snapshot arrives; one connection each."""

    def __init__(
        self, path: Path, *, config: ReplicaConfig | None = None, disk: Disk | None = None
    ) -> None:
        """Open the file, or make it; a corrupt one is dropped.

        Args:
            path: The gallery file; its folder exists.
            config: How it is written; the default if None.
            disk: File names; the plain disk if None.

        Raises:
            ReplicaFailed: It cannot be opened, or another process holds it.
        """
        self._path = path
        self._staging_path = path.with_name(path.name + ".next")
        self._config = config or ReplicaConfig()
        self._disk = disk or Disk()
        self._opener: Opener | None = None
        self._expelled: list[Change] = []
        self._fresh: Fresh | None = None
        with translated():
            self._file = self._opened(path, synchronous=self._config.synchronous)
            self._disk.sync_folder(path.parent)
            self._staging: Staging | None = None
            if self._staging_path.exists():
                self._staging = Staging(self._opened(self._staging_path, synchronous="NORMAL"))

    def standing(self) -> Standing:
        """Return where it stands; a file found corrupt is dropped and stands at nothing."""
        row = self._read(
            "SELECT epoch, applied_rev, lease_until, mark, (SELECT count(*) FROM template),"
            " renewed FROM standing"
        )[0]
        with translated():
            root, chunks = (b"", 0) if self._staging is None else self._staging.standing()
        return Standing(
            epoch=UUID(bytes=row[0]) if row[0] else None,
            applied_rev=row[1],
            template_count=row[4],
            lease=Lease(moment_of(row[2]), moment_of(row[3]), moment_of(row[5])),
            staged_root=root,
            staged_chunks=chunks,
        )

    def apply(self, delta: Delta) -> None:
        """Apply a delta and its revision in one transaction, durable on return."""
        self._fresh = None
        with self._guarded(), transaction(self._file):
            self._expect(delta.epoch, delta.from_rev)
            take(self._file, delta.changes)
            self._file.execute("UPDATE standing SET applied_rev = ?", (delta.to_rev,))
        if any(is_drop(change) for change in delta.changes):
            self._scrub()

    def expel(self, changes: Sequence[Change]) -> None:
        """Apply what shuts somebody out ahead of its revision, durable on return.

        What a snapshot must take over is noted in memory: after a restart the cloud says it again.
        """
        self._fresh = None
        with self._guarded(), transaction(self._file):
            take(self._file, changes)
        if self._staging is not None:
            self._expelled.extend(changes)
        self._scrub()

    def digest(self, key: bytes) -> bytes:
        """Return the digest of what can be read now."""
        with self._guarded():
            try:
                return summed(digest_items(self._file, self._opener), key)
            except DAMAGED as problem:
                raise self._unreadable() from problem

    def mend(self, repair: Repair) -> tuple[Change, ...]:
        """Hold in some buckets exactly what the view has there, in one transaction."""
        self._fresh = None
        wanted = {key_of(change) for change in repair.changes}
        with self._guarded():
            try:
                with transaction(self._file):
                    self._expect(repair.epoch, repair.rev)
                    gone = drops_in(self._file, repair.buckets, spared=wanted)
                    take(self._file, gone)
                    take(self._file, repair.changes)
            except DAMAGED as problem:
                raise self._unreadable() from problem
        self._scrub()
        return (*gone, *repair.changes)

    def use(self, opener: Opener | None) -> None:
        """Read what is sealed with this from now on."""
        self._opener = opener

    def begin_snapshot(self, snapshot: Snapshot) -> int:
        """Make room beside the current content; a staged part of the same snapshot is kept."""
        with translated():
            if self._staging is not None and self._staging.is_of(snapshot):
                return self._staging.standing()[1]
            self._drop_staging()
            self._expelled.clear()  # the cloud says them again for this one
            self._staging = Staging(self._opened(self._staging_path, synchronous="NORMAL"))
            self._staging.begin(snapshot)
        return 0

    def stage(self, index: int, changes: Sequence[Change], span: int = 1) -> None:
        """Keep some parts of the snapshot."""
        if self._staging is None:
            raise WrongRevision("no snapshot is begun")
        with translated():
            self._staging.keep(index, changes, span)

    def finish_snapshot(self) -> None:
        """Check count and root hash, then replace the current content in one step.

        Both files are closed before the rename, so that neither leaves a WAL behind: SQLite
        would replay the old file's WAL into the new one.
        """
        staging = self._staging
        if staging is None:
            raise SnapshotRefused("no snapshot is begun")
        with translated():
            sql = "SELECT lease_until, mark, renewed FROM standing"
            lease: tuple[Any, ...] = self._file.execute(sql).fetchall()[0]
            try:
                fresh = staging.finish(self._expelled, lease)
            except SnapshotRefused:
                self._drop_staging()
                raise
            self._staging = None
            self._expelled.clear()
            self._file.close()
            try:
                self._disk.rename(self._staging_path, self._path)
                self._disk.sync_folder(self._path.parent)
            finally:
                self._file = self._opened(self._path, synchronous=self._config.synchronous)
            self._file.execute("DELETE FROM staged_hash")
            self._fresh = fresh

    def renew_lease(self, until: datetime, mark: datetime) -> None:
        """Note a lease; the mark never goes back."""
        with self._guarded():
            self._file.execute(
                "UPDATE standing SET lease_until = ?, renewed = ?2,"
                " mark = max(ifnull(mark, ?2), ?2)",
                (micros_of(until), micros_of(mark)),
            )

    def raise_mark(self, mark: datetime) -> None:
        """Note that time has passed."""
        with translated():
            self._file.execute(
                "UPDATE standing SET mark = max(ifnull(mark, ?1), ?1)", (micros_of(mark),)
            )

    def load(self) -> Holding:
        """Return everything held; a file found corrupt is dropped and holds nothing.

        Right behind a snapshot whose parts all came to this process its templates are not read and
        opened a second time: the digest that follows reads the disk.
        """
        fresh, self._fresh = self._fresh, None
        known = None
        if fresh is not None and fresh.opens_with(self._opener, self.standing().epoch):
            known = fresh.templates
        try:
            return holding(self._file, self._opener, known)
        except (*DAMAGED, *CORRUPT):
            self._drop_file()
            return self.load()
        except apsw.Error as problem:
            raise ReplicaFailed(str(problem)) from problem

    def close(self) -> None:
        """Let go of the files; what is staged stays."""
        if self._staging is not None:
            self._staging.close()
            self._staging = None
        self._file.close()

    def _unreadable(self) -> ReplicaFailed:
        """Throw the file away: not even the keys of its items can be read."""
        self._drop_file()
        return ReplicaFailed("the file is damaged beyond repair")

    def _expect(self, epoch: UUID, rev: int) -> None:
        """Refuse what does not belong to this very revision."""
        row = self._file.execute("SELECT epoch, applied_rev FROM standing").fetchall()[0]
        if (epoch.bytes, rev) != row:
            raise WrongRevision(f"at {row[1]}, this is for {rev}")

    def _read(self, sql: str) -> list[tuple[Any, ...]]:
        try:
            return self._file.execute(sql).fetchall()
        except CORRUPT:
            self._drop_file()
            with translated():
                return self._file.execute(sql).fetchall()
        except apsw.Error as problem:
            raise ReplicaFailed(str(problem)) from problem

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        """Let a write fail as `ReplicaFailed`, and drop the file if it is corrupt."""
        with translated():
            try:
                yield
            except CORRUPT:
                self._drop_file()
                raise

    def _opened(self, path: Path, *, synchronous: str) -> apsw.Connection:
        try:
            return open_file(path, synchronous=synchronous, vfs=self._config.vfs)
        except CORRUPT:
            self._remove(path)
            return open_file(path, synchronous=synchronous, vfs=self._config.vfs)

    def _drop_file(self) -> None:
        """Throw a corrupt file away; the next hello then asks for a snapshot."""
        self._fresh = None
        with translated():
            self._file.close()
            self._remove(self._path)
            self._file = self._opened(self._path, synchronous=self._config.synchronous)

    def _drop_staging(self) -> None:
        if self._staging is not None:
            self._staging.close()
            self._staging = None
        self._remove(self._staging_path)

    def _remove(self, path: Path) -> None:
        for end in ("-wal", "-shm", "-journal", ""):
            self._disk.remove(path.with_name(path.name + end))

    def _scrub(self) -> None:
        """Take dropped templates out of the WAL too; secure_delete has zeroed them in the file.

        The drop is durable by then: a disk that cannot do this now is told of, and the next drop
        tries again. To fail here would leave the rider in force at the gates.
        """
        try:
            self._file.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except (apsw.Error, OSError) as problem:
            say(_LOG, "scrub_failed", level=logging.ERROR, detail=str(problem))
