"""The back office over real HTTP, on books that the worker's own steps have made in memory."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from fare.account import BankCard, TopUp, open_account, top_up
from fare.adapters.memory import MemoryStore, MemoryTapFeed
from fare.adapters.memory_statements import MemoryStatements
from fare.charge import ChargeRules
from fare.city import shipped
from fare.money import Money
from fare.payment import Declined, NotFound, Paid, Unknown
from fare.statement import Overview
from fare.store import StoreFailed
from fare.tap import Direction, Medium, Tap
from fare.web import WebRules, create_app
from fare.work import WorkRules, ask_one, send_one, settle_flagged, take_in
from tests.served import served as serving

_CITY = shipped()
_MORNING = datetime(2026, 5, 4, 0, 30, tzinfo=UTC)  # 08:30 in Xi'an
Figures = dict[str, Any]  # what a program reads from JSON
MEI, JUN, LI, FANG, HUA = (UUID(int=n + 0xABCD0000) for n in range(1, 6))


@dataclass
class Bank:
    """A bank that answers as it is told, and keeps no book."""

    said: Paid | Declined | Unknown = field(default_factory=Paid)

    def charge(self, charge_id: UUID, token: str, amount: Money) -> Paid | Declined | Unknown:
        """Give the answer."""
        return self.said

    def refund(self, refund_id: UUID, charge_id: UUID, amount: Money) -> Paid | Declined | Unknown:
        """Give the answer."""
        return self.said

    def query(self, movement_id: UUID) -> Paid | Declined | NotFound | Unknown:
        """Give the answer."""
        return self.said


class Statements(MemoryStatements):
    """Statements whose database can be away."""

    away = False

    def overview(self, *, recent: int = 20) -> Overview:
        """Return the figures, or fail as a database does."""
        if self.away:
            raise StoreFailed("gone")
        return super().overview(recent=recent)


class Town:
    """Books, a bank and a clock, and the riders who move them."""

    def __init__(self) -> None:
        self.store, self.feed, self.bank = MemoryStore(), MemoryTapFeed(), Bank()
        self.statements = Statements(self.store)
        self.now = _MORNING
        self._number = 0

    def tap(
        self, rider: UUID, way: Direction, station: str, at: float, by: Medium = Medium.FACE
    ) -> None:
        """Let a rider pass a lane, minutes after the morning's start."""
        self._number += 1
        when = _MORNING + timedelta(minutes=at)
        tap_id = UUID(int=self._number)
        self.feed.append(Tap(tap_id, rider, station, f"{way}-1", way, by, when, 5))

    def ride(self, rider: UUID, start: str, end: str, at: float = 0) -> UUID:
        """Let a rider go in by face and out by code; the trip's id comes back."""
        self.tap(rider, Direction.ENTRY, start, at)
        self.tap(rider, Direction.EXIT, end, at + 20, Medium.CODE)
        return UUID(int=self._number)

    def fill(self, rider: UUID, fen: int) -> None:
        """Put money into a rider's wallet."""
        with self.store.transaction() as tx:
            top_up(tx.accounts, tx.ledger, TopUp(UUID(int=fen), rider, Money(fen), _MORNING))

    def card(self, rider: UUID) -> None:
        """Let a rider pay by card."""
        with self.store.transaction() as tx:
            open_account(tx.accounts, rider, BankCard("tok-secret-1"))

    def work(self) -> None:
        """Let the worker do what is due."""
        self.now += timedelta(hours=1)
        rules = ChargeRules()
        take_in(self.store, self.feed, _CITY, self.now, WorkRules())
        settle_flagged(self.store, self.now)
        while send_one(self.store, self.bank, lambda: self.now, rules):
            pass
        while ask_one(self.store, self.bank, lambda: self.now, rules):
            pass


@dataclass
class Served:
    """A town and the address of its back office."""

    town: Town
    url: str

    def get(self, path: str, status: int = 200) -> str:
        """Read a page as text, tags and entities taken out and spaces made one."""
        answer = httpx.get(self.url + path, trust_env=False)
        assert answer.status_code == status
        text = re.sub(r"(?s)<(style|script).*?</\1>|<[^>]+>", " ", answer.text)
        return re.sub(r"\s+", " ", text).replace("&#39;", "'")

    def money(self) -> Figures:
        """Read the figures."""
        answer: Figures = httpx.get(self.url + "/money.json", trust_env=False).json()
        return answer


@pytest.fixture
def served() -> Iterator[Served]:
    """Serve an empty town's back office on a free port."""
    town = Town()
    app = create_app(town.statements, _CITY, WebRules(poll_s=0.02, quiet_s=0.2))
    with serving(app) as url:
        yield Served(town, url)


