"""How long a full resync takes, end to end on this machine."""

import os
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import sqlalchemy as sa

from cloud_sync.adapters.disk.sqlite_replica import SqliteReplica
from cloud_sync.adapters.grpc.channel import Badge
from cloud_sync.adapters.grpc.follower import FollowerConfig, GalleryFollower
from cloud_sync.adapters.grpc.loopback_trust import badge_of, loopback_trust
from cloud_sync.adapters.grpc.outgoing import Sealing
from cloud_sync.adapters.grpc.server import ServerConfig, Stores
from cloud_sync.adapters.grpc.server_thread import ServerThread
from cloud_sync.adapters.index.presence_desk import PresenceDesk
from cloud_sync.adapters.memory.keys import MemoryVault
from cloud_sync.adapters.postgres.registry import PostgresRegistry
from cloud_sync.adapters.postgres.tables import EDGE_NODE, VIEW, VIEW_ITEM, VIEW_LOG
from cloud_sync.adapters.postgres.taps import PostgresTapLog
from cloud_sync.adapters.postgres.view_log import PostgresViewLog
from cloud_sync.clock import Clock
from cloud_sync.content import Space
from cloud_sync.gallery import Change, Delta, DropTemplate, PutTemplate
from cloud_sync.generate import templates
from cloud_sync.secrecy.safe import Safe
from cloud_sync.stream.lease import Anchor, Lease
from cloud_sync.stream.replica import Holding
from cloud_sync.stream.view import EdgeNode
from cloud_sync.trust.device import Identity

_STATION = "bench: a station of its own, taken away again"
_EDGE = "bench-edge"
_PROBES = 20
_WAIT_S = 120.0


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured."""

    count: int
    publish_s: float
    """Generated templates into the view, one transaction."""
    resync_s: float
    """From the edge's start with an empty disk to the gallery in its hands, durable."""
    file_bytes: int
    put_ms: Sequence[float]
    """From the commit of one template to the edge's hands, sorted."""
    drop_ms: Sequence[float]
    """From the commit of one withdrawal to the edge's hands, sorted."""

    def __str__(self) -> str:
        """Return one line for people."""
        worst = f"put {self.put_ms[-1]:.0f} ms, drop {self.drop_ms[-1]:.0f} ms"
        middle = len(self.put_ms) // 2
        return (
            f"{self.count:,} templates: publish {self.publish_s:.2f} s, "
            f"full resync {self.resync_s:.2f} s, file {self.file_bytes / 1e6:.1f} MB; "
            f"one change p50 put {self.put_ms[middle]:.0f} ms, "
            f"drop {self.drop_ms[middle]:.0f} ms, worst of {len(self.put_ms)}: {worst}"
        )


class Hands:
    """What the edge would search."""

    def __init__(self) -> None:
        self.riders: set[UUID] = set()
        self._changed = threading.Condition()

    def take(self, news: Delta | Holding) -> None:
        """Take what the follower brings."""
        with self._changed:
            if isinstance(news, Holding):
                self.riders = {one.rider_ref for one in news.templates}
            else:
                for change in news.changes:
                    self._one(change)
            self._changed.notify_all()

    def wait_for(self, rider_ref: UUID, *, there: bool) -> None:
        """Wait until a rider is, or is not, in hand."""
        with self._changed:
            came = self._changed.wait_for(
                lambda: (rider_ref in self.riders) is there, timeout=_WAIT_S
            )
        if not came:
            raise TimeoutError(f"nothing came within {_WAIT_S} s")

    def _one(self, change: Change) -> None:
        match change:
            case PutTemplate(template):
                self.riders.add(template.rider_ref)
            case DropTemplate(rider_ref):
                self.riders.discard(rider_ref)


class BenchCloud:
    """A server in a thread of its own."""

    def __init__(
        self,
        engine: sa.Engine,
        views: PostgresViewLog,
        sealing: Sealing,
        clock: Clock,
        *,
        presence: PresenceDesk | None = None,
    ) -> None:
        """Take what it serves from.

        Args:
            engine: The database.
            views: On it.
            sealing: How templates leave the cloud.
            clock: The time.
            presence: Searches looks; None answers none.
        """
        self._trust = loopback_trust(
            PostgresRegistry(engine),
            clock,
            os.urandom,
            cloud_key=lambda: sealing.ring().cloud_key.public_key,
        )
        self._clock = clock
        stores = Stores(
            views, PostgresTapLog(engine), self._trust, sealing=sealing, presence=presence
        )
        config = ServerConfig("127.0.0.1:0", grace_s=0.5)
        self._server = ServerThread(stores, config, clock, engine=engine)

    @property
    def port(self) -> int:
        """The main port, once it serves."""
        return self._server.port

    def start(self) -> None:
        """Serve on a free port."""
        self._server.start()

    def stop(self) -> None:
        """End the server."""
        self._server.stop()

    def badge(self, edge_id: str = _EDGE, station_id: str = _STATION) -> Badge:
        """Return what an edge of the bench is known by."""
        return badge_of(self._trust, Identity(station_id, edge_id), self._clock.wall())


