"""Both ends of the wire for real: gRPC over loopback, PostgreSQL, SQLite, threads and processes."""

import asyncio
import contextlib
import json
import logging
import os
import queue
import random
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

import apsw
import grpc
import numpy as np
import pytest
import sqlalchemy as sa
from gateline.sync.v1 import gallery_service_pb2 as pb
from gateline.sync.v1 import gallery_service_pb2_grpc

from cloud_sync.adapters.disk.sqlite_outbox import SqliteOutbox
from cloud_sync.adapters.disk.sqlite_replica import SqliteReplica
from cloud_sync.adapters.disk.tmpfs_vault import TmpfsVault
from cloud_sync.adapters.grpc import channel as grpc_channel
from cloud_sync.adapters.grpc.client import (
    FollowerConfig,
    GalleryFollower,
    GrpcTapSink,
    TapUplink,
    UplinkConfig,
    dial,
)
from cloud_sync.adapters.grpc.outgoing import Sealing
from cloud_sync.adapters.grpc.server import Ports, ServerConfig, Stores, serve
from cloud_sync.adapters.memory.keys import MemoryVault
from cloud_sync.adapters.memory.replica import MemoryReplica
from cloud_sync.adapters.postgres.registry import PostgresRegistry
from cloud_sync.adapters.postgres.taps import PostgresTapLog
from cloud_sync.adapters.postgres.view_log import PostgresViewLog
from cloud_sync.adapters.postgres.wakes import Wakes, conninfo, listen
from cloud_sync.content import Space, content_hash
from cloud_sync.gallery import (
    Change,
    Delta,
    Denial,
    DenialReason,
    DropTemplate,
    IssuerKey,
    PutDenial,
    PutKey,
    PutTemplate,
    Template,
)
from cloud_sync.generate import templates
from cloud_sync.secrecy.safe import VIEW_ITEM
from cloud_sync.secrecy.seal import label_of, template_label
from cloud_sync.secrecy.vault import Vault
from cloud_sync.stream.backoff import Backoff
from cloud_sync.stream.lease import Anchor, Lease
from cloud_sync.stream.messages import Hello
from cloud_sync.stream.replica import Holding, Replica
from cloud_sync.stream.serve_view import ServeConfig
from cloud_sync.stream.view import EdgeNode, Page
from cloud_sync.taps.outbox import Outbox
from cloud_sync.taps.signing import NodeKey
from cloud_sync.taps.tap_log import Batch, Receipt
from cloud_sync.taps.uplink import LinkDown, LinkRefused, Outcome, Position, step
from cloud_sync.wire import request_to_proto
from tests.keys import SAFE
from tests.proxy import Proxy
from tests.served import free_port
from tests.taps import tap
from tests.trust import source, trust_of

STATION = "bell-tower"
SPACE = Space("model-a", "plain", 512)
KEY = NodeKey(bytes(range(32)))
QUICK = Backoff(base_s=0.05, cap_s=0.2)
PEOPLE = templates(40, seed=9, model_id="model-a")
PATIENCE_S = 20.0
SEALING = Sealing(lambda: SAFE.ring)


class Clock:
    """The machine's own time."""

    def wall(self) -> datetime:
        """Return the wall clock."""
        return datetime.now(UTC)

    def monotonic_s(self) -> float:
        """Return the monotonic clock."""
        return time.monotonic()


