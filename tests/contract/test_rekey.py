"""A re-key renews every key and rotation while riders go on riding, and nobody enrolls anew."""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import numpy as np
import numpy.typing as npt
import pytest
import sqlalchemy as sa

from cloud_sync.adapters.grpc.granted import Granted
from cloud_sync.adapters.grpc.outgoing import Outgoing, Sealing
from cloud_sync.adapters.memory.keys import MemoryKeyStore, MemoryVault
from cloud_sync.adapters.memory.replica import MemoryReplica
from cloud_sync.adapters.postgres import master, model_change
from cloud_sync.adapters.postgres import view_log as cloud
from cloud_sync.adapters.postgres.at_rest import needed
from cloud_sync.adapters.postgres.erasures import PostgresErasureLedger
from cloud_sync.adapters.postgres.membership import Membership
from cloud_sync.adapters.postgres.rekeying import rekey
from cloud_sync.adapters.postgres.rekeying import sealing as cloud_sealing
from cloud_sync.content import Space, root_hash, unpack
from cloud_sync.gallery import Change, DropTemplate, PutTemplate
from cloud_sync.secrecy.key_store import KeysFailed
from cloud_sync.secrecy.opener import Trust
from cloud_sync.secrecy.rotation import PLAIN
from cloud_sync.secrecy.safe import MASTER_TEMPLATE, VIEW_ITEM, Safe, key_id_of
from cloud_sync.secrecy.seal import Label, template_label
from cloud_sync.stream.messages import Bookmark, Chunk, FromCloud, Hello, Snapshot
from cloud_sync.stream.view import EdgeNode
from cloud_sync.view_id import next_view
from cloud_sync.wire import response_from_proto
from edge_gate.adapters.faiss_gallery import FaissGallery
from edge_gate.search import Probe
from enroll.adapters import sealing
from enroll.adapters.postgres import PostgresRiderStore
from enroll.consent import Purpose
from enroll.enrollment import Enrollment
from enroll.rider import RiderEvent
from enroll.stationing import put
from enroll.template import Again, MasterTemplate
from tests.cloud_city import SOURCING
from tests.keys import LEDGER
from tests.riders import FACE_CONSENTS, Office, direction

BELL, DRUM = "bell-tower", "drum-tower"
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
SPACE = Space("test/space", PLAIN, 512)
Vector = npt.NDArray[np.float32]


class Edge:
    """A node behind the real way out of the cloud, with the real opener and the gates' gallery."""

    def __init__(self, city: "City", station_id: str) -> None:
        """Take a snapshot and its key grant as the cloud would send them now."""
        self.city, self.station_id = city, station_id
        self.granted = Granted(
            MemoryVault(), station_id=station_id, edge_id="e", dimension=512, entropy=os.urandom
        )
        key = self.granted.new_stream()
        hello = Hello("e", station_id, None, 0, SPACE.model_id, PLAIN, 0, NOON, stream_key=key)
        self.outgoing = Outgoing(city.views, Sealing(lambda: city.safe.ring), hello, "e", Noon())
        self.outgoing.lease = timedelta(days=1)
        self.replica = MemoryReplica()
        self.gallery = FaissGallery(SPACE)
        self.transforms: set[str] = set()
        self.take_snapshot()

    def take_snapshot(self) -> None:
        """Replace everything by the view as it is."""
        whole = self.city.views.whole(self.station_id)
        templates = sum(isinstance(change, PutTemplate) for change in whole.changes)
        snapshot = Snapshot(whole.epoch, whole.rev, 1, templates, root_hash(whole.hashes))
        plan = self._hear(snapshot)
        assert isinstance(plan, Snapshot)
        self.granted.take(whole.epoch, plan.grant)
        self.granted.serve(whole.epoch)
        self.epoch, self.rev = whole.epoch, whole.rev
        self.replica.begin_snapshot(snapshot)
        self.replica.stage(0, self._take(whole.changes, whole.hashes, 0))
        self.replica.finish_snapshot()
        self._read()

    def hear_bookmark(self) -> None:
        """Have the lease renewed, and with it the grant."""
        until = NOON + timedelta(days=1)
        mark = self._hear(Bookmark(self.epoch, self.rev, until, NOON))
        assert isinstance(mark, Bookmark)
        self.granted.take(self.epoch, mark.grant)
        self._read()

    def _read(self) -> None:
        """Match with what is held, as the keys granted now have it."""
        self.replica.use(self.granted.opener(self.epoch))
        held = self.replica.load()
        self.gallery.replace(held.templates, rotation=held.rotation)

    def knows(self, transform_id: str) -> bool:
        """Tell whether the node can compare templates of a transform."""
        opener = self.granted.opener(self.epoch)
        return opener is not None and transform_id in opener.transforms

    def score(self, rider: UUID, probe: Vector) -> float:
        """Search for a probe of the model's own space as a gate does; 0 when it is another's."""
        found = self.gallery.search(Probe(probe, SPACE))
        return found.scores[0] if found.riders[:1] == (rider,) else 0.0

    def _take(
        self, changes: Sequence[Change], hashes: tuple[bytes, ...], rev: int
    ) -> Sequence[Change]:
        heard = self._hear(Chunk(1, self.epoch, rev, rev + 1, tuple(changes), hashes))
        assert isinstance(heard, Chunk)
        assert heard.intact
        assert not heard.refusals
        puts = [change for change in heard.changes if isinstance(change, PutTemplate)]
        self.transforms |= {put.sealed.transform_id for put in puts if put.sealed is not None}
        return heard.changes

    def _hear(self, message: Snapshot | Chunk | Bookmark) -> FromCloud:
        """Send a message through the wire."""
        sent = self.outgoing.ready(message)
        opener = None if isinstance(message, Snapshot) else self.granted.opener(message.epoch)
        return response_from_proto(sent, SPACE, Trust(self.station_id, opener))


