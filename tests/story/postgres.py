"""The story's PostgreSQL: a real server that can be killed and comes back."""

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

from fare.adapters import database


class Postgres:
    """A private server on a folder, started by the constructor."""

    def __init__(self, folder: Path) -> None:
        """Start the server and wait until it answers.

        Args:
            folder: Its data; made if missing.
        """
        self._server: Any = database.private_server(folder)

    @property
    def url(self) -> str:
        """The address for `fare.adapters.database.connect`."""
        return str(self._server.get_uri())

    def runs(self) -> bool:
        """Say whether the postmaster is alive."""
        return _alive(self._server.get_pid())

    def kill(self) -> None:
        """Send SIGKILL to the postmaster; its children end when they notice."""
        os.kill(self._server.get_pid(), signal.SIGKILL)

    def ensure_running(self) -> None:
        """Start the server again if it has died; quiet if it cannot start just yet."""
        if self.runs():
            return
        try:
            self._server.ensure_postgres_running()
        except (subprocess.SubprocessError, OSError):
            return  # its orphans still hold the shared memory; the next look tries again

    def stop(self) -> None:
        """Stop the server."""
        self._server.cleanup()


def _alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status")
    try:
        return "\nState:\tZ" not in status.read_text(encoding="utf-8")
    except OSError:
        return False