def resync(engine: sa.Engine, count: int, *, safe: Safe, clock: Clock) -> Figures:
    """Fill a view of its own, fetch it whole to a new disk, then change it a little.

    Args:
        engine: A migrated database; the bench's station is taken away at the end.
        count: Templates, from 1.
        safe: Seals and opens the templates.
        clock: The time.

    Returns:
        The figures.

    Raises:
        TimeoutError: Something did not come.
    """
    views = PostgresViewLog(engine, safe)
    _take_away(engine)
    views.admit(EdgeNode(_EDGE, _STATION, bytes(32)), clock.wall())
    crowd = [PutTemplate(one) for one in templates(count, seed=1, model_id="bench")]
    began_s = clock.monotonic_s()
    views.publish((_STATION,), crowd)
    publish_s = clock.monotonic_s() - began_s
    cloud = BenchCloud(engine, views, Sealing(lambda: safe.ring), clock)
    cloud.start()
    try:
        with tempfile.TemporaryDirectory() as folder:
            return _followed(views, cloud, Path(folder), (count, publish_s), clock=clock)
    finally:
        cloud.stop()
        _take_away(engine)


def _followed(
    views: PostgresViewLog,
    cloud: BenchCloud,
    folder: Path,
    before: tuple[int, float],
    *,
    clock: Clock,
) -> Figures:
    count, publish_s = before
    hands = Hands()
    badge = cloud.badge()
    replica = SqliteReplica(folder / "gallery.db")
    follower = GalleryFollower(
        replica,
        hands.take,
        ignore_lease,
        config=FollowerConfig(
            f"127.0.0.1:{cloud.port}",
            _EDGE,
            _STATION,
            Space("bench"),
            lambda: badge,
            vault=MemoryVault(),
            takes_plain=False,
        ),
        clock=clock,
        draw=lambda: 0.5,
    )
    stop = threading.Event()
    thread = threading.Thread(target=follower.run, args=(stop,), daemon=True)
    last = templates(count, seed=1, model_id="bench")[-1].rider_ref
    began_s = clock.monotonic_s()
    thread.start()
    try:
        hands.wait_for(last, there=True)
        resync_s = clock.monotonic_s() - began_s
        put_ms, drop_ms = [], []
        for person in templates(_PROBES, seed=2, model_id="bench"):
            views.publish((_STATION,), (PutTemplate(person),))
            put_ms.append(waited_ms(hands, person.rider_ref, clock, there=True))
            views.publish((_STATION,), (DropTemplate(person.rider_ref),))
            drop_ms.append(waited_ms(hands, person.rider_ref, clock, there=False))
        size = (folder / "gallery.db").stat().st_size
    finally:
        stop.set()
        thread.join()
        replica.close()
    return Figures(count, publish_s, resync_s, size, sorted(put_ms), sorted(drop_ms))


def waited_ms(
    hands: Hands, rider_ref: UUID, clock: Clock, *, there: bool, began_s: float | None = None
) -> float:
    """Return how long a rider was waited for, milliseconds.

    Args:
        hands: What the edge would search.
        rider_ref: Who.
        clock: The time.
        there: Whether to come or to go.
        began_s: Since when, by the monotonic clock; None is now.

    Raises:
        TimeoutError: Nothing came.
    """
    since_s = clock.monotonic_s() if began_s is None else began_s
    hands.wait_for(rider_ref, there=there)
    return (clock.monotonic_s() - since_s) * 1e3


def _take_away(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        for table in (EDGE_NODE, VIEW_ITEM, VIEW_LOG, VIEW):
            connection.execute(sa.delete(table).where(table.c.station_id == _STATION))


def ignore_lease(lease: Lease, anchor: Anchor | None) -> None:
    """Do nothing: a bench is shorter than a lease."""
    del lease, anchor
