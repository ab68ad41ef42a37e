"""Riders in two models at once: every store keeps the same promises while the model is changed."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Protocol
from uuid import UUID

import pytest
import sqlalchemy as sa

from cloud_sync.adapters.postgres import model_change
from cloud_sync.adapters.postgres import view_log as cloud
from cloud_sync.gallery import PutTemplate
from cloud_sync.master.model_change import ModelState, Phase, ended
from cloud_sync.stream.view import EdgeNode
from cloud_sync.view_id import next_view
from edge_gate.adapters.memory_eye import MemoryEye
from edge_gate.face import Embedding
from enroll.adapters.memory import MemoryRiderStore
from enroll.adapters.pictures import OpenCvPictures
from enroll.adapters.postgres import PostgresRiderStore
from enroll.consent import Purpose
from enroll.enrollment import Decline, Declined
from enroll.photo import Accepted, Assessor, PhotoConfig
from enroll.refusal import Refusal, Refused
from enroll.remeasure import CAUSE, Outcome, Remeasure
from enroll.rider import RiderEvent
from enroll.store import Dossier, Remeasured, RiderStore
from enroll.web.answers import face_in_words
from tests.cloud_city import small_city
from tests.keys import LEDGER, SAFE
from tests.riders import FACE_CONSENTS, MONDAY, Office, desk, direction

OLD, NEW = "old/space@0", "new/space@1"
KEEPS = (*FACE_CONSENTS, Purpose.KEEP_PHOTOS)
RUNNING = ModelState(OLD, NEW, Phase.RUNNING, MONDAY)
FINISHING = replace(RUNNING, phase=Phase.FINISHING)


class Eye:
    """Sees in a file the face that the file names; of `bad` files it sees none."""

    def __init__(self, model_id: str, *, twins: bool = False) -> None:
        self.model_id, self._twins = model_id, twins
        self.looks: list[bytes] = []

    def face(self, data: bytes) -> Embedding:
        """Return a face in this model's space: another vector in each."""
        name = b"somebody" if self._twins else data.split()[0]
        number = sum(name) * (7 if self.model_id == OLD else 11)
        return direction(number + len(data), near=direction(number), cosine=0.9)

    def __call__(self, data: bytes, first: Embedding | None) -> Accepted | Refused:
        """Judge a file; the same person must be the same in this space, too."""
        self.looks.append(data)
        if b"bad" in data and self.model_id == NEW:
            return Refused(Refusal.NO_FACE)
        seen = self.face(data)
        if first is not None and float(first @ seen) < 0.35:
            return Refused(Refusal.OTHER_PERSON)
        return Accepted(seen, self.model_id, 0.9, 1.0, data)


class Bench(Protocol):
    """A store, and the cloud's side of a change."""

    @property
    def store(self) -> RiderStore:
        """The store."""

    def begin(self) -> None:
        """Let the change begin."""

    def finish(self) -> None:
        """Let the old model go, as far as the cloud has it."""

    def rollback(self) -> None:
        """Let the new model go, as far as the cloud has it."""

    def end(self) -> None:
        """Note that nothing is left to go."""


class MemoryBench:
    """In memory."""

    def __init__(self) -> None:
        self.store = MemoryRiderStore(["S1"])

    def begin(self) -> None:
        """Let the change begin."""
        self.store.set_models(RUNNING)

    def finish(self) -> None:
        """Let the old model go."""
        self.store.set_models(FINISHING)

    def rollback(self) -> None:
        """Let the new model go."""
        self.store.set_models(replace(RUNNING, phase=Phase.ROLLING_BACK))

    def end(self) -> None:
        """Note that nothing is left to go."""
        phase = self.store._state.models
        self.store.set_models(ended(phase))


