"""A disk whose power can be cut: it records every operation and rebuilds what a cut would leave.

The recorder stands at the two places where the outbox touches files: an SQLite VFS, and the
adapter's `Disk`. What a real disk guarantees is only what was synced; so of every file the content
written since its last sync is kept, lost, or torn sector by sector, and of the names only those
before the last synced folder are sure, later ones up to any point. That is harsher than ext4 with
its journal, and what POSIX promises.
"""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Literal

import apsw

from cloud_sync.adapters.disk.files import Disk

SECTOR = 512
_NAMES = itertools.count()

Fate = Literal["kept", "lost", "torn"]


@dataclass(frozen=True, slots=True)
class Op:
    """One operation on the disk."""

    kind: Literal["create", "remove", "rename", "sync names", "write", "truncate", "sync"]
    file: int = -1
    """The file's number (its inode), for create, write, truncate, sync."""
    name: str = ""
    new_name: str = ""
    offset: int = 0
    """Of a write; of a truncate the size that is left."""
    data: bytes = b""

    def changes_names(self) -> bool:
        """Return whether this is about a name, not about content."""
        return self.kind in ("create", "remove", "rename")


class Recorder:
    """All operations below one folder, in order, and what was there before them."""

    def __init__(self, folder: Path) -> None:
        """Take what lies in the folder as durable."""
        self.folder = folder
        self.ops: list[Op] = []
        self.start = {p.name: p.read_bytes() for p in sorted(folder.iterdir()) if p.is_file()}
        self._numbers = itertools.count()
        self._file_of = {name: next(self._numbers) for name in self.start}
        self._was = dict(self._file_of)

    def created(self, name: str) -> int:
        """Note an opening for writing; return the file's number."""
        if name not in self._file_of:
            self._file_of[name] = next(self._numbers)
            self.ops.append(Op("create", self._file_of[name], name))
        return self._file_of[name]

    def removed(self, name: str) -> None:
        """Note that a name is gone."""
        del self._file_of[name]
        self.ops.append(Op("remove", name=name))

    def renamed(self, old: str, new: str) -> None:
        """Note another name."""
        self._file_of[new] = self._file_of.pop(old)
        self.ops.append(Op("rename", name=old, new_name=new))

    def image(self, cut: int, fate: Fate, rng: Random) -> dict[str, bytes]:
        """Return the files that a power cut after the first `cut` operations leaves.

        Args:
            cut: How many operations were begun; the last ones may not have reached the disk.
            fate: What becomes of unsynced operations: all kept, all lost, or each by chance kept,
                lost or torn.
            rng: The chance.
        """
        ops = self.ops[:cut]
        content = self._contents(ops, fate, rng)
        return {name: content[number] for name, number in self._names(ops, fate, rng).items()}

    def _contents(self, ops: list[Op], fate: Fate, rng: Random) -> dict[int, bytes]:
        synced = {op.file: index for index, op in enumerate(ops) if op.kind == "sync"}
        files = {number: bytearray(self.start[name]) for name, number in self._was.items()}
        for index, op in enumerate(ops):
            sure = index < synced.get(op.file, -1)
            if op.kind == "create":
                files[op.file] = bytearray()
            elif op.kind == "truncate" and _happens(sure, fate, rng):
                del files[op.file][op.offset :]
            elif op.kind == "write" and _happens(sure, fate, rng):
                whole = sure or fate == "kept" or rng.random() < 0.5
                _write(files[op.file], op, None if whole else rng)
        return {number: bytes(content) for number, content in files.items()}

    def _names(self, ops: list[Op], fate: Fate, rng: Random) -> dict[str, int]:
        names = dict(self._was)
        changes = [index for index, op in enumerate(ops) if op.changes_names()]
        sure = [index for index in changes if index < self._names_synced(ops)]
        unsure = changes[len(sure) :]
        kept = {"kept": len(unsure), "lost": 0, "torn": rng.randint(0, len(unsure))}[fate]
        for op in (ops[index] for index in sure + unsure[:kept]):
            if op.kind == "create":
                names[op.name] = op.file
            elif op.kind == "remove":
                del names[op.name]
            else:
                names[op.new_name] = names.pop(op.name)
        return names

    @staticmethod
    def _names_synced(ops: list[Op]) -> int:
        """Return the operation up to which names are sure.

        SQLite itself syncs the folder at the first sync of a journal or WAL that it made.
        """
        made: set[int] = set()
        last = 0
        for index, op in enumerate(ops):
            if op.kind == "create" and op.name.endswith(("-wal", "-journal")):
                made.add(op.file)
            if op.kind == "sync names" or (op.kind == "sync" and op.file in made):
                made.discard(op.file)
                last = index
        return last


