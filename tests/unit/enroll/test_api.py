"""The rider app over HTTP: real PostgreSQL, real models, real photos."""

import base64
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import httpx
import numpy as np
import sqlalchemy as sa

from edge_gate import ride_code
from edge_gate.adapters import opencv
from edge_gate.face import Image
from edge_gate.ride_code import KeyRing, RideCodeConfig
from enroll.code import published
from enroll.web.desk import Desk
from tests.people import group
from tests.phone import FACE, Phone, browser, held
from tests.riders import MONDAY, png


class TestWayToTheStation:
    """Sign up, choose, add a photo."""

    def test_face_reaches_both_stations(
        self, web: httpx.Client, engine: sa.Engine, people: dict[str, Image]
    ) -> None:
        """After four choices and one photo the template is in every station's view."""
        robin = Phone(web, "Robin", *FACE)
        answer = robin.photo(people["Robin"])

        assert answer.status_code == 201
        assert answer.json()["may"] == {
            "add_photos": True,
            "ride_by_code": True,
            "ride_by_face": True,
        }
        assert held(engine, "S1") == held(engine, "S2") == {robin.ref}

    def test_pause_and_resume(
        self, web: httpx.Client, engine: sa.Engine, people: dict[str, Image]
    ) -> None:
        """A paused face is in no station's view, and is again after the resume."""
        robin = Phone(web, "Robin", *FACE)
        robin.photo(people["Robin"])

        assert robin.ask("POST", "/pause").json()["state"] == "paused"
        assert held(engine) == set()
        assert robin.ask("POST", "/resume").json()["state"] == "active"
        assert held(engine) == {robin.ref}

    def test_send_withdrawn(
        self, web: httpx.Client, engine: sa.Engine, people: dict[str, Image]
    ) -> None:
        """Withdrawing `send` empties the stations and keeps the photo here."""
        robin = Phone(web, "Robin", *FACE)
        robin.photo(people["Robin"])
        after = robin.choose("send", given=False)

        assert held(engine) == set()
        assert len(list(after["photos"])) == 1  # type: ignore[call-overload]

    def test_answers_hold_no_face(
        self, web: httpx.Client, office: Desk, people: dict[str, Image]
    ) -> None:
        """No answer of the API holds an embedding, in words or in bytes."""
        robin = Phone(web, "Robin", *FACE)
        text = robin.photo(people["Robin"]).text + robin.ask("GET").text
        dossier = office.enrollment.store.find(UUID(robin.ref))
        assert dossier is not None
        vector = dossier.photos[0].embedding

        assert not any(f"{abs(value):.5f}"[2:] in text for value in vector if abs(value) > 0.05)
        assert base64.b64encode(vector.tobytes()[:30]).decode() not in text


