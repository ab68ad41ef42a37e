"""The node's pages."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from edge_gate.answer import Answer
from edge_gate.barrier import State
from edge_gate.pipeline import LaneView
from edge_gate.reason import DenyReason
from edge_gate.screen import GO, READY, refusal
from edge_gate.status import Decision, GalleryStatus, LaneStatus, StationStatus
from edge_gate.watch import CameraState
from edge_gate.web import NodeDoors, make_app, plain
from fare.tap import Medium
from tests.served import served


class Node:
    """A node as the pages see it; the test sets what it shows."""

    def __init__(self, noon: datetime) -> None:
        view = LaneView(READY, CameraState.OK, State.CLOSED, 3, None)
        lane = LaneStatus("entry", "entry", view, 15.0, 0, {"detect": 4.2})
        answer = Answer(Medium.FACE, None, UUID(int=7), score=0.71, live=0.98)
        self.status = StationStatus(
            "bei",
            "Beidajie",
            "edge-bei",
            noon,
            "open/fr_feature@1",
            GalleryStatus(20_007, 0, 0.642, 1e-2, True, noon, 12),
            4,
            (lane,),
            (Decision(noon, "entry", answer),),
        )
        self.resets: list[str] = []
        self.offered: list[bytes] = []

    def shows(self, view: LaneView) -> None:
        """Change what the lane shows."""
        lane = replace(self.status.lanes[0], view=view)
        self.status = replace(self.status, lanes=(lane,))

    @contextmanager
    def client(self, *, demonstration: bool) -> Iterator[httpx.Client]:
        """Give a browser at a served node; a demonstration shows pictures and takes frames."""
        doors = NodeDoors(lambda: self.status, self.resets.append)
        if demonstration:
            pictures = {"entry": lambda: b"jpeg"}

            def offer(content: bytes) -> bool:
                self.offered.append(content)
                return content.startswith(b"jpeg")

            doors = replace(doors, pictures=pictures, offers={"entry": offer})
        with served(make_app(doors)) as url, httpx.Client(base_url=url) as client:
            yield client


@pytest.fixture
def node(noon: datetime) -> Node:
    """Give a healthy node with one lane."""
    return Node(noon)


@pytest.fixture
def client(node: Node) -> Iterator[httpx.Client]:
    """Give a browser at a node in service."""
    with node.client(demonstration=False) as client:
        yield client


class TestLanePage:
    """What the rider sees."""

    def test_shows_the_headline_and_why(self, node: Node, client: httpx.Client) -> None:
        """The words of the screen stand in the page before any script runs."""
        view = node.status.lanes[0].view
        node.shows(replace(view, screen=refusal(DenyReason.CODE_EXPIRED)))

        page = client.get("/lanes/entry").text

        assert "Code too old" in page
        assert "Please show a fresh code from the app." in page
        assert 'aria-live="assertive"' in page

    def test_there_is_no_other_lane(self, client: httpx.Client) -> None:
        """A lane that the station does not have is not found."""
        assert client.get("/lanes/nowhere").status_code == 404

    def test_offers_the_webcam_only_in_a_demonstration(self, node: Node) -> None:
        """Without the switch a lane takes no pictures from a browser."""
        with node.client(demonstration=False) as client:
            assert 'id="webcam"' not in client.get("/lanes/entry").text
        with node.client(demonstration=True) as client:
            assert 'id="webcam"' in client.get("/lanes/entry").text


class TestStationPage:
    """What staff see."""

    def test_shows_the_lanes_and_the_station(self, client: httpx.Client) -> None:
        """Name, lanes and model stand in the page."""
        page = client.get("/").text

        assert "Beidajie" in page
        assert 'data-lane="entry"' in page
        assert "open/fr_feature@1" in page

    def test_status_has_what_the_page_moves_by(self, client: httpx.Client) -> None:
        """Gallery, threshold, lease, outbox and the last decisions are in status.json."""
        found = client.get("/status.json").json()

        assert found["gallery"]["templates"] == 20_007
        assert found["gallery"]["threshold"] == 0.642
        assert found["outbox_depth"] == 4
        assert found["decisions"][0]["answer"]["rider_ref"] == str(UUID(int=7))

    def test_a_reset_reaches_the_lane(self, node: Node, client: httpx.Client) -> None:
        """Staff put a lane back into service by a form."""
        assert client.post("/lanes/entry/reset", follow_redirects=False).status_code == 303
        assert node.resets == ["entry"]
        assert client.post("/lanes/nowhere/reset").status_code == 404


class TestPrivacy:
    """Pictures are off unless somebody switched them on."""

    def test_a_node_in_service_shows_no_picture(self, client: httpx.Client) -> None:
        """Neither the page nor the address gives a picture."""
        assert client.get("/lanes/entry/picture").status_code == 404
        assert "<img" not in client.get("/").text

    def test_a_node_in_service_takes_no_frame(self, node: Node, client: httpx.Client) -> None:
        """Nobody can push a face into a lane that has a camera of its own."""
        assert client.post("/lanes/entry/frame", content=b"jpeg").status_code == 404
        assert node.offered == []

    def test_control_a_demonstration_does_both(self, node: Node) -> None:
        """Control: with the switches on, the picture is served and the frame is taken."""
        with node.client(demonstration=True) as client:
            shown = client.get("/lanes/entry/picture")
            taken = client.post("/lanes/entry/frame", content=b"jpeg...")
            refused = client.post("/lanes/entry/frame", content=b"text")

        assert (shown.content, shown.headers["cache-control"]) == (b"jpeg", "no-store")
        assert (taken.status_code, refused.status_code) == (204, 422)


class TestEvents:
    """What moves."""

    def test_a_lane_says_at_once_and_at_each_change(self, node: Node, client: httpx.Client) -> None:
        """The stream begins with the screen as it is, and brings the next one when it changes."""
        with client.stream("GET", "/events?lane=entry") as stream:
            lines = (line for line in stream.iter_lines() if line.startswith("data: "))
            first = json.loads(next(lines).removeprefix("data: "))
            node.shows(replace(node.status.lanes[0].view, screen=GO))
            second = json.loads(next(lines).removeprefix("data: "))

        assert (first["sign"], second["sign"]) == ("ready", "go")

    def test_the_station_s_stream_has_all_lanes(self, client: httpx.Client) -> None:
        """Without a lane the stream brings the whole station, but not its ticking clock."""
        with client.stream("GET", "/events") as stream:
            line = next(line for line in stream.iter_lines() if line.startswith("data: "))

        found = json.loads(line.removeprefix("data: "))
        assert [lane["id"] for lane in found["lanes"]] == ["entry"]
        assert "time" not in found


class TestPlain:
    """Records as JSON."""

    def test_ids_times_and_enums_become_text(self, node: Node) -> None:
        """What comes out is what json can write, and holds no face."""
        text = json.dumps(plain(node.status))

        assert '"sign": "ready"' in text
        assert "2026-05-04T12:00:00.000+00:00" in text
        assert "vector" not in text


def test_templates_are_where_the_pages_look() -> None:
    """The pages ship with the package."""
    folder = Path(plain.__code__.co_filename).parent / "pages" / "templates"

    assert {path.name for path in folder.iterdir()} == {"lane.html", "station.html"}


def test_go_is_shown(node: Node, client: httpx.Client) -> None:
    """An open barrier says go."""
    node.shows(replace(node.status.lanes[0].view, screen=GO))

    assert '"go"' in client.get("/lanes/entry").text