def _happens(sure: bool, fate: Fate, rng: Random) -> bool:
    return sure or fate == "kept" or (fate == "torn" and rng.random() < 0.6)


def _write(content: bytearray, op: Op, torn_by: Random | None) -> None:
    if len(content) < op.offset:
        content.extend(bytes(op.offset - len(content)))
    for start in range(0, len(op.data), SECTOR):
        if torn_by is not None and torn_by.random() < 0.5:
            continue
        piece = op.data[start : start + SECTOR]
        at = op.offset + start
        if len(content) < at:
            content.extend(bytes(at - len(content)))
        content[at : at + len(piece)] = piece


class RecordingDisk(Disk):
    """The adapter's `Disk`, recorded."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def rename(self, old: Path, new: Path) -> None:
        """Rename and record."""
        super().rename(old, new)
        self._recorder.renamed(old.name, new.name)

    def remove(self, path: Path) -> None:
        """Remove and record."""
        if path.exists():
            super().remove(path)
            self._recorder.removed(path.name)

    def overwrite(self, path: Path, content: bytes) -> None:
        """Write and record; never synced."""
        super().overwrite(path, content)
        self._recorder.ops.append(Op("write", self._recorder.created(path.name), data=content))

    def sync_folder(self, folder: Path) -> None:
        """Record only: nothing of this run has to survive a real power cut."""
        self._recorder.ops.append(Op("sync names"))


class _File(apsw.VFSFile):
    def __init__(
        self, recorder: Recorder, name: str | apsw.URIFilename | None, flags: list[int]
    ) -> None:
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        assert path is not None, "the outbox needs no temporary files"
        super().__init__("", name, flags)
        self._recorder = recorder
        self._number = recorder.created(Path(path).name)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802  # SQLite's name
        super().xWrite(data, offset)
        self._recorder.ops.append(Op("write", self._number, offset=offset, data=bytes(data)))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802  # SQLite's name
        super().xTruncate(newsize)
        self._recorder.ops.append(Op("truncate", self._number, offset=newsize))

    def xSync(self, flags: int) -> None:  # noqa: N802  # SQLite's name
        # The real sync is left out: the recorder decides what was durable.
        self._recorder.ops.append(Op("sync", self._number))


class _Vfs(apsw.VFS):
    def __init__(self, recorder: Recorder, name: str) -> None:
        super().__init__(name, "")
        self._recorder = recorder

    def xOpen(  # noqa: N802  # SQLite's name
        self, name: str | apsw.URIFilename | None, flags: list[int]
    ) -> apsw.VFSFile:
        return _File(self._recorder, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802  # SQLite's name
        super().xDelete(filename, syncdir)
        self._recorder.removed(Path(filename).name)
        if syncdir:
            self._recorder.ops.append(Op("sync names"))


@contextmanager
def recording(folder: Path) -> Iterator[tuple[Recorder, str]]:
    """Record a folder; gives the recorder and the VFS's name."""
    recorder = Recorder(folder)
    name = f"recorder-{next(_NAMES)}"
    vfs = _Vfs(recorder, name)
    try:
        yield recorder, name
    finally:
        vfs.unregister()
