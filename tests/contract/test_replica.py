"""What every replica promises, asked of all of them."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import apsw
import numpy as np
import pytest

from cloud_sync.adapters.disk.sqlite_replica import SqliteReplica
from cloud_sync.adapters.memory.replica import MemoryReplica
from cloud_sync.columns import ArrivedPuts, Templates
from cloud_sync.content import Space, content_hash, key_of, pack
from cloud_sync.gallery import (
    Change,
    Delta,
    DenialReason,
    DropDenial,
    DropKey,
    DropSetting,
    DropTemplate,
    IssuerKey,
    PutKey,
    PutTemplate,
    Sealed,
    SettingName,
    Template,
)
from cloud_sync.secrecy.grant import KeyGrant
from cloud_sync.secrecy.opener import Opener
from cloud_sync.secrecy.rotation import RotationSeed
from cloud_sync.secrecy.seal import StationCipher, label_of, seal_vector
from cloud_sync.stream.digest import bucket_of, differing, summed
from cloud_sync.stream.messages import Repair
from cloud_sync.stream.replica import (
    Holding,
    Replica,
    ReplicaFailed,
    SnapshotRefused,
    Standing,
    WrongRevision,
)
from cloud_sync.stream.view import CHUNK_ITEMS
from tests.templates import EPOCH, SPACE, deny, put, rider, setting, snapshot, template


@pytest.fixture(params=["memory", "sqlite"])
def replica(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Replica]:
    """Give an empty replica of each kind."""
    made: Replica
    made = MemoryReplica() if request.param == "memory" else SqliteReplica(tmp_path / "gallery.db")
    yield made
    made.close()


def same(left: Template, right: Template) -> bool:
    """Return whether two templates are equal field for field."""
    return (
        (left.rider_ref, left.version, left.model_id, left.transform_id, left.expires, left.tier)
        == (
            right.rider_ref,
            right.version,
            right.model_id,
            right.transform_id,
            right.expires,
            right.tier,
        )
    ) and np.array_equal(left.vector, right.vector)


def _opener() -> Opener:
    """Return the keys of a station's epoch, with the operator's rotation."""
    seed = RotationSeed("00c0ffee", b"s" * 32)
    until = datetime(2026, 5, 5, tzinfo=UTC)
    grant = KeyGrant("bell-tower", EPOCH, "0badcafe", b"d" * 32, b"g" * 32, (seed,), until)
    return Opener(grant, dimension=SPACE.dimension)


OPENER = _opener()


def sealed(*names: str) -> tuple[PutTemplate, ...]:
    """Return people's templates as they arrive at a node: opened, with the record beside them."""
    cipher = StationCipher(b"d" * 32, station_id="bell-tower", epoch=EPOCH)
    made = []
    for number, name in enumerate(names):
        turned = template(name, space=Space("model-a", "rot-00c0ffee", SPACE.dimension))
        label = label_of(turned)
        body = seal_vector(cipher, pack(turned.vector), label, nonce=number.to_bytes(12, "big"))
        digest = content_hash(PutTemplate(turned))
        made.append(PutTemplate(turned, Sealed(OPENER.key_id, turned.transform_id, body, digest)))
    return tuple(made)


def riders(holding: Holding) -> set[UUID]:
    """Return whose templates are held."""
    return {held.rider_ref for held in holding.templates}


def _fill(replica: Replica, *names: str, rev: int = 7) -> None:
    changes = [put(name) for name in names]
    replica.begin_snapshot(snapshot(*changes, rev=rev))
    replica.stage(0, changes)
    replica.finish_snapshot()


