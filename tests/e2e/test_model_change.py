"""A change of the model while the city rides: two nodes of one station, each in its own space.

Real PostgreSQL, real gRPC over mTLS with sealed templates, real disks; the second model is another
space of generated faces.
"""

import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
import sqlalchemy as sa

from cloud_sync import order
from cloud_sync.adapters.disk.sqlite_replica import SqliteReplica
from cloud_sync.adapters.disk.tmpfs_vault import TmpfsVault
from cloud_sync.adapters.grpc.client import FollowerConfig, GalleryFollower
from cloud_sync.adapters.grpc.outgoing import Sealing
from cloud_sync.adapters.grpc.server import ServerConfig, Stores
from cloud_sync.adapters.grpc.server_thread import ServerThread
from cloud_sync.adapters.postgres import erasures, model_change
from cloud_sync.adapters.postgres import membership as membership_module
from cloud_sync.adapters.postgres import next_view as next_view_module
from cloud_sync.adapters.postgres import publish as publish_module
from cloud_sync.adapters.postgres.erasures import PostgresErasureLedger
from cloud_sync.adapters.postgres.membership import ClaimOutcome, Membership
from cloud_sync.adapters.postgres.mode_history import orders_of
from cloud_sync.adapters.postgres.prefilter.reconcile import Reconciler
from cloud_sync.adapters.postgres.registry import PostgresRegistry
from cloud_sync.adapters.postgres.taps import PostgresTapLog
from cloud_sync.adapters.postgres.view_log import PostgresViewLog
from cloud_sync.adapters.system_clock import SystemClock
from cloud_sync.content import Space
from cloud_sync.fleet.erasure import Erasure
from cloud_sync.gallery import Delta, DropTemplate, PutDenial, PutTemplate, Template
from cloud_sync.generate import templates
from cloud_sync.master.gallery import Activate, MasterChange, PutMaster, Withdraw
from cloud_sync.master.model_change import NotNow, Phase
from cloud_sync.prefilter.budget import Budget
from cloud_sync.prefilter.claim import CHECK_IN
from cloud_sync.stream.backoff import Backoff
from cloud_sync.stream.lease import Anchor, Lease
from cloud_sync.stream.replica import Holding
from cloud_sync.stream.view import EdgeNode, SpaceRefused
from cloud_sync.view_id import is_next, next_view
from tests.cloud_city import BELL, DRUM, SOURCING
from tests.keys import SAFE
from tests.trust import source, trust_of

OLD, NEW = "model-a@000000000000", "model-b@111111111111"
PATIENCE_S = 20.0
PEOPLE = templates(4, seed=21, model_id=OLD)
ANA, BEN, CEM, DUA = (each.rider_ref for each in PEOPLE)


def face(rider_ref: UUID, model_id: str, version: int) -> PutMaster:
    """Return a rider's template in a space: in each another vector."""
    seed = 21 if model_id == OLD else 99
    place = [each.rider_ref for each in PEOPLE].index(rider_ref)
    vector = templates(4, seed=seed, model_id=model_id)[place].vector
    return PutMaster(Template(rider_ref, version, model_id, "plain", vector))


