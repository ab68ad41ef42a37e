"""From a look at an entrance to the template in a gate's hands, end to end on this machine.

Runs in a database of its own, made for it and dropped: riders of a bench have no place among real
ones.
"""

import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import sqlalchemy as sa

from cloud_sync.adapters.bench.database import own_database
from cloud_sync.adapters.bench.sync import BenchCloud, Hands, ignore_lease, waited_ms
from cloud_sync.adapters.disk.sqlite_replica import SqliteReplica
from cloud_sync.adapters.grpc.follower import FollowerConfig, GalleryFollower
from cloud_sync.adapters.grpc.outgoing import Sealing
from cloud_sync.adapters.grpc.presence import GrpcPresence, PresenceConfig
from cloud_sync.adapters.index.faiss_index import FaissCandidateIndex
from cloud_sync.adapters.index.presence_desk import DeskConfig, PresenceDesk
from cloud_sync.adapters.memory.keys import MemoryVault
from cloud_sync.adapters.postgres import master
from cloud_sync.adapters.postgres.membership import Membership
from cloud_sync.adapters.postgres.view_log import PostgresViewLog
from cloud_sync.calibration import Calibration
from cloud_sync.clock import Clock
from cloud_sync.content import Space
from cloud_sync.gallery import PutTemplate, Template
from cloud_sync.generate import templates
from cloud_sync.master.gallery import Activate, PutMaster
from cloud_sync.master.presence import Allowance, Look, Outcome
from cloud_sync.stream.view import EdgeNode, NodeRole

_DATABASE = "gateline_bench_presence"
_MODEL = "bench"
_GATE, _ENTRANCE = "bench-gate", "bench-entrance"
_COSINE = 0.85
"""Of a look to its template: far above the threshold, so that each look puts a rider."""
_SLICE = 1_000
_FREELY = Allowance(rate_hz=1_000, burst=1_000, left=1_000)


@dataclass(frozen=True, slots=True)
class PresenceFigures:
    """What was measured."""

    riders: int
    """In the master gallery."""
    pushed_ms: Sequence[float]
    """From the call of `Identify` to the template durable and in a gate's hands, sorted."""

    def __str__(self) -> str:
        """Return one line for people."""
        p50, p95 = (float(np.quantile(self.pushed_ms, share)) for share in (0.5, 0.95))
        goal = "met" if p95 <= 500 else "MISSED"
        return (
            f"presence, {self.riders:,} riders: look to template at a gate p50 {p50:.0f} ms, "
            f"p95 {p95:.0f} ms (goal 500: {goal}), worst of {len(self.pushed_ms)} "
            f"{self.pushed_ms[-1]:.0f} ms"
        )


def presence(
    engine: sa.Engine,
    membership: Membership,
    calibration: Calibration,
    *,
    riders: int,
    looks: int,
    clock: Clock,
) -> PresenceFigures:
    """Enroll generated riders, let some be seen, and wait for each at a gate.

    Args:
        engine: The server to make a database on.
        membership: Of the city; its network has stations.
        calibration: Whose threshold counts.
        riders: In the master gallery, from `looks`.
        looks: How many are seen, from 1.
        clock: The time.

    Raises:
        TimeoutError: Something did not come.
        RuntimeError: A look was not accepted.
        sqlalchemy.exc.SQLAlchemyError: No database could be made.
    """
    station = min(membership.sourcing.network.stations)
    with own_database(engine, _DATABASE) as own:
        views = PostgresViewLog(own, membership.safe)
        now = clock.wall()
        views.admit(EdgeNode(_GATE, station, bytes(32)), now)
        views.admit(EdgeNode(_ENTRANCE, station, bytes(32), NodeRole.ENTRANCE), now)
        seen = _enroll(own, membership, riders, looks, now)
        views.publish((station,), (PutTemplate(templates(1, seed=2, model_id=_MODEL)[0]),))
        desk = PresenceDesk(
            own,
            membership,
            {_MODEL: calibration},
            make_index=FaissCandidateIndex,
            config=DeskConfig(allowance=_FREELY),
        )
        desk.attend()
        cloud = BenchCloud(own, views, Sealing(lambda: membership.safe.ring), clock, presence=desk)
        cloud.start()
        try:
            return PresenceFigures(riders, _pushed(cloud, station, seen, clock))
        finally:
            cloud.stop()


def _enroll(
    engine: sa.Engine, membership: Membership, riders: int, looks: int, now: datetime
) -> tuple[Template, ...]:
    """Fill the master gallery, no view; return whoever will be seen."""
    everybody = templates(riders, seed=1, model_id=_MODEL)
    seen = everybody[:: max(1, riders // looks)][:looks]
    for start in range(0, riders, _SLICE):
        part = everybody[start : start + _SLICE]
        with engine.begin() as connection:
            puts = [PutMaster(each) for each in part]
            master.apply(connection, puts, now, safe=membership.safe)
    with engine.begin() as connection:
        active = [Activate(each.rider_ref) for each in seen]
        master.apply(connection, active, now, safe=membership.safe)
    return seen


def _pushed(cloud: BenchCloud, station: str, seen: Sequence[Template], clock: Clock) -> list[float]:
    hands, stop = Hands(), threading.Event()
    target = f"127.0.0.1:{cloud.port}"
    gate, entrance_badge = cloud.badge(_GATE, station), cloud.badge(_ENTRANCE, station)
    with tempfile.TemporaryDirectory() as folder:
        replica = SqliteReplica(Path(folder) / "gallery.db")
        follower = GalleryFollower(
            replica,
            hands.take,
            ignore_lease,
            config=FollowerConfig(
                target, _GATE, station, Space(_MODEL), lambda: gate, vault=MemoryVault()
            ),
            clock=clock,
            draw=lambda: 0.5,
        )
        thread = threading.Thread(target=follower.run, args=(stop,), daemon=True)
        thread.start()
        asks = PresenceConfig(
            target, _ENTRANCE, lambda: entrance_badge, deadline_s=10.0, allowance=_FREELY
        )
        entrance = GrpcPresence(asks, clock)
        try:
            hands.wait_for(templates(1, seed=2, model_id=_MODEL)[0].rider_ref, there=True)
            return sorted(_seen_ms(entrance, hands, each, clock) for each in seen)
        finally:
            entrance.close()
            stop.set()
            thread.join()
            replica.close()


def _seen_ms(entrance: GrpcPresence, hands: Hands, one: Template, clock: Clock) -> float:
    rng = np.random.default_rng(one.rider_ref.int % 2**32)
    aside = rng.standard_normal(len(one.vector)).astype(np.float32)
    aside -= (aside @ one.vector) * one.vector
    aside /= np.linalg.norm(aside)
    vector = _COSINE * one.vector + np.float32((1 - _COSINE**2) ** 0.5) * aside
    began_s = clock.monotonic_s()
    outcome = entrance.identify(Look(vector, _MODEL, "plain"))
    if outcome is not Outcome.ACCEPTED:
        raise RuntimeError(f"a look was not accepted: {outcome}")
    return waited_ms(hands, one.rider_ref, clock, there=True, began_s=began_s)