class Cloud:
    """A cloud in a thread, on a port that it comes back to."""

    def __init__(self, engine: sa.Engine, sealing: Sealing | None = SEALING) -> None:
        """Admit one edge; not serving yet."""
        self.sealing = sealing
        self.engine = engine
        self.views = PostgresViewLog(engine, SAFE)
        self.taps = PostgresTapLog(engine)
        self.views.admit(EdgeNode("edge-1", STATION, KEY.public_key), datetime.now(UTC))
        self.port = 0
        self.bookmark_s = 0.2
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Serve; return when it does."""
        is_ready = threading.Event()

        def ready(ports: Ports) -> None:
            self.port = ports.main
            is_ready.set()

        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(ready)))
        self._thread.start()
        assert is_ready.wait(PATIENCE_S)

    def stop(self) -> None:
        """Stop serving."""
        if self._thread is not None and self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()
            self._thread = None

    async def _serve(self, ready: Callable[[Ports], None]) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        wakes = Wakes()
        chore = asyncio.create_task(listen(wakes, conninfo(self.engine)))
        await serve(
            Stores(
                self.views,
                self.taps,
                trust_of(PostgresRegistry(self.engine)),
                sealing=self.sealing,
            ),
            ServerConfig(f"127.0.0.1:{self.port}", ServeConfig(self.bookmark_s), grace_s=0.2),
            wakes=wakes,
            clock=Clock(),
            stop=self._stop,
            on_ready=ready,
        )
        chore.cancel()
        await asyncio.gather(chore, return_exceptions=True)


class Station:
    """An edge that follows in a thread, and what its gates would search."""

    def __init__(
        self,
        replica: Replica,
        port: int,
        *,
        edge_id: str = "edge-1",
        station_id: str = STATION,
        vault: Vault | None = None,
    ) -> None:
        """Start following a cloud that seals and signs; nothing is taken in plain."""
        self.replica = replica
        self.index: dict[UUID, int] = {}
        self.keys: set[int] = set()
        self.calls: list[Delta | Holding] = []
        self.lease = Lease()
        self.crash_on_delta = False
        self.died = False
        self._stop = threading.Event()
        config = FollowerConfig(
            f"127.0.0.1:{port}",
            edge_id,
            station_id,
            SPACE,
            source(edge_id, station_id),
            backoff=QUICK,
            vault=vault or beside(replica),
            takes_plain=False,
            settle_s=0.0,
        )
        self._follower = GalleryFollower(
            replica,
            self._changed,
            self._leased,
            config=config,
            clock=Clock(),
            draw=random.Random(4).random,
        )
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        """Stop following and close the files."""
        self._stop.set()
        self._thread.join()
        self.replica.close()

    def has(self, person: Template) -> bool:
        """Return whether a gate would know this person."""
        return person.rider_ref in self.index

    def lacks(self, person: Template) -> bool:
        """Return whether no gate would know this person."""
        return person.rider_ref not in self.index

    def is_loaded(self) -> bool:
        """Return whether the gates were told what the disk holds."""
        return bool(self.calls)

    def deltas(self) -> list[Delta]:
        """Return the deltas and repairs that the gates were told of."""
        return [call for call in self.calls if isinstance(call, Delta)]

    def _run(self) -> None:
        try:
            self._follower.run(self._stop)
        except Crashed:
            self.died = True

    def _changed(self, news: Delta | Holding) -> None:
        if isinstance(news, Holding):
            self.index = {one.rider_ref: one.version for one in news.templates}
            self.keys = {key.key_id for key in news.keys}
        else:
            if self.crash_on_delta:
                raise Crashed
            for change in news.changes:
                self._take(change)
        self.calls.append(news)

    def _take(self, change: Change) -> None:
        match change:
            case PutTemplate(template):
                self.index[template.rider_ref] = template.version
            case DropTemplate(rider_ref):
                self.index.pop(rider_ref, None)
            case PutKey(key):
                self.keys.add(key.key_id)

    def _leased(self, lease: Lease, anchor: Anchor | None) -> None:
        del anchor
        self.lease = lease


def beside(replica: Replica) -> Vault:
    """Return a vault that outlives a process as the replica's file does."""
    assert isinstance(replica, SqliteReplica)
    return TmpfsVault(replica._path.parent / "vault", is_any_disk=True)


class Crashed(Exception):
    """The edge process dies here."""


def until(fact: Callable[[], bool], *, patience_s: float = PATIENCE_S) -> float:
    """Wait for a fact; return after how many seconds it came true."""
    began_s = time.monotonic()
    while not fact():
        assert time.monotonic() - began_s < patience_s, "it never came true"
        time.sleep(0.002)
    return time.monotonic() - began_s


@pytest.fixture
def cloud(engine: sa.Engine) -> Iterator[Cloud]:
    """Give a cloud that serves."""
    made = Cloud(engine)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def stations() -> Iterator[list[Station]]:
    """Give a list whose stations are stopped at the end."""
    made: list[Station] = []
    yield made
    for station in made:
        station.stop()


@pytest.fixture
def proxy(cloud: Cloud) -> Iterator[Proxy]:
    """Give a proxy before the cloud."""
    made = Proxy(cloud.port)
    yield made
    made.close()


def put(*people: int) -> list[Change]:
    """Return the changes that bring some people's templates."""
    return [PutTemplate(PEOPLE[number]) for number in people]


def caught_up(cloud: Cloud, station: Station) -> bool:
    """Return whether the cloud knows that the station holds everything."""
    head = cloud.views.head(STATION)
    (edge,) = [one for one in cloud.views.edges(STATION) if one.edge_id == "edge-1"]
    assert head is not None
    return (edge.epoch, edge.acked_rev) == (head.epoch, head.head_rev) and bool(station.calls)


