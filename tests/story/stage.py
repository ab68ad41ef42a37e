"""The stage: every process of a small Gateline, started, watched, started again when it dies.

A supervisor like the one an operator would run. It reads each process's structured log, which is
how the story knows what happened at the gates.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

Line = dict[str, object]


def free_port(preferred: int) -> int:
    """Return `preferred` if nobody listens there on loopback, else a free port."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise RuntimeError("no free port on loopback")


@dataclass
class Actor:
    """One supervised process."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    log: Path
    heard: Callable[[str, Line], None]
    """Called with (name, line) for every structured log line."""
    starts: int = 0
    ready: threading.Event = field(default_factory=threading.Event)
    process: subprocess.Popen[str] | None = None
    _stopping: bool = False
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the process and keep it running until `stop`."""
        self._thread = threading.Thread(target=self._supervise, name=self.name, daemon=True)
        self._thread.start()

    def _supervise(self) -> None:
        while not self._stopping:
            self.starts += 1
            self.process = subprocess.Popen(
                self.argv,
                env=dict(self.env),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
            assert self.process.stderr is not None
            with self.log.open("a", encoding="utf-8") as log, self.process.stderr as said:
                for text in said:
                    log.write(text)
                    log.flush()
                    self._hear(text)
            self.process.wait()
            self.ready.clear()
            if not self._stopping:
                time.sleep(0.5)

    def _hear(self, text: str) -> None:
        try:
            line = json.loads(text)
        except ValueError:
            return  # a traceback or a library's own words: kept in the file, not an event
        if isinstance(line, dict):
            if line.get("event") == "ready":
                self.ready.set()
            self.heard(self.name, line)

    def kill(self) -> None:
        """Send SIGKILL, as a crash would; the supervisor starts it again."""
        if self.process is not None and self.process.poll() is None:
            self.ready.clear()
            self.process.kill()

    def stop(self, *, patience_s: float = 10.0) -> None:
        """Ask the process to end, and insist after `patience_s`."""
        self._stopping = True
        process = self.process
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(patience_s)
            except subprocess.TimeoutExpired:
                process.kill()
        if self._thread is not None:
            self._thread.join(patience_s)


class Stage:
    """All processes by name."""

    def __init__(self, folder: Path, heard: Callable[[str, Line], None]) -> None:
        """Prepare an empty stage that logs into `folder`."""
        self.folder = folder
        self.actors: dict[str, Actor] = {}
        self._heard = heard
        (folder / "logs").mkdir(parents=True, exist_ok=True)
        self.env = {
            **os.environ,
            "PYTHONUNBUFFERED": "1",
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }

    def run(self, name: str, *argv: str) -> Actor:
        """Start `python -m argv...` under `name` and keep it running."""
        actor = Actor(
            name,
            (sys.executable, "-m", *argv),
            self.env,
            self.folder / "logs" / f"{name}.log",
            self._heard,
        )
        self.actors[name] = actor
        actor.start()
        return actor

    def once(self, *argv: str) -> str:
        """Run `python -m argv...` to its end and return what it printed.

        Raises:
            RuntimeError: It failed; the message has its last words.
        """
        done = subprocess.run(
            (sys.executable, "-m", *argv), env=self.env, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(argv)} failed: {done.stderr.strip()[-800:]}")
        return done.stdout.strip()

    def wait_ready(self, *names: str, patience_s: float = 60.0) -> None:
        """Wait until each named process has said that it is ready.

        Raises:
            RuntimeError: One was not ready in time; the message has the end of its log.
        """
        deadline = time.monotonic() + patience_s
        for name in names:
            if not self.actors[name].ready.wait(max(0.0, deadline - time.monotonic())):
                tail = self.actors[name].log.read_text(encoding="utf-8")[-1500:]
                raise RuntimeError(f"{name} was not ready within {patience_s:.0f} s:\n{tail}")

    def stop(self) -> None:
        """Stop every process, the last started first."""
        for actor in reversed(self.actors.values()):
            actor.stop()
