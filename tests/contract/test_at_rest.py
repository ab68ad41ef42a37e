"""What lies in the cloud's database is ciphertext, bound to its row, under keys that are known."""

import logging
import os
from datetime import datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from cloud_sync.adapters.memory.keys import MemoryKeyStore
from cloud_sync.adapters.postgres.at_rest import needed
from cloud_sync.adapters.postgres.master import PostgresMasterGallery
from cloud_sync.adapters.postgres.rekeying.sealing import prepare
from cloud_sync.adapters.postgres.view_log import PostgresViewLog
from cloud_sync.content import pack
from cloud_sync.gallery import Change, DropTemplate, IssuerKey, PutKey, PutTemplate
from cloud_sync.master.gallery import Erase, PutMaster
from cloud_sync.secrecy.key_store import KeysFailed
from cloud_sync.secrecy.rotation import PLAIN
from cloud_sync.secrecy.safe import (
    MASTER_TEMPLATE,
    OVERHEAD,
    VIEW_ITEM,
    Safe,
    UnknownTransform,
    key_id_of,
)
from cloud_sync.secrecy.seal import Label, NotOpened, template_label
from cloud_sync.stream.view import EdgeNode, Head, HistoryGone, SpaceRefused
from tests.keys import safe_in
from tests.templates import SPACE, put, rider, template

BELL = "bell-tower"
WREN = template_label(Label(bytes(15) + b"\1", 1, "m", PLAIN))
ROBIN = template_label(Label(bytes(15) + b"\2", 1, "m", PLAIN))


def new_safe() -> Safe:
    """Give a safe with keys of its own."""
    return Safe(MemoryKeyStore(entropy=os.urandom), entropy=os.urandom, dimension=SPACE.dimension)


class TestSafe:
    """Records."""

    def test_opens_what_it_sealed(self) -> None:
        """Control: a record opens for its purpose and row, names its key and shows nothing."""
        safe, content = new_safe(), os.urandom(64)

        record = safe.seal(VIEW_ITEM, content, WREN)

        assert safe.open(VIEW_ITEM, record, WREN) == content
        assert key_id_of(record) == safe.ring.root.key_id
        assert len(record) == len(content) + OVERHEAD
        assert content[:8] not in record
        assert safe.seal(VIEW_ITEM, content, WREN) != record

    def test_refuses_another_row_or_purpose(self) -> None:
        """A record moved to another rider's row, or to another table, does not open."""
        safe = new_safe()
        record = safe.seal(VIEW_ITEM, b"face", WREN)

        with pytest.raises(NotOpened):
            safe.open(VIEW_ITEM, record, ROBIN)
        with pytest.raises(NotOpened):
            safe.open(MASTER_TEMPLATE, record, WREN)

    def test_refuses_damage(self) -> None:
        """No byte can be changed or cut, the id of the key included."""
        safe = new_safe()
        record = safe.seal(VIEW_ITEM, b"face", WREN)
        for place in range(len(record)):
            broken = bytearray(record)
            broken[place] ^= 1
            for damaged in (bytes(broken), record[:place]):
                with pytest.raises(NotOpened):
                    safe.open(VIEW_ITEM, damaged, WREN)

    def test_old_keys_open_and_do_not_seal(self, tmp_path: Path) -> None:
        """A renewed-away key opens its records until it is destroyed, and seals no more."""
        safe = safe_in(tmp_path / "keys")
        old = safe.ring.root.key_id
        record = safe.seal(VIEW_ITEM, b"face", WREN)
        keys = safe_in(tmp_path / "keys")._keys

        keys.renew()
        assert safe.open(VIEW_ITEM, record, WREN) == b"face"
        assert key_id_of(safe.seal(VIEW_ITEM, b"face", WREN)) != old

        keys.destroy([old])
        with pytest.raises(NotOpened, match=old):
            safe_in(tmp_path / "keys").open(VIEW_ITEM, record, WREN)

    def test_turns_between_transforms(self) -> None:
        """Old rotation to new and back to plain ends where it began; a strange one is refused."""
        safe = new_safe()
        plain = template("Wren").vector
        first = safe.ring.rotation.transform_id
        turned = safe.turn(plain, source=PLAIN, target=first)
        safe._keys.renew()
        second = safe.ring.rotation.transform_id

        again = safe.turn(turned, source=first, target=second)

        assert abs(float(turned @ plain)) < 0.99
        assert abs(float(again @ turned)) < 0.99
        back = safe.turn(again, source=second, target=PLAIN)
        assert back == pytest.approx(plain, abs=1e-6)
        with pytest.raises(UnknownTransform):
            safe.turn(plain, source=PLAIN, target="rot-ffffffff")