class PostgresBench:
    """On PostgreSQL, with the cloud's own steps."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self.views = cloud.PostgresViewLog(engine, SAFE)
        self.views.admit(EdgeNode("edge-1", "S1", bytes(32)), MONDAY)
        self.store = PostgresRiderStore(engine, small_city(), LEDGER.append)

    def begin(self) -> None:
        """Let the change begin."""
        model_change.begin(self.engine, SAFE, NEW, MONDAY)

    def finish(self) -> None:
        """Let the old model go."""
        model_change.finish(
            self.engine, SAFE, waiting=0, is_forced=False, now=MONDAY, told=lambda *_: None
        )

    def rollback(self) -> None:
        """Let the new model go."""
        model_change.rollback(self.engine, SAFE, now=MONDAY, told=lambda *_: None)

    def end(self) -> None:
        """Note that nothing is left to go."""
        model_change.end(self.engine)

    def holds(self, view_id: str) -> dict[UUID, str]:
        """Return whose templates a view has, and of which model."""
        changes = self.views.whole(view_id).changes
        found = [each.template for each in changes if isinstance(each, PutTemplate)]
        return {each.rider_ref: each.model_id for each in found}

    def of_model(self, model_id: str) -> int:
        """Return how many records of enrollment a model has made."""
        statement = sa.text("""
            SELECT (SELECT count(*) FROM enroll.template WHERE model_id = :model)
                + (SELECT count(*) FROM enroll.photo WHERE :model IN (model_id, next_model_id))
        """)
        with self.engine.connect() as connection:
            return int(connection.execute(statement, {"model": model_id}).scalar_one())


@pytest.fixture
def memory() -> MemoryBench:
    """Give the store in memory."""
    return MemoryBench()


@pytest.fixture(params=["memory", "postgres"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Give each store in turn."""
    if request.param == "memory":
        yield MemoryBench()
    else:
        yield PostgresBench(request.getfixturevalue("engine"))


class Counter:
    """Where riders come, with both eyes."""

    def __init__(self, store: RiderStore) -> None:
        self.office = Office(store)
        self.old, self.new = Eye(OLD), Eye(NEW)
        self.anew = Remeasure(self.office.enrollment)

    def enrolls(self, name: str, *files: bytes, consents: tuple[Purpose, ...] = KEEPS) -> UUID:
        """Let somebody sign up with photos, judged by the old model."""
        ref = self.office.sign_up(name, *consents)
        for data in files:
            assert isinstance(self.adds(ref, data), Dossier)
        return ref

    def adds(self, ref: UUID, data: bytes, *, both: bool = False, new: bool = False) -> object:
        """Add a photo, judged by the old model, by both, or by the new one."""
        return self.office.enrollment.add_photo(
            ref,
            data,
            assess=self.new if new else self.old,
            coming=self.new if both else None,
            photo_id=UUID(int=self.office.dice.getrandbits(128), version=4),
            now=MONDAY,
        )

    def reembeds(self) -> dict[UUID, Outcome]:
        """Measure everybody anew who was not yet, as the command does."""
        refs = self.office.store.to_measure(NEW, None, 100)
        return {ref: self.anew.rider(ref, self.new, NEW, MONDAY) for ref in refs}

    def adopts(self) -> dict[UUID, bool]:
        """Let the new model be everybody's only one, as the command does."""
        refs = self.office.store.to_adopt(NEW, None, 100)
        return {ref: self.anew.adopt(ref, MONDAY) for ref in refs}


