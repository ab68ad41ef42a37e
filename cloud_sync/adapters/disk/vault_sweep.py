"""Vaults whose node is gone: a folder of memory would keep their keys until the next power cut.

An orderly stop leaves the vault, since a node that starts again must open gates at once. So each
vault notes the data folder that it belongs to, and whichever node starts on the machine removes
the vaults whose data folder no longer exists.
"""

import contextlib
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cloud_sync.adapters.disk.private_folder import NotPrivate, read_private, shred
from cloud_sync.adapters.disk.tmpfs_vault import HOME, PREFIX, SHARED_MEMORY, TmpfsVault
from cloud_sync.secrecy.vault import VaultFailed

UNTOLD = timedelta(hours=1)
"""How long a vault without a note is left alone: it is being made, or of a version before notes,
and then its keys are granted anew every few seconds."""


def remove(folder: Path) -> None:
    """Write over what is in a vault and remove it; without one, nothing happens.

    Args:
        folder: The vault's.

    Raises:
        OSError: It may still be there.
    """
    for path in folder.glob("*"):
        if path.is_symlink():
            path.unlink()  # what it leads to is none of the vault's
        else:
            shred(path)
    with contextlib.suppress(FileNotFoundError):
        folder.rmdir()


def home_of(folder: Path) -> Path | None:
    """Return the data folder that a vault belongs to; None where it does not say.

    Args:
        folder: The vault's.
    """
    try:
        return Path(os.fsdecode(read_private(folder / HOME)))
    except (OSError, NotPrivate):
        return None


def sweep_vaults(now: datetime, *, parent: Path = SHARED_MEMORY) -> tuple[str, ...]:
    """Remove this user's vaults whose node is gone.

    Args:
        now: Aware UTC.
        parent: Where vaults are.

    Returns:
        The names of those removed, sorted.

    Raises:
        OSError: One that is gone may still be there.
    """
    gone = sorted(folder for folder in parent.glob(f"{PREFIX}*") if _is_gone(folder, now))
    for folder in gone:
        remove(folder)
    return tuple(folder.name for folder in gone)


def _is_gone(folder: Path, now: datetime) -> bool:
    try:
        found = folder.lstat()
        if found.st_uid != os.geteuid() or not folder.is_dir() or folder.is_symlink():
            return False
        home = home_of(folder)
        if home is not None:
            return not home.exists()
        if now - datetime.fromtimestamp(found.st_mtime, UTC) < UNTOLD:
            return False
        grant = TmpfsVault(folder, is_any_disk=True).load()
    except (OSError, VaultFailed):
        return False  # not ours to judge, or another node was faster
    return grant is None or grant.valid_until <= now
