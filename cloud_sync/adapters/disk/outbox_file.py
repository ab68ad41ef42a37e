"""The outbox's SQLite file: making it, putting it in place, opening it, and its rows.

`outbox_proof` checks such a file, `sqlite_outbox` is what runs at the gate.
Names beside the file: `.making` is an unfinished new file and worthless, `.new` is a finished one
about to take the place of the old, `.damaged-N` is an old one set aside and never deleted.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from uuid import UUID

import apsw

from cloud_sync.adapters.disk.files import Disk
from cloud_sync.adapters.disk.outbox_row import COLUMNS, RowDamaged, from_row, to_row
from cloud_sync.taps.outbox import GENESIS, OutboxFailed, OutboxInUse, SealedTap
from cloud_sync.taps.signing import Intact, NodeKey, seal
from fare.tap import Tap

Synchronous = Literal["FULL", "NORMAL", "OFF"]
SQLITE_MIN = (3, 53)
"""Up to 3.51.2 a WAL reset could lose committed transactions (reliability.md, section 0)."""

_APPLICATION_ID = int.from_bytes(b"GLob", "big")
"""In the file's header: a Gateline outbox. No other database is touched or switched to WAL."""
_FORMAT = 1
"""In the header too, as `user_version`; grows when the tables change."""

_SCHEMA = f"""
PRAGMA application_id = {_APPLICATION_ID};
PRAGMA user_version = {_FORMAT};
CREATE TABLE outbox(
    one INTEGER PRIMARY KEY CHECK (one = 1), outbox_id BLOB NOT NULL, base_seq INTEGER NOT NULL,
    base_hash BLOB NOT NULL, acknowledged INTEGER NOT NULL, seal BLOB NOT NULL) STRICT;
CREATE TABLE tap(
    seq INTEGER PRIMARY KEY, outbox_id BLOB NOT NULL, prev_hash BLOB NOT NULL, body BLOB NOT NULL,
    signature BLOB NOT NULL, tap_time_us INTEGER NOT NULL, seal BLOB NOT NULL) STRICT;
"""
DAMAGE = (
    apsw.CorruptError,
    apsw.NotADBError,
    apsw.SQLError,
    apsw.FormatError,
    apsw.MismatchError,
    apsw.TooBigError,
    UnicodeDecodeError,
    RowDamaged,
)
"""What SQLite and the rows raise when the file is not what was written."""


class OutboxDamaged(Exception):
    """The file is not what was written; it must be set aside."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """The one row that says where the outbox stands."""

    outbox_id: UUID
    base: Intact
    """The last pruned tap: what the oldest kept one continues."""
    acknowledged: int
    """The cloud holds everything up to here."""

    def seal(self) -> bytes:
        """Return the SHA-256 over everything: a flipped bit here could hide taps."""
        numbers = f"{self.base.seq} {self.acknowledged} ".encode()
        return hashlib.sha256(self.outbox_id.bytes + numbers + self.base.head).digest()


def new_enough(version: str) -> bool:
    """Return whether this SQLite release, such as 3.54.1, has the mended WAL reset."""
    return tuple(int(part) for part in version.split(".")[:2]) >= SQLITE_MIN


def connect(path: Path, *, vfs: str, synchronous: Synchronous) -> apsw.Connection:
    """Open an existing file alone, in WAL mode; closing it leaves the WAL as it is.

    Raises:
        OutboxInUse: Somebody else has it open.
        OutboxDamaged: It is not an outbox.
        OutboxFailed: The disk does not answer, SQLite is too old, or a later release of Gateline
            made the file.
    """
    return _opened(path, vfs=vfs, synchronous=synchronous, new=False)


def _opened(path: Path, *, vfs: str, synchronous: Synchronous, new: bool) -> apsw.Connection:
    if not new_enough(apsw.sqlite_lib_version()):
        raise OutboxFailed(f"SQLite {apsw.sqlite_lib_version()} may lose committed taps")
    flags = apsw.SQLITE_OPEN_READWRITE | (apsw.SQLITE_OPEN_CREATE if new else 0)
    try:
        connection = apsw.Connection(str(path), flags=flags, vfs=vfs or None)
    except apsw.Error as error:
        raise OutboxFailed(f"cannot open {path.name}: {error}") from error
    try:
        _configure(connection, synchronous, new=new)
    except apsw.BusyError as error:
        connection.close()
        raise OutboxInUse(f"{path.name} is open in another process") from error
    except DAMAGE as error:
        connection.close()
        raise OutboxDamaged(str(error)) from error
    except apsw.Error as error:
        connection.close()
        raise OutboxFailed(f"cannot use {path.name}: {error}") from error
    except (OutboxDamaged, OutboxFailed):
        connection.close()
        raise
    return connection


def _configure(connection: apsw.Connection, synchronous: Synchronous, *, new: bool) -> None:
    # A connection given up after a failure, or on a damaged file, must not touch either.
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    # The order matters: exclusive before WAL means no shared-memory file, ever.
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON")
    if not new and connection.execute("PRAGMA application_id").get != _APPLICATION_ID:
        raise OutboxDamaged("this is not an outbox")
    if connection.execute("PRAGMA user_version").get > _FORMAT:
        raise OutboxFailed("a later release made this outbox")
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    # Only macOS has these; without them its fsync leaves data in the drive's cache.
    connection.execute("PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON")
    if connection.execute("PRAGMA journal_mode = WAL").get != "wal":
        raise apsw.CantOpenError("no WAL on this file system")
    connection.execute("BEGIN EXCLUSIVE; COMMIT")


def provision(
    path: Path, outbox_id: UUID, carried: Sequence[Tap], *, key: NodeKey, vfs: str, disk: Disk
) -> Path | None:
    """Make a whole new file and put it in place; a power cut leaves all of it or nothing.

    Whatever has the name is set aside. The switch to WAL goes through a rollback journal whose
    deletion is not synced: were it done in place, a power cut could bring the journal back and
    with it a file that ignores its WAL. So it is done under another name.

    Args:
        path: The outbox's name.
        outbox_id: The new outbox's.
        carried: Taps of a damaged file, to be sealed anew, in order.
        key: The node's.
        vfs: The SQLite VFS; empty for the usual one.
        disk: Names.

    Returns:
        Where the file that had the name is now; None when there was none.

    Raises:
        OutboxFailed: The disk did not take it.
    """
    making = path.with_name(path.name + ".making")
    try:
        for suffix in ("", "-wal", "-journal"):
            disk.remove(making.with_name(making.name + suffix))
        connection = _opened(making, vfs=vfs, synchronous="FULL", new=True)
        try:
            with connection:
                connection.execute(_SCHEMA)
                write_ledger(connection, Ledger(outbox_id, Intact(0, GENESIS), 0))
                head = GENESIS
                for seq, tap in enumerate(carried, start=1):
                    sealed = seal(key, outbox_id, seq, head, tap)
                    insert(connection, sealed)
                    head = sealed.digest()
            # Closing now writes the WAL into the file, syncs it and removes the WAL.
            connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)
        finally:
            connection.close()
        if disk.exists(making.with_name(making.name + "-wal")):
            raise OutboxFailed(f"{making.name} could not be finished")
        disk.sync_folder(path.parent)
        disk.rename(making, finished(path))
        disk.sync_folder(path.parent)
        return put_in_place(path, disk)
    except (apsw.Error, OSError) as error:
        raise OutboxFailed(f"cannot make {path.name}: {error}") from error


def finished(path: Path) -> Path:
    """Return the name of a new file that is whole and about to take the outbox's name."""
    return path.with_name(path.name + ".new")


