"""The station node as a real process: it serves, opens, ends in order, and survives kill -9."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import random
from uuid import UUID, uuid4

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cloud_sync.adapters.disk.node_key_file import load_or_make
from cloud_sync.adapters.disk.sqlite_outbox import SqliteOutbox
from cloud_sync.adapters.disk.sqlite_replica import SqliteReplica
from cloud_sync.adapters.disk.tmpfs_vault import SHARED_MEMORY, TmpfsVault, default_folder
from cloud_sync.adapters.disk.vault_sweep import home_of
from cloud_sync.adapters.system_clock import SystemClock
from cloud_sync.content import content_hash, root_hash
from cloud_sync.gallery import Change, IssuerKey, PutKey, PutTemplate, Template
from cloud_sync.generate import templates
from cloud_sync.stream.messages import Snapshot
from edge_gate.adapters.opencv import encode
from edge_gate.adapters.pack import open_eye
from edge_gate.config import parse
from edge_gate.eye import ModelRefused
from edge_gate.moment import Moment
from edge_gate.node import Given, Node
from edge_gate.ride_code import issue
from fare.tap import Direction, Medium, Tap
from tests.people import portraits
from tests.served import free_port

MODELS = Path(__file__).parents[2] / "models" / "files"
ISSUER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
EILEEN = UUID(int=1)


@pytest.fixture(scope="module")
def held() -> tuple[Change, ...]:
    """Give what the cloud would have sent: Eileen, 500 others, and an issuer key."""
    try:
        eye = open_eye("open", MODELS)
    except ModelRefused as refused:
        pytest.skip(f"needs the installed models: {refused}")
    model, photo = eye.embedder.model_id, portraits()["Eileen"]
    look = eye.embedding(photo, eye.detector.detect(photo)[0])
    riders = (Template(EILEEN, 1, model, "plain", look), *templates(500, seed=1, model_id=model))
    key = IssuerKey(1, ISSUER.public_key().public_bytes_raw())
    return (*map(PutTemplate, riders), PutKey(key))


@dataclass
class Station:
    """A node's folder and, while it runs, its process."""

    folder: Path
    models: Path = MODELS
    lines: "queue.Queue[dict[str, object]]" = field(default_factory=queue.Queue)
    process: subprocess.Popen[str] | None = None
    url: str = ""

    @property
    def data(self) -> Path:
        """The node's own folder."""
        return self.folder / "data"

    def prepare(self, held: tuple[Change, ...]) -> None:
        """Write the configuration, the scene and a gallery with an hour of lease."""
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        (self.folder / "station.toml").write_text(
            f'[station]\nstation_id = "bei"\nedge_id = "edge-bei"\ndata_dir = "data"\ncloud = ""\n'
            f'listen = "127.0.0.1:{port}"\n'
            '[[lane]]\nid = "entry"\ndirection = "entry"\ncamera = "scene:scene.toml"\n'
        )
        (self.folder / "scene.toml").write_text('[scene]\ncue_dir = "cues"\n')
        (self.folder / "cues").mkdir()
        photo = encode(portraits()["Eileen"], suffix=".png")
        (self.folder / "Eileen.png").write_bytes(photo)
        self.data.mkdir()
        replica = SqliteReplica(self.data / "gallery.db")
        root = root_hash([content_hash(change) for change in held])
        count = sum(isinstance(change, PutTemplate) for change in held)
        replica.begin_snapshot(Snapshot(UUID(int=5), 1, 1, count, root))
        replica.stage(0, held)
        replica.finish_snapshot()
        now = datetime.now(UTC)
        replica.renew_lease(now + timedelta(hours=1), now)
        replica.close()

    def start(self) -> None:
        """Start the node and wait until it serves."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "edge_gate", "run", str(self.folder / "station.toml")],
            env={**os.environ, "GATELINE_MODELS": str(self.models)},
            stderr=subprocess.PIPE,
            text=True,
        )
        threading.Thread(target=self._read, args=(self.process,), daemon=True).start()
        self.line("ready")

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        with process.stderr:
            for text in process.stderr:
                self.lines.put(json.loads(text) if text.startswith("{") else {"event": text})

    def line(self, event: str, *, seconds: float = 40.0) -> dict[str, object]:
        """Wait for the next log line of this event."""
        ends_s, seen = time.monotonic() + seconds, []
        while (left := ends_s - time.monotonic()) > 0:
            try:
                line = self.lines.get(timeout=left)
            except queue.Empty:
                break
            seen.append(line)
            if line["event"] == event:
                return line
        raise AssertionError(f"no {event} in {seen}")

    def walk(self, *, code: bytes = b"") -> None:
        """Let Eileen walk up, with a code on her phone if there is one."""
        cues = self.folder / "cues"
        if code:
            (cues / "eileen.code").write_bytes(code)
        words = 'photo = "../Eileen.png"\nstand_s = 30.0\n' + (
            'code = "eileen.code"\n' * bool(code)
        )
        (cues / ".new").write_text(words)
        (cues / ".new").rename(cues / "Eileen.toml")

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(15)

    def taps(self) -> list[Tap]:
        """Read the outbox of the node, which must have ended."""
        key = load_or_make(self.data / "node.key", entropy=os.urandom)
        outbox = SqliteOutbox(self.data / "outbox.db", key, new_id=lambda: UUID(int=0))
        found = [sealed.tap for sealed in outbox.pending(9)]
        outbox.close()
        return found


def _old_tap(number: int, age: timedelta) -> Tap:
    return Tap(
        UUID(int=number),
        EILEEN,
        "bei",
        "entry",
        Direction.ENTRY,
        Medium.CODE,
        datetime.now(UTC) - age,
        0,
        code_id=bytes(18),
    )


@pytest.fixture
def station(tmp_path: Path, held: tuple[Change, ...]) -> Iterator[Station]:
    """Give a prepared station; a node that still runs at the end is killed."""
    station = Station(tmp_path)
    station.prepare(held)
    yield station
    if station.process is not None and station.process.poll() is None:
        station.process.kill()
        station.process.wait()


class TestNode:
    """One station's process."""

    def test_opens_for_a_rider_and_ends_in_order(self, station: Station) -> None:
        """Eileen walks up to a real process: decision, screen, tap on disk, exit status 0."""
        station.start()
        station.walk()

        decision = station.line("decision")
        screen = httpx.get(f"{station.url}/status.json").json()["lanes"][0]["view"]["screen"]

        assert (decision["outcome"], decision["medium"]) == ("grant", "face")
        assert decision["rider_ref"] == str(EILEEN)
        assert isinstance(decision["deciding_frame_to_open_ms"], float)
        assert screen["sign"] == "go"
        assert station.end() == 0
        assert [tap.rider_ref for tap in station.taps()] == [EILEEN]

    def test_killed_and_started_again_it_keeps_the_tap(self, station: Station) -> None:
        """After kill -9 right behind the grant the tap is on disk, and the node serves again."""
        station.start()
        station.walk()
        station.line("decision")
        assert station.end(signal.SIGKILL) == -signal.SIGKILL
        (station.folder / "cues" / "Eileen.toml").unlink()

        station.start()
        depth = httpx.get(f"{station.url}/status.json").json()["outbox_depth"]

        assert depth == 1
        assert station.end() == 0

    def test_without_models_or_certificate_codes_open(
        self, station: Station, tmp_path: Path
    ) -> None:
        """Invariant 11: no models, no cloud, never joined: each is named, and a code opens.

        What a node left in memory whose data is gone is removed by the one that starts.
        """
        left = default_folder(f"test-{uuid4().hex}")
        TmpfsVault(left, home=tmp_path / "gone")
        station.models = tmp_path / "none"
        config = station.folder / "station.toml"
        config.write_text(config.read_text().replace('cloud = ""', 'cloud = "127.0.0.1:1"'))
        station.start()
        now = datetime.now(UTC)
        code = issue(
            ISSUER, key_id=1, rider_ref=EILEEN, issued_at=now, validity_s=60, nonce=bytes(16)
        )
        station.walk(code=code)

        decision = station.line("decision")
        status = httpx.get(f"{station.url}/status.json").json()

        assert (decision["outcome"], decision["medium"]) == ("grant", "code")
        assert not left.exists()
        assert station.data in map(home_of, SHARED_MEMORY.glob("gateline-edge-bei-*"))
        assert status["lanes"][0]["view"]["shut"] == "model_refused"
        assert "edge_gate join" in status["certificate"]["words"]
        assert station.end() == 0