class TestRefusals:
    """What the app says no to, with a reason for each."""

    def test_photo(self, web: httpx.Client, people: dict[str, Image]) -> None:
        """A refused photo answers 422 with its reason, a sentence and advice, and adds nothing."""
        robin = Phone(web, "Robin", *FACE)
        robin.photo(people["Robin"])
        for data, error in (
            (b"no picture", "not_an_image"),
            (png(people["Robin"])[:-20], "truncated"),
            (png(np.full((300, 300, 3), 125, np.uint8)), "no_face"),
            (png(group()), "two_faces"),
            (png(people["Kim"]), "other_person"),
        ):
            answer = robin.photo(data)
            assert (answer.status_code, answer.json()["error"]) == (422, error)
            assert answer.json()["message"]
            assert answer.json()["advice"]

        assert len(robin.ask("GET").json()["photos"]) == 1

    def test_too_many_bytes(self, office: Desk, people: dict[str, Image]) -> None:
        """A file one byte above the limit is refused, at the limit it is taken."""
        data = png(people["Robin"])
        for limit, status in ((len(data), 201), (len(data) - 1, 422), (100, 422)):
            with browser(replace(office, upload_bytes_max=limit)) as web:
                rider = Phone(web, "Robin", *FACE)
                answer = rider.photo(data)
                assert answer.status_code == status
                if status == 422:
                    assert answer.json()["error"] == "too_large"
                rider.ask("POST", "/withdraw")  # the next one must not be a look-alike

    def test_without_consent(self, web: httpx.Client, people: dict[str, Image]) -> None:
        """Without the consent to store, a photo is declined before it is looked at."""
        answer = Phone(web, "Robin", "collect").photo(people["Robin"])
        assert (answer.status_code, answer.json()["error"]) == (409, "consent_missing")

    def test_minor(self, web: httpx.Client, people: dict[str, Image]) -> None:
        """Under 14 neither choices nor photos nor codes work before the guardian agrees."""
        kit = Phone(web, "Kit", minor=True)
        wish = {"purpose": "pay", "given": True}
        assert kit.ask("POST", "/consents", json=wish).status_code == 409
        assert kit.photo(people["Robin"]).json()["error"] == "guardian_missing"
        assert kit.ask("GET", "/code").status_code == 409

        kit.choose("guardian", given=True)
        kit.choose("pay", given=True)
        assert kit.ask("GET", "/code").status_code == 200

    def test_outdated_text(self, web: httpx.Client) -> None:
        """A choice made on another version of the text is not recorded."""
        ada = Phone(web, "Ada")
        wish = {"purpose": "pay", "given": True, "text_version": 99}

        assert ada.ask("POST", "/consents", json=wish).status_code == 409
        assert ada.ask("GET").json()["consents"]["pay"] is False

    def test_malformed(self, web: httpx.Client) -> None:
        """A malformed request is told so, without its content in the answer."""
        ada = Phone(web, "Ada")
        wrong: list[dict[str, Any]] = [
            {"json": {"purpose": "everything", "given": True}},
            {"json": {"purpose": "pay"}},
            {"json": {"purpose": "pay", "given": True, "more": 1}},
            {"content": b"\xff\xfe"},
        ]
        for content in wrong:
            answer = ada.ask("POST", "/consents", **content)
            assert (answer.status_code, answer.json()["error"]) == (422, "malformed")
            assert "everything" not in answer.text

    def test_malformed_upload(self, web: httpx.Client) -> None:
        """A broken form, or one without the photo, is a bad request and no server error."""
        ada = Phone(web, "Ada", *FACE)
        kind = {"Content-Type": "multipart/form-data; boundary=x"}
        text = b'--x\r\nContent-Disposition: form-data; name="photo"\r\n\r\n1\r\n--x--\r\n'
        for body in (b"", b"--x--", b"\0" * 99, text, text.replace(b"photo", b"other")):
            headers = ada.headers | kind
            answer = web.post(f"{ada.home}/photos", content=body, headers=headers)
            assert answer.status_code == 400, body
        assert ada.ask("POST", "/photos", json={}).status_code == 400

    def test_no_models(self, office: Desk, people: dict[str, Image]) -> None:
        """Where no model could be opened, photos are off and the ride code works."""
        with browser(replace(office, assess=None)) as web:
            robin = Phone(web, "Robin", *FACE)
            assert robin.photo(people["Robin"]).status_code == 503
            assert robin.ask("GET", "/code").status_code == 200

    def test_glance(self, web: httpx.Client, people: dict[str, Image]) -> None:
        """A live picture gets guidance and leaves nothing; it needs the consent to look."""
        robin = Phone(web, "Robin")
        files = {"photo": ("g.png", png(people["Robin"]), "image/png")}
        assert robin.ask("POST", "/photos/glance", files=files).status_code == 409

        robin.choose("collect", given=True)
        good = robin.ask("POST", "/photos/glance", files=files).json()
        wall = {"photo": ("g.png", png(np.full((300, 300, 3), 125, np.uint8)), "image/png")}
        none = robin.ask("POST", "/photos/glance", files=wall).json()

        assert good["good"] is True
        assert (none["good"], none["error"]) == (False, "no_face")
        assert robin.ask("GET").json()["photos"] == []


class TestRideCode:
    """What the phone shows."""

    def test_gate_takes_what_the_scanner_reads(self, web: httpx.Client, office: Desk) -> None:
        """The picture's symbol, read by a QR reader, is a code that a gate takes."""
        import zxingcpp

        ada = Phone(web, "Ada", "pay")
        image = opencv.decode(ada.ask("GET", "/code.png").content)
        (read,) = zxingcpp.read_barcodes(image)
        ring = KeyRing([published(office.issuer)])
        judged = ride_code.verify(read.bytes, ring, MONDAY, RideCodeConfig())

        assert isinstance(judged, ride_code.Accepted)
        assert str(judged.rider_ref) == ada.ref

    def test_each_is_fresh(self, web: httpx.Client) -> None:
        """Two codes asked for one after the other differ, and say how long they live."""
        ada = Phone(web, "Ada", "pay")
        one, two = (ada.ask("GET", "/code").json() for _ in range(2))

        assert one["payload"] != two["payload"]
        assert (one["valid_s"], one["refresh_s"]) == (60, 25)
        assert one["svg"].startswith("<svg")

    def test_needs_consent_to_pay(self, web: httpx.Client) -> None:
        """Without the consent to charge there is no code."""
        assert Phone(web, "Ada").ask("GET", "/code").status_code == 409


