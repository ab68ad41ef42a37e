"""The operator's back office: pages over `fare.statement`, and a stream that moves as money does.

It reads only. It has no login of its own: whoever runs it decides who can reach its address.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from operator import add
from pathlib import Path
from uuid import UUID

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.templating import Jinja2Templates
from starlette.exceptions import HTTPException

from fare import board
from fare.charge import State
from fare.city import City
from fare.decision import Verdict
from fare.money import Money
from fare.network import Leg
from fare.network import Path as Way
from fare.pages import dress, goes_by, news
from fare.quote import rule_in_words
from fare.statement import Statements, folded
from fare.store import StoreFailed

_SIGNS = {"CNY": "¥"}


@dataclass(frozen=True, slots=True)
class WebRules:
    """How often the stream looks, and how much a page shows."""

    poll_s: float = 0.5
    """Time between two looks at the books for one open page; seconds, above 0."""
    quiet_s: float = 15.0
    """A stream without news says so this often, or a proxy cuts it; seconds, above `poll_s`."""
    recent: int = 20
    """Trips and entries on the overview; above 0."""
    ledger: int = 200
    """Entries on the ledger's page; above 0."""

    def __post_init__(self) -> None:
        """Refuse settings outside their ranges.

        Raises:
            ValueError: A value is not above its lower end.
        """
        if not 0 < self.poll_s < self.quiet_s or min(self.recent, self.ledger) < 1:
            raise ValueError("0 < poll_s < quiet_s, and recent and ledger are above 0")


def create_app(
    statements: Statements,
    city: City,
    rules: WebRules | None = None,
    *,
    names: frozenset[str] = frozenset(),
) -> FastAPI:
    """Make the back office.

    Args:
        statements: The books, read only.
        city: Names of stations and lines, and the time zone of all times shown.
        rules: Rates and lengths.
        names: Host names under which it may be asked for, beside addresses and localhost.
    """

    def own_name(request: Request) -> None:
        if not goes_by(request.headers.get("host", ""), names):
            raise HTTPException(421, "The back office does not go by that name.")

    app = FastAPI(
        title="Gateline back office",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        dependencies=[Depends(own_name)],
    )
    templates = dress(app, Path(__file__).parent / "templates")
    _teach(templates, city)
    desk = _Desk(statements, city, rules or WebRules(), templates)
    app.add_api_route("/", desk.overview)
    app.add_api_route("/trips/{trip_id}", desk.trip)
    app.add_api_route("/riders/{rider_ref}", desk.rider)
    app.add_api_route("/ledger", desk.ledger)
    app.add_api_route("/money.json", desk.money)
    app.add_api_route("/events", desk.events)
    app.add_exception_handler(StoreFailed, desk.closed)
    app.add_exception_handler(HTTPException, desk.lost)
    app.add_exception_handler(RequestValidationError, desk.lost)
    return app


def _teach(templates: Jinja2Templates, city: City) -> None:
    """Give the templates the words for money, places and times."""

    def local(moment: datetime, form: str = "%H:%M:%S") -> str:
        return moment.astimezone(city.tariff.timezone).strftime(form)

    templates.env.filters |= {
        "money": _money,
        "km": lambda metres: f"{metres / 1000:.3f} km",
        "local": local,
        "station": lambda station_id: board.station(city.network, station_id),
        "outcome": board.OUTCOME_WORDS.__getitem__,
        "state": board.STATE_WORDS.__getitem__,
        "account": lambda account: board.ACCOUNT_WORDS.get(account, account),
        "folded": folded,
        "rule": rule_in_words,
        "ink": board.ink,
        "tone": board.tone,
        "means": board.means_word,
        "total": lambda amounts: _money(reduce(add, amounts)),
    }
    templates.env.globals["zone"] = city.tariff.timezone.key
    templates.env.globals["city"] = city.name


def _money(amount: Money) -> str:
    sign = _SIGNS.get(amount.currency)
    return str(amount).replace(f"{amount.currency} ", sign) if sign else str(amount)


@dataclass(frozen=True, slots=True)
class _Desk:
    """The handlers of the pages."""

    statements: Statements
    city: City
    rules: WebRules
    templates: Jinja2Templates

    def overview(self, request: Request) -> Response:
        """Show what came in, what was charged, and where the money is."""
        books = self.statements.overview(recent=self.rules.recent)
        charges = board.by_state(books)
        (unknown,) = [count for state, count, _ in charges if state is State.UNKNOWN]
        return self._page(request, "overview.html", books=books, charges=charges, unknown=unknown)

    def trip(self, request: Request, trip_id: UUID) -> Response:
        """Explain a trip: why it costs what it costs, and how it was paid."""
        lines = self.statements.trip(trip_id)
        if not lines:
            raise HTTPException(404, "No trip has this id.")
        verdict = lines[-1].decision.verdict
        charges = [charge for line in lines for charge in line.charges]
        legs = self._legs(verdict)
        return self._page(
            request, "trip.html", lines=lines, verdict=verdict, charges=charges, legs=legs
        )

    def rider(self, request: Request, rider_ref: UUID) -> Response:
        """Show one rider's balance and trips, by pseudonym."""
        return self._page(request, "rider.html", rider=self.statements.rider(rider_ref))

    def ledger(self, request: Request) -> Response:
        """Show the newest entries, each with its sum."""
        books = self.statements.overview(recent=self.rules.ledger)
        return self._page(request, "ledger.html", books=books)

    def money(self) -> JSONResponse:
        """Return the overview's figures."""
        return JSONResponse(self._figures())

    def events(self) -> Response:
        """Stream the figures: at once, and then whenever they change."""
        rules = self.rules
        return news(self._newest, poll_s=rules.poll_s, quiet_s=rules.quiet_s, event="money")

    def _newest(self) -> str | None:
        try:
            return json.dumps(self._figures(), ensure_ascii=False)
        except StoreFailed:  # the next look may succeed
            return None

    def closed(self, request: Request, _error: Exception) -> Response:
        """Say that the database cannot be read now."""
        return self._page(
            request, "notice.html", 503, text="The books cannot be read at the moment."
        )

    def lost(self, request: Request, error: Exception) -> Response:
        """Say that there is no such page or thing."""
        status = error.status_code if isinstance(error, HTTPException) else 404
        text = error.detail if isinstance(error, HTTPException) else "No such page."
        return self._page(request, "notice.html", status, text=text)

    def _figures(self) -> board.Json:
        return board.figures(self.statements.overview(recent=self.rules.recent), self.city.network)

    def _legs(self, verdict: Verdict) -> tuple[Leg, ...]:
        """Return the rides of a priced way; none where it was priced on another network."""
        try:
            return self.city.network.legs(Way(verdict.path, verdict.metres))
        except KeyError:
            return ()

    def _page(self, request: Request, name: str, status: int = 200, **content: object) -> Response:
        return self.templates.TemplateResponse(request, name, content, status_code=status)
