"""The operator's console over real HTTP, on a fleet in memory."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import count
from uuid import UUID

import httpx
import pytest

from cloud_sync.adapters.console.metrics import MEDIA_TYPE, FleetCollector, exposition
from cloud_sync.adapters.memory.erasures import MemoryErasureLedger
from cloud_sync.adapters.memory.fleet import MemoryFleetLog
from cloud_sync.adapters.memory.view_log import MemoryViewLog
from cloud_sync.fleet.findings import Finding, Severity
from cloud_sync.fleet.health import EdgeHealth, FleetLogFailed, FleetNode
from cloud_sync.stream.view import EdgeNode
from cloud_sync.web.app import ConsoleRules, create_app
from cloud_sync.web.board import curves
from cloud_sync.web.sources import CityDoors, Exposition, Sources
from fare.city import shipped
from tests.fleet import NOON, health, lane
from tests.served import served

_CITY = shipped()
STATIONS = tuple(_CITY.network.stations)[:3]


class Fleet(MemoryFleetLog):
    """A log whose database can be away."""

    away = False

    def nodes(self) -> tuple[FleetNode, ...]:
        """Return the nodes, or fail as a database does."""
        if self.away:
            raise FleetLogFailed("gone")
        return super().nodes()


@dataclass
class Town:
    """Three stations with a node each, and the operator's clock."""

    now: datetime = NOON

    def __post_init__(self) -> None:
        """Admit the nodes and lease them."""
        numbers = count(1)
        self.views = MemoryViewLog(lambda: UUID(int=next(numbers)), dimension=8)
        self.fleet = Fleet(self.views)
        self.nodes = [EdgeNode(f"edge-{s}", s, bytes(32)) for s in STATIONS]
        for node in self.nodes:
            self.views.admit(node, NOON)
            self.views.offer_lease(node.edge_id, NOON + timedelta(hours=23))

    def tells(self, number: int, **fields: object) -> None:
        """Let a node report."""
        node = self.nodes[number]
        told: EdgeHealth = replace(health(node.edge_id, node.station_id), **fields)  # type: ignore[arg-type]
        self.fleet.report(node, told, self.now)


@dataclass
class Desk:
    """A town and the address of its console."""

    town: Town
    url: str

    def get(self, path: str, status: int = 200, **headers: str) -> str:
        """Read a page as text, tags taken out and spaces made one."""
        answer = httpx.get(self.url + path, headers=headers, trust_env=False)
        assert answer.status_code == status, answer.text
        text = re.sub(r"<(style|script)>.*?</\1>", " ", answer.text, flags=re.DOTALL)
        return " ".join(re.sub(r"<[^>]+>", " ", text).split())


@pytest.fixture
def desk() -> Iterator[Desk]:
    """Serve the console of a town."""
    town = Town()
    collector = FleetCollector(town.fleet, clock=lambda: town.now)
    empty = CityDoors(
        lambda _ref, _station, _now: None,
        lambda _since: (),
        lambda: (),
        lambda: (),
        lambda _station, _limit: (),
        lambda _station, _change: None,
    )
    sources = Sources(
        fleet=town.fleet,
        erasures=MemoryErasureLedger(town.views, copy=lambda _: None),
        city=empty,
        audited=lambda _: (),
        metrics=lambda: Exposition(exposition((collector,)), MEDIA_TYPE),
        clock=lambda: town.now,
        network=_CITY.network,
        zone=_CITY.tariff.timezone,
    )
    with served(create_app(sources, ConsoleRules(poll_s=0.05))) as url:
        yield Desk(town, url)


class TestFleetPage:
    """All nodes on one page."""

    def test_the_worst_stands_first(self, desk: Desk) -> None:
        """Whoever reads from the top begins where riders are held up."""
        desk.town.tells(0)
        desk.town.tells(1, software="0.0.9")
        desk.town.tells(2, lanes=(lane(camera="black"),))

        page = desk.get("/")

        places = [page.index(node.edge_id) for node in desk.town.nodes]
        assert places[2] < places[1] < places[0]
        assert "camera fault entry-1: black" in page
        assert "Critical 1" in page

    def test_a_quiet_node_is_told_by_the_clock_alone(self, desk: Desk) -> None:
        """A node that stops reporting becomes a finding without anybody writing anything."""
        for number in range(3):
            desk.town.tells(number)
        assert "Critical 0" in desk.get("/")

        desk.town.now += timedelta(minutes=6)

        page = desk.get("/")
        assert "Critical 3" in page
        assert "silent no report for 6 min" in page

    def test_a_node_that_never_came_is_there(self, desk: Desk) -> None:
        """An admitted node without a report is listed as such."""
        assert desk.get("/").count("never reported") == 3

    def test_names_are_not_markup(self, desk: Desk) -> None:
        """What a node says of itself is shown as text, whatever it is."""
        desk.town.tells(
            0, software="<script>alert(1)</script>", lanes=(lane("<b>", camera="lost"),)
        )

        answer = httpx.get(desk.url + "/", trust_env=False).text
        page = httpx.get(f"{desk.url}/nodes/{desk.town.nodes[0].edge_id}", trust_env=False).text

        assert "<script>alert" not in answer + page
        assert "<b>" not in answer + page

    def test_news_come_by_themselves(self, desk: Desk) -> None:
        """An open page hears of a new finding within a moment."""
        with httpx.stream("GET", desk.url + "/events", trust_env=False, timeout=5) as stream:
            lines = (line for line in stream.iter_lines() if line.startswith("data:"))
            first = json.loads(next(lines).removeprefix("data:"))
            desk.town.tells(0, model_digest="")
            second = json.loads(next(lines).removeprefix("data:"))

        name = desk.town.nodes[0].edge_id
        assert first["nodes"][name][1] == ["never_reported"]
        assert second["nodes"][name][:2] == ["critical", ["model_refused"]]


