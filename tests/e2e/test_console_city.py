"""The console's pages of the city, over real HTTP and PostgreSQL."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import httpx
import pytest
import sqlalchemy as sa

from cloud_sync.adapters.console.city_desk import PostgresCityDesk
from cloud_sync.adapters.console.metrics import MEDIA_TYPE, FleetCollector, exposition
from cloud_sync.adapters.postgres.erasures import PostgresErasureLedger, erase
from cloud_sync.adapters.postgres.fleet import PostgresFleetLog
from cloud_sync.adapters.postgres.registry import PostgresRegistry
from cloud_sync.adapters.postgres.view_log import PostgresViewLog
from cloud_sync.fleet.erasure import Erasure
from cloud_sync.master.gallery import Withdraw
from cloud_sync.setting import Mode
from cloud_sync.trust.registry import AuditLine, What
from cloud_sync.web.app import create_app
from cloud_sync.web.sources import CityDoors, Exposition, Sources
from fare.city import shipped
from tests.cloud_city import BELL, DRUM, NOON, NORTH, ROOMY, City
from tests.keys import SAFE
from tests.served import served
from tests.templates import rider

SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)


@dataclass
class Console:
    """A city and the address of its console."""

    city: City
    url: str

    def get(self, path: str, status: int = 200) -> str:
        """Read a page as text, tags taken out and spaces made one."""
        answer = httpx.get(self.url + path, trust_env=False, follow_redirects=True)
        assert answer.status_code == status, answer.text
        return _plain(answer.text)

    def post(self, status: int, **fields: object) -> httpx.Response:
        """Send the form of modes."""
        answer = httpx.post(self.url + "/orders/mode", data=fields, trust_env=False)
        assert answer.status_code == status, answer.text
        return answer

    def modes(self) -> frozenset[Mode]:
        """Return what the bell tower is ordered to leave out."""
        desk = PostgresCityDesk(self.city.engine, self.city.membership)
        (bell,) = [one for one in desk.orders() if one.station_id == BELL]
        return bell.modes


def _plain(text: str) -> str:
    text = re.sub(r"<(style|script)>.*?</\1>", " ", text, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", text).split())


@pytest.fixture
def console(engine: sa.Engine) -> Iterator[Console]:
    """Serve the console of a city of three stations, where Robin is enrolled."""
    city = City(engine, ROOMY)
    city.enroll("Robin")
    with served(create_app(sources(city))) as url:
        yield Console(city, url)


def sources(city: City) -> Sources:
    """Join a console's sources, a minute after noon."""
    desk = PostgresCityDesk(city.engine, city.membership)
    fleet, known = PostgresFleetLog(city.engine), shipped()
    return Sources(
        fleet=fleet,
        erasures=PostgresErasureLedger(city.engine, copy=lambda _: None),
        city=CityDoors(desk.why, desk.rates, desk.sizes, desk.orders, desk.denials, desk.order),
        audited=PostgresRegistry(city.engine).audited,
        metrics=lambda: Exposition(
            exposition([FleetCollector(fleet, clock=lambda: NOON)]), MEDIA_TYPE
        ),
        clock=lambda: NOON + 60 * SECOND,
        network=known.network,
        zone=known.tariff.timezone,
    )


def leaves(city: City) -> None:
    """Let Robin withdraw at noon; the node at the bell tower says so 3.8 s later."""
    gone = Erasure(rider("Robin"), NOON, "withdraw", is_final=True)
    views = PostgresViewLog(city.engine, SAFE)
    for station in (BELL, DRUM, NORTH):
        views.offer_lease(f"edge-{station}", NOON + HOUR)
    with city.engine.begin() as connection:
        city.membership.settle(connection, [Withdraw(rider("Robin"), NOON + HOUR)], NOON)
        erase(connection, gone, copy=lambda _: None)
    head = views.head(BELL)
    assert head is not None
    views.acknowledge(f"edge-{BELL}", head.epoch, head.head_rev, NOON + 3.8 * SECOND)


class TestWhy:
    """Why is this rider in this view?"""

    def test_explains_a_rider(self, console: Console) -> None:
        """Tier, rank and the claim in words are there for a rider who is in the view."""
        page = console.get(f"/why?rider={rider('Robin')}&station={BELL}")

        assert "In the first tier" in page
        assert "is here because the city fits" in page

    def test_says_why_not(self, console: Console) -> None:
        """Somebody whom nobody knows is told to be unknown."""
        page = console.get(f"/why?rider={rider('Zoe')}&station={BELL}")

        assert "Not in the view" in page
        assert "No rider has this reference" in page

    @pytest.mark.parametrize("query", ["rider=robin&station=x", "rider=%3Cb%3E&station=x"])
    def test_a_mistyped_reference_is_told(self, console: Console, query: str) -> None:
        """What is no reference is no error of the server's, and is shown as text."""
        assert "32 hexadecimal digits" in console.get(f"/why?{query}")

    def test_an_unknown_station_is_told(self, console: Console) -> None:
        """A station without a view explains nothing."""
        page = console.get(f"/why?rider={rider('Robin')}&station=nowhere")

        assert "No station with a view" in page


