"""What enrollment keeps of a face is ciphertext, and a rider outlives a damaged record."""

import os
from datetime import datetime
from uuid import UUID

import pytest
import sqlalchemy as sa

from cloud_sync.adapters.memory.keys import MemoryKeyStore
from cloud_sync.adapters.postgres.membership import Membership
from cloud_sync.adapters.postgres.rekeying import sealing as cloud_sealing
from cloud_sync.secrecy.rotation import PLAIN
from cloud_sync.secrecy.safe import Safe, key_id_of
from enroll.adapters import rows, sealing
from enroll.adapters.postgres import PostgresRiderStore
from enroll.consent import Purpose
from enroll.rider import RiderEvent
from enroll.store import Dossier
from tests.cloud_city import SOURCING
from tests.keys import LEDGER
from tests.riders import FACE_CONSENTS, Office, direction


class Enrolled:
    """One rider, Ada, with one photo and the picture kept, on a database of her own."""

    def __init__(self, engine: sa.Engine) -> None:
        """Prepare and enroll."""
        self.engine = engine
        keys = MemoryKeyStore(entropy=os.urandom)
        self.safe = Safe(keys, entropy=os.urandom)
        cloud_sealing.prepare(engine, self.safe)
        sealing.prepare(engine, self.safe)
        self.office = Office(
            PostgresRiderStore(engine, Membership(SOURCING, self.safe), LEDGER.append)
        )
        self.face = direction(1)
        self.ada = self.office.sign_up("Ada", *FACE_CONSENTS, Purpose.KEEP_PHOTOS)
        self.office.photo(self.ada, self.face)

    def does(self, sql: str, **values: object) -> None:
        """Change something behind the code's back."""
        with self.engine.begin() as connection:
            connection.execute(sa.text(sql), values)

    def stored(self) -> list[bytes]:
        """Read Ada's template, embedding and picture as they lie there."""
        with self.engine.connect() as connection:
            template = connection.execute(sa.text("SELECT vector FROM enroll.template")).scalar()
            photo = connection.execute(sa.text("SELECT embedding, original FROM enroll.photo"))
            return [template, *photo.one()]

    @property
    def dossier(self) -> Dossier:
        """What is read of Ada."""
        return self.office.dossier(self.ada)


@pytest.fixture
def enrolled(engine: sa.Engine) -> Enrolled:
    """Give a rider."""
    return Enrolled(engine)


class TestRecords:
    """Templates, embeddings and pictures."""

    def test_are_ciphertext(self, enrolled: Enrolled) -> None:
        """All three are records under the current key, and are read as they were."""
        assert {key_id_of(each) for each in enrolled.stored()} == {enrolled.safe.ring.root.key_id}
        plain = (rows.to_bytes(enrolled.face)[:16], b"clean picture")
        assert not any(part in record for part in plain for record in enrolled.stored())
        assert enrolled.dossier.photos[0].original == b"clean picture"
        assert enrolled.dossier.photos[0].embedding.tolist() == enrolled.face.tolist()

    def test_plain_ones_are_sealed_at_the_start(self, enrolled: Enrolled) -> None:
        """Rows of an older version are sealed once, whatever their number, and read the same."""
        face = rows.to_bytes(enrolled.face)
        for number in range(3):
            enrolled.office.photo(enrolled.ada, direction(10 + number))
        enrolled.does("UPDATE enroll.template SET vector = :face", face=face)
        enrolled.does(
            "UPDATE enroll.photo SET embedding = :face, original = :picture WHERE number > 1",
            face=face,
            picture=b"\xff\xd8 a picture",
        )
        enrolled.does("UPDATE enroll.sealing SET is_done = false")

        assert sealing.prepare(enrolled.engine, enrolled.safe) == 7
        assert sealing.prepare(enrolled.engine, enrolled.safe) == 0

        photos = enrolled.dossier.photos
        assert enrolled.dossier.unread == 0
        assert [photo.original for photo in photos[1:]] == [b"\xff\xd8 a picture"] * 3
        assert all(photo.embedding.tolist() == enrolled.face.tolist() for photo in photos)

    def test_a_record_of_another_rider_is_nobodys(self, enrolled: Enrolled) -> None:
        """A template that was moved to another rider's row does not open as hers."""
        ben = enrolled.office.sign_up("Ben", *FACE_CONSENTS)
        enrolled.office.photo(ben, direction(2))
        enrolled.does(
            "UPDATE enroll.template SET vector ="
            " (SELECT vector FROM enroll.template WHERE rider_ref = :ada) WHERE rider_ref = :ben",
            ada=enrolled.ada,
            ben=ben,
        )

        assert enrolled.office.dossier(ben).template is None
        assert enrolled.office.dossier(ben).unread == 1
        assert enrolled.dossier.template is not None

    def test_a_rider_with_a_damaged_record_can_leave(self, enrolled: Enrolled) -> None:
        """Withdrawal deletes also what no longer opens."""
        enrolled.does("UPDATE enroll.template SET vector = substr(vector, 1, 60)")
        enrolled.does("UPDATE enroll.photo SET embedding = substr(embedding, 1, 60)")
        assert enrolled.dossier.unread == 2

        now = datetime.fromisoformat("2026-05-04T12:00:00Z")
        enrolled.office.enrollment.move(enrolled.ada, RiderEvent.WITHDRAW, now=now)

        assert enrolled.dossier.unread == 0
        with enrolled.engine.connect() as connection:
            for table in ("template", "photo"):
                count = connection.execute(sa.text(f"SELECT count(*) FROM enroll.{table}"))
                assert count.scalar() == 0

    def test_look_alikes_are_found_across_rotations(self, enrolled: Enrolled) -> None:
        """A search finds templates of any of the operator's rotations at their true score."""
        found = enrolled.dossier.template
        assert found is not None
        transform = enrolled.safe.ring.rotation.transform_id
        turned = enrolled.safe.turn(found.vector, source=PLAIN, target=transform)
        twin = type(found)(
            UUID(int=7), 1, found.model_id, transform, turned, found.made, found.photos
        )
        with enrolled.office.store.begin() as unit:
            matches = unit.nearest(twin, 0.5)

        assert [match.rider_ref for match in matches] == [enrolled.ada]
        assert matches[0].score == pytest.approx(1.0, abs=1e-5)
