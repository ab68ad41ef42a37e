"""Every `RiderStore` keeps the same promises."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

import numpy as np
import pytest
import sqlalchemy as sa

from cloud_sync.adapters.postgres import view_log as cloud
from cloud_sync.gallery import Change, DropTemplate, IssuerKey, PutDenial, PutKey, PutTemplate
from cloud_sync.master.gallery import Activate, Deactivate, Withdraw
from cloud_sync.stream.view import EdgeNode
from enroll.adapters.memory import MemoryRiderStore
from enroll.adapters.postgres import PostgresRiderStore
from enroll.code import make_key
from enroll.consent import ConsentRecord, Purpose
from enroll.lookalike import LookalikePair, Verdict
from enroll.rider import Rider, RiderState
from enroll.store import CheckIn, Erasure, RiderStore, StoreFailed
from enroll.template import PLAIN, MasterTemplate, Photo
from tests.cloud_city import small_city
from tests.keys import LEDGER, SAFE
from tests.riders import direction

ADA, BEN = UUID(int=1, version=4), UUID(int=2, version=4)


class Bench(Protocol):
    """A store with its stations in view."""

    @property
    def store(self) -> RiderStore:
        """The store."""

    def add_station(self, station_id: str) -> None:
        """Let a station join."""

    def holds(self, station_id: str) -> set[object]:
        """Return what a station holds: rider references and key numbers."""


class MemoryBench:
    """In memory."""

    def __init__(self) -> None:
        self.store = MemoryRiderStore()

    def add_station(self, station_id: str) -> None:
        """Let a station join."""
        self.store.add_station(station_id)

    def holds(self, station_id: str) -> set[object]:
        """Replay what the station was told."""
        held: set[object] = set()
        for change in self.store.view(station_id):
            name = _name(change)
            held = held - {name} if isinstance(change, DropTemplate) else held | {name}
        return held


class PostgresBench:
    """On PostgreSQL with the real station views of `cloud_sync`."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self.store = PostgresRiderStore(engine, small_city(), LEDGER.append)

    def add_station(self, station_id: str) -> None:
        """Write a view as `cloud_sync admit` does."""
        add_view(self.engine, station_id)

    def holds(self, station_id: str) -> set[object]:
        """Read the view."""
        whole = cloud.PostgresViewLog(self.engine, SAFE).whole(station_id)
        return {_name(change) for change in whole.changes}


def add_view(engine: sa.Engine, station_id: str) -> None:
    """Let a station join."""
    node = EdgeNode(f"edge-{station_id}", station_id, bytes(range(32)))
    cloud.PostgresViewLog(engine, SAFE).admit(node, datetime.fromisoformat("2026-05-04T12:00:00Z"))


def _name(change: Change) -> object:
    match change:
        case PutTemplate(template):
            return template.rider_ref
        case DropTemplate(ref):
            return ref
        case PutKey(key):
            return key.key_id
        case PutDenial(denial):
            return ("denied", denial.rider_ref)
        case _:
            raise AssertionError(change)


