"""`python -m enroll serve` as a process: ready, killed, started again, ended."""

import base64
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from cloud_sync.adapters.postgres import view_log as cloud
from cloud_sync.gallery import PutKey, PutTemplate
from cloud_sync.stream.view import EdgeNode
from edge_gate import ride_code
from edge_gate.ride_code import KeyRing, RideCodeConfig
from tests.keys import SAFE
from tests.leaks import keys_below, leaks
from tests.people import portraits
from tests.phone import FACE, Phone, held
from tests.riders import MODELS, MONDAY, eye, png
from tests.served import free_port


@contextmanager
def served(
    url: str, log: Path, *, ending: signal.Signals, models: Path = MODELS
) -> Iterator[httpx.Client]:
    """Start the process, give a client of it, and end it by a signal."""
    port = free_port()
    environment = os.environ | {"GATELINE_DATABASE_URL": url, "GATELINE_MODELS": str(models)}
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "enroll", "serve", "--listen", f"127.0.0.1:{port}"],
            env=environment,
            stderr=out,
        )
    try:
        wait(lambda: '"event": "ready"' in log.read_text(), process)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            yield client
    finally:
        process.send_signal(ending)
        status = process.wait(timeout=20)
    assert status == (0 if ending is signal.SIGTERM else -ending)


def wait(ripe: Callable[[], bool], process: subprocess.Popen[bytes] | None = None) -> None:
    """Wait until something is true, at most 30 seconds."""
    until = time.monotonic() + 30
    while not ripe():
        assert process is None or process.poll() is None, "the process ended"
        assert time.monotonic() < until, "it took too long"
        time.sleep(0.05)


@pytest.fixture
def database_url(empty_url: str) -> str:
    """Give a database that the process itself migrates."""
    return empty_url


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Give a file for the log."""
    return tmp_path / "log"


def admit(engine: sa.Engine, station: str) -> None:
    """Let a station join while enrollment is running."""
    cloud.PostgresViewLog(engine, SAFE).admit(
        EdgeNode(f"edge-{station}", station, bytes(32)), MONDAY
    )


def transforms(engine: sa.Engine, table: str) -> set[str]:
    """Read what a table's rows say of how their vectors are turned."""
    with engine.connect() as connection:
        return set(connection.scalars(sa.text(f"SELECT transform_id FROM {table}")))


def issued_at(payload: bytes) -> datetime:
    """Read from a code when it was made."""
    return datetime.fromtimestamp(int.from_bytes(payload[21:25], "big"), UTC)


class TestServe:
    """One process over an empty database."""

    def test_killed_and_started_again(
        self, database_url: str, engine: sa.Engine, log: Path
    ) -> None:
        """After kill -9 the rider, the key that signs codes and the late station are all right."""
        eye()  # skips where the models are not installed
        robin_photo = png(portraits()["Robin"])
        with served(database_url, log, ending=signal.SIGKILL) as web:
            robin = Phone(web, "Robin", *FACE)
            assert robin.photo(robin_photo).status_code == 201
            code = base64.b64decode(robin.ask("GET", "/code").json()["payload"])
            admit(engine, "S1")
            wait(lambda: held(engine, "S1") == {robin.ref})
            turned = {SAFE.ring.rotation.transform_id}
            for table in ("enroll.template", "cloud_sync.master_template"):
                assert transforms(engine, table) == turned
            assert transforms(engine, "cloud_sync.view") == turned

        with served(database_url, log, ending=signal.SIGTERM) as web:
            robin.web = web
            again = base64.b64decode(robin.ask("GET", "/code").json()["payload"])
            admit(engine, "S2")
            wait(lambda: held(engine, "S2") == {robin.ref})
            told = cloud.PostgresViewLog(engine, SAFE).whole("S2").changes
            assert {type(change) for change in told} == {PutKey, PutTemplate}
            ring = KeyRing([change.key for change in told if isinstance(change, PutKey)])
            for payload in (code, again):
                judged = ride_code.verify(payload, ring, issued_at(payload), RideCodeConfig())
                assert isinstance(judged, ride_code.Accepted)

            robin.ask("POST", "/withdraw")
            assert held(engine, "S1") == held(engine, "S2") == set()
        assert '"event": "stopped"' in log.read_text()

    def test_no_face_in_the_log(self, database_url: str, log: Path) -> None:
        """The log of an enrollment names neither the rider, nor the key, nor the file."""
        eye()
        with served(database_url, log, ending=signal.SIGTERM) as web:
            robin = Phone(web, "Robin", *FACE)
            robin.photo(png(portraits()["Robin"]))
            robin.photo(b"no picture")
            robin.ask("GET", "/code")
        written = log.read_text()

        assert written.count("\n") <= 3
        assert leaks(written, keys_below(Path(os.environ["GATELINE_KEYS"]))) == set()
        for secret in ("Robin", robin.key, robin.key.split(".")[1], robin.ref, "me.png"):
            assert secret not in written

    def test_goes_on_without_models(self, database_url: str, log: Path, tmp_path: Path) -> None:
        """With no model installed the process says so, refuses photos and serves ride codes."""
        nowhere = tmp_path / "none"
        with served(database_url, log, ending=signal.SIGTERM, models=nowhere) as web:
            ada = Phone(web, "Ada", *FACE)
            assert ada.photo(b"any").status_code == 503
            assert ada.ask("GET", "/code").status_code == 200
        assert '"event": "model_refused"' in log.read_text()