def test_the_whole_way(bench: Bench) -> None:
    """Kept photos bring riders over; without one, or with a bad one, the code is the way.

    Ada's photos are kept, Ben's are not, Cleo's are not good enough for the new model, and Dora
    enrolls in the middle of the change.
    """
    counter = Counter(bench.store)
    ada = counter.enrolls("Ada", b"Ada 1", b"Ada 22")
    ben = counter.enrolls("Ben", b"Ben 1", consents=FACE_CONSENTS)
    cleo = counter.enrolls("Cleo", b"Cleo bad")
    bench.begin()
    assert bench.store.remeasured(NEW) == Remeasured(0, 2, 0, 1)
    before = counter.office.dossier(ada).template

    outcomes = counter.reembeds()
    dora = counter.office.sign_up("Dora", *FACE_CONSENTS)
    counter.adds(dora, b"Dora 1", both=True)

    assert outcomes == {ada: Outcome.DONE, cleo: Outcome.REFUSED}
    assert bench.store.remeasured(NEW) == Remeasured(2, 0, 1, 1)
    assert counter.reembeds() == {}  # again is nothing
    assert sorted(counter.new.looks) == [b"Ada 1", b"Ada 22", b"Cleo bad", b"Dora 1"]
    now = counter.office.dossier(ada)
    assert before is not None
    assert now.template is not None
    assert now.next_template is not None
    assert (now.template.version, now.template.model_id) == (before.version, OLD)
    assert (now.next_template.version, now.next_template.model_id) == (3, NEW)
    assert now.next_template.photos == 2
    if isinstance(bench, PostgresBench):
        assert bench.holds("S1") == dict.fromkeys((ada, ben, cleo, dora), OLD)
        assert bench.holds(next_view("S1")) == dict.fromkeys((ada, dora), NEW)

    assert face_in_words(now) == "Your face opens the gates."
    assert "the new ones do not know you yet" in face_in_words(counter.office.dossier(ben))

    bench.finish()
    between = [counter.office.dossier(each).template for each in (ada, ben)]
    lost = counter.adopts()
    bench.end()

    assert [each and each.model_id for each in between] == [NEW, None]
    assert lost == {ada: False, ben: True, cleo: True, dora: False}
    assert counter.adopts() == {}
    after = counter.office.dossier(ada)
    assert after.template is not None
    assert after.template.model_id == NEW
    assert after.stationed == after.template.version
    assert [photo.original for photo in after.photos] == [b"Ada 1", b"Ada 22"]
    assert {photo.model_id for photo in after.photos} == {NEW}
    assert after.next_template is None
    gone = counter.office.dossier(ben)
    assert (gone.photos, gone.template, gone.stationed, gone.unread) == ((), None, 0, 0)
    assert [(each.cause, each.photos, each.templates) for each in gone.erasures] == [(CAUSE, 1, 1)]

    assert "Please add a new photo; until then your ride code works" in face_in_words(gone)

    # A new photo is all that is needed, and the old model's judge is not heard any more.
    assert counter.adds(ben, b"Ben 1") == Declined(Decline.MODEL_CHANGES)
    assert isinstance(counter.adds(ben, b"Ben 1", new=True), Dossier)
    if isinstance(bench, PostgresBench):
        assert bench.of_model(OLD) == 0
        assert bench.holds("S1") == dict.fromkeys((ada, ben, dora), NEW)


def test_a_rollback_leaves_everything_as_it_was(bench: Bench) -> None:
    """Of the new model nothing stays; the same change can begin again and counts on."""
    counter = Counter(bench.store)
    ada = counter.enrolls("Ada", b"Ada 1")
    before = counter.office.dossier(ada)
    bench.begin()
    counter.reembeds()

    bench.rollback()
    assert counter.anew.rider(ada, counter.new, NEW, MONDAY) in (Outcome.ENDED, Outcome.NOTHING)
    forgotten = bench.store.forget_model(NEW)
    bench.end()

    after = counter.office.dossier(ada)
    assert forgotten == 2  # a photo's measurement and a template
    assert before.template is not None
    assert after.template is not None
    assert after.template.version == before.template.version
    assert after.next_template is None
    assert [photo.again for photo in after.photos] == [None]
    if isinstance(bench, PostgresBench):
        assert bench.of_model(NEW) == 0

    bench.begin()
    assert counter.reembeds() == {ada: Outcome.DONE}
    again = counter.office.dossier(ada).next_template
    assert again is not None
    assert again.version == 3


