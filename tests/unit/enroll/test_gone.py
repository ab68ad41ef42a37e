"""Gone means gone: what a withdrawal leaves in the whole database."""

from uuid import UUID

import httpx
import numpy as np
import pytest
import sqlalchemy as sa

from edge_gate.face import Image
from enroll.web.desk import Desk
from tests.phone import FACE, Phone, dump, held


class TestGoneMeansGone:
    """Withdrawal, looked for in the whole database."""

    def test_no_byte_of_the_face_is_left(
        self, web: httpx.Client, office: Desk, engine: sa.Engine, people: dict[str, Image]
    ) -> None:
        """A dump finds the face in every form before the withdrawal, and in none after it."""
        robin = Phone(web, "Robin", *FACE, "keep_photos")
        for image in (people["Robin"], (people["Robin"] * 0.75).astype(np.uint8)):
            assert robin.photo(image).status_code == 201
        dossier = office.enrollment.store.find(UUID(robin.ref))
        assert dossier is not None
        assert dossier.template is not None
        traces = {"template for stations": dossier.template.vector.astype("<f2").tobytes()}
        traces["template"] = dossier.template.vector.tobytes()
        for number, photo in enumerate(dossier.photos):
            traces[f"embedding {number}"] = photo.embedding.tobytes()
            assert photo.original is not None
            traces[f"picture {number}"] = photo.original[200:400]
        before = dump(engine)
        assert {
            name for name, trace in traces.items() if trace.hex().encode() not in before
        } == set()
        assert b"Robin" in before

        answer = robin.ask("POST", "/withdraw")
        after = dump(engine)

        assert answer.status_code == 200
        assert {name for name, trace in traces.items() if trace.hex().encode() in after} == set()
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
