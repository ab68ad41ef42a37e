"""Who may see what, and every page in every state of a rider."""

import base64
from uuid import UUID, uuid4

import httpx
import pytest
import sqlalchemy as sa

from edge_gate.face import Image
from enroll.web.desk import Desk
from enroll.web.guard import COOKIE
from tests.phone import FACE, Phone, browser, dump


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
        ("PUT", "/homes"),
        ("POST", "/check-ins"),
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
