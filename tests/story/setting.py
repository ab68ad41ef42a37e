"""The setting: two stations and a cloud on loopback, as real processes, ready for the play."""

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path

import httpx

from fare.adapters import database
from fare.adapters.statements import PostgresStatements
from fare.city import City
from fare.store import StoreFailed
from models import manifest
from tests.story.board import Board, LaneView, StationView
from tests.story.director import Lane, answer_of
from tests.story.postgres import Postgres
from tests.story.script import STATIONS
from tests.story.stage import Line, Stage, free_port
from tests.vaults import remove_below

DIRECTIONS = ("entry", "exit")
GENERATED = 20_000
"""Templates of nobody beside the real riders in each gallery."""
TARGET_FPIR = 1e-2
"""Share of strangers that each gate may let in wrongly; with 20,000 templates it sets the
threshold by the model card's calibration."""

_STATION_TOML = """\
[station]
station_id = "{station}"
edge_id = "edge-{station}"
name = "{name}"
data_dir = "{station}"
cloud = "127.0.0.1:{cloud_port}"
cloud_devices = "127.0.0.1:{device_port}"
listen = "127.0.0.1:{port}"
target_fpir = {target_fpir}
show_pictures = true
accept_push = true
"""
_LANE_TOML = """
[[lane]]
id = "{id}"
direction = "{direction}"
camera = "{camera}"
"""