class TestGallery:
    """Templates on their way to a station."""

    def test_a_change_is_in_force_at_once(
        self, cloud: Cloud, stations: list[Station], tmp_path: Path
    ) -> None:
        """Enrolled is matchable and withdrawn is gone within a second, key changes too.

        The next bookmark is an hour away, so nothing of it can have been polled.
        """
        cloud.stop()
        cloud.bookmark_s = 3_600.0
        cloud.start()
        station = Station(SqliteReplica(tmp_path / "g.db"), cloud.port)
        stations.append(station)
        until(lambda: station.lease.until is not None)

        waits: dict[str, list[float]] = {"put": [], "drop": []}
        for person in PEOPLE[:20]:
            cloud.views.publish([STATION], [PutTemplate(person)])
            waits["put"].append(until(partial(station.has, person)))
        for person in PEOPLE[:20]:
            cloud.views.publish([STATION], [DropTemplate(person.rider_ref)])
            waits["drop"].append(until(partial(station.lacks, person)))
        cloud.views.publish([STATION], [PutKey(IssuerKey(3, bytes(32)))])
        until(lambda: station.keys == {3})

        for kind, found in waits.items():
            print(f"{kind}: p50 {np.median(found) * 1e3:.1f} ms, max {max(found) * 1e3:.1f} ms")
            assert np.median(found) < 1.0, kind
        until(lambda: caught_up(cloud, station))

    def test_an_edge_that_was_away_gets_what_it_missed(
        self, cloud: Cloud, stations: list[Station], tmp_path: Path
    ) -> None:
        """After a restart the node serves from its disk at once and resumes by deltas."""
        cloud.views.publish([STATION], put(*range(5)))
        first = Station(SqliteReplica(tmp_path / "g.db"), cloud.port)
        until(lambda: len(first.index) == 5)
        until(lambda: caught_up(cloud, first))
        first.stop()
        cloud.views.publish([STATION], [DropTemplate(PEOPLE[0].rider_ref), *put(6, 7)])

        again = Station(SqliteReplica(tmp_path / "g.db"), cloud.port)
        stations.append(again)
        until(lambda: len(again.calls) >= 2)

        assert isinstance(again.calls[0], Holding)
        assert len(again.calls[0].templates) == 5
        assert isinstance(again.calls[1], Delta)
        assert set(again.index) == {PEOPLE[number].rider_ref for number in (1, 2, 3, 4, 6, 7)}

    def test_a_snapshot_goes_on_where_the_line_broke(
        self, cloud: Cloud, proxy: Proxy, stations: list[Station], tmp_path: Path
    ) -> None:
        """Half a snapshot is never seen, and its chunks are not sent a second time."""
        crowd = templates(3_000, seed=5, model_id="model-a")
        cloud.views.publish([STATION], [PutTemplate(one) for one in crowd])
        whole = sum(len(one.vector) * 2 for one in crowd)
        proxy.cut_after(whole * 2 // 3)

        station = Station(SqliteReplica(tmp_path / "g.db"), proxy.port)
        stations.append(station)
        until(lambda: len(station.index) == 3_000)

        sizes = [len(call.templates) for call in station.calls if isinstance(call, Holding)]
        assert sizes == [0, 3_000]
        assert proxy.connections == 2
        print(f"{proxy.down_bytes / whole:.2f} times the templates' bytes came down")
        assert proxy.down_bytes < 1.5 * whole  # twice would be 1.8 times or more

    def test_a_broken_line_loses_no_delta(
        self, cloud: Cloud, proxy: Proxy, stations: list[Station], tmp_path: Path
    ) -> None:
        """With the line cut again and again in the middle of a stream everything arrives."""
        station = Station(SqliteReplica(tmp_path / "g.db"), proxy.port)
        stations.append(station)
        until(lambda: station.lease.until is not None)

        for number, person in enumerate(PEOPLE):
            if number % 5 == 0:
                proxy.cut_after(700)
            cloud.views.publish([STATION], [PutTemplate(person)])
        until(lambda: len(station.index) == len(PEOPLE))

        assert proxy.connections > 3
        until(lambda: caught_up(cloud, station))

    def test_a_crash_between_commit_and_acknowledgement(
        self, cloud: Cloud, stations: list[Station], tmp_path: Path
    ) -> None:
        """What was durable before the crash is there after it and is acknowledged then."""
        first = Station(SqliteReplica(tmp_path / "g.db"), cloud.port)
        until(lambda: first.lease.until is not None)
        first.crash_on_delta = True
        cloud.views.publish([STATION], put(1, 2))
        until(lambda: first.died)
        head = cloud.views.head(STATION)
        assert head is not None
        assert cloud.views.edges(STATION)[0].acked_rev < head.head_rev
        first.stop()

        again = Station(SqliteReplica(tmp_path / "g.db"), cloud.port)
        stations.append(again)
        until(lambda: caught_up(cloud, again))
        cloud.views.publish([STATION], put(3))
        until(lambda: caught_up(cloud, again))

        assert isinstance(again.calls[0], Holding)
        assert len(again.calls[0].templates) == 2
        assert set(again.index) == {PEOPLE[number].rider_ref for number in (1, 2, 3)}

    def test_a_new_epoch_replaces_everything_at_once(
        self, cloud: Cloud, stations: list[Station], tmp_path: Path
    ) -> None:
        """A cloud that lost history sends the whole view; the old one serves until the swap."""
        cloud.views.publish([STATION], put(*range(6)))
        station = Station(SqliteReplica(tmp_path / "g.db"), cloud.port)
        stations.append(station)
        until(lambda: len(station.index) == 6)
        until(lambda: caught_up(cloud, station))
        with cloud.engine.begin() as connection:  # the suffix that a standby lacked
            connection.execute(sa.text("DELETE FROM cloud_sync.view_item WHERE rev > 4"))
            connection.execute(sa.text("DELETE FROM cloud_sync.view_log WHERE rev > 4"))
            connection.execute(sa.text("UPDATE cloud_sync.view SET head_rev = 4"))
        sizes: list[int] = []

        cloud.views.renew_epoch(STATION, uuid4())
        cloud.views.publish([STATION], put(30, 31))

        def is_swapped() -> bool:
            sizes.append(len(station.index))
            return set(station.index) == expected

        expected = {PEOPLE[number].rider_ref for number in (0, 1, 2, 3, 30, 31)}
        until(is_swapped)
        assert min(sizes) >= 4
        until(lambda: caught_up(cloud, station))

    def test_a_poisoned_template_stops_nobody_else(
        self,
        cloud: Cloud,
        stations: list[Station],
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """A template damaged in storage is refused, quarantined with an alarm, and stepped over."""
        station = Station(SqliteReplica(tmp_path / "g.db"), cloud.port)
        stations.append(station)
        until(lambda: station.lease.until is not None)
        bad = np.full(512, np.nan, "<f2").tobytes()
        poison = SAFE.seal(VIEW_ITEM, bad, template_label(label_of(PEOPLE[1])))
        with caplog.at_level(logging.ERROR), cloud.engine.begin() as connection:
            from cloud_sync.adapters.postgres.view_log import publish

            publish(connection, [STATION], put(0, 1, 2), safe=SAFE)
            connection.execute(
                sa.text("UPDATE cloud_sync.view_item SET body = :body WHERE item_key = :key"),
                {"body": poison, "key": b"r" + PEOPLE[1].rider_ref.bytes},
            )

        until(lambda: len(station.index) == 2)
        cloud.views.publish([STATION], put(3))
        until(lambda: PEOPLE[3].rider_ref in station.index)

        assert PEOPLE[1].rider_ref not in station.index
        assert [r.getMessage() for r in caplog.records].count("template_quarantined") == 1
        with cloud.engine.connect() as connection:
            kept = connection.execute(
                sa.text("SELECT content_hash FROM cloud_sync.view_quarantine")
            )
            assert list(kept.scalars()) == [content_hash(PutTemplate(PEOPLE[1]))]

    def test_a_poisoned_snapshot_is_sent_anew_without_the_item(
        self, cloud: Cloud, stations: list[Station], tmp_path: Path
    ) -> None:
        """Also a new node gets over a record that does not open: the rest of the view arrives."""
        cloud.views.publish([STATION], put(0, 1, 2))
        with cloud.engine.begin() as connection:
            connection.execute(
                sa.text("UPDATE cloud_sync.view_item SET version = 7 WHERE item_key = :key"),
                {"key": b"r" + PEOPLE[1].rider_ref.bytes},
            )

        station = Station(SqliteReplica(tmp_path / "g.db"), cloud.port)
        stations.append(station)
        until(lambda: len(station.index) == 2)

        assert PEOPLE[1].rider_ref not in station.index

    @pytest.mark.parametrize(
        ("edge_id", "station_id"), [("edge-1", "drum-tower"), ("mallory", STATION)]
    )
    def test_nobody_gets_another_stations_view(
        self, cloud: Cloud, stations: list[Station], tmp_path: Path, edge_id: str, station_id: str
    ) -> None:
        """An edge that is not admitted at a station is denied its view, with an alarm."""
        cloud.views.admit(EdgeNode("edge-2", "drum-tower", bytes(32)), datetime.now(UTC))
        cloud.views.publish([STATION, "drum-tower"], put(0))

        station = Station(
            SqliteReplica(tmp_path / "g.db"), cloud.port, edge_id=edge_id, station_id=station_id
        )
        stations.append(station)
        time.sleep(1.0)  # several attempts

        assert station.index == {}
        assert station.lease == Lease()

    def test_an_edge_that_was_moved_gets_no_more(
        self, cloud: Cloud, stations: list[Station], tmp_path: Path
    ) -> None:
        """Admitted elsewhere, an edge loses the stream it has within a bookmark's time."""
        station = Station(SqliteReplica(tmp_path / "g.db"), cloud.port)
        stations.append(station)
        cloud.views.publish([STATION], put(0))
        until(lambda: station.has(PEOPLE[0]))

        cloud.views.admit(EdgeNode("edge-1", "drum-tower", KEY.public_key), datetime.now(UTC))
        time.sleep(1.5)  # bookmarks of 0.2 s, looked at each second
        cloud.views.publish([STATION], put(1))
        time.sleep(0.5)

        assert station.lacks(PEOPLE[1])

    def test_a_frozen_line_is_noticed(
        self,
        cloud: Cloud,
        proxy: Proxy,
        stations: list[Station],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """A peer that says nothing and closes nothing is given up within 15 s, then found again.

        The control beside it, a node that sends no pings, waits on.
        """
        other = Proxy(cloud.port)
        cloud.views.admit(EdgeNode("edge-2", STATION, KEY.public_key), datetime.now(UTC))
        with monkeypatch.context() as deaf:
            all_of_them = grpc_channel._CLIENT_OPTIONS
            silent = tuple(pair for pair in all_of_them if "keepalive_time_ms" not in pair[0])
            deaf.setattr(grpc_channel, "_CLIENT_OPTIONS", silent)
            replica = SqliteReplica(tmp_path / "other.db")
            stations.append(Station(replica, other.port, edge_id="edge-2"))
            until(lambda: stations[0].lease.until is not None)
        stations.append(Station(SqliteReplica(tmp_path / "g.db"), proxy.port))
        until(lambda: stations[1].lease.until is not None)

        dialled, silently = proxy.connections, other.connections  # under load more than once
        proxy.freeze()
        other.freeze()
        seconds = until(lambda: proxy.connections > dialled, patience_s=40)

        waits = dict(grpc_channel._CLIENT_OPTIONS)
        told_ms = waits["grpc.keepalive_time_ms"] + waits["grpc.keepalive_timeout_ms"]
        print(f"noticed after {seconds:.1f} s, as told after {told_ms} ms")
        assert told_ms + QUICK.cap_s * 1_000 < 15_000
        assert seconds < 30  # the machine may be busy; a node without pings waits on for ever
        assert other.connections == silently
        other.close()

    def test_a_withdrawal_overtakes_on_a_slow_line(
        self, cloud: Cloud, proxy: Proxy, stations: list[Station], tmp_path: Path
    ) -> None:
        """At 64 kbit/s a face is gone within 10 s, with 41 s of templates waiting before it."""
        station = Station(SqliteReplica(tmp_path / "g.db"), proxy.port)
        stations.append(station)
        cloud.views.publish([STATION], put(0))
        until(lambda: station.has(PEOPLE[0]))
        until(lambda: station.lease.until is not None)
        proxy.slow_down(8_000)
        crowd = templates(300, seed=6, model_id="model-a")

        cloud.views.publish([STATION], [PutTemplate(one) for one in crowd])
        until(lambda: len(station.index) > 1)
        cloud.views.publish([STATION], [DropTemplate(PEOPLE[0].rider_ref)])
        seconds = until(lambda: station.lacks(PEOPLE[0]))

        print(f"gone after {seconds:.1f} s, {len(station.index)} of 300 templates were there")
        assert seconds < 10
        assert len(station.index) < 200  # the log has not got there: it was overtaken
        assert proxy.connections == 1

    def test_who_withdrew_meanwhile_does_not_wait_for_a_slow_snapshot(
        self,
        cloud: Cloud,
        proxy: Proxy,
        stations: list[Station],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Back at 64 kbit/s, with 41 s of snapshot to come, a node forgets who left, within 10 s.

        The control is a node that is told of no one: it matches with what it had.
        """
        cloud.views.admit(EdgeNode("edge-2", STATION, KEY.public_key), datetime.now(UTC))
        other = Proxy(cloud.port)
        ends = {"edge-1": proxy, "edge-2": other}
        for edge, end in ends.items():
            (tmp_path / edge).mkdir()
            replica = SqliteReplica(tmp_path / edge / "g.db")
            stations.append(Station(replica, end.port, edge_id=edge))
        cloud.views.publish([STATION], put(0, 1))
        until(lambda: all(each.has(PEOPLE[1]) for each in stations))
        for end in ends.values():
            end.freeze()
        cloud.views.publish([STATION], [DropTemplate(PEOPLE[0].rider_ref)])
        crowd = templates(300, seed=6, model_id="model-a")
        cloud.views.publish([STATION], [PutTemplate(one) for one in crowd])
        cloud.views.renew_epoch(STATION, uuid4())
        real = cloud.views.absent

        def absent(edge_id: str, station_id: str, rev: int) -> Page:
            found = real(edge_id, station_id, rev)
            return found if edge_id == "edge-1" else Page(rev, rev, (), ())

        monkeypatch.setattr(cloud.views, "absent", absent)
        for end in ends.values():
            end.slow_down(8_000)
            end.cut()
            end.thaw()

        seconds = until(lambda: stations[0].lacks(PEOPLE[0]))

        print(f"gone after {seconds:.1f} s")
        assert seconds < 10
        assert [len(each.index) for each in stations] == [1, 2]  # neither has its snapshot yet
        other.close()

    @pytest.mark.timeout(300)
    def test_a_hundred_edges_at_once_are_all_served(
        self, cloud: Cloud, stations: list[Station]
    ) -> None:
        """All get their snapshot after a restart of the cloud, and what that takes is bounded."""
        cloud.stop()
        cloud.bookmark_s = 10.0  # as shipped: edges that wait are not to be told so all the time
        cloud.start()
        cloud.views.publish([STATION], put(0))
        now = datetime.now(UTC)
        for number in range(100):
            cloud.views.admit(EdgeNode(f"edge-{number}", STATION, KEY.public_key), now)
        crowd = templates(20, seed=6, model_id="model-a")
        cloud.views.publish([STATION], [PutTemplate(one) for one in crowd])
        before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

        stations.extend(
            Station(MemoryReplica(), cloud.port, edge_id=f"edge-{number}", vault=MemoryVault())
            for number in range(100)
        )
        seconds = until(
            lambda: all(len(station.index) == 21 for station in stations), patience_s=200
        )

        grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb) / 1024
        print(f"all served after {seconds:.1f} s, {grown_mb:.0f} MB more, both ends together")
        assert grown_mb < 500

    def test_nothing_plain_is_on_the_disk(
        self, cloud: Cloud, stations: list[Station], tmp_path: Path
    ) -> None:
        """What a node holds it can compare; its disk holds neither of the vectors."""
        station = Station(SqliteReplica(tmp_path / "g.db"), cloud.port)
        stations.append(station)
        cloud.views.publish([STATION], put(0))
        until(lambda: station.has(PEOPLE[0]))
        cloud.views.publish([STATION], put(1))
        until(lambda: station.has(PEOPLE[1]))

        (held,) = [call for call in station.calls if isinstance(call, Delta)][-1].changes
        content = b"".join(path.read_bytes() for path in tmp_path.glob("g.db*"))
        rotation = next(call for call in station.calls[::-1] if isinstance(call, Holding)).rotation

        assert isinstance(held, PutTemplate)
        assert rotation is not None
        assert held.template.vector @ rotation.apply(PEOPLE[1].vector) > 0.999
        assert held.sealed is not None
        assert held.sealed.body in content  # control: this is where it would be
        assert PEOPLE[1].vector.astype("<f2").tobytes() not in content
        assert held.template.vector.astype("<f2").tobytes() not in content
        assert PEOPLE[1].vector.tobytes() not in content

    def test_keys_outlive_the_process_and_not_the_vault(self, cloud: Cloud, tmp_path: Path) -> None:
        """Restarted without the cloud a node reads its gallery with the keys of its vault.

        With the vault gone, as after a power cut, it holds nobody, and ride codes still open.
        """
        vault = MemoryVault()
        cloud.views.publish([STATION], [*put(0, 1), PutKey(IssuerKey(3, bytes(32)))])
        first = Station(SqliteReplica(tmp_path / "g.db"), cloud.port, vault=vault)
        until(lambda: first.lease.until is not None)
        first.stop()
        found = {}
        for name, kept in (("kept", vault), ("gone", MemoryVault())):
            station = Station(SqliteReplica(tmp_path / "g.db"), free_port(), vault=kept)
            until(partial(Station.is_loaded, station))
            found[name] = (len(station.index), station.keys)
            station.stop()

        assert found == {"kept": (2, {3}), "gone": (0, {3})}

    def test_a_power_cut_costs_the_keys_until_the_cloud_is_there(
        self, cloud: Cloud, stations: list[Station], tmp_path: Path
    ) -> None:
        """A node whose vault is empty reads its own disk again once the cloud grants keys anew."""
        cloud.views.publish([STATION], put(0, 1))
        first = Station(SqliteReplica(tmp_path / "g.db"), cloud.port)
        until(lambda: first.lease.until is not None)
        first.stop()

        again = Station(SqliteReplica(tmp_path / "g.db"), cloud.port, vault=MemoryVault())
        stations.append(again)
        until(lambda: len(again.index) == 2)

        sizes = [len(call.templates) for call in again.calls if isinstance(call, Holding)]
        assert sizes == [0, 2]  # from the disk: no snapshot came

    def test_a_changed_byte_on_the_disk_is_mended(
        self,
        cloud: Cloud,
        stations: list[Station],
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """A ride-code key that changed on the disk is the cloud's again after a start, alarmed."""
        key = IssuerKey(3, bytes(range(32)))
        cloud.views.publish([STATION], [*put(0, 1), PutKey(key)])
        first = Station(SqliteReplica(tmp_path / "g.db"), cloud.port)
        until(lambda: first.lease.until is not None)
        until(lambda: caught_up(cloud, first))
        first.stop()
        with contextlib.closing(apsw.Connection(str(tmp_path / "g.db"))) as file:
            file.execute("UPDATE issuer_key SET public_key = ?", (bytes(32),))

        with caplog.at_level(logging.ERROR):
            again = Station(SqliteReplica(tmp_path / "g.db"), cloud.port)
            stations.append(again)
            until(lambda: any(PutKey(key) in one.changes for one in again.deltas()))
            told = {"view_diverged", "replica_mended"}  # by two threads, each after its deed
            until(lambda: told <= {one.getMessage() for one in caplog.records})

        started = again.calls[0]
        assert isinstance(started, Holding)
        assert started.keys == (IssuerKey(3, bytes(32)),)  # control: the file itself is whole


class TestVersions:
    """A node of version 1."""

    def heard(self, port: int, hello: Hello) -> list[pb.FollowResponse]:
        """Return what the cloud says to a hello until its first bookmark or its end."""
        said: list[pb.FollowResponse] = []
        with dial(f"127.0.0.1:{port}", source()()) as channel:
            make = gallery_service_pb2_grpc.GalleryServiceStub
            stub = make(channel)  # type: ignore[no-untyped-call]  # generated
            waiting: queue.SimpleQueue[pb.FollowRequest | None] = queue.SimpleQueue()
            waiting.put(request_to_proto(hello))
            call = stub.Follow(iter(waiting.get, None))
            with contextlib.suppress(grpc.RpcError):
                for response in call:
                    said.append(response)
                    if response.WhichOneof("event") == "bookmark":
                        break
            waiting.put(None)
            call.cancel()
        return said

    def hello(self) -> Hello:
        """Return what a version-1 node says that holds nothing."""
        now = datetime.now(UTC)
        return Hello("edge-1", STATION, None, 0, "model-a", "plain", 0, now, proto_max=1)

    def test_is_told_to_upgrade_where_templates_are_sealed(self, cloud: Cloud) -> None:
        """It gets a word to its operator and nothing else."""
        cloud.views.publish([STATION], put(0))

        (plan,) = self.heard(cloud.port, self.hello())

        assert plan.plan.mode == pb.Plan.MODE_UPGRADE_REQUIRED

    def test_is_served_what_it_knows_where_they_are_not(self, engine: sa.Engine) -> None:
        """With the operator's leave it gets its templates and keys as version 1 had them."""
        cloud = Cloud(engine, sealing=None)
        cloud.start()
        denied = Denial(PEOPLE[5].rider_ref, DenialReason.DEBT, datetime.now(UTC))
        cloud.views.publish([STATION], [*put(0, 1), PutDenial(denied)])
        try:
            plan, chunk, *_ = self.heard(cloud.port, self.hello())
        finally:
            cloud.stop()

        assert (plan.plan.mode, plan.plan.protocol) == (pb.Plan.MODE_SNAPSHOT, 0)
        kinds = [change.WhichOneof("change") for change in chunk.chunk.changes]
        assert kinds == ["put_template"] * 2
        assert (chunk.chunk.signature, chunk.chunk.span) == (b"", 0)


class Deaf:
    """The real way to the cloud, whose answers get lost now and then."""

    def __init__(self, sink: GrpcTapSink, lost: set[int]) -> None:
        """Lose the answers of these calls."""
        self._sink = sink
        self._lost = lost
        self._calls = 0

    def send(self, batch: Batch) -> Receipt:
        """Send for real; forget the answer if it is one of those."""
        receipt = self._sink.send(batch)
        self._calls += 1
        if self._calls in self._lost:
            raise LinkDown("the answer was lost")
        return receipt


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[SqliteOutbox]:
    """Give an outbox on disk."""
    with SqliteOutbox(tmp_path / "outbox.db", KEY, new_id=uuid4) as made:
        yield made


def drain(outbox: Outbox, sink: GrpcTapSink | Deaf, *, limit: int = 500) -> None:
    """Send until nothing waits, whatever gets lost."""
    position, outcome = Position(), Outcome.SENT
    while outcome is not Outcome.IDLE:
        try:
            position, outcome = step(outbox, sink, "edge-1", position, limit=limit)
        except LinkDown:
            position = Position()


class TestTaps:
    """Taps on their way to the cloud."""

    def test_a_lost_answer_stores_nothing_twice(self, cloud: Cloud, outbox: SqliteOutbox) -> None:
        """Batches whose answers are lost are sent again, and every tap is stored once."""
        sent = [outbox.append(tap(number)) for number in range(20)]
        with dial(f"127.0.0.1:{cloud.port}", source()()) as channel:
            drain(outbox, Deaf(GrpcTapSink(channel), {1, 2, 4, 7}), limit=3)

        assert list(cloud.taps.stored(outbox.outbox_id)) == sent
        assert outbox.depth() == 0

    def test_order_and_repetition_do_not_matter(self, cloud: Cloud, outbox: SqliteOutbox) -> None:
        """Shuffled and repeated batches end as the same log, and nothing is quarantined."""
        sent = [outbox.append(tap(number)) for number in range(30)]
        shuffled = random.Random(7).choices(sent, k=80)
        with dial(f"127.0.0.1:{cloud.port}", source()()) as channel:
            sink = GrpcTapSink(channel)
            for start in range(0, 80, 4):
                run = tuple(shuffled[start : start + 4])
                sink.send(Batch("edge-1", outbox.outbox_id, run))
            drain(outbox, sink)

        assert list(cloud.taps.stored(outbox.outbox_id)) == sent
        assert cloud.taps.quarantined(outbox.outbox_id) == ()

    def test_the_cloud_gets_back_a_suffix_it_lost(self, cloud: Cloud, outbox: SqliteOutbox) -> None:
        """After a failover that lost acknowledged taps the edge sends them again."""
        sent = [outbox.append(tap(number)) for number in range(10)]
        with dial(f"127.0.0.1:{cloud.port}", source()()) as channel:
            sink = GrpcTapSink(channel)
            drain(outbox, sink)
            with cloud.engine.begin() as connection:
                connection.execute(sa.text("DELETE FROM cloud_sync.tap WHERE seq > 6"))
                connection.execute(sa.text("UPDATE cloud_sync.outbox SET durable_seq = 6"))
                connection.execute(sa.text("UPDATE cloud_sync.tap_head SET position = 6"))
            sent.append(outbox.append(tap(10)))
            drain(outbox, sink)

        assert list(cloud.taps.stored(outbox.outbox_id)) == sent
        assert outbox.depth() == 0

    def test_a_restored_disk_loses_no_passage(self, cloud: Cloud, tmp_path: Path) -> None:
        """An outbox set back to an older copy begins a new history that the cloud takes whole."""
        path = tmp_path / "outbox.db"
        with dial(f"127.0.0.1:{cloud.port}", source()()) as channel:
            sink = GrpcTapSink(channel)
            with SqliteOutbox(path, KEY, new_id=uuid4) as outbox:
                first_id = outbox.outbox_id
                for number in range(3):
                    outbox.append(tap(number))
            copy = path.read_bytes()
            with SqliteOutbox(path, KEY, new_id=uuid4) as outbox:
                for number in range(3, 6):
                    outbox.append(tap(number))
                drain(outbox, sink)
            for old in tmp_path.glob("outbox.db*"):
                old.unlink()
            path.write_bytes(copy)
            with SqliteOutbox(path, KEY, new_id=uuid4) as outbox:
                for number in range(50, 54):
                    outbox.append(tap(number))
                drain(outbox, sink)
                second_id = outbox.outbox_id

        assert second_id != first_id
        ids = {
            sealed.tap.tap_id
            for outbox_id in (first_id, second_id)
            for sealed in cloud.taps.stored(outbox_id)
        }
        assert ids == {tap(number).tap_id for number in (*range(6), *range(50, 54))}

    def test_a_stranger_is_refused_and_keeps_its_taps(
        self, cloud: Cloud, outbox: SqliteOutbox
    ) -> None:
        """Taps of an edge that is not admitted stay where they are."""
        outbox.append(tap(0))

        with (
            dial(f"127.0.0.1:{cloud.port}", source("mallory")()) as channel,
            pytest.raises(LinkRefused, match="PERMISSION_DENIED"),
        ):
            step(outbox, GrpcTapSink(channel), "mallory", Position())

        assert outbox.depth() == 1


def serving(port: int) -> list[str]:
    """Return the command that serves on a port, with any device port."""
    ports = ("--listen", f"127.0.0.1:{port}", "--device-listen", "127.0.0.1:0")
    return [sys.executable, "-m", "cloud_sync", "serve", *ports]


def knock(port: int, *, times: int) -> None:
    """Fail a TLS handshake again and again."""
    for _ in range(times):
        with socket.create_connection(("127.0.0.1", port), timeout=5) as stranger:
            stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
            with contextlib.suppress(ConnectionError):
                stranger.recv(99)


class Process:
    """`python -m cloud_sync serve`."""

    def __init__(self, database_url: str, port: int) -> None:
        """Start and wait until it says that it is ready."""
        environment = dict(os.environ, GATELINE_DATABASE_URL=database_url)
        command = serving(port)
        self._process = subprocess.Popen(
            command, env=environment, stderr=subprocess.PIPE, text=True
        )
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if json.loads(line)["event"] == "ready":
                break
        self.said: list[str] = []
        self._reader = threading.Thread(target=self.said.extend, args=(self._process.stderr,))
        self._reader.start()

    def end(self, number: int) -> int:
        """Send a signal; return the exit status."""
        self._process.send_signal(number)
        status = self._process.wait(20)
        self._reader.join()
        assert self._process.stderr is not None
        self._process.stderr.close()
        return status


class TestProcess:
    """The server as a process of its own."""

    def test_survives_being_killed(
        self, engine: sa.Engine, database_url: str, outbox: SqliteOutbox, tmp_path: Path
    ) -> None:
        """Killed twice and started again, the cloud has every tap and the edge every face."""
        cloud = Cloud(engine)
        port = free_port()
        process = Process(database_url, port)
        station = Station(SqliteReplica(tmp_path / "g.db"), port)
        uplink = TapUplink(
            outbox,
            config=UplinkConfig(
                f"127.0.0.1:{port}", "edge-1", source(), deadline_s=2.0, backoff=QUICK
            ),
            clock=Clock(),
            draw=random.Random(3).random,
        )
        stop = threading.Event()
        thread = threading.Thread(target=uplink.run, args=(stop,))
        thread.start()
        sent = []
        for number in range(40):
            if number in (10, 25):
                process.end(signal.SIGKILL)
            sent.append(outbox.append(tap(number)))
            uplink.nudge()
            cloud.views.publish([STATION], put(number))
            if number in (15, 30):
                process = Process(database_url, port)
        until(lambda: outbox.depth() == 0)
        until(lambda: len(station.index) == 40)
        until(lambda: caught_up(cloud, station))
        stop.set()
        thread.join()
        station.stop()

        assert list(cloud.taps.stored(outbox.outbox_id)) == sent
        assert process.end(signal.SIGTERM) == 0

    def test_a_second_one_does_not_take_the_port(
        self, engine: sa.Engine, database_url: str
    ) -> None:
        """Two servers on one port would each get half of the edges: the second one ends.

        Nor does anybody fill the log of the first by failing handshakes at it.
        """
        del engine
        port = free_port()
        process = Process(database_url, port)
        environment = dict(os.environ, GATELINE_DATABASE_URL=database_url)
        command = serving(port)

        second = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=30, check=False
        )
        knock(port, times=20)
        process.end(signal.SIGTERM)

        assert second.returncode == 1
        assert "cannot_serve" in second.stderr
        assert [json.loads(line)["event"] for line in process.said] == ["stopped"]
