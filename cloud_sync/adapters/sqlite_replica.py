"""The replica in SQLite: a cache file beside the outbox, dropped and fetched anew when corrupt.

Templates stand as float16 blobs in rowid tables with a unique index: the same 50,000 in a WITHOUT
ROWID table take 234 MB and 5.6 s, here 56 MB with 16 KiB pages (reference/reliability.md, 0.10).
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import apsw

from cloud_sync.adapters.disk import Disk
from cloud_sync.content import (
    TemplateRefused,
    content_hash,
    is_drop,
    pack,
    root_hash,
    template_hash,
    unpack,
)
from cloud_sync.gallery import (
    Change,
    Delta,
    Denial,
    DenialReason,
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
    SettingName,
    Template,
)
from cloud_sync.lease import Lease
from cloud_sync.messages import Snapshot
from cloud_sync.replica import Holding, ReplicaFailed, SnapshotRefused, Standing, WrongRevision

_SCHEMA = """
CREATE TABLE standing (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    epoch BLOB, applied_rev INTEGER NOT NULL, lease_until INTEGER, mark INTEGER,
    renewed INTEGER,
    chunks INTEGER NOT NULL, template_count INTEGER NOT NULL, root_hash BLOB NOT NULL
);
CREATE TABLE template (
    id INTEGER PRIMARY KEY,
    rider_ref BLOB NOT NULL UNIQUE, version INTEGER NOT NULL, model_id TEXT NOT NULL,
    transform_id TEXT NOT NULL, vector BLOB NOT NULL, expires INTEGER, content_hash BLOB NOT NULL,
    tier INTEGER NOT NULL
);
CREATE TABLE issuer_key (
    id INTEGER PRIMARY KEY, key_id INTEGER NOT NULL UNIQUE, public_key BLOB NOT NULL
);
CREATE TABLE denial (
    id INTEGER PRIMARY KEY, rider_ref BLOB NOT NULL UNIQUE, reason TEXT NOT NULL,
    since INTEGER NOT NULL, until INTEGER
);
CREATE TABLE setting (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, body BLOB NOT NULL);
CREATE TABLE staged_hash (id INTEGER PRIMARY KEY, content_hash BLOB NOT NULL);
PRAGMA user_version = 2;
"""
_FORMAT = 2
_PUT_TEMPLATE = """
INSERT INTO template
    (rider_ref, version, model_id, transform_id, vector, expires, content_hash, tier)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (rider_ref) DO UPDATE SET
    version = excluded.version, model_id = excluded.model_id,
    transform_id = excluded.transform_id, vector = excluded.vector,
    expires = excluded.expires, content_hash = excluded.content_hash, tier = excluded.tier
"""
_PUT_KEY = """
INSERT INTO issuer_key (key_id, public_key) VALUES (?, ?)
ON CONFLICT (key_id) DO UPDATE SET public_key = excluded.public_key
"""
_PUT_DENIAL = """
INSERT INTO denial (rider_ref, reason, since, until) VALUES (?, ?, ?, ?)
ON CONFLICT (rider_ref) DO UPDATE SET
    reason = excluded.reason, since = excluded.since, until = excluded.until
