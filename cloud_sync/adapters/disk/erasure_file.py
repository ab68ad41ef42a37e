"""The ledger's copy outside the database: one file a day, lines are only appended.

Keep the folder away from the database's disk: whatever restores the one must not lose the other.
The copy lives a little longer than the oldest backup that could be restored.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from cloud_sync.adapters.disk.files import Disk
from cloud_sync.adapters.disk.private_folder import NotPrivate, private_folder
from cloud_sync.fleet.erasure import Erasure, LedgerFailed
from cloud_sync.fleet.erasure_line import LedgerLine, Tail, decoded, sealed, verified
from cloud_sync.secrecy.chunk_signature import CloudKey, is_attested
from cloud_sync.secrecy.key_store import KeysFailed

KEEP = timedelta(days=45)
"""How long a day's file stays: backups live up to 30 days (reference/reliability.md, 2.6)."""
_NAME = "erasures-{}.jsonl"


class ErasureFile:
    """Appends erasures, durable on return, and gives them back checked."""

    def __init__(self, folder: Path, key: Callable[[], CloudKey]) -> None:
        """Take the folder; nothing is read or made before the first call.

        Args:
            folder: Mode 0700, made if missing; shared by every machine of the cloud.
            key: Returns the cloud's signing key.
        """
        self._folder = folder
        self._key = key

    def append(self, erasure: Erasure) -> None:
        """Write an erasure into the file of its day, or of the last day with one if that is later.

        Args:
            erasure: What happens in the transaction under way; if that fails afterwards the line
                stays, and a replay carries out what the rider has asked for.

        Raises:
            LedgerFailed: It is not durable.
        """
        with self._locked():
            files = self._files()
            tail = self._mended(files[-1]) if files else Tail()
            line = sealed(tail, erasure, self._key().attest)
            today = self._folder / _NAME.format(erasure.at.astimezone(UTC).date())
            path = max(today, files[-1]) if files else today  # a clock set back starts no old day
            self._write(path, line)

    def read(self, since: datetime | None = None) -> tuple[Erasure, ...]:
        """Return the erasures that are kept from a day on, oldest first, each checked.

        Args:
            since: The day's moment, aware; None for all that are kept. A city's day has some
                thousand lines, and a signature takes 0.1 ms to check.

        Raises:
            LedgerBroken: A line was changed, is missing, or is not the cloud's.
            LedgerFailed: The files cannot be read.
        """
        with self._locked():
            oldest = "" if since is None else _NAME.format(since.astimezone(UTC).date())
            files = [path for path in self._files() if path.name >= oldest]
            lines = [line for path in files for line in _lines(path)]
            public = self._key().public_key
            return verified(lines, partial(is_attested, public))[0]

    def prune(self, now: datetime) -> int:
        """Remove the files of days that no backup reaches back to; return how many.

        Args:
            now: Aware UTC.

        Raises:
            LedgerFailed: A file could not be removed.
        """
        with self._locked():
            oldest = self._folder / _NAME.format((now - KEEP).astimezone(UTC).date())
            gone = [path for path in self._files()[:-1] if path < oldest]  # the tail stays
            for path in gone:
                path.unlink()
        return len(gone)

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob(_NAME.format("[0-9]" * 4 + "-[0-9][0-9]-[0-9][0-9]")))

    def _mended(self, path: Path) -> Tail:
        """Return where the newest file ends; a line that a crash has torn was never confirmed."""
        lines = _lines(path)
        whole = path.read_bytes().rfind(b"\n") + 1
        if whole < path.stat().st_size:
            os.truncate(path, whole)
        if lines:
            return Tail(lines[-1].number, lines[-1].digest)
        earlier = [each for each in self._files() if each < path]
        return self._mended(earlier[-1]) if earlier else Tail()

    def _write(self, path: Path, line: LedgerLine) -> None:
        is_new = not path.exists()
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(line.encoded())
            file.flush()
            os.fsync(handle)
        if is_new:
            Disk().sync_folder(self._folder)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Let one process at a time read and write, and tell every failure as one kind."""
        try:
            private_folder(self._folder)
            handle = os.open(self._folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX)
                yield
            finally:
                os.close(handle)
        except (OSError, NotPrivate, KeysFailed) as problem:
            raise LedgerFailed(f"the ledger's copy failed: {problem}") from problem


def _lines(path: Path) -> list[LedgerLine]:
    """Return the whole lines of a file; what comes after the last line's end was torn."""
    content = path.read_bytes()
    return [decoded(text) for text in content[: content.rfind(b"\n") + 1].splitlines()]
