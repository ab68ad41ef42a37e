"""The edge node's key pair in a file that only its owner can read."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

from cloud_sync.adapters.disk.files import Disk
from cloud_sync.taps.signing import NodeKey

_KEY_BYTES = 32


class KeyFileRefused(Exception):
    """The key file is not one, or others can read it."""


def load_or_make(path: Path, *, entropy: Callable[[int], bytes]) -> NodeKey:
    """Return the node's key, made at the first call and the same ever after.

    A new key is complete and durable under its name before this returns: a node whose key changed
    would be a stranger to the cloud.

    Args:
        path: The file; its folder is made if missing.
        entropy: Gives that many random bytes; `os.urandom` in service.

    Raises:
        KeyFileRefused: The file is readable by others, or does not hold a key.
        OSError: The file cannot be read or written.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, entropy(_KEY_BYTES))
    handle = os.open(path, os.O_RDONLY)
    with os.fdopen(handle, "rb") as file:
        mode = stat.S_IMODE(os.fstat(handle).st_mode)
        content = file.read(2 * _KEY_BYTES + 2)
    if mode & 0o077:
        raise KeyFileRefused(f"{path} has mode {mode:03o}; a private key needs 600")
    try:
        return NodeKey(bytes.fromhex(content.decode("ascii")))
    except ValueError as error:
        raise KeyFileRefused(f"{path} does not hold a key of {_KEY_BYTES} bytes in hex") from error


def _write(path: Path, private: bytes) -> None:
    """Write beside, make durable, then take the name only if nobody else has taken it."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.new")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(private.hex().encode() + b"\n")
            file.flush()
            os.fsync(handle)
        if not path.exists():
            _take_name(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    Disk().sync_folder(path.parent)


def _take_name(beside: Path, path: Path) -> None:
    try:
        path.hardlink_to(beside)
    except FileExistsError:
        # Another process was faster; its key is the node's.
        return