def test_an_erasure_takes_both(bench: Bench) -> None:
    """Photo by photo and at once: nothing that the coming model made outlives its photo."""
    counter = Counter(bench.store)
    ada = counter.enrolls("Ada", b"Ada 1")
    counter.office.enrollment.choose(ada, Purpose.KEEP_PHOTOS, given=False, now=MONDAY)
    counter.office.enrollment.choose(ada, Purpose.KEEP_PHOTOS, given=True, now=MONDAY)
    bench.begin()
    counter.adds(ada, b"Ada 22", both=True)
    first, second = counter.office.dossier(ada).photos
    assert (first.again, second.again is not None) == (None, True)
    if isinstance(bench, PostgresBench):
        assert bench.holds(next_view("S1")) == {ada: NEW}

    left = counter.office.enrollment.drop_photo(ada, second.photo_id, now=MONDAY)

    assert isinstance(left, Dossier)
    assert left.next_template is None
    assert left.template is not None
    if isinstance(bench, PostgresBench):
        assert bench.holds(next_view("S1")) == {}
        assert bench.holds("S1") == {ada: OLD}

    counter.adds(ada, b"Ada 333", both=True)
    counter.office.enrollment.move(ada, RiderEvent.WITHDRAW, now=MONDAY)
    gone = counter.office.dossier(ada)
    assert (gone.template, gone.next_template, gone.photos, gone.unread) == (None, None, (), 0)
    assert gone.erasures[-1].templates == 2
    if isinstance(bench, PostgresBench):
        assert bench.holds(next_view("S1")) == bench.holds("S1") == {}
        assert bench.of_model(NEW) == bench.of_model(OLD) == 0


def test_whoever_judges_photos_changes_over_by_itself() -> None:
    """A server with both packs judges by the one that stays, and by the coming one meanwhile."""

    def judge(model_id: str) -> Assessor:
        seeing = MemoryEye()
        seeing.model_id = model_id
        return Assessor(seeing.eye, OpenCvPictures(), PhotoConfig())

    old, new = judge(OLD), judge(NEW)
    both = replace(desk(MemoryRiderStore(), judge=old), coming=new)

    assert both.judges(ModelState()) == (old, None)
    assert both.judges(RUNNING) == (old, new)
    assert both.judges(FINISHING) == (new, None)
    assert both.judges(ModelState(NEW)) == (new, None)
    assert both.judges(ModelState(OLD)) == (old, None)
    # The control: a server that nobody gave the new pack takes no photo once it is in force.
    assert replace(both, coming=None).judges(ModelState(NEW)) == (None, None)


def test_a_cut_loses_nothing_and_doubles_nothing(memory: MemoryBench) -> None:
    """What was measured before the cut stays, and the next run does the others alone."""
    counter = Counter(memory.store)
    people = sorted(counter.enrolls(name, name.encode() + b" 1") for name in ("Ada", "Ben", "Cleo"))
    memory.begin()
    counter.anew.rider(people[0], counter.new, NEW, MONDAY)

    class CutError(Exception):
        pass

    def cut(_data: bytes, _first: Embedding | None) -> Accepted | Refused:
        raise CutError

    with pytest.raises(CutError):
        counter.anew.rider(people[1], cut, NEW, MONDAY)

    assert set(counter.reembeds()) == set(people[1:])
    versions = [counter.office.dossier(ref).templates_made for ref in people]
    assert versions == [2, 2, 2]


def test_two_who_look_alike_in_the_new_space_ride_by_code(memory: MemoryBench) -> None:
    """The search of look-alikes runs in the space of the new template, over those in it."""
    counter = Counter(memory.store)
    ada, ben = counter.enrolls("Ada", b"Ada 1"), counter.enrolls("Ben", b"Ben 1")
    memory.begin()
    assert counter.office.dossier(ada).alike == ()
    counter.new = Eye(NEW, twins=True)

    counter.reembeds()

    (pair,) = counter.office.dossier(ada).alike
    assert {pair.one, pair.other} == {ada, ben}
    assert counter.office.dossier(ada).stationed == counter.office.dossier(ben).stationed == 0


def test_what_is_no_longer_kept_is_not_measured(memory: MemoryBench) -> None:
    """A rider who takes the consent back while pictures are judged is left alone."""
    counter = Counter(memory.store)
    ada = counter.enrolls("Ada", b"Ada 1")
    memory.begin()

    def judge(data: bytes, first: Embedding | None) -> Accepted | Refused:
        counter.office.enrollment.choose(ada, Purpose.KEEP_PHOTOS, given=False, now=MONDAY)
        return counter.new(data, first)

    assert counter.anew.rider(ada, judge, NEW, MONDAY) is Outcome.REFUSED
    assert counter.office.dossier(ada).next_template is None
    assert counter.anew.rider(ada, counter.new, NEW, MONDAY) is Outcome.NOTHING
