"""Nodes leave their vaults in shared memory when they stop; tests and stories clear theirs away."""

from pathlib import Path

from cloud_sync.adapters.disk.tmpfs_vault import PREFIX, SHARED_MEMORY
from cloud_sync.adapters.disk.vault_sweep import home_of, remove


def remove_below(folder: Path) -> None:
    """Remove the vaults of nodes whose data lies below a folder; they must have ended."""
    for vault in SHARED_MEMORY.glob(f"{PREFIX}*"):
        home = home_of(vault)
        if home is not None and home.is_relative_to(folder.resolve()):
            remove(vault)
