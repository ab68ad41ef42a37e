"""How soon a rider reaches every gate, and leaves it: many edges, real wire, real disks.

Each edge is a follower with a SQLite replica behind mTLS; one process holds them all and the cloud,
so what is measured here is more than what machines of their own would need.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

import numpy as np
import sqlalchemy as sa

from cloud_sync.adapters.bench.database import own_database
from cloud_sync.adapters.bench.sync import BenchCloud, ignore_lease
from cloud_sync.adapters.disk.sqlite_replica import SqliteReplica
from cloud_sync.adapters.grpc.follower import FollowerConfig, GalleryFollower
from cloud_sync.adapters.grpc.outgoing import Sealing
from cloud_sync.adapters.memory.keys import MemoryVault
from cloud_sync.adapters.postgres.erasures import PostgresErasureLedger, erase
from cloud_sync.adapters.postgres.membership import Membership
from cloud_sync.adapters.postgres.view_log import PostgresViewLog
from cloud_sync.clock import Clock
from cloud_sync.content import Space
from cloud_sync.fleet.erasure import Erasure
from cloud_sync.gallery import Delta, DropTemplate, PutTemplate, Template
from cloud_sync.generate import templates
from cloud_sync.master.gallery import Activate, MasterChange, PutMaster, Withdraw
from cloud_sync.stream.replica import Holding
from cloud_sync.stream.view import EdgeNode

_MODEL = "bench"
_WAIT_S = 120.0
ENROLL_P95_S, WITHDRAW_P99_S = 2.0, 10.0
"""The goals, seconds."""


@dataclass(frozen=True, slots=True)
class ReachFigures:
    """What was measured."""

    edges: int
    enroll_s: Sequence[float]
    """From the start of the transaction that switches a face on to the template in force at a gate,
    for each rider and edge, sorted."""
    withdraw_s: Sequence[float]
    """From the start of the withdrawal's transaction to no gate of an edge knowing the face, for
    each rider and edge, sorted."""
    proof_s: Sequence[float]
    """From the withdrawal to the last edge's acknowledgement in the ledger, for each rider,
    sorted."""

    def __str__(self) -> str:
        """Return lines for people."""
        e50, e95, e99 = _of(self.enroll_s)
        w50, w95, w99 = _of(self.withdraw_s)
        enroll = "met" if e95 <= ENROLL_P95_S else "MISSED"
        withdraw = "met" if w99 <= WITHDRAW_P99_S else "MISSED"
        riders = len(self.proof_s)
        return (
            f"reach, {self.edges} edges, {riders} riders: enroll to matchable p50 {e50:.3f} s, "
            f"p95 {e95:.3f} s (goal {ENROLL_P95_S:.0f}: {enroll}), p99 {e99:.3f} s\n"
            f"  withdraw to unusable p50 {w50:.3f} s, p95 {w95:.3f} s, p99 {w99:.3f} s "
            f"(goal {WITHDRAW_P99_S:.0f}: {withdraw}), worst {self.withdraw_s[-1]:.3f} s\n"
            f"  proof of all {self.edges} edges within {self.proof_s[-1]:.3f} s"
        )


class _Gate:
    """When a gate of one edge learned of a rider, and when it forgot."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._came: dict[UUID, float] = {}
        self._went: dict[UUID, float] = {}

    def take(self, news: Delta | Holding) -> None:
        """Take what the follower brings; on return it is in force."""
        now_s = self._clock.monotonic_s()
        with self._changed:
            if isinstance(news, Holding):
                self._came |= {one.rider_ref: now_s for one in news.templates}
            for change in news.changes if isinstance(news, Delta) else ():
                match change:
                    case PutTemplate(template):
                        self._came[template.rider_ref] = now_s
                    case DropTemplate(rider_ref):
                        self._went[rider_ref] = now_s
            self._changed.notify_all()

    def came_s(self, rider_ref: UUID) -> float:
        """Wait for a rider and return when it came, monotonic seconds."""
        return self._noted(self._came, rider_ref)

    def went_s(self, rider_ref: UUID) -> float:
        """Wait until a rider is forgotten and return when that was, monotonic seconds."""
        return self._noted(self._went, rider_ref)

    def _noted(self, times: dict[UUID, float], rider_ref: UUID) -> float:
        with self._changed:
            if not self._changed.wait_for(lambda: rider_ref in times, timeout=_WAIT_S):
                raise TimeoutError(f"nothing came within {_WAIT_S} s")
            return times[rider_ref]