class Setting:
    """All processes of the story, started in order and watched."""

    def __init__(
        self, folder: Path, city: City, *, generated: int = GENERATED, first_port: int = 0
    ) -> None:
        """Choose ports and folders; nothing runs yet.

        Args:
            folder: An empty folder for everything the story leaves.
            city: The network whose stations are played.
            generated: Templates of nobody in each gallery.
            first_port: Of as many in a row as are wanted, where they are free; 0 takes any.
        """
        self.folder = folder
        self.photos = folder / "photos"
        self.photos.mkdir(parents=True, exist_ok=True)
        self.lanes = {
            (station, way): Lane(folder / "cues" / f"{station}-{way}")
            for station in STATIONS
            for way in DIRECTIONS
        }
        for lane in self.lanes.values():
            lane.cues.mkdir(parents=True, exist_ok=True)
        self._generated = generated
        self._city = city
        self._ports = {
            name: free_port(first_port and first_port + place)
            for place, name in enumerate(
                ("board", "app", "office", "bank", "cloud", *STATIONS, "devices")
            )
        }
        self.board = Board(self._links(), [self._view(station) for station in STATIONS])
        self.stage = Stage(folder, self.heard)
        self.database_url = ""
        self._server: Postgres | None = None
        self._watching = threading.Event()

    @property
    def app_url(self) -> str:
        """Address of the rider app."""
        return self._url("app")

    @property
    def board_url(self) -> str:
        """Address of the story's page."""
        return self._url("board")

    @property
    def office_url(self) -> str:
        """Address of the back office."""
        return self._url("office")

    @property
    def webcam_url(self) -> str:
        """Address of a lane that a browser's webcam can walk up to."""
        return f"{self._url(STATIONS[0])}/lanes/entry-webcam"

    @property
    def keys(self) -> Path:
        """Folder of the operator's keys."""
        return self.folder / "keys"

    @property
    def ledger(self) -> Path:
        """Folder of the erasure ledger's copy."""
        return self.folder / "ledger"

    @property
    def bank_url(self) -> str:
        """Address of the simulated bank."""
        return self._url("bank")

    @property
    def board_port(self) -> int:
        """Port of the story's page."""
        return self._ports["board"]

    def start(self, say: Callable[[str], None]) -> None:
        """Start everything, the cloud first, and return when all are ready.

        Args:
            say: Prints a line of the story.
        """
        stage = self.stage
        self._server = Postgres(self.folder / "postgres")
        self.database_url = self._server.url
        stage.env["GATELINE_DATABASE_URL"] = self.database_url
        stage.env["GATELINE_KEYS"] = str(self.keys)
        stage.env["GATELINE_LEDGER"] = str(self.ledger)
        say("PostgreSQL is up")
        stage.run("bank", "fare", "bank", "--listen", self._at("bank"),
                  "--db", str(self.folder / "bank.sqlite"), "--silence-s", "3")  # fmt: skip
        stage.run("cloud", "cloud_sync", "serve", "--listen", self._at("cloud"),
                  "--device-listen", self._at("devices"))  # fmt: skip
        stage.wait_ready("cloud", "bank")
        say(f"two stations join, {self._generated:,} generated templates are written for each")
        pairs = [word for station in STATIONS for word in (station, f"edge-{station}")]
        tokens = stage.once("cloud_sync", "token", *pairs).split()
        [authority] = self.keys.glob("ca-*.crt")
        for station, token in zip(STATIONS, tokens, strict=True):
            stage.once("edge_gate", "join", str(self._configure(station)),
                       "--token", token, "--ca", str(authority))  # fmt: skip
            stage.once("cloud_sync", "fill", station, "--count", str(self._generated),
                       "--seed", "1", "--model-id", self._model_id())  # fmt: skip
        say("both are in their views")
        stage.run("app", "enroll", "serve", "--listen", self._at("app"))
        stage.run("worker", "fare", "work", "--bank", self.bank_url,
                  "--timeout-s", "1", "--stale-s", "3", "--query-after-s", "1")  # fmt: skip
        stage.run("office", "fare", "serve", "--listen", self._at("office"))
        for station in STATIONS:
            stage.run(station, "edge_gate", "run", str(self.folder / f"{station}.toml"))
        stage.wait_ready("app", "worker", "office", *STATIONS)
        say("rider app, fare worker, back office and both edge nodes are up")
        threading.Thread(target=self._watch, name="watch", daemon=True).start()

    def wanted_templates(self, faces: int) -> dict[str, int]:
        """Return how many templates each station must hold when `faces` riders enrolled."""
        return dict.fromkeys(STATIONS, self._generated + faces)

    def held_templates(self, station: str) -> int:
        """Ask a station's node how many templates it matches against; -1 if it is away."""
        try:
            answer = httpx.get(f"{self._url(station)}/status.json", timeout=2.0)
        except httpx.TransportError:
            return -1
        return int(answer.json()["gallery"]["templates"])

    def waiting_taps(self, station: str) -> int:
        """Ask a station's node how many taps it has yet to bring to the cloud; -1 if it is away."""
        try:
            answer = httpx.get(f"{self._url(station)}/status.json", timeout=2.0)
        except httpx.TransportError:
            return -1
        return int(answer.json()["outbox_depth"])

    def kill_database(self) -> None:
        """Kill PostgreSQL as a crash would; the watch starts it again."""
        assert self._server is not None
        self._server.kill()

    def is_up(self, name: str) -> bool:
        """Say whether a process is running and has said that it is ready.

        Args:
            name: An actor's, or `postgres`.
        """
        if name == "postgres":
            return self._server is not None and self._server.runs()
        return self.stage.actors[name].ready.is_set()

    def stop(self) -> None:
        """Stop every process."""
        self._watching.set()
        self.stage.stop()
        remove_below(self.folder)
        if self._server is not None:
            self._server.stop()

    def heard(self, name: str, line: Line) -> None:
        """Hand an edge node's decision to the lane that waits for it, and to the page."""
        lane = self.lanes.get((name, str(line.get("lane"))))
        if line.get("event") != "decision" or lane is None:
            return
        answer = answer_of(line)
        lane.answers.put(answer)
        if answer.opened:
            self.board.light(name, str(line["lane"]), "go", f"{answer.medium}: please pass")
        else:
            self.board.light(name, str(line["lane"]), "code", answer.reason.replace("_", " "))

    def _watch(self) -> None:
        """Keep PostgreSQL running and the page's money fresh."""
        engine = database.connect(self.database_url)
        statements = PostgresStatements(engine)
        while not self._watching.wait(0.5):
            assert self._server is not None
            self._server.ensure_running()
            with contextlib.suppress(StoreFailed):  # the database may be down just now
                self.board.show_money(_money(statements))
        engine.dispose()

    def _configure(self, station: str) -> Path:
        text = _STATION_TOML.format(
            station=station,
            name=self._city.network.stations[station].name,
            cloud_port=self._ports["cloud"],
            device_port=self._ports["devices"],
            port=self._ports[station],
            target_fpir=TARGET_FPIR,
        )
        for way in DIRECTIONS:
            scene = self.folder / f"{station}-{way}.scene.toml"
            seed = 1 + len(list(self.folder.glob("*.scene.toml")))
            cues = self.lanes[station, way].cues
            scene.write_text(f'[scene]\nseed = {seed}\ncue_dir = "{cues}"\n', encoding="utf-8")
            text += _LANE_TOML.format(id=way, direction=way, camera=f"scene:{scene}")
            text += _LANE_TOML.format(id=f"{way}-webcam", direction=way, camera="push")
        path = self.folder / f"{station}.toml"
        path.write_text(text, encoding="utf-8")
        return path

    def _model_id(self) -> str:
        pack = manifest.pack("open")
        return f"{pack.space}@{pack.files['embedder'].sha256[:12]}"

    def _at(self, name: str) -> str:
        return f"127.0.0.1:{self._ports[name]}"

    def _url(self, name: str) -> str:
        return f"http://{self._at(name)}"

    def _links(self) -> dict[str, str]:
        return {"app": self._url("app"), "office": self._url("office")}

    def _view(self, station: str) -> StationView:
        url = self._url(station)
        lanes = [LaneView(way, way.title(), f"{url}/lanes/{way}/picture") for way in DIRECTIONS]
        return StationView(station, self._city.network.stations[station].name, url, lanes)


def _money(statements: PostgresStatements) -> list[dict[str, str]]:
    overview = statements.overview(recent=1)
    rows = [{"name": b.account, "amount": str(b.amount)} for b in overview.balances]
    rows += [
        {"name": f"charges {state}: {count}", "amount": str(amount)}
        for state, count, amount in overview.charges
    ]
    total = "all accounts sum to zero" if overview.in_balance else "ACCOUNTS DO NOT SUM TO ZERO"
    return [*rows, {"name": total, "amount": "" if overview.in_balance else "!"}]