class TestMoney:
    """Means, top-ups, trips."""

    def test_wallet_and_card(self, web: httpx.Client) -> None:
        """A top-up fills the wallet once per id, and a card's token takes over."""
        ada = Phone(web, "Ada", "pay")
        wish = {"top_up_id": str(uuid4()), "minor_units": 5000}
        for _ in range(2):
            answer = ada.ask("POST", "/top-ups", json=wish)
        assert answer.json()["wallet"]["minor_units"] == 5000

        card = ada.ask("PUT", "/means", json={"kind": "card", "token": "tok_ada"})
        assert (card.json()["means"], card.json()["card_token"]) == ("card", "tok_ada")

    def test_card_number_is_refused(self, web: httpx.Client) -> None:
        """A card number, or anything else that is no token, is refused and not repeated."""
        ada = Phone(web, "Ada", "pay")
        for token in ("4111 1111 1111 1111", "4111111111111111", "", "a b c d"):
            answer = ada.ask("PUT", "/means", json={"kind": "card", "token": token})
            assert answer.status_code == 422
            assert not token or token not in answer.text

        assert ada.ask("GET", "/trips").json()["means"] == "wallet"

    def test_amounts(self, web: httpx.Client) -> None:
        """Nothing, less than nothing and too much cannot be topped up."""
        ada = Phone(web, "Ada", "pay")
        for amount in (0, -5, 100_001):
            wish = {"top_up_id": str(uuid4()), "minor_units": amount}
            assert ada.ask("POST", "/top-ups", json=wish).status_code == 422


class TestStations:
    """Home stations and check-in over HTTP."""

    def test_homes(self, web: httpx.Client) -> None:
        """Homes come back in the rider's order, in the answer and on the next read."""
        robin = Phone(web, "Robin")

        answer = robin.ask("PUT", "/homes", json={"station_ids": ["S2", "S1"]})

        assert answer.json()["homes"] == robin.ask("GET").json()["homes"] == ["S2", "S1"]

    def test_homes_refused(self, web: httpx.Client) -> None:
        """A strange station and a fifth home are refused in words, and nothing changes."""
        robin = Phone(web, "Robin")

        strange = robin.ask("PUT", "/homes", json={"station_ids": ["atlantis"]})
        malformed = robin.ask("PUT", "/homes", json={"station_ids": "S1"})

        assert (strange.status_code, strange.json()["error"]) == (404, "unknown_station")
        assert malformed.status_code == 422
        assert robin.ask("GET").json()["homes"] == []

    def test_nobody_elses(self, web: httpx.Client) -> None:
        """Neither homes nor check-ins of another rider can be made."""
        robin, eve = Phone(web, "Robin"), Phone(web, "Eve")
        robin.headers = eve.headers

        homes = robin.ask("PUT", "/homes", json={"station_ids": ["S1"]})
        coming = robin.ask("POST", "/check-ins", json={"station_id": "S1"})

        assert (homes.status_code, coming.status_code) == (403, 403)

    def test_check_in(self, web: httpx.Client, people: dict[str, Image]) -> None:
        """A station expects a face for half an hour; without one the code is pointed out."""
        robin = Phone(web, "Robin", *FACE)
        off = robin.ask("POST", "/check-ins", json={"station_id": "S1"})
        robin.photo(people["Robin"])

        on = robin.ask("POST", "/check-ins", json={"station_id": "S2"})
        no_view = robin.ask("POST", "/check-ins", json={"station_id": "S3"})

        assert (off.status_code, off.json()["error"]) == (409, "face_off")
        assert on.status_code == 201
        assert on.json() == {"station": "Bell Tower", "until": "2026-05-04T12:30:00+00:00"}
        assert no_view.status_code == 404

    def test_pages(self, web: httpx.Client) -> None:
        """The page of stations shows what is chosen; the list of stations is sorted by name."""
        robin = Phone(web, "Robin")
        robin.ask("PUT", "/homes", json={"station_ids": ["S1"]})

        shown = web.get("/me/stations", headers=robin.headers)
        listed = web.get("/api/stations").json()["stations"]

        assert '<option value="S1" selected>North Gate</option>' in shown.text
        assert [each["name"] for each in listed] == ["Bell Tower", "Closed Yard", "North Gate"]