class TestReplica:
    """The port's promises."""

    def test_starts_with_nothing(self, replica: Replica) -> None:
        """A new replica belongs to no history, has no lease and holds nobody."""
        assert Standing() == replica.standing()
        assert (
            replica.load().epoch,
            replica.load().rev,
            len(replica.load().templates),
        ) == (None, 0, 0)

    def test_gives_back_what_it_took(self, replica: Replica, noon: datetime) -> None:
        """A template comes back field for field, its expiry included; so does a key."""
        ana = template("Ana", expires=noon)
        key = IssuerKey(40_000, bytes(range(32)))
        _fill(replica)

        delta = Delta(EPOCH, 7, 9, (put("Ben"), PutKey(key)))
        replica.apply(delta)
        replica.apply(Delta(EPOCH, 9, 10, (type(put("Ana"))(ana),)))

        held = {found.rider_ref: found for found in replica.load().templates}
        assert same(ana, held[rider("Ana")])
        assert same(template("Ben"), held[rider("Ben")])
        assert (key,) == replica.load().keys
        assert (replica.standing().applied_rev, replica.standing().template_count) == (10, 2)

    def test_keeps_tiers_denials_and_settings(self, replica: Replica, noon: datetime) -> None:
        """A second-tier template, a denial with its end and a document come back as they were."""
        _fill(replica)
        ana = template("Ana", tier=2)
        lost = deny("Ben", DenialReason.LOST, until=noon)
        tariff = setting(SettingName.TARIFF, b'{"fare":200}')

        replica.apply(Delta(EPOCH, 7, 12, (PutTemplate(ana), deny("Cleo"), lost, tariff)))
        holding = replica.load()

        assert same(ana, holding.templates[0])
        assert {deny("Cleo").denial, lost.denial} == set(holding.denials)
        assert (tariff.setting,) == holding.settings

    def test_takes_denials_and_settings_back(self, replica: Replica) -> None:
        """A later document replaces the earlier one; what is dropped is gone, and nothing else."""
        _fill(replica, "Ana")
        replica.apply(Delta(EPOCH, 7, 10, (deny("Ana"), deny("Ben"), setting())))
        calm = setting(body=b'{"modes":["fare_exempt"]}')

        replica.apply(Delta(EPOCH, 10, 12, (DropDenial(rider("Ana")), calm)))
        before = replica.load()
        replica.apply(Delta(EPOCH, 12, 14, (DropSetting(SettingName.MODE), DropDenial(rider("X")))))
        after = replica.load()

        assert (deny("Ben").denial,) == before.denials == after.denials
        assert (calm.setting,) == before.settings
        assert after.settings == ()
        assert {rider("Ana")} == riders(after)

    def test_a_later_version_replaces(self, replica: Replica) -> None:
        """A rider has one template, the latest."""
        _fill(replica, "Ana")

        replica.apply(Delta(EPOCH, 7, 8, (put("Ana", version=2),)))

        assert [held.version for held in replica.load().templates] == [2]

    def test_drops(self, replica: Replica) -> None:
        """A dropped rider or key is gone; dropping what is not there is no failure."""
        _fill(replica, "Ana", "Ben")
        replica.apply(Delta(EPOCH, 7, 8, (PutKey(IssuerKey(1, bytes(32))),)))

        drops = (DropTemplate(rider("Ana")), DropTemplate(rider("Cleo")), DropKey(1), DropKey(2))
        replica.apply(Delta(EPOCH, 8, 12, drops))

        assert {rider("Ben")} == riders(replica.load())
        assert replica.load().keys == ()

    @pytest.mark.parametrize(
        ("epoch", "from_rev"),
        [
            (EPOCH, 6),  # behind
            (EPOCH, 8),  # ahead: revision 8 would be lost
            (UUID(int=99), 7),  # another history
        ],
    )
    def test_refuses_a_delta_from_elsewhere(
        self, replica: Replica, epoch: UUID, from_rev: int
    ) -> None:
        """A delta that does not start exactly here changes nothing."""
        _fill(replica, "Ana")

        with pytest.raises(WrongRevision):
            replica.apply(Delta(epoch, from_rev, 20, (DropTemplate(rider("Ana")),)))

        assert {rider("Ana")} == riders(replica.load())
        assert replica.standing().applied_rev == 7

    def test_half_a_snapshot_is_never_seen(self, replica: Replica) -> None:
        """Until a snapshot is complete the old content serves, deltas included."""
        _fill(replica, "Ana")
        new = [put("Ben"), put("Cleo")]

        replica.begin_snapshot(snapshot(*new, rev=30, chunks=2, epoch=UUID(int=2)))
        replica.stage(0, new[:1])
        replica.apply(Delta(EPOCH, 7, 8, (put("Dan"),)))

        assert {rider("Ana"), rider("Dan")} == riders(replica.load())
        assert (replica.standing().epoch, replica.standing().applied_rev) == (EPOCH, 8)

    def test_a_snapshot_replaces_everything(self, replica: Replica) -> None:
        """After a snapshot nothing of the old content is left, of whatever kind."""
        _fill(replica, "Ana")
        old = (PutKey(IssuerKey(1, bytes(32))), deny("Ana"), setting())
        replica.apply(Delta(EPOCH, 7, 8, old))
        new: list[Change] = [put("Ben"), PutKey(IssuerKey(2, bytes(32))), deny("Ben")]

        replica.begin_snapshot(snapshot(*new, rev=30, epoch=UUID(int=2)))
        replica.stage(0, new)
        replica.finish_snapshot()

        assert {rider("Ben")} == riders(replica.load())
        assert [key.key_id for key in replica.load().keys] == [2]
        assert (deny("Ben").denial,) == replica.load().denials
        assert replica.load().settings == ()
        assert (UUID(int=2), 30) == (replica.standing().epoch, replica.standing().applied_rev)
        assert (replica.standing().staged_root, replica.standing().staged_chunks) == (b"", 0)

    def test_an_empty_snapshot_empties(self, replica: Replica) -> None:
        """A view without templates is a snapshot without chunks."""
        _fill(replica, "Ana")

        replica.begin_snapshot(snapshot(rev=30, chunks=0))
        replica.finish_snapshot()

        assert not replica.load().templates

    def test_refuses_another_snapshot_than_announced(self, replica: Replica) -> None:
        """A snapshot with the right count and the wrong content is thrown away."""
        _fill(replica, "Ana")
        replica.begin_snapshot(snapshot(put("Ben"), rev=30))
        replica.stage(0, [put("Mallory")])

        with pytest.raises(SnapshotRefused):
            replica.finish_snapshot()

        assert {rider("Ana")} == riders(replica.load())
        assert replica.standing().staged_root == b""

    def test_refuses_a_snapshot_that_is_short(self, replica: Replica) -> None:
        """A snapshot that lacks a chunk does not replace anything."""
        replica.begin_snapshot(snapshot(put("Ben"), put("Cleo"), rev=30, chunks=2))
        replica.stage(0, [put("Ben")])

        with pytest.raises(SnapshotRefused):
            replica.finish_snapshot()

    def test_goes_on_with_the_same_snapshot(self, replica: Replica) -> None:
        """A snapshot begun again needs only the chunks that are not there yet."""
        new = [put("Ben"), put("Cleo")]
        announced = snapshot(*new, rev=30, chunks=2)
        replica.begin_snapshot(announced)
        replica.stage(0, new[:1])

        due = replica.begin_snapshot(announced)
        replica.stage(due, new[1:])
        replica.finish_snapshot()

        assert due == 1
        assert {rider("Ben"), rider("Cleo")} == riders(replica.load())

    def test_starts_another_snapshot_from_nothing(self, replica: Replica) -> None:
        """What was staged of one snapshot does not end up in the next."""
        replica.begin_snapshot(snapshot(put("Ben"), put("Cleo"), rev=30, chunks=2))
        replica.stage(0, [put("Ben")])

        due = replica.begin_snapshot(snapshot(put("Dan"), rev=31))
        replica.stage(0, [put("Dan")])
        replica.finish_snapshot()

        assert due == 0
        assert {rider("Dan")} == riders(replica.load())

    @pytest.mark.parametrize("index", [0, 2])
    def test_refuses_a_chunk_out_of_turn(self, replica: Replica, index: int) -> None:
        """A chunk is staged once and in order."""
        replica.begin_snapshot(snapshot(put("Ben"), put("Cleo"), rev=30, chunks=3))
        replica.stage(0, [put("Ben")])

        with pytest.raises(WrongRevision):
            replica.stage(index, [put("Cleo")])

    def test_the_mark_never_goes_back(self, replica: Replica, noon: datetime) -> None:
        """A lease may be shortened, but known time has passed for good."""
        replica.renew_lease(noon + timedelta(hours=24), noon)
        replica.raise_mark(noon + timedelta(hours=1))

        replica.renew_lease(noon + timedelta(hours=12), noon - timedelta(hours=5))
        replica.raise_mark(noon - timedelta(days=20_000))

        lease = replica.standing().lease
        assert noon + timedelta(hours=12) == lease.until
        assert noon + timedelta(hours=1) == lease.mark

    def test_a_snapshot_keeps_the_lease(self, replica: Replica, noon: datetime) -> None:
        """A swap of the content neither renews nor ends the lease."""
        replica.renew_lease(noon + timedelta(hours=24), noon)

        _fill(replica, "Ana", rev=40)

        assert noon + timedelta(hours=24) == replica.standing().lease.until
        assert noon == replica.standing().lease.mark
        assert noon == replica.standing().lease.renewed

    def test_to_have_heard_the_time_is_not_to_be_caught_up(
        self, replica: Replica, noon: datetime
    ) -> None:
        """Only a renewed lease says that nothing is lacking; the time alone does not."""
        assert replica.standing().lease.renewed is None
        replica.renew_lease(noon + timedelta(hours=24), noon)

        replica.raise_mark(noon + timedelta(hours=1))

        assert noon == replica.standing().lease.renewed