class Noon:
    """A clock that stands still."""

    def wall(self) -> datetime:
        """Return the wall clock."""
        return NOON

    def monotonic_s(self) -> float:
        """Return the monotonic clock."""
        return 0.0


class City:
    """Two stations, and riders enrolled at them, on one database with keys of its own."""

    def __init__(self, engine: sa.Engine, *, is_turned: bool) -> None:
        """Prepare.

        Args:
            engine: As migrated, without a row.
            is_turned: Whether new templates are turned by the operator's rotation.
        """
        self.engine = engine
        self.keys = MemoryKeyStore(entropy=os.urandom)
        self.safe = Safe(self.keys, entropy=os.urandom)
        cloud_sealing.prepare(engine, self.safe)
        sealing.prepare(engine, self.safe)
        self.views = cloud.PostgresViewLog(engine, self.safe)
        for station in (BELL, DRUM):
            self.views.admit(EdgeNode(f"edge-{station}", station, bytes(32)), NOON)
        turn = sealing.turner(self.safe) if is_turned else None
        self.office = _Office(
            PostgresRiderStore(engine, Membership(SOURCING, self.safe), LEDGER.append)
        )
        self.office.turn = turn
        self.faces: dict[UUID, Vector] = {}

    def enroll(self, seed: int) -> UUID:
        """Let somebody enroll with a photo that is kept."""
        rider = self.office.sign_up(f"Rider {seed}", *FACE_CONSENTS, Purpose.KEEP_PHOTOS)
        self.faces[rider] = direction(seed)
        self.office.photo(rider, self.faces[rider])
        return rider

    def seal_all(self, *, until: str = "", is_plain_turned: bool = False) -> None:
        """Do the whole of a re-key, or have it cut after a part."""
        ring = rekey.begin(self.engine, self.safe, self.keys)
        assert not ring.is_settled
        sealing.reseal_all(self.engine, self.safe, is_plain_turned=is_plain_turned)

        def told(name: str, _: int) -> None:
            if name == until:
                raise PowerCut

        rekey.seal_all(
            self.engine, self.safe, new_epoch=uuid4, is_plain_turned=is_plain_turned, told=told
        )

    def standing(self) -> rekey.Standing:
        """How far a re-key is."""
        return rekey.standing(self.engine, self.safe)

    def stored(self, rider: UUID) -> dict[str, tuple[str, Vector]]:
        """Open the rider's vector wherever it is kept, past all code that would turn it back."""
        places = {
            sealing.TEMPLATE: "SELECT vector, version, model_id, transform_id"
            " FROM enroll.template WHERE rider_ref = :rider",
            MASTER_TEMPLATE: "SELECT body, version, model_id, transform_id"
            " FROM cloud_sync.master_template WHERE rider_ref = :rider",
            VIEW_ITEM: "SELECT body, version, model_id, transform_id FROM cloud_sync.view_item"
            " WHERE station_id = 'bell-tower' AND substr(item_key, 2) = :key",
        }
        found = {}
        with self.engine.connect() as connection:
            for purpose, query in places.items():
                keys = {"rider": rider} if ":rider" in query else {"key": rider.bytes}
                record, *label = connection.execute(sa.text(query), keys).one()
                bound = template_label(Label(rider.bytes, *label))
                content = self.safe.open(purpose, record, bound)
                is_long = purpose == sealing.TEMPLATE
                vector = np.frombuffer(content, "<f4") if is_long else unpack(content)
                found[purpose] = label[2], vector
        return found

    def record(self, name: str) -> bytes:
        """Read one sealed record of a column."""
        table, column = name.rsplit(".", 1)
        query = sa.text(f"SELECT {column} FROM {table} LIMIT 1")
        with self.engine.connect() as connection:
            return bytes(connection.execute(query).scalar_one())

    def put(self, name: str, record: bytes) -> None:
        """Write a record over all of a column's, past all checks."""
        table, column = name.rsplit(".", 1)
        with self.engine.begin() as connection:
            connection.execute(
                sa.text(f"UPDATE {table} SET {column} = :record"), {"record": record}
            )

    def records(self) -> list[bytes]:
        """Read every sealed record there is."""
        queries = (
            "SELECT vector FROM enroll.template",
            "SELECT embedding FROM enroll.photo",
            "SELECT original FROM enroll.photo",
            "SELECT body FROM cloud_sync.master_template",
            "SELECT body FROM cloud_sync.view_item WHERE substr(item_key, 1, 1) = 'r'",
        )
        with self.engine.connect() as connection:
            return [r for query in queries for r in connection.execute(sa.text(query)).scalars()]