class TestErasures:
    """Proof per rider."""

    def test_shows_who_is_missing(self, console: Console) -> None:
        """The proof names each node, its word, or when its lease ends."""
        leaves(console.city)

        newest = console.get("/erasures")
        page = console.get(f"/erasures?rider={rider('Robin')}")

        assert "gone from 1 of 3 nodes" in newest
        assert "its own word" in page
        assert page.count("not yet") == 2
        assert "Withdraw, 04 May 2026 20:00:00" in page

    def test_nobody_is_invented(self, console: Console) -> None:
        """A rider who never left has no proof."""
        console.get(f"/erasures/{rider('Robin')}", 404)
        console.get("/erasures/no-reference", 404)


class TestOrders:
    """Station modes and the deny list."""

    def test_a_mode_needs_a_confirmation(self, console: Console) -> None:
        """The first form changes nothing and says what it would do; the second one orders it."""
        asked = console.post(200, station=BELL, mode=["emergency_release", "fare_exempt"])
        before = console.modes()
        done = console.post(
            303, station=BELL, mode=["emergency_release", "fare_exempt"], confirmed="yes"
        )

        assert "All barriers open and stay open" in _plain(asked.text)
        assert before == frozenset()
        assert console.modes() == {Mode.EMERGENCY_RELEASE, Mode.FARE_EXEMPT}
        assert "emergency release" in console.get(done.headers["location"])

    def test_and_can_be_cleared(self, console: Console) -> None:
        """A form without a mode, confirmed, takes the station back to normal."""
        console.post(303, station=BELL, mode=["time_exempt"], confirmed="yes")
        console.post(303, station=BELL, confirmed="yes")

        assert console.modes() == frozenset()

    def test_what_is_no_mode_is_refused(self, console: Console) -> None:
        """Neither an unknown word nor an unknown station is ordered anything."""
        console.post(422, station=BELL, mode=["open_sesame"], confirmed="yes")
        console.post(404, station="nowhere", mode=["fare_exempt"], confirmed="yes")

        assert console.modes() == frozenset()

    @pytest.mark.parametrize(
        "headers",
        [
            {"Origin": "https://evil.example"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Host": "evil.example"},
        ],
    )
    def test_no_other_site_orders_anything(self, console: Console, headers: dict[str, str]) -> None:
        """A foreign page that sends the form with the operator's browser is refused."""
        fields = {"station": BELL, "mode": "emergency_release", "confirmed": "yes"}
        answer = httpx.post(
            console.url + "/orders/mode", data=fields, headers=headers, trust_env=False
        )

        assert answer.status_code in (403, 421)
        assert console.modes() == frozenset()

    def test_shows_who_is_denied(self, console: Console) -> None:
        """Whoever has withdrawn is on every station's deny list while a code may be out."""
        leaves(console.city)

        page = console.get(f"/orders?station={BELL}")

        assert f"{rider('Robin').hex[-8:]} withdrawn" in page


class TestViewsAndAudit:
    """Sizes against budgets, and who came with what certificate."""

    def test_shows_sizes(self, console: Console) -> None:
        """After a look each view stands against its budget."""
        console.city.look(BELL)

        view = "Zhonglou 1 1,000 0 100,000 0 as everywhere 1 min ago 1 min ago"
        assert view in console.get("/views")

    def test_shows_the_audit(self, console: Console) -> None:
        """A node that asked for another station's view is listed as what it is."""
        line = AuditLine(NOON, "edge-1", "ab" * 10, What.IMPERSONATION, "asked for drum-tower")
        PostgresRegistry(console.city.engine).note(line)

        page = console.get("/audit")

        assert "impersonation edge-1" in page
        assert "asked for drum-tower" in page

    def test_a_database_that_is_away_is_told(self, console: Console) -> None:
        """Every page says so, instead of showing an empty city."""
        with console.city.engine.begin() as connection:
            connection.execute(sa.text("ALTER SCHEMA cloud_sync RENAME TO elsewhere"))

        for path in ("/", "/erasures", "/views", "/orders", "/audit", "/metrics"):
            assert httpx.get(console.url + path, trust_env=False).status_code == 503, path
