"""A connected city in small: real processes, and between each node and the cloud a proxy.

PostgreSQL, the cloud, the rider app and a node a station run as an operator would start them. Each
node dials its own proxy, which makes every byte late, as a line of a city's length does, and can be
frozen or cut.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any
from uuid import uuid4

import httpx

from cloud_sync.adapters.disk.key_folder import FolderKeyStore
from cloud_sync.adapters.grpc.device_client import join
from cloud_sync.adapters.grpc.node_trust import NodeTrust
from cloud_sync.adapters.grpc.presence import GrpcPresence, PresenceConfig
from cloud_sync.adapters.postgres.membership import Membership
from cloud_sync.adapters.postgres.view_log import PostgresViewLog
from cloud_sync.adapters.system_clock import SystemClock
from cloud_sync.generate import templates
from cloud_sync.master.gallery import Activate, PutMaster, Withdraw
from cloud_sync.prefilter.sourcing import Sourcing
from cloud_sync.secrecy.safe import Safe
from cloud_sync.taps.signing import NodeKey
from cloud_sync.trust.device import Identity
from edge_gate.adapters.opencv import encode
from fare.adapters import database
from fare.city import shipped
from models import manifest
from tests.people import portraits
from tests.proxy import Proxy
from tests.served import free_port
from tests.story.postgres import Postgres
from tests.story.stage import Line, Stage

DELAY_S = 0.01
"""One way on each line; 20 ms there and back are more than fibre across a city costs."""
_LOOK_S = 0.01
"""Between two looks at a node's status."""

_STATION_TOML = """\
[station]
station_id = "{station}"
edge_id = "edge-{station}"
data_dir = "{station}"
cloud = "127.0.0.1:{cloud}"
cloud_devices = "127.0.0.1:{devices}"
listen = "127.0.0.1:{port}"
target_fpir = 0.05
accept_push = true

[[lane]]
id = "entry"
direction = "entry"
camera = "scene:{station}.scene.toml"
"""


@dataclass(frozen=True, slots=True)
class Gate:
    """One station's node, seen from outside."""

    station: str
    line: Proxy
    """Between it and the cloud's main port."""
    url: str
    cues: Path
    """Whoever has a file here walks up."""
    decisions: "SimpleQueue[Line]"
    """What its lane answered, as logged."""
    loads: "SimpleQueue[tuple[float, int]]"
    """When it took a whole gallery in (monotonic seconds), and how many templates."""
    seals: "SimpleQueue[int]"
    """Templates of each index that was built off the hot path."""

    def gallery(self) -> dict[str, Any]:
        """Return what it says of its gallery; empty while it is away."""
        try:
            told = httpx.get(f"{self.url}/status.json", timeout=5.0).json()
        except httpx.TransportError:
            return {}
        return dict(told["gallery"])

    def until(self, good: Callable[[dict[str, Any]], bool], *, patience_s: float = 60.0) -> float:
        """Look until the gallery is as wanted; return when it was, monotonic seconds.

        Raises:
            TimeoutError: It was not.
        """
        ends_s = time.monotonic() + patience_s
        while time.monotonic() < ends_s:
            told = self.gallery()
            seen_s = time.monotonic()
            if told and good(told):
                return seen_s
            time.sleep(_LOOK_S)
        raise TimeoutError(f"{self.station}: {self.gallery()}")

    def holds(self, count: int, *, patience_s: float = 60.0) -> float:
        """Wait until it matches against so many templates; return when, monotonic seconds."""
        return self.until(lambda told: told["templates"] == count, patience_s=patience_s)

    def walk(self, name: str, photo: Path, *, stand_s: float = 60.0) -> None:
        """Let somebody walk up and stand there."""
        script = (
            f'name = "{name}"\nphoto = "{photo}"\nleave = "{name}.leave"\nstand_s = {stand_s}\n'
        )
        part = self.cues / f".{name}.part"
        part.write_text(script, encoding="utf-8")
        part.rename(self.cues / f"{name}.toml")

    def leave(self, name: str) -> None:
        """Let them go, and wait until they are gone."""
        (self.cues / f"{name}.leave").touch()
        ends_s = time.monotonic() + 20
        while (self.cues / f"{name}.toml").exists() and time.monotonic() < ends_s:
            time.sleep(0.02)
        for path in self.cues.glob(f"{name}*"):
            path.unlink(missing_ok=True)

    def decision(self, *, patience_s: float = 30.0) -> Line:
        """Wait for the lane's next answer.

        Raises:
            TimeoutError: There was none.
        """
        try:
            return self.decisions.get(timeout=patience_s)
        except Empty:
            raise TimeoutError(f"{self.station} decided nothing in {patience_s} s") from None


