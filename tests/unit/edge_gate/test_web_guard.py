"""Who may ask a node's pages for a change: its own pages, and no other site's."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime

import httpx
import pytest

from edge_gate.barrier import State
from edge_gate.pipeline import LaneView
from edge_gate.screen import READY
from edge_gate.status import GalleryStatus, LaneStatus, StationStatus
from edge_gate.watch import CameraState
from edge_gate.web import FRAME_BYTES_MAX, NodeDoors, make_app

OWN = "http://127.0.0.1:8080"


class Station:
    """A station with one lane that takes pushed frames."""

    def __init__(self, noon: datetime) -> None:
        view = LaneView(READY, CameraState.OK, State.FAULT, 0, None)
        lane = LaneStatus("entry", "entry", view, 15.0, 0, {})
        gallery = GalleryStatus(0, 0, None, 1e-2, True, noon, 0)
        self.status = StationStatus("bei", "Bei", "edge-bei", noon, "m", gallery, 0, (lane,), ())
        self.changes: list[str] = []
        doors = NodeDoors(
            status=lambda: self.status,
            reset=self.changes.append,
            pictures={"entry": lambda: b"jpeg"},
            offers={"entry": self._offer},
            names=frozenset({"gates.example"}),
        )
        self._app = make_app(doors)

    def ask(
        self,
        method: str,
        path: str,
        *,
        headers: dict[str, str] | None = None,
        content: bytes | AsyncIterator[bytes] = b"",
    ) -> int:
        """Return the status of the answer to a browser's request."""

        async def asked() -> int:
            transport = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(transport=transport, base_url=OWN) as browser:
                answer = await browser.request(method, path, headers=headers, content=content)
                return answer.status_code

        return asyncio.run(asked())

    def _offer(self, content: bytes) -> bool:
        self.changes.append(f"{len(content)} bytes")
        return True


@pytest.fixture
def station(noon: datetime) -> Station:
    """Give a station whose barrier waits for staff."""
    return Station(noon)


class TestForeignPages:
    """What a page of another site can do with a browser that reaches the node."""

    @pytest.mark.parametrize("path", ["/lanes/entry/reset", "/lanes/entry/frame"])
    @pytest.mark.parametrize(
        "headers",
        [
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Origin": "http://[::1"},
            {"Origin": "http://127.0.0.1:9999"},  # another program of this machine
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
        ],
    )
    def test_changes_nothing(self, station: Station, path: str, headers: dict[str, str]) -> None:
        """A form or script of another site resets no barrier and shows no face to a lane."""
        status = station.ask("POST", path, content=b"a face", headers=headers)

        assert (status, station.changes) == (403, [])

    @pytest.mark.parametrize("path", ["/", "/status.json", "/lanes/entry/picture", "/events"])
    def test_sees_nothing_under_a_name_of_its_own(self, station: Station, path: str) -> None:
        """A name that is made to point at the node (DNS rebinding) opens none of its pages."""
        assert station.ask("GET", path, headers={"Host": "evil.example"}) == 421

    @pytest.mark.parametrize(
        "host", ["", "[::1", "localhost.evil.example", "127.0.0.1.evil.example"]
    )
    def test_a_broken_or_disguised_name_is_none(self, station: Station, host: str) -> None:
        """What only looks like the node's address is another site's name."""
        assert station.ask("GET", "/status.json", headers={"Host": host}) == 421

    def test_changes_nothing_under_a_name_of_its_own(self, station: Station) -> None:
        """There the origin equals the host, so only the name tells."""
        headers = {"Host": "evil.example", "Origin": "http://evil.example"}

        status = station.ask("POST", "/lanes/entry/reset", headers=headers)

        assert (status, station.changes) == (421, [])


class TestOwnPages:
    """What must go on working."""

    @pytest.mark.parametrize(
        "host", ["127.0.0.1:8080", "192.0.2.7", "[::1]:8080", "localhost:8080", "gates.example"]
    )
    def test_its_own_pages_change_it(self, station: Station, host: str) -> None:
        """By address, as localhost or by a configured name, the staff page's button works."""
        headers = {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}

        status = station.ask("POST", "/lanes/entry/reset", headers=headers)

        assert (status, station.changes) == (303, ["entry"])

    def test_a_program_without_origin_is_let_in(self, station: Station) -> None:
        """No browser, no foreign page behind it."""
        assert station.ask("POST", "/lanes/entry/frame", content=b"x") == 204


class TestFrames:
    """The pictures that a browser pushes."""

    def test_a_body_without_end_is_cut_off(self, station: Station) -> None:
        """More bytes than a picture may have are not collected in memory."""
        taken = 0

        async def endless() -> AsyncIterator[bytes]:
            nonlocal taken
            while taken < 1_000:
                taken += 1
                yield bytes(FRAME_BYTES_MAX // 4)

        status = station.ask("POST", "/lanes/entry/frame", content=endless())

        assert (status, station.changes) == (413, [])
        assert taken <= 5