class TestOverview:
    """The first page."""

    def test_an_empty_book_is_shown(self, served: Served) -> None:
        """Before the first tap every figure is zero and the page says so."""
        page = served.get("/")

        assert "Fares asked for ¥0.00" in page
        assert "Nothing booked yet." in page

    def test_figures_follow_the_taps(self, served: Served) -> None:
        """Rides, an open trip, a lone exit and a trip without price are each counted."""
        town = served.town
        town.fill(MEI, 5_000)
        town.ride(MEI, "zhonglou", "xiaozhai")
        town.ride(HUA, "houweizhai", "hangtianxincheng")  # 7 yuan, and an empty wallet
        town.tap(LI, Direction.ENTRY, "dayanta", 3)
        town.tap(FANG, Direction.EXIT, "banpo", 4)
        town.ride(FANG, "atlantis", "banpo", 30)
        town.work()

        page = served.get("/")

        assert "Fares asked for ¥9.00 2 complete trips" in page
        assert "Taps taken in 8 tap log read to 8" in page
        assert "On the way now 1" in page
        assert "0 without way out, 1 without way in, 1 without price" in page
        assert "Zhonglou → Xiaozhai" in page
        assert "Riders' wallets ¥48.00" in page
        assert "Owed by riders ¥7.00" in page
        assert "in balance" in page

    def test_an_unknown_charge_is_pointed_at(self, served: Served) -> None:
        """A bank that says nothing leaves a charge UNKNOWN, and the page explains it."""
        served.town.card(JUN)
        served.town.bank.said = Unknown("silence")
        served.town.ride(JUN, "zhonglou", "xiaozhai")
        served.town.work()

        page = served.get("/")

        assert "unknown 1 ¥2.00" in page
        assert "The bank has not answered for 1 charge." in page

    def test_a_database_that_is_away_is_said(self, served: Served) -> None:
        """Without its database the office says so with status 503, and recovers by itself."""
        served.town.statements.away = True
        assert "cannot be read at the moment" in served.get("/", 503)

        served.town.statements.away = False
        assert "Fares asked for" in served.get("/")


class TestTrip:
    """The page that explains a fare."""

    def test_a_fare_is_explained(self, served: Served) -> None:
        """Stations, media, times of the city, each leg, band, tariff version and charge."""
        served.town.fill(MEI, 5_000)
        trip_id = served.town.ride(MEI, "kaiyuanmen", "beichitou")
        served.town.work()

        page = served.get(f"/trips/{trip_id}")

        assert "In Kaiyuanmen 开远门, by face, 04 May 2026 08:30:00" in page
        assert "Out Beichitou 北池头, by code, 04 May 2026 08:50:00" in page
        assert "Fare ¥4.00 complete paid" in page
        assert "Way 13.427 km, the shortest" in page
        assert "Band over 10 km, up to 14 km Tariff xian-2011" in page
        assert "1 Kaiyuanmen → Wulukou 6.763 km, 5 stops" in page
        assert "capture wallet ¥4.00 paid" in page

    def test_out_where_one_came_in(self, served: Served) -> None:
        """A trip within one station has a fare and no way, and the page says so."""
        trip_id = served.town.ride(HUA, "banpo", "banpo")
        served.town.work()

        page = served.get(f"/trips/{trip_id}")

        assert "Fare ¥2.00" in page
        assert "none: in and out at one station" in page

    def test_a_way_of_another_network_is_still_listed(self, served: Served) -> None:
        """A trip priced on track that is gone lists its stations instead of lines."""
        trip_id = served.town.ride(HUA, "zhonglou", "xiaozhai")
        served.town.work()
        (decision,) = served.town.store.content().decisions[trip_id]
        old = replace(decision.verdict, path=("zhonglou", "oldtown", "xiaozhai"))
        served.town.store.content().decisions[trip_id] = [replace(decision, verdict=old)]

        assert "Zhonglou → oldtown → Xiaozhai" in served.get(f"/trips/{trip_id}")

    def test_a_card_token_is_on_no_page(self, served: Served) -> None:
        """Pages say `card`, never which."""
        served.town.card(JUN)
        trip_id = served.town.ride(JUN, "zhonglou", "xiaozhai")
        served.town.work()

        pages = [served.get(p) for p in ("/", "/ledger", f"/trips/{trip_id}", f"/riders/{JUN}")]

        assert "capture card ¥2.00 paid" in pages[2]
        assert not any("tok-secret" in page for page in [*pages, json.dumps(served.money())])

    def test_a_late_tap_shows_as_a_second_decision(self, served: Served) -> None:
        """A way in that comes after the trip was judged changes it, and both stay readable."""
        served.town.tap(MEI, Direction.EXIT, "xiaozhai", 20)
        served.town.work()
        assert "way in missing" in served.get(f"/trips/{UUID(int=1)}")

        served.town.tap(MEI, Direction.ENTRY, "zhonglou", 0)
        served.town.work()
        page = served.get(f"/trips/{UUID(int=1)}")

        assert "How it came to this" in page
        assert re.search("2, in force .* complete ¥2.00 1 .* way in missing ¥0.00", page)

    @pytest.mark.parametrize("path", ["/trips/no-id", f"/trips/{UUID(int=9)}", "/atlantis"])
    def test_what_is_not_there_is_a_page_too(self, served: Served, path: str) -> None:
        """An unknown address or id gives a readable page with status 404."""
        assert "Back office" in served.get(path, 404)


