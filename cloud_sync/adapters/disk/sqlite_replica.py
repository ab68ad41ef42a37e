"""The replica in SQLite: a cache file beside the outbox, dropped and fetched anew when corrupt.

This file is about files and transactions; what is in them is in `replica_rows`.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import apsw

from cloud_sync.adapters.disk.files import Disk
from cloud_sync.adapters.disk.replica_rows import (
    FORMAT,
    SCHEMA,
    digest_items,
    drops_in,
    holding,
    micros_of,
    moment_of,
    take,
)
from cloud_sync.content import TemplateRefused, content_hash, is_drop, key_of, root_hash
from cloud_sync.gallery import Change, Delta, DropTemplate, PutTemplate, Template
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

_COMMIT_ITEMS = 2_048
"""Changes of a snapshot in a commit: eight full chunks. Each commit writes some pages twice."""
_CORRUPT = (apsw.CorruptError, apsw.NotADBError, apsw.FormatError)


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
        self._arrived: list[tuple[str, Template]] | None = None
        self._fresh: _Fresh | None = None
        self._uncommitted = 0
        with _translated():
            self._file = self._opened(path, synchronous=self._config.synchronous)
            self._disk.sync_folder(path.parent)
            self._staging: apsw.Connection | None = None
            if self._staging_path.exists():
                self._staging = self._opened(self._staging_path, synchronous="NORMAL")

    def standing(self) -> Standing:
        """Return where it stands; a file found corrupt is dropped and stands at nothing."""
        row = self._read(
            "SELECT epoch, applied_rev, lease_until, mark, (SELECT count(*) FROM template),"
            " renewed FROM standing"
        )[0]
        staged: tuple[Any, ...] = (b"", 0)
        if self._staging is not None:
            with _translated():
                sql = "SELECT root_hash, chunks FROM standing"
                staged = self._staging.execute(sql).fetchall()[0]
        return Standing(
            epoch=UUID(bytes=row[0]) if row[0] else None,
            applied_rev=row[1],
            template_count=row[4],
            lease=Lease(moment_of(row[2]), moment_of(row[3]), moment_of(row[5])),
            staged_root=staged[0],
            staged_chunks=staged[1],
        )

    def apply(self, delta: Delta) -> None:
        """Apply a delta and its revision in one transaction, durable on return."""
        self._fresh = None
        with self._guarded(), _transaction(self._file):
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
        with self._guarded(), _transaction(self._file):
            take(self._file, changes)
        if self._staging is not None:
            self._expelled.extend(changes)
        self._scrub()

    def digest(self, key: bytes) -> bytes:
        """Return the digest of what can be read now."""
        with self._guarded():
            try:
                return summed(digest_items(self._file, self._opener), key)
            except ValueError as problem:
                raise self._unreadable() from problem

    def mend(self, repair: Repair) -> tuple[Change, ...]:
        """Hold in some buckets exactly what the view has there, in one transaction."""
        self._fresh = None
        wanted = {key_of(change) for change in repair.changes}
        with self._guarded():
            try:
                with _transaction(self._file):
                    self._expect(repair.epoch, repair.rev)
                    gone = drops_in(self._file, repair.buckets, spared=wanted)
                    take(self._file, gone)
                    take(self._file, repair.changes)
            except ValueError as problem:
                raise self._unreadable() from problem
        self._scrub()
        return (*gone, *repair.changes)

    def use(self, opener: Opener | None) -> None:
        """Read what is sealed with this from now on."""
        self._opener = opener

    def begin_snapshot(self, snapshot: Snapshot) -> int:
        """Make room beside the current content; a staged part of the same snapshot is kept."""
        with _translated():
            if self._staging is not None:
                row: tuple[Any, ...] = self._staging.execute(
                    "SELECT epoch, applied_rev, root_hash, template_count, chunks FROM standing"
                ).fetchall()[0]
                announced = (snapshot.epoch.bytes, snapshot.rev, snapshot.root_hash)
                if row[:4] == (*announced, snapshot.template_count):
                    return int(row[4])
            self._drop_staging()
            self._expelled.clear()  # the cloud says them again for this one
            self._arrived = []
            self._staging = self._opened(self._staging_path, synchronous="NORMAL")
            self._staging.execute(
                "UPDATE standing SET epoch = ?, applied_rev = ?, root_hash = ?, template_count = ?",
                (snapshot.epoch.bytes, snapshot.rev, snapshot.root_hash, snapshot.template_count),
            )
        return 0

    def stage(self, index: int, changes: Sequence[Change], span: int = 1) -> None:
        """Keep some parts of the snapshot; several are committed together.

        A crash loses the last of them, and the cloud sends those again.
        """
        staging = self._staging
        if staging is None:
            raise WrongRevision("no snapshot is begun")
        with _translated():
            try:
                self._write_part(staging, index, changes, span)
            except apsw.Error:
                self._arrived = None  # what is rolled back is in memory alone
                _roll_back(staging)
                raise
        if self._arrived is not None:
            self._arrived.extend(
                (one.sealed.key_id if one.sealed else "", one.template)
                for one in changes
                if isinstance(one, PutTemplate)
            )

    def _write_part(
        self, staging: apsw.Connection, index: int, changes: Sequence[Change], span: int
    ) -> None:
        due = staging.execute("SELECT chunks FROM standing").fetchall()[0][0]
        if due != index:
            raise WrongRevision(f"chunk {index} is not due, {due} is")
        if not staging.in_transaction:
            self._uncommitted = 0
            staging.execute("BEGIN IMMEDIATE")
        take(staging, changes)
        hashes = [(content_hash(change),) for change in changes]
        staging.executemany("INSERT INTO staged_hash (content_hash) VALUES (?)", hashes)
        staging.execute("UPDATE standing SET chunks = chunks + ?", (span,))
        self._uncommitted += len(changes)
        if self._uncommitted >= _COMMIT_ITEMS:
            staging.execute("COMMIT")

    def finish_snapshot(self) -> None:
        """Check count and root hash, then replace the current content in one step.

        Both files are closed before the rename, so that neither leaves a WAL behind: SQLite
        would replay the old file's WAL into the new one.
        """
        staging = self._staging
        if staging is None:
            raise SnapshotRefused("no snapshot is begun")
        with _translated():
            if staging.in_transaction:
                staging.execute("COMMIT")
            try:
                _verify(staging)
            except SnapshotRefused:
                self._drop_staging()
                raise
            with _transaction(staging):
                take(staging, self._expelled)
            arrived, self._arrived = self._arrived, None
            fresh = None if arrived is None else _fresh(arrived, self._expelled)
            self._expelled.clear()
            sql = "SELECT lease_until, mark, renewed FROM standing"
            lease = self._file.execute(sql).fetchall()[0]
            staging.execute("UPDATE standing SET lease_until = ?, mark = ?, renewed = ?", lease)
            staging.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            staging.close()
            self._staging = None
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
        with _translated():
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
        except (TemplateRefused, ValueError, *_CORRUPT):
            self._drop_file()
            return self.load()
        except apsw.Error as problem:
            raise ReplicaFailed(str(problem)) from problem

    def close(self) -> None:
        """Let go of the files; what is staged stays."""
        if self._staging is not None:
            with contextlib.suppress(apsw.Error):  # else the cloud sends it again
                if self._staging.in_transaction:
                    self._staging.execute("COMMIT")
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
        except _CORRUPT:
            self._drop_file()
            with _translated():
                return self._file.execute(sql).fetchall()
        except apsw.Error as problem:
            raise ReplicaFailed(str(problem)) from problem

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        """Let a write fail as `ReplicaFailed`, and drop the file if it is corrupt."""
        with _translated():
            try:
                yield
            except _CORRUPT:
                self._drop_file()
                raise

    def _opened(self, path: Path, *, synchronous: str) -> apsw.Connection:
        try:
            return _open(path, synchronous=synchronous, vfs=self._config.vfs)
        except _CORRUPT:
            self._remove(path)
            return _open(path, synchronous=synchronous, vfs=self._config.vfs)

    def _drop_file(self) -> None:
        """Throw a corrupt file away; the next hello then asks for a snapshot."""
        self._fresh = None
        with _translated():
            self._file.close()
            self._remove(self._path)
            self._file = self._opened(self._path, synchronous=self._config.synchronous)

    def _drop_staging(self) -> None:
        self._arrived = None
        if self._staging is not None:
            self._staging.close()
            self._staging = None
        self._remove(self._staging_path)

    def _remove(self, path: Path) -> None:
        for end in ("-wal", "-shm", "-journal", ""):
            self._disk.remove(path.with_name(path.name + end))

    def _scrub(self) -> None:
        """Take dropped templates out of the WAL too; secure_delete has zeroed them in the file."""
        with _translated():
            self._file.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


@dataclass(frozen=True, slots=True)
class _Fresh:
    """What a snapshot has just brought, opened already."""

    key_ids: frozenset[str]
    """Of the root keys behind what is sealed of it."""
    templates: tuple[Template, ...]

    def opens_with(self, opener: Opener | None, epoch: UUID | None) -> bool:
        """Return whether a node with this opener may read all of it."""
        if not self.key_ids:
            return True
        return opener is not None and opener.epoch == epoch and self.key_ids == {opener.key_id}


def _fresh(arrived: Iterable[tuple[str, Template]], expelled: Iterable[Change]) -> _Fresh:
    gone = {one.rider_ref for one in expelled if isinstance(one, DropTemplate)}
    left = [pair for pair in arrived if pair[1].rider_ref not in gone] if gone else list(arrived)
    key_ids = frozenset(key_id for key_id, _ in left if key_id)
    return _Fresh(key_ids, tuple(one for _, one in left))


def _open(path: Path, *, synchronous: str, vfs: str) -> apsw.Connection:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # SQLite alone would make it 0644
    connection = apsw.Connection(str(path), vfs=vfs or None)
    try:
        # Exclusive: one writer a file, and no -shm beside it.
        connection.execute("PRAGMA locking_mode = EXCLUSIVE").fetchall()
        connection.execute("PRAGMA page_size = 16384")
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.execute("PRAGMA secure_delete = ON").fetchall()
        _lay_out(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _lay_out(connection: apsw.Connection) -> None:
    """Make the tables of a new file, or check an old one."""
    found = connection.execute("PRAGMA user_version").fetchall()[0][0]
    if found == 0:
        with _transaction(connection):
            connection.execute(SCHEMA)
            connection.execute(
                "INSERT INTO standing VALUES (1, NULL, 0, NULL, NULL, NULL, 0, 0, x'')"
            )
    elif found != FORMAT or connection.execute("PRAGMA quick_check(1)").fetchall() != [("ok",)]:
        raise apsw.CorruptError(f"format {found}, or damaged pages")


def _verify(staging: apsw.Connection) -> None:
    count, announced, root = staging.execute(
        "SELECT (SELECT count(*) FROM template), template_count, root_hash FROM standing"
    ).fetchall()[0]
    if count != announced:
        raise SnapshotRefused(f"{count} templates of {announced}")
    hashes = staging.execute("SELECT content_hash FROM staged_hash ORDER BY id")
    if root_hash(row[0] for row in hashes) != root:
        raise SnapshotRefused("the root hash does not fit")


@contextlib.contextmanager
def _transaction(connection: apsw.Connection) -> Iterator[None]:
    """Commit, or leave nothing.

    APSW's own `with connection` commits under Python's lock: at a checkpoint no lane had its turn
    for 0.1 s.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        _roll_back(connection)
        raise


def _roll_back(connection: apsw.Connection) -> None:
    """Undo what is not committed, where SQLite has not done so itself."""
    if connection.in_transaction:
        connection.execute("ROLLBACK")


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (apsw.Error, OSError) as problem:
        raise ReplicaFailed(str(problem)) from problem