class TestExpulsion:
    """What comes ahead of its revision."""

    DROP = DropTemplate(rider("Ana"))

    def test_is_in_force_at_the_same_revision(self, replica: Replica) -> None:
        """Whoever is expelled is gone, denied is denied, and the log goes on from where it was."""
        _fill(replica, "Ana", "Ben")

        replica.expel((self.DROP, deny("Ben")))

        assert {rider("Ben")} == riders(replica.load())
        assert (deny("Ben").denial,) == replica.load().denials
        assert replica.standing().applied_rev == 7
        replica.apply(Delta(EPOCH, 7, 9, (put("Cleo"),)))

    def test_outlives_the_snapshot_it_came_into(self, replica: Replica) -> None:
        """A rider expelled while a snapshot arrives is in neither content, before or after."""
        _fill(replica, "Ana")
        new = [put("Ana"), put("Ben"), put("Cleo")]
        replica.begin_snapshot(snapshot(*new, rev=30, chunks=3))
        replica.stage(0, new[:1])
        replica.expel((self.DROP,))
        before = riders(replica.load())
        replica.stage(1, new[1:], span=2)
        replica.finish_snapshot()

        assert before == set()
        assert {rider("Ben"), rider("Cleo")} == riders(replica.load())
        assert {rider("Ben"), rider("Cleo")} == riders(replica.load())  # from the disk, too

    def test_does_not_reach_another_snapshot(self, replica: Replica) -> None:
        """A rider who came back and is in the next snapshot stays."""
        _fill(replica, "Ben")
        replica.begin_snapshot(snapshot(put("Ana"), put("Ben"), rev=30, chunks=2))
        replica.expel((self.DROP,))

        replica.begin_snapshot(snapshot(put("Ana", version=2), rev=33))
        replica.stage(0, [put("Ana", version=2)])
        replica.finish_snapshot()

        assert {rider("Ana")} == riders(replica.load())


