"""A disk that fails on command: EIO or ENOSPC at the n-th operation, once or from then on."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import apsw

_NAMES = itertools.count()


@dataclass(slots=True)
class Faults:
    """When the disk fails."""

    error: type[apsw.Error]
    """`apsw.IOError` or `apsw.FullError`."""
    at: int = -1
    """At which write, truncate or sync, counted from now; negative is never."""
    lasts: int = 1
    """How many operations fail from then on."""
    seen: int = 0
    """Operations so far."""

    def check(self) -> None:
        """Count an operation, and fail if it is one of those.

        Raises:
            apsw.Error: It is.
        """
        number, self.seen = self.seen, self.seen + 1
        if 0 <= self.at <= number < self.at + self.lasts:
            raise self.error("the disk failed on command")

    def mend(self) -> None:
        """Let the disk work again."""
        self.at = -1


class _File(apsw.VFSFile):
    def __init__(
        self, faults: Faults, name: str | apsw.URIFilename | None, flags: list[int]
    ) -> None:
        super().__init__("", name, flags)
        self._faults = faults

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802  # SQLite's name
        self._faults.check()
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802  # SQLite's name
        self._faults.check()
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802  # SQLite's name
        self._faults.check()
        super().xSync(flags)


class _Vfs(apsw.VFS):
    def __init__(self, faults: Faults, name: str) -> None:
        super().__init__(name, "")
        self._faults = faults

    def xOpen(  # noqa: N802  # SQLite's name
        self, name: str | apsw.URIFilename | None, flags: list[int]
    ) -> apsw.VFSFile:
        return _File(self._faults, name, flags)


@contextmanager
def failing(error: type[apsw.Error]) -> Iterator[tuple[Faults, str]]:
    """Give a disk that can be told to fail, and its VFS's name."""
    faults = Faults(error)
    name = f"failing-{next(_NAMES)}"
    vfs = _Vfs(faults, name)
    try:
        yield faults, name
    finally:
        vfs.unregister()
