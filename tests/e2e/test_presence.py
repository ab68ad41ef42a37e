"""From a look at an entrance to the template on that station's node, over real gRPC."""

import logging
import random
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
import sqlalchemy as sa

from cloud_sync.adapters.disk.sqlite_replica import SqliteReplica
from cloud_sync.adapters.grpc.client import (
    FollowerConfig,
    GalleryFollower,
    GrpcPresence,
    PresenceConfig,
)
from cloud_sync.adapters.grpc.server import ServerConfig, Stores
from cloud_sync.adapters.grpc.server_thread import ServerThread
from cloud_sync.adapters.index.faiss_index import FaissCandidateIndex
from cloud_sync.adapters.index.presence_desk import DeskConfig, PresenceDesk
from cloud_sync.adapters.postgres.membership import Membership
from cloud_sync.adapters.postgres.registry import PostgresRegistry
from cloud_sync.adapters.postgres.taps import PostgresTapLog
from cloud_sync.adapters.postgres.view_log import PostgresViewLog
from cloud_sync.adapters.system_clock import SystemClock
from cloud_sync.calibration import from_table
from cloud_sync.content import Space
from cloud_sync.gallery import Change, Delta, PutTemplate, Template
from cloud_sync.generate import templates
from cloud_sync.master.gallery import Activate, Deactivate, MasterChange, PutMaster, Withdraw
from cloud_sync.master.presence import Allowance, Look, Outcome
from cloud_sync.prefilter.budget import Budget
from cloud_sync.stream.backoff import Backoff
from cloud_sync.stream.lease import Anchor, Lease
from cloud_sync.stream.replica import Holding
from cloud_sync.stream.view import EdgeNode, NodeRole
from models.manifest import pack
from tests.cloud_city import BELL, DRUM, SOURCING
from tests.keys import SAFE
from tests.trust import source, trust_of

MODEL = "model-a"
ANA, BEN, CEM, DUA, TWIN = (each.rider_ref for each in templates(5, seed=21, model_id=MODEL))
FACES = {each.rider_ref: each for each in templates(5, seed=21, model_id=MODEL)}
PATIENCE_S = 20.0
FREELY = Allowance(rate_hz=1_000, burst=1_000, left=1_000)
NOBODY_FITS = Budget(first=10, first_max=20, second=10, spare_max=0)


class Cloud:
    """A cloud in a thread, with two stations, an entrance and a gate at each."""

    def __init__(self, engine: sa.Engine, *, presence: bool = True) -> None:
        self.engine = engine
        self.views = PostgresViewLog(engine, SAFE)
        now = datetime.now(UTC)
        for station in (BELL, DRUM):
            self.views.admit(EdgeNode(f"gate-{station}", station, bytes(32)), now)
            role = NodeRole.ENTRANCE
            self.views.admit(EdgeNode(f"entrance-{station}", station, bytes(32), role), now)
        self.membership = Membership(SOURCING, SAFE, NOBODY_FITS)
        calibrations = {MODEL: from_table(pack("open").calibration)}
        self.desk = PresenceDesk(
            engine,
            self.membership,
            calibrations,
            make_index=FaissCandidateIndex,
            config=DeskConfig(allowance=FREELY),
        )
        self._entrances: list[GrpcPresence] = []
        stores = Stores(
            self.views,
            PostgresTapLog(engine),
            trust_of(PostgresRegistry(engine)),
            presence=self.desk if presence else None,
        )
        config = ServerConfig("127.0.0.1:0", grace_s=0.1)
        self._server = ServerThread(stores, config, SystemClock(), engine=engine)
        self._server.start()
        self.port = self._server.port

    def settle(self, *changes: MasterChange) -> None:
        """Change the master gallery, as enrollment does."""
        with self.engine.begin() as connection:
            self.membership.settle(connection, changes, datetime.now(UTC))

    def entrance(
        self, edge_id: str = f"entrance-{BELL}", *, allowance: Allowance = FREELY
    ) -> GrpcPresence:
        """Return a node's way to the cloud."""
        target, known_by = f"127.0.0.1:{self.port}", source(edge_id, BELL)
        config = PresenceConfig(target, edge_id, known_by, deadline_s=10.0, allowance=allowance)
        made = GrpcPresence(config, SystemClock())
        self._entrances.append(made)
        return made

    def stop(self) -> None:
        """Stop serving."""
        for entrance in self._entrances:
            entrance.close()
        self._server.stop()