class TestDigest:
    """Comparing with the view, and mending."""

    KEY = bytes(range(32))
    CROWD = tuple(put(f"rider {number}") for number in range(40))

    def filled(self, replica: Replica) -> bytes:
        """Hold a crowd and some small things; return the digest of exactly that."""
        _fill(replica)
        small: tuple[Change, ...] = (deny("Dan"), setting(), PutKey(IssuerKey(1, bytes(32))))
        replica.apply(Delta(EPOCH, 7, 50, (*self.CROWD, *small)))
        items = ((key_of(one), content_hash(one)) for one in (*self.CROWD, *small))
        return summed(items, self.KEY)

    def test_sums_up_what_is_held(self, replica: Replica) -> None:
        """The digest is that of the items as the cloud hashes them, however they came."""
        assert self.filled(replica) == replica.digest(self.KEY)

    def test_shows_what_is_missing_or_too_much(self, replica: Replica) -> None:
        """A lost rider and a rider who should be gone both show, in their own buckets."""
        good = self.filled(replica)
        lost = self.CROWD[0].template.rider_ref
        replica.expel((DropTemplate(lost),))  # stands for a damaged disk: no revision moves

        found = differing(good, replica.digest(self.KEY))

        assert found == (lost.bytes[0],)

    def test_mends_the_buckets_and_nothing_else(self, replica: Replica) -> None:
        """After a repair the digests agree; what it changed is told, drops first."""
        good = self.filled(replica)
        lost, extra = self.CROWD[0], put("Mallory")
        replica.expel((DropTemplate(lost.template.rider_ref), extra))
        buckets = differing(good, replica.digest(self.KEY))
        view = [one for one in self.CROWD if bucket_of(key_of(one)) in buckets]

        hashes = tuple(map(content_hash, view))
        made = replica.mend(Repair(1, EPOCH, 50, buckets, tuple(view), hashes))

        assert good == replica.digest(self.KEY)
        assert DropTemplate(rider("Mallory")) == made[0]
        assert lost in made
        assert len(made) < 10

    @pytest.mark.parametrize(("epoch", "rev"), [(EPOCH, 49), (EPOCH, 51), (UUID(int=9), 50)])
    def test_does_not_mend_at_another_revision(
        self, replica: Replica, epoch: UUID, rev: int
    ) -> None:
        """A repair of another revision or history changes nothing."""
        good = self.filled(replica)

        with pytest.raises(WrongRevision):
            replica.mend(Repair(1, epoch, rev, tuple(range(256)), (), ()))

        assert good == replica.digest(self.KEY)