class TestCommands:
    """What an operator types."""

    def _run(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "edge_gate", *words]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    def test_forgets_taps_that_the_cloud_has_held_for_long(self, station: Station) -> None:
        """Of an old and a young acknowledged tap and one not acknowledged, only the old goes."""
        key = load_or_make(station.data / "node.key", entropy=os.urandom)
        outbox = SqliteOutbox(station.data / "outbox.db", key, new_id=uuid4)
        ages = (60, 1, 0)
        for number, days in enumerate(ages):
            outbox.append(_old_tap(number, timedelta(days=days)))
        outbox.acknowledge(outbox.outbox_id, 2)
        outbox.close()
        config = parse((station.folder / "station.toml").read_text(), folder=station.folder)
        given = Given(
            SystemClock(), os.urandom, random, uuid4, MODELS, station.folder, lambda: None
        )
        node = Node(config, given)

        [prune] = [chore for chore in node._chores() if chore.name == "prune"]
        prune.do(Moment(time.monotonic(), datetime.now(UTC)))
        node._outbox.close()

        outbox = SqliteOutbox(station.data / "outbox.db", key, new_id=uuid4)
        left = [sealed.seq for sealed in outbox.since(0, 9)]
        outbox.close()
        assert left == [2, 3]

    def test_tells_how_it_is(self, station: Station) -> None:
        """A report has the gallery, the model, the waiting taps and the lanes of the real node."""
        key = load_or_make(station.data / "node.key", entropy=os.urandom)
        outbox = SqliteOutbox(station.data / "outbox.db", key, new_id=uuid4)
        outbox.append(_old_tap(1, timedelta(days=2)))
        outbox.close()
        config = parse((station.folder / "station.toml").read_text(), folder=station.folder)
        given = Given(
            SystemClock(), os.urandom, random, uuid4, MODELS, station.folder, lambda: None
        )
        node = Node(config, given)
        node._services()  # without a cloud: reads the replica once

        told = node._health()
        node._outbox.close()

        assert (told.edge_id, told.station_id) == ("edge-bei", "bei")
        assert (told.first_tier, told.revision, told.outbox_depth) == (501, 1, 1)
        assert told.outbox_age_s is not None
        assert told.outbox_age_s > 86_400
        assert "@" in told.model_digest
        assert told.disk_free_bytes > 0
        assert [lane.lane_id for lane in told.lanes] == ["entry"]
        assert told.lanes[0].frame_age_s is None  # no lane runs in this test

    def test_key_is_made_once(self, station: Station) -> None:
        """The node's public key is printed in hex and stays the same."""
        config = str(station.folder / "station.toml")

        first, second = (self._run("key", config).stdout.strip() for _ in range(2))

        assert first == second
        assert len(bytes.fromhex(first)) == 32

    def test_doctor_finds_what_is_wrong(self, station: Station) -> None:
        """A healthy node is good; a lane without its scene is named."""
        config = station.folder / "station.toml"
        good = self._run("doctor", str(config))
        config.write_text(config.read_text().replace("scene.toml", "gone.toml"))
        bad = self._run("doctor", str(config))

        assert (good.returncode, "BAD" in good.stdout) == (0, False)
        assert bad.returncode == 1
        assert "BAD   camera of entry" in bad.stdout

    def test_a_wrong_file_is_named(self, tmp_path: Path) -> None:
        """A configuration that cannot be used is refused in one line, not with a traceback."""
        (tmp_path / "bad.toml").write_text("[station]\n")

        ended = self._run("run", str(tmp_path / "bad.toml"))

        assert ended.returncode == 2
        assert "missing" in ended.stderr
        assert "Traceback" not in ended.stderr