class _Office(Office):
    turn: Callable[[MasterTemplate], MasterTemplate] | None = None

    @property
    def enrollment(self) -> Enrollment:
        """The use cases, turning where the city does."""
        made = super().enrollment
        return made if self.turn is None else replace(made, turn=self.turn)


class PowerCut(Exception):
    """The command was killed."""


@pytest.fixture
def city(engine: sa.Engine) -> City:
    """Give a city whose templates are turned."""
    return City(engine, is_turned=True)


class TestTurned:
    """New templates."""

    @pytest.mark.parametrize("is_turned", [True, False])
    def test_are_turned_wherever_the_cloud_keeps_them(
        self, engine: sa.Engine, is_turned: bool
    ) -> None:
        """A stored vector is a stranger to its face; unturned (the control) it is the face."""
        city = City(engine, is_turned=is_turned)
        ana = city.enroll(1)

        stored = city.stored(ana)

        expected = city.safe.ring.rotation.transform_id if is_turned else PLAIN
        assert {transform for transform, _ in stored.values()} == {expected}
        for _, vector in stored.values():
            if is_turned:
                assert abs(float(vector @ city.faces[ana])) < 0.25
            else:
                assert float(vector @ city.faces[ana]) > 0.999
        edge = Edge(city, BELL)
        assert edge.transforms == {expected}
        assert edge.score(ana, city.faces[ana]) > 0.999

    def test_of_two_operators_are_strangers(self, city: City) -> None:
        """What two operators keep of the same face has nothing in common."""
        ana = city.enroll(1)
        template = city.office.dossier(ana).template
        assert template is not None
        face = replace(template, vector=city.faces[ana], transform_id=PLAIN)
        elsewhere = Safe(MemoryKeyStore(entropy=os.urandom), entropy=os.urandom)

        theirs = sealing.turner(elsewhere)(face).vector

        # Cosines of random directions have deviation 1/sqrt(512) = 0.044.
        for _, ours in city.stored(ana).values():
            assert abs(float(ours @ theirs)) < 0.25
            same = sealing.turner(city.safe)(face).vector
            assert float(ours @ same) > 0.999  # control: one operator's are alike