class City:
    """A database with one station."""

    def __init__(self, engine: sa.Engine, now: datetime) -> None:
        """Begin with new keys."""
        self.engine, self.safe = engine, new_safe()
        prepare(engine, self.safe)
        self.views = self.log(self.safe)
        self.views.admit(EdgeNode("edge-1", BELL, bytes(32)), now)

    def log(self, safe: Safe) -> PostgresViewLog:
        """Give the views as a process with these keys sees them."""
        return PostgresViewLog(self.engine, safe, dimension=SPACE.dimension)

    def does(self, sql: str, **values: object) -> None:
        """Change something behind the code's back."""
        with self.engine.begin() as connection:
            connection.execute(sa.text(sql), values)

    def bodies(self) -> dict[bytes, bytes]:
        """Read what is stored, by item."""
        with self.engine.connect() as connection:
            rows = connection.execute(sa.text("SELECT item_key, body FROM cloud_sync.view_item"))
            return {row.item_key: row.body for row in rows}

    @property
    def head(self) -> Head:
        """Where the view stands."""
        found = self.views.head(BELL)
        assert found is not None
        return found

    def whole(self) -> tuple[Change, ...]:
        """Read the view."""
        return tuple(self.views.whole(BELL).changes[:])


@pytest.fixture
def city(cloud: sa.Engine, noon: datetime) -> City:
    """Give a city."""
    return City(cloud, noon)


def key_of(name: str) -> bytes:
    """Give the key of a rider's item."""
    return b"r" + rider(name).bytes