class Gate:
    """A gate's node: follows its station's view to its own disk."""

    def __init__(self, cloud: Cloud, station: str, folder: Path) -> None:
        self.riders: set[UUID] = set()
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._replica = SqliteReplica(folder / f"{station}.db")
        config = FollowerConfig(
            f"127.0.0.1:{cloud.port}",
            f"gate-{station}",
            station,
            Space(MODEL),
            source(f"gate-{station}", station),
            backoff=Backoff(base_s=0.05, cap_s=0.2),
        )
        follower = GalleryFollower(
            self._replica,
            self._take,
            _ignore_lease,
            config=config,
            clock=SystemClock(),
            draw=random.Random(1).random,
        )
        self._thread = threading.Thread(target=follower.run, args=(self._stop,))
        self._thread.start()

    def holds(self, rider_ref: UUID, *, within_s: float = PATIENCE_S) -> bool:
        """Return whether a rider's template comes in time."""
        with self._changed:
            return self._changed.wait_for(lambda: rider_ref in self.riders, within_s)

    def stop(self) -> None:
        """Stop following."""
        self._stop.set()
        self._thread.join()
        self._replica.close()

    def _take(self, news: Delta | Holding) -> None:
        with self._changed:
            if isinstance(news, Holding):
                self.riders = {one.rider_ref for one in news.templates}
            else:
                self.riders |= {each for each in map(_put, news.changes) if each}
            self._changed.notify_all()


def _put(change: Change) -> UUID | None:
    return change.template.rider_ref if isinstance(change, PutTemplate) else None


def _ignore_lease(lease: Lease, anchor: Anchor | None) -> None:
    del lease, anchor


@pytest.fixture
def city(cloud: sa.Engine) -> Iterator[Cloud]:
    """Give a cloud with presence on and people enrolled, nobody in any view."""
    served = Cloud(cloud)
    twin = Template(TWIN, 1, MODEL, "plain", glance(ANA, seed=5, cosine=0.95).vector)
    people = [PutMaster(FACES[ref]) for ref in (ANA, BEN, CEM, DUA)]
    served.settle(*people, PutMaster(twin), *map(Activate, (ANA, BEN, CEM)))
    # Views learn their model from the first template.
    served.views.publish((BELL, DRUM), (PutTemplate(templates(1, seed=3, model_id=MODEL)[0]),))
    served.desk.attend()
    yield served
    served.stop()


def glance(rider_ref: UUID, *, seed: int = 1, cosine: float = 0.8) -> Look:
    """Return a look at a rider, some way from the template."""
    mine = FACES[rider_ref].vector
    other = templates(1, seed=1_000 + seed, model_id=MODEL)[0].vector
    aside = other - (other @ mine) * mine
    aside /= np.linalg.norm(aside)
    vector = cosine * mine + np.sqrt(1 - cosine**2) * aside
    return Look(vector.astype(np.float32), MODEL, "plain")


def test_a_look_brings_the_template_to_that_station_alone(city: Cloud, tmp_path: Path) -> None:
    """Ben is seen at one entrance: that station's gate has him well within two seconds."""
    bell, drum = Gate(city, BELL, tmp_path), Gate(city, DRUM, tmp_path)
    try:
        assert not bell.holds(BEN, within_s=0.3)
        began_s = time.monotonic()

        answer = city.entrance().identify(glance(BEN))

        assert answer is Outcome.ACCEPTED
        assert bell.holds(BEN)
        assert time.monotonic() - began_s < 2
        assert not drum.holds(BEN, within_s=0.2)
    finally:
        bell.stop()
        drum.stop()


def held(city: Cloud, station: str = BELL) -> set[UUID]:
    """Return whom a station's view holds."""
    whole = city.views.whole(station)
    return {each for each in map(_put, whole.changes) if each} & set(FACES)


def test_answers_alike_whoever_was_seen(city: Cloud) -> None:
    """A stranger, a twin, a paused and a withdrawn rider get the answer of a known one, no view.

    The control: Cem, who is enrolled and clear of everybody, is put.
    """
    stranger = Look(templates(1, seed=77, model_id=MODEL)[0].vector, MODEL, "plain")
    city.settle(Deactivate(BEN))
    entrance = city.entrance()

    answers = [
        entrance.identify(look) for look in (stranger, glance(ANA), glance(BEN), glance(DUA))
    ]

    assert answers == [Outcome.ACCEPTED] * 4
    assert held(city) == set()

    assert entrance.identify(glance(CEM)) is Outcome.ACCEPTED
    assert held(city) == {CEM}
    city.settle(Withdraw(CEM, datetime.now(UTC) + timedelta(minutes=3)))
    assert entrance.identify(glance(CEM)) is Outcome.ACCEPTED
    assert held(city) == set()


