"""One operator's keys for a whole test run, shared with the processes that tests start."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from cloud_sync.adapters.disk.erasure_file import ErasureFile
from cloud_sync.adapters.disk.key_folder import FolderKeyStore
from cloud_sync.secrecy.safe import Safe


def safe_in(folder: Path) -> Safe:
    """Return the safe of processes that have this folder as GATELINE_KEYS."""
    return Safe(FolderKeyStore(folder, entropy=os.urandom), entropy=os.urandom)


def _shared() -> Path:
    """Make the run's folder and leave its name to the processes that are started from here."""
    folder = Path(tempfile.mkdtemp(prefix="gateline-keys-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["GATELINE_KEYS"] = str(folder)
    return folder


def ledger_in(folder: Path) -> ErasureFile:
    """Return the ledger's copy of processes that have this folder as GATELINE_LEDGER."""
    return ErasureFile(folder, lambda: SAFE.ring.cloud_key)


def _own_ledger() -> ErasureFile:
    """Make the run's folder for tests that look at no ledger; processes have their own."""
    folder = Path(tempfile.mkdtemp(prefix="gateline-ledger-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return ledger_in(folder)


FOLDER = _shared()
"""Where this run's keys are."""
SAFE = safe_in(FOLDER)
"""What seals and opens in tests, and in processes that inherit the environment."""
LEDGER = _own_ledger()
"""Where tests that look at no ledger write what is erased."""
