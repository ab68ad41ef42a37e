"""The outbox on the edge's disk: a tap that `append` returned survives kill, power cut and restart.

SQLite in WAL mode with `synchronous=FULL`: one fsync a tap, a fraction of a millisecond. One
connection, one process. Whatever fails is answered with `OutboxFailed` and leaves no trace: the
barrier stays shut, and the refused tap is not in the file either.
"""

import fcntl
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import BinaryIO, Self
from uuid import UUID

import apsw

from cloud_sync.adapters.disk import outbox_file
from cloud_sync.adapters.disk.files import Disk
from cloud_sync.adapters.disk.head_note import read_note, write_note
from cloud_sync.adapters.disk.outbox_file import Ledger, OutboxDamaged, Synchronous, read_ledger
from cloud_sync.adapters.disk.outbox_proof import prove, salvage
from cloud_sync.adapters.disk.outbox_row import micros
from cloud_sync.taps.outbox import OutboxFailed, OutboxForked, OutboxInUse, SealedTap
from cloud_sync.taps.signing import Intact, NodeKey, seal
from fare.log import say
from fare.tap import Tap

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SqliteConfig:
    """How the file is kept."""

    synchronous: Synchronous = "FULL"
    """FULL waits for the disk at every commit. NORMAL lost acknowledged taps in three of four
    simulated power cuts (reliability.md, section 0); it and OFF exist to show that."""
    vfs: str = ""
    """The SQLite VFS by name; empty for the usual one. Tests cut the power here."""
    wal_pages: int = 1_000
    """The WAL is copied into the file when it has this many pages, 1 to 100,000; a tap takes two
    to three, so that one rider in some hundred waits a few milliseconds longer."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges.

        Raises:
            ValueError: A value is out of range.
        """
        if not 1 <= self.wal_pages <= 100_000:
            raise ValueError(f"out of range: {self}")


@dataclass(frozen=True, slots=True)
class Opening:
    """What was found when the file was opened last."""

    outbox_id: UUID
    end: Intact
    """The last tap."""
    pending: int
    """Taps that wait for acknowledgement."""
    set_aside: Path | None = None
    """Where the damaged file is kept; None when the file was whole or new."""
    damage: str = ""
    """What was wrong with it."""
    salvaged: tuple[SealedTap, ...] = ()
    """Its readable taps that the cloud did not have; they open the new outbox, sealed anew under
    their old tap ids."""


