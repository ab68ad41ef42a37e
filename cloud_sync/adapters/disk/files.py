"""The few things done to files beside SQLite's own: rename, remove, make names durable.

A class so that the power-cut test can stand in the same place and record every operation.
"""

import os
from pathlib import Path


class Disk:
    """Plain POSIX file names."""

    def exists(self, path: Path) -> bool:
        """Return whether there is such a name."""
        return path.exists()

    def writable(self, path: Path) -> bool:
        """Return whether this process may write to a file; the file is not opened."""
        return os.access(path, os.W_OK)

    def rename(self, old: Path, new: Path) -> None:
        """Give a file another name, replacing what had it; durable after `sync_folder`."""
        old.rename(new)

    def remove(self, path: Path) -> None:
        """Remove a name, if it is there."""
        path.unlink(missing_ok=True)

    def read(self, path: Path) -> bytes:
        """Return a small file's content; empty when there is none."""
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return b""

    def overwrite(self, path: Path, content: bytes) -> None:
        """Write over a small file's beginning in place, without waiting for the disk."""
        handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            os.pwrite(handle, content, 0)
        finally:
            os.close(handle)

    def sync_folder(self, folder: Path) -> None:
        """Make the names in a folder durable: without it a power cut may undo a rename."""
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
