"""An operator's command on its way to a gate: PostgreSQL, gRPC, the replica on disk, the lane."""

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
import sqlalchemy as sa

from cloud_sync.__main__ import main
from cloud_sync.adapters.disk.sqlite_replica import SqliteReplica
from cloud_sync.adapters.disk.tmpfs_vault import TmpfsVault
from cloud_sync.adapters.grpc.client import FollowerConfig, GalleryFollower
from cloud_sync.adapters.grpc.outgoing import Sealing
from cloud_sync.adapters.grpc.server import ServerConfig, Stores
from cloud_sync.adapters.grpc.server_thread import ServerThread
from cloud_sync.adapters.postgres.registry import PostgresRegistry
from cloud_sync.adapters.postgres.taps import PostgresTapLog
from cloud_sync.adapters.postgres.view_log import PostgresViewLog
from cloud_sync.adapters.system_clock import SystemClock
from cloud_sync.content import Space
from cloud_sync.setting import Mode
from cloud_sync.stream.serve_view import ServeConfig
from cloud_sync.stream.view import EdgeNode
from edge_gate.adapters.numpy_gallery import NumpyGallery
from edge_gate.holdings import Holdings
from edge_gate.moment import moment
from edge_gate.orders import admitted
from edge_gate.reason import Deny, DenyReason
from edge_gate.status import orders_status
from edge_gate.tiers import Tiers
from fare.tap import Direction
from tests.keys import SAFE
from tests.trust import source, trust_of

SPACE = Space("model-a")
ANNA = UUID(int=7)


class Cloud:
    """A cloud that serves one station in a thread."""

    def __init__(self, engine: sa.Engine) -> None:
        """Admit a node, and serve."""
        views = PostgresViewLog(engine, SAFE)
        views.admit(EdgeNode("edge-1", "bell-tower", bytes(32)), datetime.now(UTC))
        trust, taps = trust_of(PostgresRegistry(engine)), PostgresTapLog(engine)
        stores = Stores(views, taps, trust, sealing=Sealing(lambda: SAFE.ring))
        config = ServerConfig("127.0.0.1:0", ServeConfig(bookmark_s=0.2), grace_s=0.1)
        self._server = ServerThread(stores, config, SystemClock(), engine=engine)
        self._server.start()
        self.port = self._server.port

    def stop(self) -> None:
        """Stop serving."""
        self._server.stop()


class Gate:
    """What a node knows, kept up to date by the follower it has in service."""

    def __init__(self, folder: Path, port: int) -> None:
        """Start following on the replica of this folder."""
        tiers = Tiers(NumpyGallery(SPACE), NumpyGallery(SPACE))
        self.holdings = Holdings(tiers, lambda _size, _target: 0.5)
        self._replica = SqliteReplica(folder / "gallery.db")
        follower = GalleryFollower(
            self._replica,
            self.holdings.follow,
            self.holdings.renew,
            config=FollowerConfig(
                f"127.0.0.1:{port}",
                "edge-1",
                "bell-tower",
                SPACE,
                source(),
                vault=TmpfsVault(folder / "vault", is_any_disk=True),
                takes_plain=False,
            ),
            clock=SystemClock(),
            draw=random.Random(4).random,
        )
        self._stop = threading.Event()
        self._thread = threading.Thread(target=follower.run, args=(self._stop,))
        self._thread.start()

    def stop(self) -> None:
        """Go off."""
        self._stop.set()
        self._thread.join()
        self._replica.close()

    def admits(self) -> object:
        """Return what Anna meets at a way in."""
        return admitted(self.holdings.orders, ANNA, Direction.ENTRY, datetime.now(UTC))

    def age_s(self) -> float | None:
        """Return the age of the deny list."""
        clock = SystemClock()
        now = moment(self.holdings.standing.anchor, wall=clock.wall(), mono_s=clock.monotonic_s())
        return orders_status(self.holdings, now).deny_list_age_s


@pytest.fixture
def cloud(engine: sa.Engine, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """Give a serving cloud, and the environment of whoever types its commands."""
    monkeypatch.setenv("GATELINE_DATABASE_URL", database_url)
    made = Cloud(engine)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield made
    made.stop()
    root.handlers[:], root.level = handlers, level  # a command begins to log, for its process


def _until(fact: Callable[[], bool]) -> float:
    """Wait for a fact; return after how many seconds it came true."""
    began_s = time.monotonic()
    while not fact():
        assert time.monotonic() - began_s < 20, "it never came true"
        time.sleep(0.005)
    return time.monotonic() - began_s


def test_orders_reach_a_gate_in_seconds_and_survive_a_restart(
    cloud: Cloud, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Mode and denial are in force soon after the command, offline and after a restart too."""
    gate = Gate(tmp_path, cloud.port)
    assert gate.admits() == frozenset()  # control: before the order Anna may pass

    assert main(["mode", "bell-tower", "--set", "fare_exempt,time_exempt"]) == 0
    mode_s = _until(lambda: len(gate.holdings.orders.mode.modes) == 2)
    assert main(["deny", str(ANNA), "--reason", "debt"]) == 0
    deny_s = _until(lambda: gate.admits() == Deny(DenyReason.DENIED_DEBT))
    assert main(["tariff"]) == 0
    _until(lambda: gate.holdings.orders.tariff is not None)
    _until(lambda: gate.age_s() is not None)
    cloud.stop()
    gate.stop()
    again = Gate(tmp_path, cloud.port)
    _until(lambda: bool(again.holdings.orders.denials))
    again.stop()

    print(f"mode {mode_s:.2f} s, denial {deny_s:.2f} s")
    assert max(mode_s, deny_s) < 5
    assert again.holdings.orders.mode.modes == {Mode.FARE_EXEMPT, Mode.TIME_EXEMPT}
    assert again.admits() == Deny(DenyReason.DENIED_DEBT)
    age_s = again.age_s()
    assert age_s is not None
    assert age_s < 60
    assert "1 stations: tariff" in capsys.readouterr().out


def test_orders_are_taken_back(cloud: Cloud, tmp_path: Path) -> None:
    """A cleared mode and denial leave the gate as it was."""
    gate = Gate(tmp_path, cloud.port)
    for words in (
        ["mode", "ALL", "--set", "order_exempt"],
        ["deny", str(ANNA), "--reason", "lost"],
    ):
        assert main(words) == 0
    _until(lambda: bool(gate.holdings.orders.denials))

    for words in (["mode", "ALL", "--clear"], ["deny", str(ANNA), "--clear"]):
        assert main(words) == 0
    _until(lambda: not gate.holdings.orders.denials)
    gate.stop()

    assert gate.holdings.orders.mode.modes == frozenset()
    assert gate.admits() == frozenset()


@pytest.mark.parametrize(
    "words",
    [
        ["mode", "bell-tower", "--set", "free_beer"],
        ["mode", "atlantis", "--set", "fare_exempt"],
        ["threshold", "bell-tower", "--target-fpir", "0.5"],
        ["deny", str(ANNA), "--reason", "debt", "--days", "-1"],
        ["tariff", "--city", "atlantis"],
    ],
)
def test_a_wrong_order_is_named_and_not_given(
    cloud: Cloud, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A mistyped mode, station, bound or city changes nothing anywhere."""
    del cloud
    assert main(words) == 1
    assert "nothing was ordered" in capsys.readouterr().err