class SqliteOutbox:
    """Implements `Outbox`; safe to call from several threads.

    After a failure the next write opens the file again, takes the refused tap out if the disk took
    it after all, and copies the WAL into the file: after a failed fsync the system may believe
    pages written that are not, so nothing may be appended behind them.
    """

    def __init__(
        self,
        path: Path,
        key: NodeKey,
        *,
        new_id: Callable[[], UUID],
        config: SqliteConfig | None = None,
        disk: Disk | None = None,
    ) -> None:
        """Open the file, prove it whole, or make it; all of that is durable before this returns.

        Args:
            path: The file; its folder is made if missing.
            key: The node's.
            new_id: Makes an outbox id when the file is made anew.
            config: How the file is kept.
            disk: Names; a recording one in the power-cut test.

        Raises:
            OutboxInUse: Another process holds it.
            OutboxFailed: The disk does not take it, or SQLite is too old.
        """
        self._path = path
        self._key = key
        self._new_id = new_id
        self._config = config or SqliteConfig()
        self._disk = disk or Disk()
        self._lock = RLock()
        self._connection: apsw.Connection | None = None
        self._suspect = False
        self._ledger: Ledger
        self._end: Intact
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._claim = _claim(path.with_name(path.name + ".lock"))
        except OSError as error:
            raise OutboxFailed(f"cannot use {path.parent}: {error}") from error
        try:
            self.opening = self._open()
        except BaseException:
            self._claim.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def outbox_id(self) -> UUID:
        """The file's own id; changes when a damaged file is set aside."""
        return self._ledger.outbox_id

    def append(self, tap: Tap) -> SealedTap:
        """Seal and store a tap; on return it survives a power cut."""
        with self._lock:
            connection = self._ready()
            sealed = seal(self._key, self.outbox_id, self._end.seq + 1, self._end.head, tap)
            with self._transaction(connection):
                outbox_file.insert(connection, sealed)
            self._end = Intact(sealed.seq, sealed.digest())
            self._note()
            return sealed

    def pending(self, limit: int) -> Sequence[SealedTap]:
        """Return up to `limit` taps not yet acknowledged, oldest first."""
        with self._lock:
            self._ready()
            return self.since(self._ledger.acknowledged, limit)

    def acknowledge(self, outbox_id: UUID, up_to_seq: int) -> None:
        """Note that the cloud holds everything up to and with `up_to_seq`; nothing is deleted."""
        with self._lock:
            connection = self._ready()
            if outbox_id != self.outbox_id:
                return
            if up_to_seq > self._end.seq:
                raise OutboxForked(f"acknowledged {up_to_seq}, but only {self._end.seq} exist")
            if up_to_seq > self._ledger.acknowledged:
                self._write_ledger(connection, replace(self._ledger, acknowledged=up_to_seq))

    def rewind(self, outbox_id: UUID, from_seq: int) -> None:
        """Offer everything from `from_seq` again, as far as it is kept."""
        with self._lock:
            connection = self._ready()
            if outbox_id != self.outbox_id:
                return
            acknowledged = max(from_seq - 1, self._ledger.base.seq)
            if acknowledged < self._ledger.acknowledged:
                self._write_ledger(connection, replace(self._ledger, acknowledged=acknowledged))

    def renew(self, why: str) -> UUID:
        """Set this file aside and begin another with what was pending."""
        with self._lock:
            self._ready()
            self._abandon()
            self.opening = self._replace(why, self._end.seq)
            return self.outbox_id

    def since(self, seq: int, limit: int) -> Sequence[SealedTap]:
        """Return up to `limit` stored taps with a sequence above `seq`."""
        return self._read("seq > ? ORDER BY seq LIMIT ?", (seq, limit))

    def recent(self, since: datetime) -> Sequence[SealedTap]:
        """Return the stored taps whose tap time is `since` or later."""
        return self._read("tap_time_us >= ? ORDER BY seq", (micros(since),))

    def prune(self, before: datetime) -> int:
        """Forget acknowledged taps from before a moment, from the oldest on; return how many."""
        with self._lock:
            connection = self._ready()
            first = self._ledger.base.seq
            young = self._read("tap_time_us >= ? ORDER BY seq LIMIT 1", (micros(before),))
            last = min(self._ledger.acknowledged, young[0].seq - 1 if young else self._end.seq)
            if last <= first:
                return 0
            (newest,) = self._read("seq = ?", (last,))
            ledger = replace(self._ledger, base=Intact(last, newest.digest()))
            with self._transaction(connection):
                connection.execute("DELETE FROM tap WHERE seq <= ?", (last,))
                outbox_file.write_ledger(connection, ledger)
            self._ledger = ledger
            return last - first

    def depth(self) -> int:
        """Return how many taps wait for acknowledgement."""
        with self._lock:
            return self._end.seq - self._ledger.acknowledged

    def close(self) -> None:
        """Let the file go; safe to call twice."""
        with self._lock:
            self._abandon()
            self._claim.close()

    def _read(self, where: str, values: tuple[int, ...]) -> tuple[SealedTap, ...]:
        with self._lock, self._failing():
            return tuple(outbox_file.select(self._ready(), where, values))

    def _write_ledger(self, connection: apsw.Connection, ledger: Ledger) -> None:
        with self._transaction(connection):
            outbox_file.write_ledger(connection, ledger)
        self._ledger = ledger

    @contextmanager
    def _transaction(self, connection: apsw.Connection) -> Iterator[None]:
        """Commit durably or leave nothing: after any failure the connection is given up."""
        with self._failing():
            connection.execute("BEGIN IMMEDIATE")
            yield
            connection.execute("COMMIT")

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """Translate the driver's errors once; the next call opens the file again."""
        try:
            yield
        except BaseException as error:
            self._abandon()
            self._suspect |= isinstance(error, outbox_file.DAMAGE)
            if isinstance(error, (apsw.Error, *outbox_file.DAMAGE)):
                raise OutboxFailed(f"{self._path.name}: {error}") from error
            raise

    def _abandon(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close(force=True)

    def _note(self) -> None:
        try:
            write_note(self._path, self.outbox_id, self._end.seq, self._disk)
        except OSError as error:
            # Only a hint; the tap itself is durable.
            say(_LOG, "head_note_failed", level=logging.WARNING, why=str(error))

    def _ready(self) -> apsw.Connection:
        """Return the connection, opened again after a failure."""
        if self._connection is not None:
            return self._connection
        if self._claim.closed:
            raise OutboxFailed(f"{self._path.name} is closed")
        if self._disk.exists(outbox_file.finished(self._path)):
            self.opening = self._open()
            return self._opened()
        try:
            self._revive()
        except OutboxDamaged as damage:
            self.opening = self._replace(str(damage), self._end.seq)
        return self._opened()

    def _opened(self) -> apsw.Connection:
        assert self._connection is not None
        return self._connection

    def _revive(self) -> None:
        """Open the file after a failure and bring it back to the last tap that was returned.

        Raises:
            OutboxDamaged: That tap is gone, or the file is not what was written.
            OutboxFailed: The disk does not answer.
        """
        connection = self._connection = self._connect()
        with self._failing(), _damaging():
            self._ledger = read_ledger(connection)
            connection.execute("DELETE FROM tap WHERE seq > ?", (self._end.seq,))
            last = tuple(outbox_file.select(connection, "seq = ?", (self._end.seq,)))
            found = Intact(last[0].seq, last[0].digest()) if last else self._ledger.base
            if found != self._end:
                raise OutboxDamaged(f"tap {self._end.seq} is gone")
            if self._suspect:
                prove(connection, self._key.public_key)
            self._prove_writable(connection)
        self._suspect = False
        say(_LOG, "outbox_revived", outbox=self.outbox_id, seq=self._end.seq)

    def _open(self) -> Opening:
        try:
            if self._disk.exists(outbox_file.finished(self._path)):
                outbox_file.put_in_place(self._path, self._disk)
            elif not self._disk.exists(self._path):
                self._provision(())
        except OSError as error:
            raise OutboxFailed(f"cannot put {self._path.name} in place: {error}") from error
        try:
            return self._serve()
        except OutboxDamaged as damage:
            return self._replace(str(damage))

    def _serve(self) -> Opening:
        """Open the file that is there and prove it whole.

        Raises:
            OutboxDamaged: It is not.
            OutboxFailed: The disk does not answer.
        """
        connection = self._connection = self._connect()
        with self._failing(), _damaging():
            self._ledger, self._end = prove(connection, self._key.public_key)
            try:
                noted = read_note(self._path, self.outbox_id, self._disk)
                # The WAL's own name must outlive a power cut, or its taps would not.
                self._disk.sync_folder(self._path.parent)
            except OSError as error:
                raise OutboxFailed(f"cannot read beside {self._path.name}: {error}") from error
            if noted > self._end.seq:
                raise OutboxDamaged(f"had come to tap {noted}, now ends at {self._end.seq}")
            self._prove_writable(connection)
        self._suspect = False
        opening = Opening(self.outbox_id, self._end, self.depth())
        say(_LOG, "outbox_open", outbox=self.outbox_id, seq=self._end.seq, pending=opening.pending)
        return opening

    def _prove_writable(self, connection: apsw.Connection) -> None:
        """Write, before the first rider does, and leave the WAL empty.

        A flipped bit in the file's header can make SQLite take it for read-only.

        Raises:
            OutboxDamaged: SQLite cannot write to a file that this process may write to.
        """
        try:
            with connection:
                outbox_file.write_ledger(connection, self._ledger)
        except apsw.ReadOnlyError as error:
            if self._disk.writable(self._path):
                raise OutboxDamaged(str(error)) from error
            raise
        _checkpoint(connection)

    def _replace(self, damage: str, last_seq: int | None = None) -> Opening:
        """Set the file aside and begin a new one with its readable pending taps.

        Args:
            damage: What is wrong, for log and report.
            last_seq: The last tap that was returned; what the file has beyond was refused.
        """
        found = salvage(self._path, vfs=self._config.vfs)
        salvaged = tuple(s for s in found if last_seq is None or s.seq <= last_seq)
        aside = self._provision([sealed.tap for sealed in salvaged])
        kept_as = aside.name if aside else ""
        fields = {"damage": damage, "kept_as": kept_as, "salvaged": len(salvaged)}
        say(_LOG, "outbox_set_aside", level=logging.CRITICAL, **fields)
        try:
            opening = self._serve()
        except OutboxDamaged as again:
            raise OutboxFailed(f"a new {self._path.name} is damaged at once: {again}") from again
        return replace(opening, set_aside=aside, damage=damage, salvaged=salvaged)

    def _connect(self) -> apsw.Connection:
        config = self._config
        connection = outbox_file.connect(self._path, vfs=config.vfs, synchronous=config.synchronous)
        connection.wal_autocheckpoint(config.wal_pages)
        return connection

    def _provision(self, carried: Sequence[Tap]) -> Path | None:
        return outbox_file.provision(
            self._path,
            self._new_id(),
            carried,
            key=self._key,
            vfs=self._config.vfs,
            disk=self._disk,
        )


@contextmanager
def _damaging() -> Iterator[None]:
    """Turn what a damaged file raises into `OutboxDamaged`."""
    try:
        yield
    except outbox_file.DAMAGE as error:
        raise OutboxDamaged(str(error)) from error


def _checkpoint(connection: apsw.Connection) -> None:
    """Copy the WAL into the file, sync it and empty the WAL: nothing old stays in front.

    Raises:
        OutboxFailed: Not all of it was copied.
    """
    busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").get
    if busy:
        raise OutboxFailed("the WAL could not be emptied")


def _claim(path: Path) -> BinaryIO:
    """Hold the lock file until closed; the system lets it go when the process dies.

    Raises:
        OutboxInUse: Another process holds it.
        OSError: It cannot be made.
    """
    claim = path.open("wb")
    try:
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        claim.close()
        raise OutboxInUse(f"{path.name} is held by another process") from error
    return claim