class Cloud:
    """A cloud in a thread, that seals; two nodes at the bell tower, one at the drum tower."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self.views = PostgresViewLog(engine, SAFE)
        for edge, station in (("bell-1", BELL), ("bell-2", BELL), ("drum-1", DRUM)):
            self.views.admit(EdgeNode(edge, station, bytes(32)), datetime.now(UTC))
        # The whole city fits, so everybody is everywhere.
        self.membership = Membership(SOURCING, SAFE, Budget())
        self.ledger = PostgresErasureLedger(engine, copy=lambda _: None)
        trust, taps = trust_of(PostgresRegistry(engine)), PostgresTapLog(engine)
        stores = Stores(self.views, taps, trust, sealing=Sealing(lambda: SAFE.ring))
        config = ServerConfig("127.0.0.1:0", grace_s=0.1)
        self._server = ServerThread(stores, config, SystemClock(), engine=engine)
        self._server.start()
        self.port = self._server.port

    def settle(self, *changes: MasterChange) -> None:
        """Change the master gallery, as enrollment does."""
        with self.engine.begin() as connection:
            self.membership.settle(connection, changes, datetime.now(UTC))

    def leaves(self, rider_ref: UUID) -> None:
        """Withdraw a rider and note it in the ledger, in one transaction, as enrollment does."""
        now = datetime.now(UTC)
        with self.engine.begin() as connection:
            gone = Withdraw(rider_ref, now + timedelta(seconds=125))
            self.membership.settle(connection, [gone], now)
            erasure = Erasure(rider_ref, now, "withdraw", is_final=True)
            assert erasures.erase(connection, erasure, copy=lambda _: None)

    def reconcile(self) -> None:
        """Look at every view once, as the chore does."""
        reconciler = Reconciler(self.engine, self.membership)
        now = datetime.now(UTC)
        while (due := reconciler.due(now)) is not None:
            reconciler.look(due.view_id, now)

    def holds(self, view_id: str) -> dict[UUID, str]:
        """Return whose templates a view has, and of which model."""
        changes = self.views.whole(view_id).changes
        found = [each.template for each in changes if isinstance(each, PutTemplate)]
        return {each.rider_ref: each.model_id for each in found}

    def stop(self) -> None:
        """Stop serving."""
        self._server.stop()


class Node:
    """A node with one model: follows to its own disk, and holds what it may compare with."""

    def __init__(self, cloud: Cloud, edge: str, station: str, model_id: str, disk: Path) -> None:
        self.riders: dict[UUID, str] = {}
        self.snapshots = 0
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._replica = SqliteReplica(disk / f"{edge}.db")
        config = FollowerConfig(
            f"127.0.0.1:{cloud.port}",
            edge,
            station,
            Space(model_id),
            source(edge, station),
            backoff=Backoff(base_s=0.05, cap_s=0.2),
            vault=TmpfsVault(disk / f"{edge}.vault", is_any_disk=True),
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

    def until(self, wanted: Callable[[dict[UUID, str]], bool]) -> bool:
        """Return whether the node's riders come to be as wanted, in time."""
        with self._changed:
            return self._changed.wait_for(lambda: wanted(self.riders), PATIENCE_S)

    def stop(self) -> None:
        """Stop following; the disk stays. Once more does nothing."""
        if self._stop.is_set():
            return
        self._stop.set()
        self._thread.join()
        self._replica.close()

    def _take(self, news: Delta | Holding) -> None:
        with self._changed:
            if isinstance(news, Holding):
                self.snapshots += 1
                self.riders = {one.rider_ref: one.model_id for one in news.templates}
                self._changed.notify_all()
                return
            for change in news.changes:
                match change:
                    case PutTemplate(template):
                        self.riders[template.rider_ref] = template.model_id
                    case DropTemplate(rider_ref):
                        self.riders.pop(rider_ref, None)
            self._changed.notify_all()


def _ignore_lease(lease: Lease, anchor: Anchor | None) -> None:
    del lease, anchor


