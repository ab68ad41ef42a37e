"""A replica's SQLite file: how it is opened, written and told of when it fails."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import apsw

from cloud_sync.adapters.disk.replica_rows import FORMAT, SCHEMA
from cloud_sync.stream.replica import ReplicaFailed

CORRUPT = (apsw.CorruptError, apsw.NotADBError, apsw.FormatError)
"""What SQLite raises where a file is not what was written."""


def open_file(path: Path, *, synchronous: str, vfs: str) -> apsw.Connection:
    """Open a file, or make it.

    Args:
        path: Its folder exists.
        synchronous: As in SQLite's pragma.
        vfs: The SQLite VFS; empty for the usual one.

    Raises:
        apsw.Error: It cannot be opened; one of `CORRUPT` where it is damaged or of another format.
    """
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
        with transaction(connection):
            connection.execute(SCHEMA)
            connection.execute(
                "INSERT INTO standing VALUES (1, NULL, 0, NULL, NULL, NULL, 0, 0, x'')"
            )
    elif found != FORMAT or connection.execute("PRAGMA quick_check(1)").fetchall() != [("ok",)]:
        raise apsw.CorruptError(f"format {found}, or damaged pages")


@contextlib.contextmanager
def transaction(connection: apsw.Connection) -> Iterator[None]:
    """Commit, or leave nothing.

    APSW's own `with connection` commits under Python's lock: at a checkpoint no lane had its turn
    for 0.1 s.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        roll_back(connection)
        raise


def roll_back(connection: apsw.Connection) -> None:
    """Undo what is not committed, where SQLite has not done so itself."""
    if connection.in_transaction:
        connection.execute("ROLLBACK")


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Let what fails inside fail as `ReplicaFailed`."""
    try:
        yield
    except (apsw.Error, OSError) as problem:
        raise ReplicaFailed(str(problem)) from problem
