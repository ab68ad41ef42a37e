"""A node's key grant in a folder of memory: it outlives the process, and no power cut.

tmpfs may be swapped out: a node has swap off, or encrypted (docs/operations.md).
"""

import os
import re
from pathlib import Path

from cloud_sync.adapters.disk.private_folder import (
    NotPrivate,
    private_folder,
    read_private,
    shred,
    write_private,
)
from cloud_sync.secrecy.grant import GrantRefused, KeyGrant, grant_from_bytes, grant_to_bytes
from cloud_sync.secrecy.vault import VaultFailed

_MEMORY = ("tmpfs", "ramfs")
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  # each folder in it is checked to be its owner's
"""Where vaults are unless a configuration says otherwise."""
PREFIX = "gateline-"
"""What the names of vaults there begin with."""
HOME = "home"
"""The note in a vault that names the data folder it belongs to."""
_GRANT = "grant"
_PLAIN_NAME = re.compile(r"[\w.-]+")
_ESCAPE = re.compile(r"\\([0-7]{3})")


def default_folder(edge_id: str) -> Path:
    """Return where a node's vault is unless its configuration says otherwise.

    Args:
        edge_id: The node; what has no place in a file's name is written as its code point.
    """
    name = "".join(c if _PLAIN_NAME.fullmatch(c) else f"%{ord(c):x}" for c in edge_id)
    return SHARED_MEMORY / f"{PREFIX}{name}"


class TmpfsVault:
    """A `Vault` in a folder; see the port for its promises."""

    def __init__(
        self,
        folder: Path,
        *,
        home: Path | None = None,
        is_any_disk: bool = False,
        mounts: Path = Path("/proc/self/mounts"),
    ) -> None:
        """Open the folder, or make it.

        Args:
            folder: Mode 0700, on tmpfs or ramfs.
            home: The node's data folder, absolute: once that is gone, so is the vault, by
                `vault_sweep`. None for a vault that somebody else removes.
            is_any_disk: Take a folder wherever it is: for tests, and for systems whose memory
                has another name. Keys then reach a disk.
            mounts: What is mounted where, as Linux tells it.

        Raises:
            VaultFailed: It lies on a disk, or is not its owner's alone.
        """
        self._path = folder / _GRANT
        try:
            # Asked before it is made: a folder of secrets is not even begun on a disk.
            kind = _kind_of(folder, mounts)
            if kind not in _MEMORY and not is_any_disk:
                raise VaultFailed(f"{folder} lies on {kind or 'an unknown disk'}, not in memory")
            private_folder(folder)
            if home is not None:
                write_private(folder / HOME, os.fsencode(home))
        except (OSError, NotPrivate) as problem:
            raise VaultFailed(str(problem)) from problem

    def keep(self, grant: KeyGrant) -> None:
        """See `Vault.keep`."""
        try:
            write_private(self._path, grant_to_bytes(grant))
        except OSError as problem:
            raise VaultFailed(str(problem)) from problem

    def load(self) -> KeyGrant | None:
        """See `Vault.load`."""
        try:
            return grant_from_bytes(read_private(self._path))
        except (FileNotFoundError, GrantRefused):
            return None
        except (OSError, NotPrivate) as problem:
            raise VaultFailed(str(problem)) from problem

    def forget(self) -> None:
        """See `Vault.forget`."""
        try:
            shred(self._path)
        except OSError as problem:
            raise VaultFailed(str(problem)) from problem


def _kind_of(folder: Path, mounts: Path) -> str:
    """Return the kind of file system that a folder lies on, or would lie on."""
    place = folder.resolve()
    kind, depth = "", -1
    for line in mounts.read_text().splitlines():
        fields = line.split()
        point = Path(_ESCAPE.sub(lambda found: chr(int(found[1], 8)), fields[1]))
        if len(point.parts) >= depth and place.is_relative_to(point):
            kind, depth = fields[2], len(point.parts)  # of two at one place the later covers
    return kind
