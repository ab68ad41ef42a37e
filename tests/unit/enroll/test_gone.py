"""Gone means gone: what a withdrawal leaves in the whole database."""

from uuid import UUID

import httpx
import numpy as np
import pytest
import sqlalchemy as sa

from edge_gate.face import Image
from enroll.web.desk import Desk
from tests.phone import FACE, Phone, dump, held


def sealed(engine: sa.Engine) -> list[bytes]:
    """Return every sealed record of the whole database; a view's counts once for all stations."""
    queries = (
        "SELECT vector FROM enroll.template",
        "SELECT embedding FROM enroll.photo",
        "SELECT original FROM enroll.photo",
        "SELECT DISTINCT body FROM cloud_sync.view_item WHERE substr(item_key, 1, 1) = 'r'",
    )
    with engine.connect() as connection:
        return [row for query in queries for row in connection.execute(sa.text(query)).scalars()]


class TestGoneMeansGone:
    """Withdrawal, looked for in the whole database."""

    def test_no_byte_of_the_face_is_left(
        self, web: httpx.Client, office: Desk, engine: sa.Engine, people: dict[str, Image]
    ) -> None:
        """A dump never finds the face in plain, its records before the withdrawal, none after."""
        robin = Phone(web, "Robin", *FACE, "keep_photos")
        for image in (people["Robin"], (people["Robin"] * 0.75).astype(np.uint8)):
            assert robin.photo(image).status_code == 201
        dossier = office.enrollment.store.find(UUID(robin.ref))
        assert dossier is not None
        assert dossier.template is not None
        faces = [dossier.template.vector.astype("<f2").tobytes()]
        faces += [dossier.template.vector.tobytes()]
        for photo in dossier.photos:
            assert photo.original is not None
            faces += [photo.embedding.tobytes(), photo.original[200:400]]
        records = sealed(engine)
        assert len(records) == 2 + 2 * len(dossier.photos)

        before = dump(engine)
        assert not [face for face in faces if face[:24].hex().encode() in before]
        assert all(record.hex().encode() in before for record in records)
        assert b"Robin" in before

        answer = robin.ask("POST", "/withdraw")
        after = dump(engine)

        assert answer.status_code == 200
        assert not [face for face in (*faces, *records) if face[:24].hex().encode() in after]
        assert b"Robin" not in after
        assert held(engine, "S1") == held(engine, "S2") == set()
        (proof,) = answer.json()["erasures"]
        assert (proof["photos"], proof["originals"], proof["templates"]) == (2, 2, 1)

    @pytest.mark.parametrize("table", ["consent", "erasure"])
    def test_records_are_only_added(
        self, table: str, web: httpx.Client, engine: sa.Engine, people: dict[str, Image]
    ) -> None:
        """The database itself refuses to change or delete a consent or the proof of an erasure."""
        robin = Phone(web, "Robin", *FACE)
        robin.photo(people["Robin"])
        robin.choose("store", given=False)
        for statement in (
            f"DELETE FROM enroll.{table}",
            f"UPDATE enroll.{table} SET at = now()",
        ):
            with pytest.raises(sa.exc.DBAPIError, match="only added"), engine.begin() as connection:
                connection.execute(sa.text(statement))