def proven(cloud: Cloud, rider_ref: UUID) -> list[str]:
    """Return the nodes of a rider's proof, once each of them has acknowledged."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        (proof,) = cloud.ledger.proofs(rider_ref)
        if proof.nodes and all(node.acked_at for node in proof.nodes):
            return sorted(node.edge_id for node in proof.nodes)
        time.sleep(0.02)
    raise AssertionError(f"not acknowledged: {proof.nodes}")


@pytest.fixture
def city(cloud: sa.Engine) -> Iterator[Cloud]:
    """Give a cloud with three riders in the old model, at every station."""
    served = Cloud(cloud)
    served.settle(*(face(ref, OLD, 1) for ref in (ANA, BEN, CEM)))
    served.settle(*map(Activate, (ANA, BEN, CEM)))
    served.reconcile()
    yield served
    served.stop()


def test_the_whole_way(city: Cloud, tmp_path: Path) -> None:
    """Two nodes of one station match in their own space; a withdrawal reaches both; finish ends it.

    Ana and Ben are measured anew, Cem has no kept photo. Nobody's template comes to a node of the
    other model. The node that is restarted with the new model takes over on its old disk.
    """
    now = datetime.now(UTC)
    before = city.holds(BELL)
    old = Node(city, "bell-1", BELL, OLD, tmp_path)
    other = Node(city, "bell-2", BELL, OLD, tmp_path)
    drum = Node(city, "drum-1", DRUM, NEW, tmp_path)  # too early: refused
    new: Node | None = None
    try:
        assert old.until(lambda riders: set(riders) == {ANA, BEN, CEM})
        assert other.until(lambda riders: len(riders) == 3)

        model_change.begin(city.engine, SAFE, NEW, now)
        city.settle(face(ANA, NEW, 2))  # as `reembed` does
        city.settle(face(BEN, NEW, 2))
        other.stop()
        new = Node(city, "bell-2", BELL, NEW, tmp_path)  # restarted with the new pack

        assert new.until(lambda riders: riders == {ANA: NEW, BEN: NEW})
        assert drum.until(lambda riders: riders == {ANA: NEW, BEN: NEW})
        assert old.riders == dict.fromkeys((ANA, BEN, CEM), OLD)
        assert city.holds(BELL) == before
        # A newcomer is measured in both models, so nobody is lost.
        city.settle(face(DUA, OLD, 1), face(DUA, NEW, 2), Activate(DUA))
        assert old.until(lambda riders: riders.get(DUA) == OLD)
        assert new.until(lambda riders: riders.get(DUA) == NEW)

        found = model_change.standing(city.engine, now)
        assert found.state.phase is Phase.RUNNING
        assert found.riders == {OLD: 4, NEW: 3}
        assert found.followers == ("bell-1",)
        with pytest.raises(NotNow, match="bell-1"):
            finish(city, now)

        city.leaves(BEN)
        assert old.until(lambda riders: BEN not in riders)
        assert new.until(lambda riders: BEN not in riders)
        assert proven(city, BEN) == ["bell-1", "bell-2", "drum-1"]

        old.stop()
        old = Node(city, "bell-1", BELL, NEW, tmp_path)
        assert old.until(lambda riders: riders == {ANA: NEW, DUA: NEW})
        snapshots = new.snapshots
        finish(city, now)

        assert city.views.head(next_view(BELL)) is None
        assert city.holds(BELL) == city.holds(DRUM) == {ANA: NEW, DUA: NEW}
        city.settle(face(CEM, NEW, 2))  # took a new photo
        assert new.until(lambda riders: CEM in riders)
        assert old.until(lambda riders: CEM in riders)
        assert new.snapshots == snapshots  # it went on where it was
        with city.engine.connect() as connection:
            kept = connection.execute(
                sa.text("SELECT DISTINCT model_id FROM cloud_sync.master_template WHERE body <> ''")
            ).scalars()
            assert list(kept) == [NEW]
    finally:
        for node in (old, other, drum, *([new] if new else [])):
            node.stop()


def back(city: Cloud, now: datetime) -> None:
    """Roll back as the command does, without enrollment's part."""
    model_change.rollback(city.engine, SAFE, now=now, told=lambda *_: None)
    model_change.end(city.engine)


def finish(city: Cloud, now: datetime) -> None:
    """Finish as the command does, without enrollment's part."""
    model_change.finish(
        city.engine, SAFE, waiting=0, is_forced=False, now=now, told=lambda *_: None
    )
    model_change.end(city.engine)