class TestNodePage:
    """One node."""

    def test_shows_figures_and_history(self, desk: Desk) -> None:
        """Lanes, certificate and two hours of curves are on the node's page."""
        for minute in range(3):
            desk.town.now = NOON + timedelta(minutes=minute)
            desk.town.tells(0, outbox_depth=minute * 7, outbox_age_s=5.0)
        name = desk.town.nodes[0].edge_id

        page = desk.get(f"/nodes/{name}")

        assert "14 taps, the oldest 5.0 s" in page
        assert "20 h old" in page
        assert "Taps waiting: 14 (0 to 14)" in page
        assert "entry-1 ok 40 ms ago open 90 8 2" in page
        assert "<polyline" in httpx.get(f"{desk.url}/nodes/{name}", trust_env=False).text

    def test_an_unknown_node_is_not_invented(self, desk: Desk) -> None:
        """A name that nobody admitted is told to be none."""
        assert "No node of this name" in desk.get("/nodes/mallory", 404)

    def test_a_curve_of_one_report_is_a_point(self, desk: Desk) -> None:
        """Neither one report nor equal values divide by nothing."""
        desk.town.tells(0)
        history = desk.town.fleet.history(desk.town.nodes[0].edge_id, NOON)

        assert all("nan" not in curve.points for curve in curves(history))
        assert curves(()) == ()


class TestMetrics:
    """/metrics."""

    def test_every_figure_of_the_issue_is_there(self, desk: Desk) -> None:
        """Lag, lease, certificate, outbox, cameras, capture rate, clock and model, per node."""
        desk.town.tells(0, outbox_depth=4, outbox_age_s=2.5, clock_error_ms=1_500)
        station, edge = desk.town.nodes[0].station_id, desk.town.nodes[0].edge_id
        node = f'edge="{edge}",station="{station}"'
        lanes = f'edge="{edge}",lane="entry-1"'

        told = httpx.get(desk.url + "/metrics", trust_env=False)
        lines = _sorted_labels(told.text)

        assert told.headers["content-type"].startswith("text/plain; version=")
        assert f"gateline_view_lag_revisions{{{node}}} 0.0" in lines
        assert f"gateline_lease_remaining_seconds{{{node}}} 82800.0" in lines
        assert f"gateline_certificate_age_seconds{{{node}}} 72000.0" in lines
        assert f"gateline_outbox_taps{{{node}}} 4.0" in lines
        assert f"gateline_outbox_age_seconds{{{node}}} 2.5" in lines
        assert f"gateline_clock_error_seconds{{{node}}} 1.5" in lines
        assert f'gateline_camera_ok{{{lanes},state="ok",station="{station}"}} 1.0' in lines
        assert (
            f'gateline_answers_total{{{lanes},outcome="by_face",station="{station}"}} 90.0' in lines
        )
        assert (
            f'gateline_node_info{{edge="{edge}",model_digest="face@0123456789ab",protocol="'
            in "\n".join(lines)
        )
        assert f'gateline_finding{{edge="{edge}",finding="{Finding.CLOCK_OFF}",' in "\n".join(lines)
        assert f'gateline_nodes{{severity="{Severity.WARNING}"}} 3.0' in lines

    def test_a_scrape_fails_when_nothing_can_be_read(self, desk: Desk) -> None:
        """Old figures are never told as new ones; the next scrape may succeed."""
        desk.town.fleet.away = True
        failed = httpx.get(desk.url + "/metrics", trust_env=False).status_code
        desk.town.fleet.away = False
        came_back = httpx.get(desk.url + "/metrics", trust_env=False).status_code

        assert (failed, came_back) == (503, 200)


class TestDoors:
    """Who may ask, and for what."""

    def test_only_under_its_own_name(self, desk: Desk) -> None:
        """A foreign name that points here is not answered."""
        desk.get("/", 421, Host="evil.example")
        desk.get("/metrics", 421, Host="evil.example")

    def test_a_database_that_is_away_is_told(self, desk: Desk) -> None:
        """The page says so, instead of showing an empty fleet."""
        desk.town.fleet.away = True

        assert "cannot be read" in desk.get("/", 503)

    @pytest.mark.parametrize("page", ["why", "erasures", "views", "orders", "audit"])
    def test_every_page_is_there_before_anything_is(self, desk: Desk, page: str) -> None:
        """An empty city has all pages, each saying that there is nothing yet."""
        assert "Gateline" in desk.get(f"/{page}")

    def test_there_is_no_other_page(self, desk: Desk) -> None:
        """Neither documentation nor schema is served."""
        for path in ("/docs", "/openapi.json", "/nowhere"):
            desk.get(path, 404)

    @pytest.mark.parametrize(("poll_s", "quiet_s"), [(0.0, 1.0), (2.0, 1.0)])
    def test_rates_that_make_no_sense_are_refused(self, poll_s: float, quiet_s: float) -> None:
        """A stream must look before it is quiet."""
        with pytest.raises(ValueError, match="poll_s"):
            ConsoleRules(poll_s=poll_s, quiet_s=quiet_s)


def _sorted_labels(text: str) -> list[str]:
    """Return the samples with their labels in alphabetical order."""

    def ordered(found: re.Match[str]) -> str:
        return "{" + ",".join(sorted(re.findall(r'\w+="[^"]*"', found.group(0)))) + "}"

    return [re.sub(r"\{.*\}", ordered, line) for line in text.splitlines()]
