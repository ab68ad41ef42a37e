"""What strangers may send before anybody knows them."""

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import httpx
import numpy as np
import pytest
from starlette.types import Message, Receive, Scope, Send

from edge_gate.face import Face, Image
from enroll.web.desk import JUDGED_AT_ONCE, Desk
from enroll.web.guard import BODY_BYTES_MAX, BoundedBodies
from tests.phone import Phone, browser
from tests.riders import assessor, png


def endless(parts: int) -> Iterator[bytes]:
    """Yield a JSON text that does not end, without saying its length."""
    yield b'{"name":"'
    for _ in range(parts):
        yield b"a" * 65_536


class TestBodies:
    """The size of a request that is no photo."""

    def test_a_body_without_end_is_refused(self, web: httpx.Client) -> None:
        """A sign-up of many megabytes is answered 413 instead of being collected in memory."""
        answer = web.post(
            "/api/riders", content=endless(200), headers={"Content-Type": "application/json"}
        )

        assert answer.status_code == 413
        assert web.get("/api/consents").status_code == 200

    def test_no_more_than_the_limit_is_read(self) -> None:
        """The application behind gets an error at the limit, and asks for nothing more."""
        asked = 0

        async def receive() -> Message:
            nonlocal asked
            asked += 1
            return {"type": "http.request", "body": bytes(BODY_BYTES_MAX // 4), "more_body": True}

        async def collect(scope: Scope, receive: Receive, send: Send) -> None:
            del scope, send
            while (await receive()).get("more_body"):
                assert asked < 100

        async def send(message: Message) -> None:
            del message

        scope: Scope = {"type": "http", "path": "/api/riders"}
        with pytest.raises(Exception, match="413"):
            asyncio.run(BoundedBodies(collect)(scope, receive, send))
        assert asked == 5


class Slow:
    """A detector that notes how many pictures it is shown at once."""

    model_id = "slow"

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._now = 0
        self.most = 0

    def detect(self, image: Image) -> tuple[Face, ...]:
        """Find nobody, after a while."""
        del image
        with self._guard:
            self._now += 1
            self.most = max(self.most, self._now)
        time.sleep(0.05)
        with self._guard:
            self._now -= 1
        return ()


class TestManyPhotos:
    """Photos that come all at once."""

    def test_few_pictures_are_decoded_at_once(self, office: Desk) -> None:
        """Twelve riders upload together: a large picture takes 180 MB, so the others wait."""
        slow = Slow()
        judge = assessor()
        office = replace(office, assess=replace(judge, eye=replace(judge.eye, detector=slow)))
        with browser(office) as web:
            rider = Phone(web, "Robin", "collect", "store")
            picture = png(np.full((64, 64, 3), 128, np.uint8))

            def glance(_: int) -> int:
                files = {"photo": ("me.png", picture, "image/png")}
                return rider.ask("POST", "/photos/glance", files=files).status_code

            with ThreadPoolExecutor(12) as pool:
                statuses = list(pool.map(glance, range(12)))

        assert statuses == [200] * 12
        assert 1 <= slow.most <= JUDGED_AT_ONCE


class TestOddWords:
    """Text that no database takes and headers that no browser sends."""

    @pytest.mark.parametrize("name", ["a\0b", "a\nb", "\x7f"])
    def test_a_name_of_control_characters_is_malformed(self, web: httpx.Client, name: str) -> None:
        """The rider is told what is wrong; it is no failure of ours."""
        assert web.post("/api/riders", json={"name": name}).status_code == 422

    def test_a_name_in_any_script_is_fine(self, web: httpx.Client) -> None:
        """Letters, spaces and signs of any language pass."""
        assert web.post("/api/riders", json={"name": "李 Zoë-Ån O'Neil"}).status_code == 201

    @pytest.mark.parametrize("origin", ["http://[::1", "null", "", "://"])
    def test_a_broken_origin_is_another_site(self, web: httpx.Client, origin: str) -> None:
        """An origin that cannot be read is refused, not stumbled over."""
        assert web.post("/api/riders", json={}, headers={"Origin": origin}).status_code == 403