def reach(
    engine: sa.Engine, membership: Membership, *, edges: int, riders: int, clock: Clock
) -> ReachFigures:
    """Let riders enroll and withdraw one after the other, and look at every edge.

    Args:
        engine: The server to make a database on.
        membership: Of the city; its stations get an edge each.
        edges: From 1, to the stations of the city.
        riders: From 1.
        clock: The time.

    Raises:
        TimeoutError: Something did not come.
        sqlalchemy.exc.SQLAlchemyError: No database could be made.
    """
    stations = sorted(membership.sourcing.network.stations)[:edges]
    first, *crowd = templates(riders + 1, seed=1, model_id=_MODEL)
    with own_database(engine, "gateline_bench_reach") as own:
        views = PostgresViewLog(own, membership.safe)
        for station in stations:
            views.admit(EdgeNode(f"edge-{station}", station, bytes(32)), clock.wall())
        _enroll(own, membership, first, clock)
        cloud = BenchCloud(own, views, Sealing(lambda: membership.safe.ring), clock)
        cloud.start()
        try:
            with _gates(cloud, stations, clock) as gates:
                for gate in gates:
                    gate.came_s(first.rider_ref)  # caught up
                return _measured(own, membership, gates, crowd, clock)
        finally:
            cloud.stop()


def _measured(
    engine: sa.Engine,
    membership: Membership,
    gates: Sequence[_Gate],
    crowd: Sequence[Template],
    clock: Clock,
) -> ReachFigures:
    enroll_s: list[float] = []
    withdraw_s: list[float] = []
    left: list[Erasure] = []
    for person in crowd:
        began_s = clock.monotonic_s()
        _enroll(engine, membership, person, clock)
        enroll_s += [gate.came_s(person.rider_ref) - began_s for gate in gates]
        began_s = clock.monotonic_s()
        left.append(_withdraw(engine, membership, person, clock))
        withdraw_s += [gate.went_s(person.rider_ref) - began_s for gate in gates]
    proof_s = [_proven_s(engine, one, len(gates), clock) for one in left]
    return ReachFigures(len(gates), sorted(enroll_s), sorted(withdraw_s), sorted(proof_s))


def _enroll(engine: sa.Engine, membership: Membership, person: Template, clock: Clock) -> None:
    changes: list[MasterChange] = [PutMaster(person), Activate(person.rider_ref)]
    with engine.begin() as connection:
        membership.settle(connection, changes, clock.wall())


def _withdraw(engine: sa.Engine, membership: Membership, person: Template, clock: Clock) -> Erasure:
    now = clock.wall()
    gone = Erasure(person.rider_ref, now, "withdraw", is_final=True)
    with engine.begin() as connection:
        membership.settle(connection, [Withdraw(person.rider_ref, now)], now)
        erase(connection, gone, copy=_nowhere)
    return gone


def _proven_s(engine: sa.Engine, erasure: Erasure, count: int, clock: Clock) -> float:
    """Wait for the last acknowledgement of an erasure; return when it came, seconds after it."""
    ledger = PostgresErasureLedger(engine, copy=_nowhere)
    ends_s = clock.monotonic_s() + _WAIT_S
    pause = threading.Event()
    while clock.monotonic_s() < ends_s:
        (proof,) = ledger.proofs(erasure.rider_ref)
        acked = [node.acked_at for node in proof.nodes if node.acked_at is not None]
        if len(acked) == count == len(proof.nodes):
            return (max(acked) - erasure.at).total_seconds()
        pause.wait(0.05)
    raise TimeoutError(f"no proof within {_WAIT_S} s")


@contextmanager
def _gates(cloud: BenchCloud, stations: Sequence[str], clock: Clock) -> Iterator[list[_Gate]]:
    """Let an edge of each station follow, and stop them all at the end."""
    stop = threading.Event()
    threads: list[threading.Thread] = []
    gates: list[_Gate] = []
    with ExitStack() as open_files:
        folder = Path(open_files.enter_context(TemporaryDirectory()))
        for number, station in enumerate(stations):
            replica = SqliteReplica(folder / f"gallery-{number}.db")
            open_files.callback(replica.close)
            gate = _Gate(clock)
            gates.append(gate)
            badge = cloud.badge(f"edge-{station}", station)
            config = FollowerConfig(
                f"127.0.0.1:{cloud.port}",
                f"edge-{station}",
                station,
                Space(_MODEL),
                lambda badge=badge: badge,  # type: ignore[misc]  # bound at once
                vault=MemoryVault(),
            )
            follower = GalleryFollower(
                replica, gate.take, ignore_lease, config=config, clock=clock, draw=lambda: 0.5
            )
            threads.append(threading.Thread(target=follower.run, args=(stop,), daemon=True))
        for thread in threads:
            thread.start()
        try:
            yield gates
        finally:
            stop.set()
            for thread in threads:
                thread.join()


def _of(seconds: Sequence[float]) -> tuple[float, float, float]:
    p50, p95, p99 = (float(np.quantile(seconds, share)) for share in (0.5, 0.95, 0.99))
    return p50, p95, p99


def _nowhere(_: Erasure) -> None:
    """Keep no copy: these riders are made up."""