class TestSealed:
    """Records that only a granted key opens."""

    def test_read_the_same_from_memory_and_disk(self, replica: Replica) -> None:
        """What is held right behind a snapshot is what the disk gives afterwards, to rounding.

        The one it expelled meanwhile is in neither.
        """
        replica.use(OPENER)
        ana, ben = sealed("Ana", "Ben")
        replica.begin_snapshot(snapshot(ana, ben, rev=30))
        replica.stage(0, (ana, ben))
        replica.finish_snapshot()

        first, second = replica.load(), replica.load()
        replica.begin_snapshot(snapshot(ana, ben, rev=31))
        replica.stage(0, (ana, ben))
        replica.expel([DropTemplate(rider("Ben"))])
        replica.finish_snapshot()

        assert riders(first) == riders(second) == {rider("Ana"), rider("Ben")}
        for one, other in zip(first.templates, second.templates, strict=True):
            assert np.allclose(one.vector, other.vector, atol=1e-6)
            assert (one.transform_id, one.version) == (other.transform_id, other.version)
        assert riders(replica.load()) == {rider("Ana")}
        assert riders(replica.load()) == {rider("Ana")}  # from the disk, too

    def test_come_by_columns_as_one_by_one(self, replica: Replica) -> None:
        """A part that came over the wire is held as its templates are: gallery, digest, a drop."""
        puts = sealed("Ana", "Ben", "Cleo")
        part = ArrivedPuts(
            Templates.of(put.template for put in puts),
            [label_of(put.template) for put in puts],
            [put.sealed.body for put in puts if put.sealed],
            [put.sealed.content_hash for put in puts if put.sealed],
            OPENER.key_id,
        )
        replica.use(OPENER)
        replica.begin_snapshot(snapshot(*puts, rev=30, chunks=1))
        replica.stage(0, part)
        replica.finish_snapshot()
        fresh, read = replica.load(), replica.load()
        replica.apply(Delta(EPOCH, 30, 31, (DropTemplate(rider("Ben")),)))

        for holding in (fresh, read):
            assert holding.rotation is OPENER.home
            for held, came in zip(holding.templates, puts, strict=True):
                assert same(held, came.template)
        left = ((key_of(one), content_hash(one)) for one in (puts[0], puts[2]))
        assert replica.digest(b"k" * 32) == summed(left, b"k" * 32)

    def test_of_two_grants_are_compared_as_one(self, replica: Replica) -> None:
        """A re-key begins while a snapshot comes: its earlier parts are turned over in the end."""
        ana, ben = sealed("Ana", "Ben")
        until = datetime(2026, 5, 5, tzinfo=UTC)
        seeds = (RotationSeed("0000beef", b"n" * 32), RotationSeed("00c0ffee", b"s" * 32))
        grant = KeyGrant("bell-tower", EPOCH, "0badcafe", b"d" * 32, b"g" * 32, seeds, until)
        later = Opener(grant, dimension=SPACE.dimension)
        vectors, home = later.brought_home(ben.template.vector[np.newaxis], ["rot-00c0ffee"])
        turned = replace(ben.template, vector=vectors[0], transform_id=home)
        replica.use(OPENER)
        replica.begin_snapshot(snapshot(ana, ben, rev=30, chunks=2))
        replica.stage(0, (ana,))
        replica.stage(1, (replace(ben, template=turned),))
        replica.finish_snapshot()
        replica.use(later)

        for holding in (replica.load(), replica.load()):
            assert holding.rotation is later.home
            assert {each.transform_id for each in holding.templates} == {home}
            assert riders(holding) == {rider("Ana"), rider("Ben")}
            (held,) = [t for t in holding.templates if t.rider_ref == rider("Ben")]
            assert np.allclose(held.vector, turned.vector, atol=2e-3)

    def test_who_comes_twice_is_held_once(self, replica: Replica) -> None:
        """Also in what is held right behind the snapshot: as the disk has it, the later one."""
        parts = ((put("Ana"), put("Ben")), (put("Ana", version=2),))
        announced = snapshot(*parts[0], *parts[1], rev=30, chunks=2)
        replica.begin_snapshot(replace(announced, template_count=2))
        for index, part in enumerate(parts):
            replica.stage(index, part)
        replica.finish_snapshot()

        for holding in (replica.load(), replica.load()):
            held = sorted((each.rider_ref, each.version) for each in holding.templates)
            assert held == sorted([(rider("Ana"), 2), (rider("Ben"), 1)])

    def test_are_read_with_the_key_alone(self, replica: Replica) -> None:
        """Without the keys the gallery holds nobody, and the ride codes' keys are still there."""
        key = IssuerKey(1, bytes(32))
        ana, ben = sealed("Ana", "Ben")
        changes: tuple[Change, ...] = (ana, ben, PutKey(key), deny("Dan"))
        replica.begin_snapshot(snapshot(*changes, rev=30))
        replica.stage(0, changes)
        replica.finish_snapshot()

        locked = replica.load()
        replica.use(OPENER)
        open_ = replica.load()
        replica.use(None)

        assert (len(locked.templates), locked.keys) == (0, (key,))
        assert locked.denials == open_.denials == (deny("Dan").denial,)
        assert np.allclose(ana.template.vector, open_.templates[0].vector, atol=1e-6)
        assert {rider("Ana"), rider("Ben")} == riders(open_)
        assert not replica.load().templates
        assert replica.standing().template_count == 2

    def test_are_summed_up_as_the_cloud_hashes_them(self, replica: Replica) -> None:
        """The digest of sealed records is that of their content."""
        changes = sealed("Ana", "Ben")
        replica.begin_snapshot(snapshot(*changes, rev=30))
        replica.stage(0, changes)
        replica.finish_snapshot()
        replica.use(OPENER)

        items = ((key_of(one), content_hash(one)) for one in changes)
        assert summed(items, b"k" * 32) == replica.digest(b"k" * 32)