def test_a_rollback_is_not_noticed_by_old_nodes(city: Cloud, tmp_path: Path) -> None:
    """The old node's stream goes on; the new one's is refused; the same change can begin again.

    A rider who leaves after the rollback is proven gone at the node that had followed the view
    that went, too: it is restarted with the old model.
    """
    now = datetime.now(UTC)
    old = Node(city, "bell-1", BELL, OLD, tmp_path)
    model_change.begin(city.engine, SAFE, NEW, now)
    new = Node(city, "bell-2", BELL, NEW, tmp_path)
    try:
        city.settle(face(ANA, NEW, 2))
        assert new.until(lambda riders: riders == {ANA: NEW})
        assert old.until(lambda riders: len(riders) == 3)
        snapshots = old.snapshots

        model_change.rollback(city.engine, SAFE, now=now, told=lambda *_: None)
        assert model_change.end(city.engine).model_id == OLD
        city.leaves(ANA)

        assert old.until(lambda riders: set(riders) == {BEN, CEM})
        assert old.snapshots == snapshots
        assert new.riders == {ANA: NEW}  # until its lease ends, or it is restarted
        (proof,) = city.ledger.proofs(ANA)
        assert {node.edge_id for node in proof.nodes} == {"bell-1", "bell-2", "drum-1"}
        new.stop()
        new = Node(city, "bell-2", BELL, OLD, tmp_path)
        assert new.until(lambda riders: riders == {BEN: OLD, CEM: OLD})

        model_change.begin(city.engine, SAFE, NEW, now)
        city.settle(face(BEN, NEW, 3))
        assert city.holds(next_view(BELL)) == {BEN: NEW}
    finally:
        old.stop()
        new.stop()


@pytest.mark.parametrize("is_finish", [True, False])
def test_an_end_that_is_cut_goes_on(city: Cloud, *, is_finish: bool) -> None:
    """Killed after the first station, the same command does the rest; the other one is refused."""
    now = datetime.now(UTC)
    model_change.begin(city.engine, SAFE, NEW, now)
    city.settle(face(ANA, NEW, 2))

    class CutError(Exception):
        pass

    def cut(name: str, count: int) -> None:
        raise CutError

    def end(told: Callable[[str, int], None]) -> None:
        if is_finish:
            model_change.finish(city.engine, SAFE, waiting=0, is_forced=False, now=now, told=told)
        else:
            model_change.rollback(city.engine, SAFE, now=now, told=told)

    with pytest.raises(CutError):
        end(cut)
    views = [city.views.head(next_view(station)) for station in (BELL, DRUM)]
    assert sum(view is None for view in views) == 1
    with pytest.raises(NotNow):
        (back if is_finish else finish)(city, now)
    end(lambda *_: None)
    model_change.end(city.engine)

    left = {ANA: NEW} if is_finish else dict.fromkeys((ANA, BEN, CEM), OLD)
    assert city.holds(BELL) == city.holds(DRUM) == left
    assert model_change.standing(city.engine, now).state.phase is Phase.NONE


def test_orders_are_known_in_both_histories(city: Cloud) -> None:
    """A mode ordered before, during or after the change explains a tap of a node of either view."""
    now = datetime.now(UTC)
    ordered = [order.mode(["fare_exempt"]), order.mode([])]
    city.views.publish([BELL], ordered[:1])
    model_change.begin(city.engine, SAFE, NEW, now)
    city.views.follow("bell-2", NEW)
    city.views.publish([BELL], ordered[1:])
    coming = city.views.head(next_view(BELL))
    assert coming is not None
    city.views.acknowledge("bell-2", coming.epoch, coming.head_rev, now)

    def known(edge: str) -> list[tuple[set[str], bool]]:
        with city.engine.connect() as connection:
            orders, _ = orders_of(connection, BELL, edge)
        return [({mode.value for mode in each.modes}, each.heard is not None) for each in orders]

    assert known("bell-1") == [({"fare_exempt"}, False), (set(), False)]
    assert known("bell-2") == [({"fare_exempt"}, True), (set(), True)]
    finish(city, now)
    assert known("bell-2") == [({"fare_exempt"}, True), (set(), True)]


