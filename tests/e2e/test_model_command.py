"""A change of the model as an operator types it: begin, reembed (killed once), status, finish.

The old model is a stand-in; the new one is the real `open` pack, which measures real kept photos.
"""

import contextlib
import io
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import numpy as np
import pytest
import sqlalchemy as sa

from cloud_sync import rolling
from cloud_sync.__main__ import main as cloud_main
from cloud_sync.adapters.disk.erasure_file import ErasureFile
from cloud_sync.adapters.postgres import view_log as cloud
from cloud_sync.adapters.postgres.membership import Membership
from cloud_sync.stream.view import EdgeNode
from edge_gate.face import Embedding
from enroll.__main__ import main as enroll_main
from enroll.adapters.postgres import PostgresRiderStore
from enroll.consent import Purpose
from enroll.enrollment import Enrollment, EnrollmentConfig
from enroll.lookalike import LookalikeConfig
from enroll.photo import Accepted
from enroll.remeasure import CAUSE
from enroll.store import Dossier
from models.manifest import pack
from tests.cloud_city import SOURCING
from tests.keys import safe_in
from tests.people import portraits
from tests.riders import FACE_CONSENTS, MODELS, direction, eye, png

OLD = "past/space@000000000000"
NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)


class Office:
    """Riders enrolled by an old model, and the operator's commands."""

    def __init__(self, engine: sa.Engine, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._engine, self._capsys = engine, capsys
        safe = safe_in(folder / "keys")
        views = cloud.PostgresViewLog(engine, safe)
        views.admit(EdgeNode("edge-1", "zhonglou", bytes(32)), NOW)
        copy = ErasureFile(folder / "ledger", lambda: safe.ring.cloud_key)
        self.store = PostgresRiderStore(engine, Membership(SOURCING, safe), copy.append)
        self._enrollment = Enrollment(self.store, EnrollmentConfig(), LookalikeConfig())

    def enrolls(self, seed: int, photo: bytes, *, keeps: bool = True) -> UUID:
        """Let somebody enroll; the old model sees some face."""
        ref = uuid4()
        self._enrollment.create(ref=ref, name="", minor=False, key_hash=ref.bytes * 2, now=NOW)
        for purpose in (*FACE_CONSENTS, *([Purpose.KEEP_PHOTOS] if keeps else [])):
            self._enrollment.choose(ref, purpose, given=True, now=NOW)

        def old(data: bytes, _first: Embedding | None) -> Accepted:
            return Accepted(direction(seed), OLD, 0.9, 1.0, data)

        taken = self._enrollment.add_photo(ref, photo, assess=old, photo_id=uuid4(), now=NOW)
        assert isinstance(taken, Dossier)
        return ref

    def types(self, main: Callable[[list[str]], int], *words: str) -> tuple[int, str, str]:
        """Run a command; return its status and what it printed."""
        self._capsys.readouterr()
        status = main(list(words))
        out, err = self._capsys.readouterr()
        return status, out, err

    def measured(self) -> int:
        """Return how many riders have a template of another model than the old one."""
        query = sa.text("SELECT count(*) FROM enroll.template WHERE model_id <> :old")
        with self._engine.connect() as connection:
            return int(connection.execute(query, {"old": OLD}).scalar_one())


@pytest.fixture
def office(
    database_url: str,
    engine: sa.Engine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Office:
    """Give an office with an empty database; what commands start has the same environment."""
    eye()  # skips where the real models are not installed
    monkeypatch.setenv("GATELINE_DATABASE_URL", database_url)
    monkeypatch.setenv("GATELINE_KEYS", str(tmp_path / "keys"))
    monkeypatch.setenv("GATELINE_LEDGER", str(tmp_path / "ledger"))
    monkeypatch.setenv("GATELINE_MODELS", str(MODELS))
    return Office(engine, tmp_path, capsys)


def in_process(*words: str) -> str:
    """Do what the cloud's commands start a process for; return what it prints."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert enroll_main(["reembed", *words]) == 0
    return out.getvalue()


def test_begin_reembed_killed_and_again_status_finish(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in the middle, `reembed` goes on; whoever the new model does not know is told so."""
    new = f"{pack('open').space}@{pack('open').files['embedder'].sha256[:12]}"
    people = portraits()
    known = [
        office.enrolls(seed, png(people[name]))
        for seed, name in enumerate(("Robin", "Sasha", "Kim", "Jules", "Noor", "Toni"), 1)
    ]
    blank = office.enrolls(91, png(np.full((300, 300, 3), 128, np.uint8)))
    unkept = office.enrolls(92, png(people["Eileen"]), keeps=False)

    assert office.types(cloud_main, "model", "begin", new)[0] == 0
    command = [sys.executable, "-m", "enroll", "reembed", "--pack", "open"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while not office.measured():
        assert time.monotonic() < until
        assert process.poll() is None
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    cut = office.measured()
    assert cut < len(known)

    status, out, err = office.types(enroll_main, "reembed", "--pack", "open")

    assert status == 0, err
    assert f"{6 - cut} riders measured anew, " in out
    assert "6 done, 0 waiting, 1 with no face found" in out
    assert "1 without a kept photo" in out
    made = {ref: office.store.find(ref) for ref in known}
    assert {each and each.templates_made for each in made.values()} == {2}  # nobody twice
    with monkeypatch.context() as patched:
        patched.setattr(rolling, "_enroll", in_process)  # a process takes seconds to start
        _, out, _ = office.types(cloud_main, "model", "status")
    assert "phase: running" in out
    assert f"riders at stations with a template of {OLD}: 8" in out
    assert f"riders at stations with a template of {new}: 6" in out
    assert "zhonglou (coming): 6 templates, 0 nodes" in out

    with monkeypatch.context() as patched:
        patched.setattr(rolling, "_photos", lambda _: {"waiting": 0})  # as `status` has told
        status, out, err = office.types(cloud_main, "model", "finish")

    assert status == 0, err
    assert f"{OLD}: 8 templates erased" in out
    dossiers = [office.store.find(ref) for ref in known]
    assert {each and each.template and each.template.model_id for each in dossiers} == {new}
    for ref in (blank, unkept):
        lost = office.store.find(ref)
        assert lost is not None
        assert (lost.template, lost.erasures[-1].cause) == (None, CAUSE)
