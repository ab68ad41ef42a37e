"""A folder and files that only their owner can read; anything else is refused, not repaired.

Whoever could read them before may have: making them private afterwards would hide that.
"""

import os
import stat
from pathlib import Path

from cloud_sync.adapters.disk.files import Disk

_READ_MAX = 64 * 1024
"""Bytes of a file that are read at most; keys and grants have under 2 kB."""


class NotPrivate(Exception):
    """Others than its owner can reach the folder or file, or it belongs to somebody else."""


def private_folder(path: Path) -> None:
    """Make a folder if missing, and make sure that it is its owner's alone.

    Raises:
        NotPrivate: Others can reach it, it is a link, or it belongs to somebody else.
        OSError: It cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise NotPrivate(f"{path} is not a folder")
    _check(path, found, "700")


def read_private(path: Path) -> bytes:
    """Return a file's content.

    Raises:
        FileNotFoundError: There is none.
        NotPrivate: Others can read it, or it belongs to somebody else.
        OSError: It cannot be read.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    with os.fdopen(handle, "rb") as file:
        _check(path, os.fstat(handle), "600")
        return file.read(_READ_MAX)


def write_private(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, durable on return.

    Raises:
        OSError: It is not written; what had the name still has it.
    """
    beside = path.with_name(f"{path.name}.{os.getpid()}.new")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(handle)
        beside.rename(path)
    finally:
        beside.unlink(missing_ok=True)
    Disk().sync_folder(path.parent)


def shred(path: Path) -> None:
    """Write over a file and remove it; without one, nothing happens.

    On memory that is the end of it. A disk may have kept the old block: a journal, a snapshot, a
    flash translation layer. Keep keys on an encrypted disk.

    Raises:
        OSError: It may still be there.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return
    try:
        os.pwrite(handle, bytes(os.fstat(handle).st_size), 0)
        os.fsync(handle)
    finally:
        os.close(handle)
    path.unlink()
    Disk().sync_folder(path.parent)


def _check(path: Path, found: os.stat_result, wanted: str) -> None:
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o077:
        raise NotPrivate(f"{path} has mode {mode:03o}; secrets need {wanted}")
    if found.st_uid != os.geteuid():
        raise NotPrivate(f"{path} belongs to another user")