def test_claims_reconciling_and_new_stations_serve_both(city: Cloud) -> None:
    """A check-in, a look and a station that joins put each rider into the view of each model."""
    now = datetime.now(UTC)
    model_change.begin(city.engine, SAFE, NEW, now)
    nobody_fits = Membership(SOURCING, SAFE, Budget(first=10, first_max=20, second=10, spare_max=0))
    with city.engine.begin() as connection:
        nobody_fits.settle(connection, [face(ANA, NEW, 2)], now)
    assert city.holds(next_view(BELL)) == {}

    with city.engine.begin() as connection:
        until = now + timedelta(minutes=30)
        claim = nobody_fits.claim_now(connection, BELL, ANA, CHECK_IN.name, until, now=now)
    assert claim is ClaimOutcome.PUT
    assert city.holds(next_view(BELL)) == {ANA: NEW}
    assert city.holds(next_view(DRUM)) == {}

    city.settle(face(BEN, NEW, 2))
    city.views.admit(EdgeNode("west-1", "west-gate", bytes(32)), now)
    city.reconcile()

    for station in (BELL, DRUM, "west-gate"):
        assert city.holds(next_view(station)) == {ANA: NEW, BEN: NEW}
        assert city.holds(station) == dict.fromkeys((ANA, BEN, CEM), OLD)


def leaves_both(city: Cloud, mistake: Callable[[], object] = lambda: None) -> bool:
    """Begin a change, bring Ana over and let her leave; return whether both views let her go."""
    model_change.begin(city.engine, SAFE, NEW, datetime.now(UTC))
    city.settle(face(ANA, NEW, 2))
    assert city.holds(BELL)[ANA] == OLD
    assert city.holds(next_view(BELL))[ANA] == NEW
    mistake()
    city.settle(Withdraw(ANA, datetime.now(UTC) + timedelta(minutes=3)))
    denied = [
        isinstance(each, PutDenial) and each.denial.rider_ref == ANA
        for view in (BELL, next_view(BELL))
        for each in city.views.whole(view).changes
    ]
    held = {*city.holds(BELL), *city.holds(next_view(BELL))}
    return ANA not in held and sum(denied) == 2


class TestControls:
    """Each promise is broken by the mistake that it is there for."""

    def test_nothing_is_broken(self, city: Cloud) -> None:
        """Without a mistake, both views let her go."""
        assert leaves_both(city)

    def test_a_withdrawal_that_knows_first_views_alone(
        self, city: Cloud, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Were the second view's tombstone forgotten, the check would see it."""
        held_by = membership_module.held_by

        def forgets(connection: sa.Connection, refs: Iterable[UUID]) -> object:
            found = held_by(connection, refs)
            return {
                ref: {view: held for view, held in views.items() if not is_next(view)}
                for ref, views in found.items()
            }

        assert not leaves_both(
            city, lambda: monkeypatch.setattr(membership_module, "held_by", forgets)
        )

    def test_an_order_that_knows_first_views_alone(
        self, city: Cloud, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Were the second view's deny list forgotten, the check would see it."""
        stations = publish_module.stations
        assert not leaves_both(
            city, lambda: monkeypatch.setattr(membership_module, "views", stations)
        )

    def test_a_put_that_mixes_spaces(self, city: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
        """Were views taken for one model's, the log itself would refuse the other's template."""
        lock_views = membership_module.lock_views

        def mixes(connection: sa.Connection, view_ids: Iterable[str]) -> dict[str, str]:
            return dict.fromkeys(lock_views(connection, view_ids), NEW)

        model_change.begin(city.engine, SAFE, NEW, datetime.now(UTC))
        monkeypatch.setattr(membership_module, "lock_views", mixes)

        with pytest.raises(SpaceRefused):
            city.settle(face(ANA, NEW, 2))
        assert set(city.holds(BELL).values()) == {OLD}

    def test_a_cloud_that_serves_everybody_the_first_view(
        self, city: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Were the model not looked at, the new node would be refused, never served the old one."""
        model_change.begin(city.engine, SAFE, NEW, datetime.now(UTC))
        city.settle(face(ANA, NEW, 2))
        monkeypatch.setattr(next_view_module, "followed", lambda station, *_: station)
        new = Node(city, "bell-2", BELL, NEW, tmp_path)
        try:
            time.sleep(0.5)
            assert new.riders == {}
        finally:
            new.stop()