class TestViews:
    """Templates in views."""

    def test_are_ciphertext(self, city: City) -> None:
        """No template lies in plain, public keys do, and the whole comes back."""
        ana, key = put("Ana"), PutKey(IssuerKey(4, bytes(range(32))))
        city.views.publish([BELL], [ana, key])

        bodies = city.bodies()

        assert key_id_of(bodies[key_of("Ana")]) == city.safe.ring.root.key_id
        assert pack(ana.template.vector)[:8] not in bodies[key_of("Ana")]
        assert bodies[b"k\0\4"] == key.key.public_key
        vectors = [c.template.vector.tolist() for c in city.whole() if isinstance(c, PutTemplate)]
        assert vectors == [ana.template.vector.tolist()]

    def test_exchanged_records_open_as_neither(
        self, city: City, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Two riders' records, exchanged in the database, are both taken out with an alarm."""
        city.views.publish([BELL], [put("Ana"), put("Ben"), put("Cleo")])
        bodies = city.bodies()
        for name, other in (("Ana", "Ben"), ("Ben", "Ana")):
            city.does(
                "UPDATE cloud_sync.view_item SET body = :body WHERE item_key = :key",
                body=bodies[key_of(other)],
                key=key_of(name),
            )

        with caplog.at_level(logging.ERROR), pytest.raises(HistoryGone):
            city.whole()
        left = city.whole()

        assert [c.template.rider_ref for c in left if isinstance(c, PutTemplate)] == [rider("Cleo")]
        drops = city.views.read(BELL, city.head.epoch, 3, 9).changes
        assert {c.rider_ref for c in drops if isinstance(c, DropTemplate)} == {
            rider("Ana"),
            rider("Ben"),
        }
        told = [record.getMessage() for record in caplog.records]
        assert told.count("template_quarantined") == 2

    def test_a_record_written_anew_meanwhile_stays(self, city: City) -> None:
        """A snapshot on its way holds a record that no longer opens; the view has a good one."""
        city.views.publish([BELL], [put("Ana")])
        good = city.bodies()[key_of("Ana")]
        spoil = "UPDATE cloud_sync.view_item SET body = :body WHERE item_key = :key"
        city.does(spoil, body=good[:-1] + bytes([good[-1] ^ 1]), key=key_of("Ana"))
        taken = city.views.whole(BELL)
        city.does(spoil, body=good, key=key_of("Ana"))

        with pytest.raises(HistoryGone):
            taken.changes[:]

        assert len(city.whole()) == 1

    def test_a_damaged_record_does_not_stop_the_log(self, city: City) -> None:
        """An edge that follows gets a drop for it, and everybody else's template."""
        city.views.publish([BELL], [put("Ana"), put("Ben")])
        city.does(
            "UPDATE cloud_sync.view_item SET body = substr(body, 1, 50) WHERE item_key = :key",
            key=key_of("Ana"),
        )

        changes = city.views.read(BELL, city.head.epoch, 0, 9).changes

        assert isinstance(changes[0], DropTemplate)
        assert changes[0].rider_ref == rider("Ana")
        assert len(changes) == 2

    def test_come_in_the_transform_of_their_view(self, city: City) -> None:
        """While an operator is re-keyed, a template of either rotation fits every view of his."""
        rotated = city.safe.ring.rotation.transform_id
        one = template("Ana").vector
        turned = city.safe.turn(one, source=PLAIN, target=rotated)
        ben = template("Ben")
        city.views.publish([BELL], [put("Ana")])

        city.views.publish(
            [BELL],
            [PutTemplate(type(ben)(ben.rider_ref, 1, ben.model_id, rotated, turned))],
        )

        spaces = [c.template for c in city.whole() if isinstance(c, PutTemplate)]
        assert {each.transform_id for each in spaces} == {PLAIN}
        bens = next(each for each in spaces if each.rider_ref == ben.rider_ref)
        assert bens.vector == pytest.approx(one, abs=1e-3)

    def test_a_strange_transform_is_refused(self, city: City) -> None:
        """Control: a template that another operator has turned goes into no view."""
        city.views.publish([BELL], [put("Ana")])
        ben = template("Ben")
        strange = type(ben)(ben.rider_ref, 1, ben.model_id, "rot-ffffffff", ben.vector)

        with pytest.raises(SpaceRefused):
            city.views.publish([BELL], [PutTemplate(strange)])


class TestPrepare:
    """The start of a process."""

    def test_seals_what_was_plain(self, city: City) -> None:
        """A database from before records were sealed is sealed at the start, and only once."""
        changes = [put(f"rider {number}") for number in range(5)]
        city.views.publish([BELL], [*changes, PutKey(IssuerKey(4, bytes(32)))])
        for change in changes:
            city.does(
                "UPDATE cloud_sync.view_item SET body = :body WHERE item_key = :key",
                body=pack(change.template.vector),
                key=b"r" + change.template.rider_ref.bytes,
            )
        city.does("DELETE FROM cloud_sync.key_use")
        city.does("UPDATE cloud_sync.view SET key_id = ''")

        sealed = prepare(city.engine, city.safe)

        assert sealed == 5
        assert city.head.key_id == city.safe.ring.root.key_id
        assert len(city.whole()) == 6
        assert sum(key_id_of(body) is not None for body in city.bodies().values()) == 5
        assert prepare(city.engine, city.safe) == 0

    def test_seals_the_master_gallery(self, city: City, noon: datetime) -> None:
        """Its templates too, and they are read as they were; erased ones stay empty."""
        master = PostgresMasterGallery(city.engine, city.safe, dimension=SPACE.dimension)
        ana, ben = template("Ana"), template("Ben")
        master.apply([PutMaster(ana), PutMaster(ben), Erase(ben.rider_ref)], noon)
        plain = pack(ana.vector)
        city.does("UPDATE cloud_sync.master_template SET body = :b WHERE body <> ''", b=plain)
        city.does("DELETE FROM cloud_sync.key_use")

        assert prepare(city.engine, city.safe) == 1

        lines = {line.rider_ref: line.template for line in master.changes_since(0, 9).lines}
        assert lines[ben.rider_ref] is None
        found = lines[ana.rider_ref]
        assert found is not None
        assert found.vector.tolist() == ana.vector.tolist()

    def test_refuses_other_keys(self, city: City) -> None:
        """With another operator's keys nothing starts, and nothing is quarantined."""
        city.views.publish([BELL], [put("Ana")])

        with pytest.raises(KeysFailed, match=city.safe.ring.root.key_id):
            prepare(city.engine, new_safe())

        assert len(city.whole()) == 1
        with city.engine.connect() as connection:
            assert needed(connection) == (city.safe.ring.root.key_id,)