class TestRekey:
    """From old keys to new ones."""

    def test_a_rider_matches_before_during_and_after(self, city: City) -> None:
        """A probe scores the same throughout; records, epochs and transforms are all renewed."""
        ana, ben = city.enroll(1), city.enroll(2)
        before = Edge(city, BELL)
        old = city.safe.ring
        records = city.records()
        assert before.score(ana, city.faces[ana]) > 0.999
        assert abs(before.score(ana, city.faces[ben])) < 0.5  # control: the score means something

        with pytest.raises(PowerCut):
            city.seal_all(until=BELL)  # this view has the new keys, the other one the old
        during = {station: Edge(city, station) for station in (BELL, DRUM)}
        before.hear_bookmark()  # its stream goes on: it is told of the new rotation, too
        assert before.knows(old.rotation.transform_id)
        assert before.knows(city.safe.ring.rotation.transform_id)
        cleo = city.enroll(3)
        assert city.safe.ring.rotation != old.rotation
        assert during[BELL].epoch != before.epoch
        for edge in (before, *during.values(), Edge(city, BELL), Edge(city, DRUM)):
            assert edge.score(ana, city.faces[ana]) > 0.999
        assert Edge(city, DRUM).score(cleo, city.faces[cleo]) > 0.999
        assert not city.standing().is_done

        city.seal_all()
        assert city.standing().is_done
        goes_on = Edge(city, DRUM)
        assert goes_on.knows(old.rotation.transform_id)  # control: until the end it is there
        assert rekey.finish(city.engine, city.safe, city.keys).is_done
        goes_on.hear_bookmark()
        assert not goes_on.knows(old.rotation.transform_id)
        assert goes_on.score(ana, city.faces[ana]) > 0.999

        city.safe = Safe(city.keys, entropy=os.urandom)  # a process that starts now
        city.views = cloud.PostgresViewLog(city.engine, city.safe)
        assert city.safe.ring.is_settled
        for station in (BELL, DRUM):
            after = Edge(city, station)
            for rider in (ana, ben, cleo):
                assert after.score(rider, city.faces[rider]) > 0.999
            assert after.transforms == {city.safe.ring.rotation.transform_id}
        assert {key_id_of(each) for each in city.records()} == {city.safe.ring.root.key_id}
        assert not set(records) & set(city.records())
        with city.engine.connect() as connection:
            assert needed(connection) == (city.safe.ring.root.key_id,)

    def test_riders_are_what_they_were(self, city: City) -> None:
        """Photos, pictures and template versions stay, and look-alikes are still found."""
        ana = city.enroll(1)
        before = city.office.dossier(ana)

        city.seal_all()
        rekey.finish(city.engine, city.safe, city.keys)

        after = city.office.dossier(ana)
        assert before.template is not None
        assert after.template is not None
        assert after.template.version == before.template.version
        assert after.template.transform_id == city.safe.ring.rotation.transform_id
        assert after.photos[0].embedding.tolist() == before.photos[0].embedding.tolist()
        assert after.photos[0].original == before.photos[0].original
        twin = direction(9, near=city.faces[ana], cosine=0.8)
        other = city.office.sign_up("Twin", *FACE_CONSENTS)
        city.office.photo(other, twin)
        assert [pair.score for pair in city.office.dossier(other).alike] == [
            pytest.approx(0.8, abs=1e-3)
        ]

    def test_indexes_read_the_master_gallery_anew(self, city: City) -> None:
        """Turned templates come once more in the feed, each with a revision of its own."""
        ana, ben = city.enroll(1), city.enroll(2)
        gallery = master.PostgresMasterGallery(city.engine, city.safe)
        read = gallery.head()

        city.seal_all()

        lines = gallery.changes_since(read, 10).lines
        assert {line.rider_ref for line in lines} == {ana, ben}
        assert len({line.rev for line in lines}) == 2
        assert gallery.head() == max(line.rev for line in lines)
        for line in lines:
            assert line.template is not None
            plain = city.safe.turn(line.template.vector, source=line.transform_id, target=PLAIN)
            assert float(plain @ city.faces[line.rider_ref]) > 0.999

    def test_a_withdrawal_meanwhile_stays_withdrawn(
        self, city: City, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Who leaves a view while its new records are being prepared does not come back."""
        from cloud_sync.adapters.postgres.rekeying import turn_view

        ana, ben = city.enroll(1), city.enroll(2)
        real = turn_view._turned
        changed: list[bool] = []

        def meanwhile(*arguments: object) -> object:
            if not changed:
                changed.append(True)
                city.views.publish([BELL], [DropTemplate(ana)])
                fresh = city.office.dossier(ben).template
                assert fresh is not None
                city.views.publish([BELL], [PutTemplate(put(replace(fresh, version=2)).template)])
            return real(*arguments)  # type: ignore[arg-type]

        rekey.begin(city.engine, city.safe, city.keys)
        monkeypatch.setattr(turn_view, "_turned", meanwhile)
        turns = rekey.turned_by(city.safe.ring, is_plain_turned=False)
        turn_view.turn_view(city.engine, city.safe, BELL, epoch=uuid4(), turns=turns)

        held = _templates(city.views.whole(BELL).changes)
        assert held == [(ben, 2, city.safe.ring.rotation.transform_id)]
        assert Edge(city, BELL).score(ben, city.faces[ben]) > 0.999
        assert len(_templates(city.views.whole(DRUM).changes)) == 2  # control: it had two

    def test_plain_templates_stay_plain_unless_asked(self, engine: sa.Engine) -> None:
        """A city that turned nothing is sealed anew; with the wish for it, turned as well."""
        city = City(engine, is_turned=False)
        ana = city.enroll(1)

        city.seal_all()
        assert {each for _, _, each in _templates(city.views.whole(BELL).changes)} == {PLAIN}
        assert rekey.finish(engine, city.safe, city.keys).is_done

        city.seal_all(is_plain_turned=True)
        turned = {each for _, _, each in _templates(city.views.whole(BELL).changes)}
        assert turned == {city.safe.ring.rotation.transform_id}
        assert Edge(city, BELL).score(ana, city.faces[ana]) > 0.999


def _templates(changes: Iterable[Change]) -> list[tuple[UUID, int, str]]:
    found = [each.template for each in changes if isinstance(each, PutTemplate)]
    return [(each.rider_ref, each.version, each.transform_id) for each in found]


class TestFinish:
    """The end of the old keys."""

    def test_one_record_keeps_the_old_keys(self, city: City) -> None:
        """As long as a single record of any package needs them, the old keys stay."""
        (photo,) = city.office.dossier(city.enroll(1)).photos
        with city.office.store.begin() as unit:  # as while the model is changed
            unit.measure(photo.photo_id, Again("coming/space", direction(2), 0.9))
        columns = [column for column, _ in city.standing().left]
        assert len(columns) == 6
        old = {column: city.record(column) for column in columns}
        city.seal_all()

        for column in columns:
            new = city.record(column)
            city.put(column, old[column])
            found = rekey.finish(city.engine, city.safe, city.keys)
            assert {name for name, count in found.left if count} == {column}
            assert not city.keys.ring().is_settled
            city.put(column, new)
        assert rekey.finish(city.engine, city.safe, city.keys).is_done
        assert city.keys.ring().is_settled

    def test_both_views_of_a_station_are_turned(self, city: City) -> None:
        """While the model is changed nothing of the second view stays under the old keys."""
        city.enroll(1)
        model_change.begin(city.engine, city.safe, "coming/space", NOON)
        city.seal_all()

        assert city.standing().is_done
        heads = [city.views.head(view) for view in (BELL, next_view(BELL))]
        assert {head and head.key_id for head in heads} == {city.keys.ring().root.key_id}

    def test_a_withdrawal_is_proven_across_a_rekey(self, city: City) -> None:
        """What waits for an acknowledgement waits for one of the view's new history."""
        rider = city.enroll(1)
        edge = f"edge-{BELL}"
        city.views.offer_lease(edge, NOON + timedelta(days=1))
        city.office.enrollment.move(rider, RiderEvent.WITHDRAW, now=NOON)
        city.seal_all()

        head = city.views.head(BELL)
        assert head is not None
        city.views.acknowledge(edge, head.epoch, head.head_rev, NOON)
        (proof,) = PostgresErasureLedger(city.engine, copy=lambda _: None).proofs(rider)
        acked = {node.edge_id: node.acked_at for node in proof.nodes}
        assert acked[edge] == NOON

    def test_without_a_rekey_nothing_is_destroyed(self, city: City) -> None:
        """Control: finishing what was never begun leaves the keys and every record as they are."""
        ana = city.enroll(1)

        assert rekey.finish(city.engine, city.safe, city.keys).is_done

        assert Edge(city, BELL).score(ana, city.faces[ana]) > 0.999

    def test_keys_that_are_gone_stop_the_start(self, city: City) -> None:
        """A backup from before the re-key needs keys that are destroyed: no process serves it."""
        city.enroll(1)
        old = city.safe.ring.root.key_id
        city.seal_all()
        rekey.finish(city.engine, city.safe, city.keys)
        cloud_sealing.prepare(city.engine, city.safe)  # control: it starts without the backup
        with city.engine.begin() as connection:
            restored = sa.text("INSERT INTO cloud_sync.key_use (key_id) VALUES (:old)")
            connection.execute(restored, {"old": old})

        with pytest.raises(KeysFailed, match=old):
            cloud_sealing.prepare(city.engine, city.safe)