def test_sees_who_enrolled_a_moment_ago(city: Cloud) -> None:
    """The index reads on before each look, without waiting for its next turn."""
    city.settle(Activate(DUA))

    city.entrance().identify(glance(DUA))

    assert held(city) == {DUA}


def test_only_an_entrance_may_ask(city: Cloud) -> None:
    """A gate's node is told that it is none; a node that nobody admitted is turned away.

    So is one whose certificate names another station than it was admitted at. The control: the gate
    once it has the role.
    """
    gate = city.entrance(f"gate-{BELL}")

    assert gate.identify(glance(CEM)) is Outcome.NO_ENTRANCE
    assert city.entrance("nobody").identify(glance(CEM)) is None
    assert city.entrance(f"entrance-{DRUM}").identify(glance(CEM)) is None
    assert held(city) == held(city, DRUM) == set()

    city.views.set_role(f"gate-{BELL}", NodeRole.ENTRANCE)
    assert gate.identify(glance(CEM)) is Outcome.ACCEPTED
    assert held(city) == {CEM}


def test_refuses_what_it_cannot_compare(city: Cloud) -> None:
    """Another model, another operator's rotation and a vector that is no look are told apart."""
    look, entrance = glance(CEM), city.entrance()

    answers = [
        entrance.identify(Look(look.vector, "model-b", "plain")),
        entrance.identify(Look(look.vector, MODEL, "rot-00000000")),
        entrance.identify(Look(look.vector * 3, MODEL, "plain")),
    ]

    assert answers == [Outcome.NOT_SUPPORTED, Outcome.WRONG_SPACE, Outcome.MALFORMED]
    assert held(city) == set()


def test_is_off_unless_it_was_switched_on(cloud: sa.Engine) -> None:
    """A cloud without a desk answers that presence is off."""
    served = Cloud(cloud, presence=False)
    try:
        assert served.entrance().identify(glance(CEM)) is Outcome.OFF
    finally:
        served.stop()


def test_sends_no_more_than_its_allowance(city: Cloud) -> None:
    """A crowd at an entrance cannot flood the cloud: the node itself drops the rest."""
    entrance = city.entrance(allowance=Allowance(rate_hz=0.001, burst=2, left=2))

    answers = [entrance.identify(glance(CEM)) for _ in range(4)]

    assert answers == [Outcome.ACCEPTED, Outcome.ACCEPTED, Outcome.BUSY, Outcome.BUSY]


def test_nothing_of_a_look_is_logged_or_stored(
    city: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    """No log line names the rider or a number of the look, nor does any table hold it."""
    look = glance(CEM)
    with caplog.at_level(logging.DEBUG):
        city.entrance().identify(look)
        city.entrance("nobody").identify(look)
    probe = look.vector.astype("<f2").tobytes()

    with city.engine.connect() as connection:
        tables = connection.execute(
            sa.text("SELECT tablename FROM pg_tables WHERE schemaname = 'cloud_sync'")
        ).scalars()
        hits = [
            name
            for name in tables
            if connection.execute(
                sa.text(f"SELECT count(*) FROM cloud_sync.{name} AS t WHERE t::text LIKE :part"),
                {"part": f"%{probe[:8].hex()}%"},
            ).scalar()
        ]

    assert held(city) == {CEM}
    assert hits == []
    assert str(CEM) not in caplog.text
    assert CEM.hex not in caplog.text
    assert f"{look.vector[0]:.4f}" not in caplog.text


def test_a_silent_cloud_is_no_answer(city: Cloud) -> None:
    """An entrance whose cloud does not answer gets nothing, and goes on."""
    edge_id = f"entrance-{BELL}"
    away = PresenceConfig("127.0.0.1:1", edge_id, source(edge_id, BELL), deadline_s=0.3)
    entrance = GrpcPresence(away, SystemClock())

    assert entrance.identify(glance(CEM)) is None
    entrance.close()