"""
_PUT_SETTING = """
INSERT INTO setting (name, body) VALUES (?, ?)
ON CONFLICT (name) DO UPDATE SET body = excluded.body
"""
_CORRUPT = (apsw.CorruptError, apsw.NotADBError, apsw.FormatError)
_UNIX = datetime(1970, 1, 1, tzinfo=UTC)
_MICRO = timedelta(microseconds=1)


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
            lease=Lease(_moment(row[2]), _moment(row[3]), _moment(row[5])),
            staged_root=staged[0],
            staged_chunks=staged[1],
        )

    def apply(self, delta: Delta) -> None:
        """Apply a delta and its revision in one transaction, durable on return."""
        with self._guarded(), self._file:
            epoch, rev = self._file.execute("SELECT epoch, applied_rev FROM standing").fetchall()[0]
            if (delta.epoch.bytes, delta.from_rev) != (epoch, rev):
                raise WrongRevision(f"at {rev}, the delta starts at {delta.from_rev}")
            _take(self._file, delta.changes)
            self._file.execute("UPDATE standing SET applied_rev = ?", (delta.to_rev,))
        if any(is_drop(change) for change in delta.changes):
            self._scrub()

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
            self._staging = self._opened(self._staging_path, synchronous="NORMAL")
            self._staging.execute(
                "UPDATE standing SET epoch = ?, applied_rev = ?, root_hash = ?, template_count = ?",
                (snapshot.epoch.bytes, snapshot.rev, snapshot.root_hash, snapshot.template_count),
            )
        return 0

    def stage(self, index: int, changes: Sequence[Change]) -> None:
        """Keep one chunk of the snapshot."""
        staging = self._staging
        if staging is None:
            raise WrongRevision("no snapshot is begun")
        with _translated(), staging:
            due = staging.execute("SELECT chunks FROM standing").fetchall()[0][0]
            if due != index:
                raise WrongRevision(f"chunk {index} is not due, {due} is")
            _take(staging, changes)
            hashes = [(content_hash(change),) for change in changes]
            staging.executemany("INSERT INTO staged_hash (content_hash) VALUES (?)", hashes)
            staging.execute("UPDATE standing SET chunks = chunks + 1")

    def finish_snapshot(self) -> None:
        """Check count and root hash, then replace the current content in one step.

        Both files are closed before the rename, so that neither leaves a WAL behind: SQLite
        would replay the old file's WAL into the new one.
        """
        staging = self._staging
        if staging is None:
            raise SnapshotRefused("no snapshot is begun")
        with _translated():
            try:
                _verify(staging)
            except SnapshotRefused:
                self._drop_staging()
                raise
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

    def renew_lease(self, until: datetime, mark: datetime) -> None:
        """Note a lease; the mark never goes back."""
        with self._guarded():
            self._file.execute(
                "UPDATE standing SET lease_until = ?, renewed = ?2,"
                " mark = max(ifnull(mark, ?2), ?2)",
                (_micros(until), _micros(mark)),
            )

    def raise_mark(self, mark: datetime) -> None:
        """Note that time has passed."""
        with _translated():
            self._file.execute(
                "UPDATE standing SET mark = max(ifnull(mark, ?1), ?1)", (_micros(mark),)
            )

    def load(self) -> Holding:
        """Return everything held; a file found corrupt is dropped and holds nothing."""
        try:
            return self._loaded()
        except (TemplateRefused, ValueError):
            self._drop_file()
            return self.load()

    def close(self) -> None:
        """Let go of the files."""
        if self._staging is not None:
            self._staging.close()
            self._staging = None
        self._file.close()

    def _loaded(self) -> Holding:
        epoch, rev = self._read("SELECT epoch, applied_rev FROM standing")[0]
        templates = self._read(
            "SELECT rider_ref, version, model_id, transform_id, vector, expires, content_hash,"
            " tier FROM template ORDER BY id"
        )
        keys = self._read("SELECT key_id, public_key FROM issuer_key ORDER BY id")
        denials = self._read("SELECT rider_ref, reason, since, until FROM denial ORDER BY id")
        settings = self._read("SELECT name, body FROM setting ORDER BY id")
        return Holding(
            UUID(bytes=epoch) if epoch else None,
            rev,
            tuple(_template(row) for row in templates),
            tuple(IssuerKey(key_id, public) for key_id, public in keys),
            tuple(_denial(row) for row in denials),
            tuple(Setting(SettingName(name), body) for name, body in settings),
        )

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
        with _translated():
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
        """Take dropped templates out of the WAL too; secure_delete has zeroed them in the file."""
        with _translated():
            self._file.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


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
        with connection:
            connection.execute(_SCHEMA)
            connection.execute(
                "INSERT INTO standing VALUES (1, NULL, 0, NULL, NULL, NULL, 0, 0, x'')"
            )
    elif found != _FORMAT or connection.execute("PRAGMA quick_check(1)").fetchall() != [("ok",)]:
        raise apsw.CorruptError(f"format {found}, or damaged pages")


def _take(connection: apsw.Connection, changes: Sequence[Change]) -> None:
    for change in changes:
        match change:
            case PutTemplate(template):
                packed = pack(template.vector)
                row = (
                    template.rider_ref.bytes,
                    template.version,
                    template.model_id,
                    template.transform_id,
                    packed,
                    _micros(template.expires),
                    template_hash(template, packed),
                    template.tier,
                )
                connection.execute(_PUT_TEMPLATE, row)
            case DropTemplate(rider_ref):
                connection.execute("DELETE FROM template WHERE rider_ref = ?", (rider_ref.bytes,))
            case PutKey(key):
                connection.execute(_PUT_KEY, (key.key_id, key.public_key))
            case DropKey(key_id):
                connection.execute("DELETE FROM issuer_key WHERE key_id = ?", (key_id,))
            case PutDenial(denial):
                times = (_micros(denial.since), _micros(denial.until))
                connection.execute(_PUT_DENIAL, (denial.rider_ref.bytes, denial.reason, *times))
            case DropDenial(rider_ref):
                connection.execute("DELETE FROM denial WHERE rider_ref = ?", (rider_ref.bytes,))
            case PutSetting(setting):
                connection.execute(_PUT_SETTING, (setting.name, setting.body))
            case DropSetting(name):
                connection.execute("DELETE FROM setting WHERE name = ?", (name,))


def _verify(staging: apsw.Connection) -> None:
    count, announced, root = staging.execute(
        "SELECT (SELECT count(*) FROM template), template_count, root_hash FROM standing"
    ).fetchall()[0]
    if count != announced:
        raise SnapshotRefused(f"{count} templates of {announced}")
    hashes = staging.execute("SELECT content_hash FROM staged_hash ORDER BY id")
    if root_hash(row[0] for row in hashes) != root:
        raise SnapshotRefused("the root hash does not fit")


def _template(row: tuple[Any, ...]) -> Template:
    rider_ref, version, model_id, transform_id, packed, expires, digest, tier = row
    template = Template(
        UUID(bytes=rider_ref),
        version,
        model_id,
        transform_id,
        unpack(packed),
        _moment(expires),
        tier,
    )
    if template_hash(template, packed) != digest:
        raise TemplateRefused("the record is not what was stored")
    return template


def _denial(row: tuple[Any, ...]) -> Denial:
    rider_ref, reason, since, until = row
    return Denial(
        UUID(bytes=rider_ref), DenialReason(reason), _UNIX + since * _MICRO, _moment(until)
    )


def _micros(moment: datetime | None) -> int | None:
    return None if moment is None else (moment - _UNIX) // _MICRO


def _moment(micros: int | None) -> datetime | None:
    return None if micros is None else _UNIX + micros * _MICRO


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (apsw.Error, OSError) as problem:
        raise ReplicaFailed(str(problem)) from problem