class TestRiderAndLedger:
    """One rider, and all entries."""

    def test_a_rider_is_known_by_pseudonym(self, served: Served) -> None:
        """Wallet, debt, means and trips of one rider."""
        served.town.ride(HUA, "zhonglou", "xiaozhai")
        served.town.work()

        page = served.get(f"/riders/{HUA}")

        assert "Wallet ¥0.00 Owed ¥2.00 Pays by wallet" in page
        assert "owed" in page

    def test_every_entry_shows_its_zero_sum(self, served: Served) -> None:
        """Each entry lists its sides, and their sum as computed from them."""
        served.town.fill(MEI, 5_000)
        served.town.ride(MEI, "zhonglou", "xiaozhai")
        served.town.work()

        page = served.get("/ledger")

        assert "top-up Cash from top-ups ¥50.00" in page
        assert len(served.town.store.content().entries) == page.count("sum ¥0.00") == 3


class TestMoney:
    """Figures for programs."""

    def test_the_figures_are_complete(self, served: Served) -> None:
        """Every state and outcome is named, amounts are minor units, balances sum to zero."""
        served.town.fill(MEI, 5_000)
        trip_id = served.town.ride(MEI, "zhonglou", "xiaozhai")
        served.town.work()

        money = served.money()

        assert money["revenue"] == {"minor_units": 200, "currency": "CNY"}
        assert money["charges"]["unknown"]["count"] == 0
        assert money["charges"]["paid"]["count"] == 1
        assert money["trips"]["priced"] == 1
        balances = money["balances"].values()
        assert sum(each["minor_units"] for each in balances) == 0
        (trip,) = money["recent_trips"]
        assert trip["trip_id"] == str(trip_id)
        assert (trip["entry"]["medium"], trip["exit"]["medium"]) == ("face", "code")
        assert (trip["metres"], trip["payment"]) == (4_202, "paid")

    def test_the_stream_moves_as_charges_happen(self, served: Served) -> None:
        """The stream tells the figures at once, keeps still, and tells each change."""
        with httpx.stream("GET", served.url + "/events", trust_env=False, timeout=10) as stream:
            lines = stream.iter_lines()
            assert stream.headers["content-type"].startswith("text/event-stream")
            assert _next(lines)["revenue"]["minor_units"] == 0
            assert next(line for line in lines if line) == ": nothing new"

            served.town.ride(HUA, "zhonglou", "xiaozhai")
            served.town.work()

            told = _next(lines)
            assert told["revenue"]["minor_units"] == 200
            assert told == served.money()

    def test_the_stream_outlives_the_database(self, served: Served) -> None:
        """A database that goes and comes back does not end the stream."""
        with httpx.stream("GET", served.url + "/events", trust_env=False, timeout=10) as stream:
            lines = stream.iter_lines()
            _next(lines)
            served.town.statements.away = True
            assert next(line for line in lines if line) == ": nothing new"
            served.town.ride(HUA, "zhonglou", "xiaozhai")
            served.town.work()
            served.town.statements.away = False

            assert _next(lines)["taps"] == 2


def _next(lines: Iterator[str]) -> Figures:
    told: Figures = json.loads(next(li for li in lines if li.startswith("data: "))[6:])
    return told


class TestRules:
    """Settings of the office."""

    @pytest.mark.parametrize("wrong", [{"poll_s": 0}, {"quiet_s": 0.1}, {"recent": 0}])
    def test_rules_out_of_range_are_refused(self, wrong: dict[str, float]) -> None:
        """A rule outside its documented range cannot be built."""
        with pytest.raises(ValueError, match="poll_s"):
            WebRules(**wrong)  # type: ignore[arg-type]  # one wrong value a row