@pytest.fixture(params=["memory", "postgres"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Give each store in turn."""
    if request.param == "memory":
        yield MemoryBench()
    else:
        yield PostgresBench(request.getfixturevalue("engine"))


def rider(ref: UUID, noon: datetime, *, name: str = "Ada") -> Rider:
    """Give a new rider."""
    return Rider(ref, name, minor=False, state=RiderState.ACTIVE, created=noon)


def template(ref: UUID, noon: datetime, *, seed: int = 1, version: int = 1) -> MasterTemplate:
    """Give a template in a random direction."""
    return MasterTemplate(ref, version, "test/space", PLAIN, direction(seed), noon, 1)


def photo(ref: UUID, noon: datetime, number: int, *, original: bytes | None = None) -> Photo:
    """Give a photo with a random embedding."""
    embedding = direction(100 + number)
    return Photo(UUID(int=number), ref, noon, "test/space", embedding, 0.5, original)


class TestDossiers:
    """What is written is read again."""

    def test_unknown_rider(self, bench: Bench) -> None:
        """A reference that nobody has finds nothing, inside a unit and outside."""
        with bench.store.begin() as unit:
            assert unit.read(ADA) is None
        assert bench.store.find(ADA) is None

    def test_everything_comes_back(self, bench: Bench, noon: datetime) -> None:
        """A dossier with every part filled is read as it was written, vectors bit by bit."""
        ada = rider(ADA, noon)
        consents = (
            ConsentRecord(ADA, Purpose.STORE, given=True, text_version=1, at=noon),
            ConsentRecord(ADA, Purpose.STORE, given=False, text_version=1, at=noon),
        )
        photos = (photo(ADA, noon, 7, original=b"jpeg"), photo(ADA, noon, 3))
        erasure = Erasure(ADA, noon, "withdrawn", 1, 2, 3)

        with bench.store.begin() as unit:
            unit.add_rider(ada, b"k" * 32)
            for record in consents:
                unit.append_consent(record)
            for each in photos:
                unit.add_photo(each)
            unit.put_template(template(ADA, noon, version=4))
            unit.set_stationed(ADA, 4)
            unit.add_erasure(erasure)
        found = bench.store.find(ADA)

        assert found is not None
        assert (found.rider, found.key_hash) == (ada, b"k" * 32)
        assert (found.consents, found.erasures) == (consents, (erasure,))
        assert [p.photo_id for p in found.photos] == [p.photo_id for p in photos]
        assert [p.original for p in found.photos] == [b"jpeg", None]
        for got, given in zip(found.photos, photos, strict=True):
            np.testing.assert_array_equal(got.embedding, given.embedding)
        assert found.template is not None
        np.testing.assert_array_equal(found.template.vector, direction(1))
        assert (found.templates_made, found.stationed) == (4, 4)

    def test_changes(self, bench: Bench, noon: datetime) -> None:
        """Name, state, key, photos, originals and template can be changed and deleted."""
        with bench.store.begin() as unit:
            unit.add_rider(rider(ADA, noon), b"k" * 32)
            for number in (1, 2, 3):
                unit.add_photo(photo(ADA, noon, number, original=b"jpeg"))
            unit.put_template(template(ADA, noon, version=1))
            unit.put_template(template(ADA, noon, version=2, seed=5))
        with bench.store.begin() as unit:
            unit.set_rider(replace(rider(ADA, noon), display_name="", state=RiderState.PAUSED))
            unit.set_key_hash(ADA, b"n" * 32)
            unit.drop_photo(ADA, UUID(int=2))
            unit.drop_photo(ADA, UUID(int=99))
            unit.drop_originals(ADA)
            unit.drop_template(ADA, noon)
        found = bench.store.find(ADA)

        assert found is not None
        assert (found.rider.display_name, found.rider.state) == ("", RiderState.PAUSED)
        assert found.key_hash == b"n" * 32
        assert [(p.photo_id.int, p.original) for p in found.photos] == [(1, None), (3, None)]
        assert (found.template, found.templates_made) == (None, 2)

    def test_reference_is_used_once(self, bench: Bench, noon: datetime) -> None:
        """A second rider with a taken reference is refused."""
        with bench.store.begin() as unit:
            unit.add_rider(rider(ADA, noon), b"k" * 32)
        with pytest.raises(StoreFailed), bench.store.begin() as unit:
            unit.add_rider(rider(ADA, noon, name="Other"), b"x" * 32)

        found = bench.store.find(ADA)
        assert found is not None
        assert found.rider.display_name == "Ada"


class TestUnits:
    """All or nothing."""

    def test_exception_undoes_everything(self, bench: Bench, noon: datetime) -> None:
        """What a unit wrote before it failed is gone, also from the stations."""
        bench.add_station("S1")

        def cut_off() -> None:
            with bench.store.begin() as unit:
                unit.add_rider(rider(ADA, noon), b"k" * 32)
                unit.put_template(template(ADA, noon))
                unit.tell_master(Activate(ADA), noon)
                unit.tell_stations([PutKey(IssuerKey(3, bytes(32)))])
                raise RuntimeError("power cut")

        with pytest.raises(RuntimeError):
            cut_off()

        assert bench.store.find(ADA) is None
        assert bench.holds("S1") == set()

    def test_unit_sees_its_own_writes(self, bench: Bench, noon: datetime) -> None:
        """A dossier read within a unit holds what the unit wrote before."""
        with bench.store.begin() as unit:
            unit.add_rider(rider(ADA, noon), b"k" * 32)
            unit.put_template(template(ADA, noon))
            found = unit.read(ADA)

        assert found is not None
        assert found.template is not None


class TestLookalikes:
    """The master gallery and the pairs in it."""

    def test_nearest(self, bench: Bench, noon: datetime) -> None:
        """Other riders of the same space at or above the score come, the closest first."""
        mine = template(ADA, noon)
        others = {10: 0.9, 11: 0.6, 12: 0.4}
        with bench.store.begin() as unit:
            unit.add_rider(rider(ADA, noon), b"k" * 32)
            unit.put_template(mine)
            for number, cosine in others.items():
                ref = UUID(int=number)
                vector = direction(number, near=mine.vector, cosine=cosine)
                unit.add_rider(rider(ref, noon), b"k" * 32)
                unit.put_template(replace(template(ref, noon), vector=vector))
            foreign = UUID(int=13)
            unit.add_rider(rider(foreign, noon), b"k" * 32)
            unit.put_template(replace(mine, rider_ref=foreign, model_id="other/space"))
        with bench.store.begin() as unit:
            found = unit.nearest(mine, 0.5)

        assert [match.rider_ref.int for match in found] == [10, 11]
        assert [match.score for match in found] == pytest.approx([0.9, 0.6], abs=1e-3)

    def test_pairs(self, bench: Bench, noon: datetime) -> None:
        """A pair is in both dossiers, open until cleared, and forgotten with either rider."""
        pair = LookalikePair(ADA, BEN, 0.8, noon)
        with bench.store.begin() as unit:
            unit.add_rider(rider(ADA, noon), b"k" * 32)
            unit.add_rider(rider(BEN, noon), b"k" * 32)
            unit.put_pair(pair)
        for ref in (ADA, BEN):
            found = bench.store.find(ref)
            assert found is not None
            assert found.alike == (pair,)
        assert bench.store.open_pairs() == (pair,)

        with bench.store.begin() as unit:
            unit.put_pair(replace(pair, verdict=Verdict.CLEARED))
        assert bench.store.open_pairs() == ()

        with bench.store.begin() as unit:
            unit.drop_pairs(BEN)
        found = bench.store.find(ADA)
        assert found is not None
        assert found.alike == ()


class TestStations:
    """Views commit with the dossier."""

    def test_active_riders_are_held(self, bench: Bench, noon: datetime) -> None:
        """All stations of a small city get an active rider's template, and lose it by a pause."""
        for station in ("S1", "S2"):
            bench.add_station(station)
        with bench.store.begin() as unit:
            unit.add_rider(rider(ADA, noon), b"k" * 32)
            unit.put_template(template(ADA, noon))
        assert bench.holds("S1") == set()

        with bench.store.begin() as unit:
            unit.tell_master(Activate(ADA), noon)
        assert bench.holds("S1") == bench.holds("S2") == {ADA}

        with bench.store.begin() as unit:
            unit.tell_master(Deactivate(ADA), noon)
        assert bench.holds("S1") == bench.holds("S2") == set()

    def test_a_dropped_template_is_dropped_everywhere(self, bench: Bench, noon: datetime) -> None:
        """Without a template nobody is active, and the old version does not come back."""
        bench.add_station("S1")
        with bench.store.begin() as unit:
            unit.add_rider(rider(ADA, noon), b"k" * 32)
            unit.put_template(template(ADA, noon))
            unit.tell_master(Activate(ADA), noon)

        with bench.store.begin() as unit:
            unit.drop_template(ADA, noon)
        assert bench.holds("S1") == set()

        with bench.store.begin() as unit:
            unit.put_template(template(ADA, noon, version=2))
            unit.tell_master(Activate(ADA), noon)
        assert bench.holds("S1") == {ADA}

    def test_a_withdrawal_is_on_the_deny_list(self, bench: Bench, noon: datetime) -> None:
        """A station is told to refuse the codes of a rider who withdrew, face or no face."""
        bench.add_station("S1")
        with bench.store.begin() as unit:
            unit.add_rider(rider(ADA, noon), b"k" * 32)
            unit.tell_master(Withdraw(ADA, noon + timedelta(seconds=125)), noon)

        assert bench.holds("S1") == {("denied", ADA)}

    def test_keys_go_everywhere(self, bench: Bench) -> None:
        """A ride-code key is written into every view."""
        for station in ("S1", "S2"):
            bench.add_station(station)
        with bench.store.begin() as unit:
            unit.tell_stations([PutKey(IssuerKey(3, bytes(32)))])

        assert bench.holds("S1") == bench.holds("S2") == {3}

    def test_nobody_to_tell(self, bench: Bench, noon: datetime) -> None:
        """Without stations, telling them is no error."""
        with bench.store.begin() as unit:
            unit.add_rider(rider(ADA, noon), b"k" * 32)
            unit.put_template(template(ADA, noon))
            unit.tell_master(Activate(ADA), noon)
            unit.tell_stations([PutKey(IssuerKey(3, bytes(32)))])
            assert unit.new_stations() == ()

    def test_new_station_is_filled_once(self, bench: Bench, noon: datetime) -> None:
        """A station is new until it was filled, and its fill holds active riders alone."""
        bench.add_station("S1")
        with bench.store.begin() as unit:
            assert unit.new_stations() == ("S1",)
            unit.fill_station("S1", [], noon)
        with bench.store.begin() as unit:
            for ref in (ADA, BEN):
                unit.add_rider(rider(ref, noon), b"k" * 32)
                unit.put_template(template(ref, noon))
            unit.tell_master(Activate(ADA), noon)
        bench.add_station("S2")
        with bench.store.begin() as unit:
            assert unit.new_stations() == ("S2",)
            unit.fill_station("S2", [PutKey(IssuerKey(3, bytes(32)))], noon)
        with bench.store.begin() as unit:
            assert unit.new_stations() == ()
        assert (bench.holds("S1"), bench.holds("S2")) == ({ADA}, {ADA, 3})


class TestStationsOfTheRider:
    """Home stations and check-in."""

    def test_homes_are_part_of_the_dossier(self, bench: Bench, noon: datetime) -> None:
        """Homes are read in the rider's order, within the unit and after it."""
        with bench.store.begin() as unit:
            unit.add_rider(rider(ADA, noon), b"k" * 32)
            unit.set_homes(ADA, ("S2", "S1"), noon)
            inside = unit.read(ADA)
        outside = bench.store.find(ADA)

        assert inside is not None
        assert outside is not None
        assert inside.homes == outside.homes == ("S2", "S1")

    def test_check_in(self, bench: Bench, noon: datetime) -> None:
        """A station expects an active rider; a face that is off and a strange station are told."""
        bench.add_station("S1")
        until = noon + timedelta(minutes=30)
        with bench.store.begin() as unit:
            unit.add_rider(rider(ADA, noon), b"k" * 32)
            unit.put_template(template(ADA, noon))
        outcomes = []
        for station in ("S1", "atlantis"):
            with bench.store.begin() as unit:
                outcomes.append(unit.check_in(ADA, "S1", until, noon))
            with bench.store.begin() as unit:
                unit.tell_master(Activate(ADA), noon)
            with bench.store.begin() as unit:
                outcomes.append(unit.check_in(ADA, station, until, noon))

        assert outcomes == [
            CheckIn.NOT_ACTIVE,
            CheckIn.EXPECTED,
            CheckIn.EXPECTED,
            CheckIn.NO_STATION,
        ]


class TestIssuerKeys:
    """Keys that sign ride codes."""

    def test_newest_comes_last(self, bench: Bench, noon: datetime) -> None:
        """Keys are kept whole, in the order of their making; a number is used once."""
        first = make_key(9, bytes(range(32)), noon)
        second = make_key(2, bytes(range(1, 33)), noon + timedelta(days=1))
        with bench.store.begin() as unit:
            unit.add_issuer_key(first)
            unit.add_issuer_key(second)
        with bench.store.begin() as unit:
            assert unit.issuer_keys() == (first, second)
        with pytest.raises(StoreFailed), bench.store.begin() as unit:
            unit.add_issuer_key(first)