def put_in_place(path: Path, disk: Disk) -> Path | None:
    """Give a finished `.new` file the outbox's name; may be begun again after a power cut.

    Returns:
        Where the old file is now; None when there was none.

    Raises:
        OSError: The disk did not take it.
    """
    aside = _free_name(path, disk)
    moved = None
    # The WAL first: a WAL without its file is never read, a stranger's WAL would be.
    for suffix in ("-wal", "-journal", ""):
        old = path.with_name(path.name + suffix)
        if disk.exists(old):
            disk.rename(old, aside.with_name(aside.name + suffix))
            disk.sync_folder(path.parent)
            moved = aside
    disk.rename(finished(path), path)
    disk.sync_folder(path.parent)
    return moved


def _free_name(path: Path, disk: Disk) -> Path:
    number = 1
    while disk.exists(aside := path.with_name(f"{path.name}.damaged-{number}")):
        number += 1
    return aside


def write_ledger(connection: apsw.Connection, ledger: Ledger) -> None:
    """Write where the outbox stands, inside the caller's transaction."""
    connection.execute(
        "INSERT OR REPLACE INTO outbox VALUES (1, ?, ?, ?, ?, ?)",
        (
            ledger.outbox_id.bytes,
            ledger.base.seq,
            ledger.base.head,
            ledger.acknowledged,
            ledger.seal(),
        ),
    )


def insert(connection: apsw.Connection, sealed: SealedTap) -> None:
    """Write one tap, inside the caller's transaction."""
    connection.execute(f"INSERT INTO tap({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)", to_row(sealed))  # noqa: S608  # constant


def select(connection: apsw.Connection, where: str, values: tuple[int, ...]) -> Iterator[SealedTap]:
    """Read taps.

    Raises:
        RowDamaged: A row is not what was written.
    """
    for row in connection.execute(f"SELECT {COLUMNS} FROM tap WHERE {where}", values):  # noqa: S608  # constant
        yield from_row(row)


def read_ledger(connection: apsw.Connection) -> Ledger:
    """Read where the outbox stands.

    Raises:
        OutboxDamaged: The row is missing or not what was written.
    """
    row = connection.execute(
        "SELECT outbox_id, base_seq, base_hash, acknowledged, seal FROM outbox"
    ).fetchone()
    if row is None:
        raise OutboxDamaged("the ledger row is missing")
    outbox_id, base_seq, base_hash, acknowledged, sealed = row
    if [type(each) for each in row] != [bytes, int, bytes, int, bytes] or len(outbox_id) != 16:
        raise OutboxDamaged("the ledger's values have other types")
    ledger = Ledger(UUID(bytes=outbox_id), Intact(base_seq, base_hash), acknowledged)
    if sealed != ledger.seal():
        raise OutboxDamaged("the ledger's seal does not fit")
    return ledger