@pytest.fixture
def reopen(tmp_path: Path) -> Iterator[Callable[[], SqliteReplica]]:
    """Give a function that opens the one file anew; what was open is left as after a crash."""
    opened: list[SqliteReplica] = []

    def again() -> SqliteReplica:
        for old in opened:
            old.close()
        opened.append(SqliteReplica(tmp_path / "gallery.db"))
        return opened[-1]

    yield again
    opened[-1].close()


class Full:
    """A connection on a disk that has no room for one kind of statement."""

    def __init__(self, connection: apsw.Connection, statement: str) -> None:
        """Stand before a good one.

        Args:
            connection: The good one.
            statement: Words of what fails.
        """
        self._connection = connection
        self._statement = statement

    def execute(self, sql: str, *arguments: object) -> object:
        """Do as SQLite does, but for that statement."""
        if self._statement in sql:
            raise apsw.FullError("database or disk is full")
        return self._connection.execute(sql, *arguments)  # type: ignore[arg-type]

    def __getattr__(self, name: str) -> object:
        return getattr(self._connection, name)


class TestSqliteReplica:
    """What the file adds to the promises."""

    def test_a_drop_counts_where_the_wal_cannot_be_emptied(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """What is committed is told as done, else the gates would go on with who has withdrawn."""
        replica = SqliteReplica(tmp_path / "gallery.db")
        _fill(replica, "Ana", "Ben")
        before = replica.standing()
        whole = replica._file
        replica._file = Full(whole, "wal_checkpoint")  # type: ignore[assignment]

        replica.apply(Delta(EPOCH, before.applied_rev, 99, (DropTemplate(rider("Ana")),)))

        assert replica.standing().applied_rev == 99
        assert [each.rider_ref for each in replica.load().templates] == [rider("Ben")]
        assert "scrub_failed" in [record.getMessage() for record in caplog.records]
        replica._file = whole
        replica.close()

    @pytest.mark.parametrize("size", [1, CHUNK_ITEMS])
    def test_a_part_that_found_no_room_is_held_once(self, tmp_path: Path, size: int) -> None:
        """What is rolled back comes again; memory holds nobody twice, and nobody too many.

        Full parts are committed together: with the one that fails goes the one before it.
        """
        replica = SqliteReplica(tmp_path / "gallery.db")
        new = [put(f"rider {number}") for number in range(3 * size)]
        parts = [new[size * index : size * (index + 1)] for index in range(3)]
        announced = snapshot(*new, rev=30, chunks=3)
        replica.begin_snapshot(announced)
        replica.stage(0, parts[0])
        staging = replica._staging
        assert staging is not None
        good = staging._file
        staging._file = Full(good, "SET chunks")  # type: ignore[assignment]
        with pytest.raises(ReplicaFailed):
            replica.stage(1, parts[1])
        staging._file = good

        due = replica.begin_snapshot(announced)
        for index in range(due, 3):
            replica.stage(index, parts[index])
        replica.finish_snapshot()

        held = [each.rider_ref for each in replica.load().templates]
        assert due == (1 if size < CHUNK_ITEMS else 0)
        assert sorted(held) == sorted(each.template.rider_ref for each in new)
        replica.close()

    @pytest.mark.parametrize(
        "damage",
        [
            "version = -127",
            "expires = 9223372036854775807",
            "version = 'one'",
            "rider_ref = 'somebody'",
            "vector = 'none'",
            "tier = 'first'",
        ],
    )
    def test_a_value_out_of_range_drops_the_file(self, tmp_path: Path, damage: str) -> None:
        """A flipped bit in a number is damage like any other: nothing is held, nothing raised."""
        replica = SqliteReplica(tmp_path / "gallery.db")
        _fill(replica, "Ana")
        assert replica.load().templates  # from now on it is read from the file
        replica._file.execute(f"UPDATE template SET {damage}")

        with contextlib.suppress(ReplicaFailed):
            replica.digest(b"k" * 32)  # says so, or sums up something else
        assert not replica.load().templates
        assert replica.standing().epoch is None
        replica.close()

    def test_keeps_no_plain_template_of_a_sealed_one(self, tmp_path: Path) -> None:
        """On the disk is the record as it came: neither the vector nor what it is turned from."""
        replica = SqliteReplica(tmp_path / "gallery.db")
        replica.use(OPENER)
        (ana,) = sealed("Ana")
        _fill(replica, "Ben")
        replica.apply(Delta(EPOCH, 7, 8, (ana,)))
        replica.begin_snapshot(snapshot(ana, rev=30, chunks=2))
        replica.stage(0, [ana])
        content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
        replica.close()

        assert template("Ben").vector.astype("<f2").tobytes() in content  # control: a plain one is
        assert template("Ana").vector.astype("<f2").tobytes() not in content
        assert ana.template.vector.astype("<f4").tobytes() not in content
        assert ana.sealed is not None
        assert ana.sealed.body in content

    @pytest.mark.parametrize("kind", ["sealed", "plain", "key"])
    def test_a_flipped_byte_is_found_and_mended(self, tmp_path: Path, kind: str) -> None:
        """A changed bit shows in the digest, not in the file's own checks, and is mended."""
        replica = SqliteReplica(tmp_path / "gallery.db")
        replica.use(OPENER)
        put_key = PutKey(IssuerKey(1, bytes(range(32))))
        held: tuple[Change, ...] = (*sealed("Ana"), put("Ben"), put_key)
        replica.begin_snapshot(snapshot(*held, rev=30))
        replica.stage(0, held)
        replica.finish_snapshot()
        good = replica.digest(b"k" * 32)
        table, column, name = {
            "sealed": ("template", "vector", rider("Ana")),
            "plain": ("template", "vector", rider("Ben")),
            "key": ("issuer_key", "public_key", None),
        }[kind]
        where = f"WHERE rider_ref = x'{name.hex}'" if name else ""
        rows = replica._file.execute(f"SELECT {column} FROM {table} {where}").fetchall()
        raw = rows[0][0]
        assert isinstance(raw, bytes)
        bent = bytes((raw[0] ^ 1, *raw[1:]))
        replica._file.execute(f"UPDATE {table} SET {column} = ? {where}", (bent,))

        found = differing(good, replica.digest(b"k" * 32))
        view = tuple(one for one in held if bucket_of(key_of(one)) in found)
        replica.mend(Repair(1, EPOCH, 30, found, view, tuple(map(content_hash, view))))

        assert len(found) == 1
        assert good == replica.digest(b"k" * 32)
        assert len(replica.load().templates) == 2
        replica.close()

    def test_survives_a_restart(self, reopen: Callable[[], SqliteReplica], noon: datetime) -> None:
        """Content, revision, lease and a half-staged snapshot are there after a restart."""
        first = reopen()
        _fill(first, "Ana")
        first.renew_lease(noon, noon)
        first.begin_snapshot(snapshot(put("Ben"), put("Cleo"), rev=30, chunks=2))
        first.stage(0, [put("Ben")])
        before = first.standing()

        again = reopen()

        assert before == again.standing()
        assert again.standing().staged_chunks == 1
        assert {rider("Ana")} == riders(again.load())

    def test_is_for_the_owner_alone(self, tmp_path: Path) -> None:
        """No file of the replica can be read by another user, the WAL included."""
        replica = SqliteReplica(tmp_path / "gallery.db")
        _fill(replica, "Ana")
        replica.begin_snapshot(snapshot(put("Ben"), rev=30))
        replica.stage(0, [put("Ben")])

        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
        replica.close()

        assert {0o600} == set(modes.values()), modes
        assert "gallery.db-wal" in modes

    @pytest.mark.parametrize("damage", ["garbage", "truncated", "flipped", "foreign"])
    def test_drops_a_corrupt_file(self, tmp_path: Path, damage: str) -> None:
        """A damaged gallery file serves no damaged template: it ends as an empty one."""
        path = tmp_path / "gallery.db"
        replica = SqliteReplica(path)
        _fill(replica, *(f"rider {number}" for number in range(400)))
        replica.close()
        _damage(path, damage)

        again = SqliteReplica(path)
        holding = again.load()
        standing = again.standing()
        again.close()

        assert not holding.templates
        assert Standing() == standing

    def test_a_damaged_wal_of_the_old_file_does_not_reach_the_new(self, tmp_path: Path) -> None:
        """After the swap no log of the old content lies beside the new file."""
        replica = SqliteReplica(tmp_path / "gallery.db")
        _fill(replica, "Ana")
        replica.apply(Delta(EPOCH, 7, 8, (put("Dan"),)))
        _fill(replica, "Ben", rev=30)
        left = sorted(path.name for path in tmp_path.iterdir())
        replica.close()

        assert left == ["gallery.db", "gallery.db-wal"]
        assert [path.name for path in tmp_path.iterdir()] == ["gallery.db"]

    def test_a_dropped_template_leaves_no_bytes(self, tmp_path: Path) -> None:
        """After a drop the vector is in no file of the replica, which it was before."""
        replica = SqliteReplica(tmp_path / "gallery.db")
        _fill(replica, "Ben")
        replica.apply(Delta(EPOCH, 7, 8, (put("Ana"),)))
        needle = template("Ana").vector.astype("<f2").tobytes()

        def is_there() -> bool:
            return any(needle in path.read_bytes() for path in tmp_path.iterdir())

        before = is_there()
        replica.apply(Delta(EPOCH, 8, 9, (DropTemplate(rider("Ana")),)))
        after = is_there()
        replica.close()

        assert (before, after) == (True, False)


def _damage(path: Path, kind: str) -> None:
    content = bytearray(path.read_bytes())
    match kind:
        case "garbage":
            content[:] = b"not a database at all, " * 3_000
        case "truncated":
            del content[len(content) // 2 :]
        case "flipped":
            place = content.index(template("rider 200").vector.astype("<f2").tobytes())
            content[place + 3] ^= 0x10
        case "foreign":
            content[60:64] = (77).to_bytes(4, "big")  # user_version, as another release writes it
    path.write_bytes(bytes(content))
