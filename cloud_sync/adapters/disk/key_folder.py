"""The operator's keys in a folder that only its owner can read.

`ring` names what counts, the current ones first; `root-ID.key`, `rotation-ID.key` and `cloud.key`
hold 32 bytes each in hex. The ring is replaced in one step after the keys it names are durable, so
a crash leaves the old ring or the new one. Every machine of the cloud needs the same folder.
"""

import contextlib
import fcntl
import os
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from cloud_sync.adapters.disk.private_folder import (
    NotPrivate,
    private_folder,
    read_private,
    shred,
    write_private,
)
from cloud_sync.secrecy.chunk_signature import CloudKey
from cloud_sync.secrecy.key_store import KeyRing, KeysFailed
from cloud_sync.secrecy.keys import KEY_BYTES, KEY_ID_BYTES, RootKey
from cloud_sync.secrecy.rotation import RotationSeed

_RING = "ring"
_CLOUD = "cloud.key"
_Mark = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class _Names:
    """What the file `ring` says: ids, the current ones first."""

    roots: tuple[str, ...]
    rotations: tuple[str, ...]

    def encoded(self) -> bytes:
        return f"root {' '.join(self.roots)}\nrotation {' '.join(self.rotations)}\n".encode()


class FolderKeyStore:
    """A `KeyStore` in a folder; see the port for its promises."""

    def __init__(self, folder: Path, *, entropy: Callable[[int], bytes]) -> None:
        """Take the folder; nothing is read or made before the first call.

        Args:
            folder: Mode 0700, made if missing.
            entropy: Gives that many random bytes, fit for keys; `os.urandom` in service.
        """
        self._folder = folder
        self._entropy = entropy
        self._known: tuple[_Mark, KeyRing] | None = None

    def ring(self) -> KeyRing:
        """See `KeyStore.ring`; the files are read again when the ring has changed."""
        with self._translated():
            known = self._known
            if known is not None and known[0] == self._mark():
                return known[1]
            private_folder(self._folder)
            if not (self._folder / _RING).exists():
                with self._locked():
                    if not (self._folder / _RING).exists():
                        self._add(_Names((), ()))
            return self._loaded()

    def renew(self) -> KeyRing:
        """See `KeyStore.renew`."""
        self.ring()
        with self._translated(), self._locked():
            self._add(self._names())
            return self._loaded()

    def destroy(self, ids: Collection[str]) -> KeyRing:
        """See `KeyStore.destroy`."""
        self.ring()
        with self._translated(), self._locked():
            names = self._names()
            if names.roots[0] in ids or names.rotations[0] in ids:
                raise _CurrentAsked
            left = _Names(
                tuple(each for each in names.roots if each not in ids),
                tuple(each for each in names.rotations if each not in ids),
            )
            write_private(self._folder / _RING, left.encoded())
            self._sweep(left)
            return self._loaded()

    def _add(self, names: _Names) -> None:
        """Make a root key and a rotation, and name them first."""
        self._sweep(names)  # what a crash has left behind unnamed
        if not (self._folder / _CLOUD).exists():
            self._write(_CLOUD)
        root, rotation = self._new_id(names.roots), self._new_id(names.rotations)
        self._write(f"root-{root}.key")
        self._write(f"rotation-{rotation}.key")
        grown = _Names((root, *names.roots), (rotation, *names.rotations))
        write_private(self._folder / _RING, grown.encoded())

    def _new_id(self, taken: Collection[str]) -> str:
        while (made := self._entropy(KEY_ID_BYTES).hex()) in taken:
            pass
        return made

    def _write(self, name: str) -> None:
        write_private(self._folder / name, self._entropy(KEY_BYTES).hex().encode() + b"\n")

    def _sweep(self, names: _Names) -> None:
        """Remove the keys that the ring does not name."""
        named = {f"root-{each}.key" for each in names.roots}
        named |= {f"rotation-{each}.key" for each in names.rotations}
        for path in self._folder.glob("ro*-*.key*"):
            if path.name not in named:
                shred(path)

    def _loaded(self) -> KeyRing:
        while True:
            mark, names = self._mark(), self._names()
            try:
                ring = KeyRing(
                    tuple(RootKey(each, self._secret(f"root-{each}.key")) for each in names.roots),
                    tuple(
                        RotationSeed(each, self._secret(f"rotation-{each}.key"))
                        for each in names.rotations
                    ),
                    CloudKey(self._secret(_CLOUD)),
                )
            except FileNotFoundError:
                if self._mark() == mark:
                    raise
                continue  # another process has destroyed keys meanwhile
            if mark is not None:
                self._known = (mark, ring)
            return ring

    def _names(self) -> _Names:
        content = read_private(self._folder / _RING).decode("ascii", "replace")
        match [line.split() for line in content.splitlines()]:
            case [["root", *roots], ["rotation", *rotations]] if roots and rotations:
                return _Names(tuple(roots), tuple(rotations))
        raise KeysFailed(f"{self._folder / _RING} is damaged")

    def _secret(self, name: str) -> bytes:
        try:
            secret = bytes.fromhex(read_private(self._folder / name).decode("ascii"))
        except ValueError:
            secret = b""
        if len(secret) != KEY_BYTES:
            detail = f"{self._folder / name} does not hold {KEY_BYTES} bytes in hex"
            raise KeysFailed(detail) from None
        return secret

    def _mark(self) -> _Mark | None:
        try:
            found = (self._folder / _RING).stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Let one process at a time change the folder."""
        handle = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except _CurrentAsked:
            raise ValueError("a current key is not destroyed") from None
        except (OSError, NotPrivate) as problem:
            raise KeysFailed(str(problem)) from problem
        except ValueError as problem:
            raise KeysFailed(f"{self._folder} holds what are no keys") from problem


class _CurrentAsked(Exception):
    """A current key was to be destroyed."""