class Site:
    """All processes; stop it whatever happened."""

    def __init__(self, folder: Path, *, stations: int) -> None:
        """Choose ports and folders; nothing runs yet.

        Args:
            folder: An empty folder.
            stations: How many, from 1.
        """
        self.folder = folder
        self.stage = Stage(folder, self._heard)
        self.photos: dict[str, Path] = {}
        self.gates: dict[str, Gate] = {}
        self._names = sorted(shipped().network.stations)[:stations]
        self._ports = {name: free_port() for name in ("cloud", "devices", "app")}
        self._server: Postgres | None = None

    @property
    def app_url(self) -> str:
        """Address of the rider app."""
        return f"http://127.0.0.1:{self._ports['app']}"

    @property
    def cloud_port(self) -> int:
        """The cloud's main port, without a proxy before it."""
        return self._ports["cloud"]

    @property
    def device_port(self) -> int:
        """The cloud's device port."""
        return self._ports["devices"]

    @property
    def authority(self) -> Path:
        """The certificate by which nodes know the cloud."""
        [path] = (self.folder / "keys").glob("ca-*.crt")
        return path

    def start(self) -> None:
        """Start the cloud and the app, let every node join, start them, wait until all follow."""
        for name, portrait in portraits().items():
            self.photos[name] = self.folder / f"{name}.png"
            self.photos[name].write_bytes(encode(portrait, suffix=".png"))
        stage = self.stage
        self._server = Postgres(self.folder / "postgres")
        stage.env["GATELINE_DATABASE_URL"] = self._server.url
        stage.env["GATELINE_KEYS"] = str(self.folder / "keys")
        stage.env["GATELINE_LEDGER"] = str(self.folder / "ledger")
        at = {name: f"127.0.0.1:{port}" for name, port in self._ports.items()}
        stage.run("cloud", "cloud_sync", "serve", "--listen", at["cloud"],
                  "--device-listen", at["devices"],
                  "--profile", "cn", "--presence")  # fmt: skip
        stage.wait_ready("cloud")
        stage.run("app", "enroll", "serve", "--listen", at["app"])
        for station, token in zip(self._names, self.tokens(self._names), strict=True):
            self._configure(station)
            stage.once("edge_gate", "join", str(self._toml(station)),
                       "--token", token, "--ca", str(self.authority))  # fmt: skip
        for station in self._names:
            self.start_node(station)
        stage.wait_ready("app", *self._names)

    def start_node(self, station: str) -> None:
        """Start a station's node and keep it running."""
        self.stage.run(station, "edge_gate", "run", str(self._toml(station)))

    def tokens(self, stations: list[str], *, prefix: str = "edge-") -> list[str]:
        """Return a token for one more node of each station."""
        pairs = [word for name in stations for word in (name, f"{prefix}{name}")]
        return self.stage.once("cloud_sync", "token", *pairs).split()

    def fill(self, station: str, count: int) -> None:
        """Put generated templates into a station's view."""
        pack = manifest.pack("open")
        model = f"{pack.space}@{pack.files['embedder'].sha256[:12]}"
        self.stage.once("cloud_sync", "fill", station, "--count", str(count), "--model-id", model)

    def renew_epoch(self, station: str) -> float:
        """Give a station's view a new history; return when that was, monotonic seconds."""
        keys = FolderKeyStore(self.folder / "keys", entropy=os.urandom)
        engine = database.connect(self.stage.env["GATELINE_DATABASE_URL"])
        began_s = time.monotonic()
        PostgresViewLog(engine, Safe(keys, entropy=os.urandom)).renew_epoch(station, uuid4())
        engine.dispose()
        return began_s

    @contextmanager
    def generated_riders(self, count: int, model_id: str) -> Iterator[None]:
        """Put generated riders into the master gallery, as if they had enrolled, for a while."""
        keys = FolderKeyStore(self.folder / "keys", entropy=os.urandom)
        city, safe = shipped(), Safe(keys, entropy=os.urandom)
        membership = Membership(Sourcing(city.network, city.tariff.timezone), safe)
        crowd = templates(count, seed=5, model_id=model_id)
        engine = database.connect(self.stage.env["GATELINE_DATABASE_URL"])
        come = [each for one in crowd for each in (PutMaster(one), Activate(one.rider_ref))]
        with engine.begin() as connection:
            membership.settle(connection, come, datetime.now(UTC))
        try:
            yield
        finally:
            now = datetime.now(UTC)
            with engine.begin() as connection:
                membership.settle(connection, [Withdraw(one.rider_ref, now) for one in crowd], now)
            engine.dispose()

    def entrance(self, gate: Gate) -> GrpcPresence:
        """Let an entrance node of a station join, and return its way to the cloud."""
        name = f"entrance-{gate.station}"
        token = self.stage.once("cloud_sync", "token", gate.station, name)
        trust = NodeTrust(self.folder / name)
        join(trust, Identity(gate.station, name), NodeKey(os.urandom(32)), token,
             target=f"127.0.0.1:{self.device_port}", ca=self.authority.read_bytes())  # fmt: skip
        self.stage.once("cloud_sync", "role", name, "entrance")
        config = PresenceConfig(f"127.0.0.1:{gate.line.port}", name, trust.badge)
        return GrpcPresence(config, SystemClock())

    def resident_mb(self, name: str) -> float:
        """Return the memory of a process."""
        process = self.stage.actors[name].process
        assert process is not None
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
        [line] = [line for line in status.splitlines() if line.startswith("VmRSS")]
        return int(line.split()[1]) / 1024

    def leave_alone(self, station: str) -> None:
        """Stop all nodes but one, and the app: a node has a machine of its own."""
        for name in (*self.gates, "app"):
            if name != station:
                self.stage.actors.pop(name).stop()

    def stop(self) -> None:
        """Stop every process."""
        for gate in self.gates.values():
            gate.line.close()
        self.stage.stop()
        if self._server is not None:
            self._server.stop()

    def _configure(self, station: str) -> None:
        port = free_port()
        cues = self.folder / f"{station}-cues"
        cues.mkdir()
        line = Proxy(self.cloud_port, delay_s=DELAY_S)
        self.gates[station] = Gate(
            station,
            line,
            f"http://127.0.0.1:{port}",
            cues,
            SimpleQueue(),
            SimpleQueue(),
            SimpleQueue(),
        )
        scene = self.folder / f"{station}.scene.toml"
        scene.write_text(f'[scene]\nseed = 1\ncue_dir = "{cues}"\n', encoding="utf-8")
        text = _STATION_TOML.format(
            station=station, cloud=line.port, devices=self.device_port, port=port
        )
        self._toml(station).write_text(text, encoding="utf-8")

    def _toml(self, station: str) -> Path:
        return self.folder / f"{station}.toml"

    def _heard(self, name: str, line: Line) -> None:
        now_s, event = time.monotonic(), line.get("event")
        if event == "decision":
            self.gates[name].decisions.put(line)
        elif event == "gallery_sealed":
            self.gates[name].seals.put(int(str(line["templates"])))
        elif event == "gallery_loaded":
            self.gates[name].loads.put((now_s, int(str(line["templates"]))))


def everywhere(gates: dict[str, Gate], count: int) -> list[float]:
    """Wait until every gate matches against so many; return when each did, monotonic seconds.

    Raises:
        TimeoutError: One did not.
    """
    seen: dict[str, float | TimeoutError] = {}

    def look(gate: Gate) -> None:
        try:
            seen[gate.station] = gate.holds(count)
        except TimeoutError as late:
            seen[gate.station] = late

    threads = [threading.Thread(target=look, args=(gate,)) for gate in gates.values()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    times = []
    for value in seen.values():
        if isinstance(value, TimeoutError):
            raise value
        times.append(value)
    return times
