"""The console's pages over the ports, and a stream that moves as the fleet does.

It has no login of its own: whoever runs it decides who can reach its address. What it changes it
changes by form and with a confirmation, from its own pages only.
"""

import json
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.templating import Jinja2Templates
from starlette.exceptions import HTTPException

from cloud_sync.fleet.erasure import LedgerFailed, summary
from cloud_sync.fleet.findings import FleetConfig, span
from cloud_sync.fleet.health import FleetLogFailed, lately
from cloud_sync.trust.registry import RegistryFailed
from cloud_sync.web import board, city_pages
from cloud_sync.web.sources import Sources
from fare.network import Station
from fare.pages import dress, news, only_own_pages

_NONE = "\N{EN DASH}"
"""Where there is nothing to show."""
_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True)
class ConsoleRules:
    """How the console looks at things."""

    poll_s: float = 2.0
    """Between two looks at the database for one open page, seconds, above 0: nodes report every
    10 s, and a findings page need not be faster than a person."""
    quiet_s: float = 15.0
    """A stream without news says so this often, seconds, above `poll_s`."""
    fleet: FleetConfig = field(default_factory=FleetConfig)
    """From where on something is a finding."""

    def __post_init__(self) -> None:
        """Refuse settings outside their ranges.

        Raises:
            ValueError: A value is not above its lower end.
        """
        if not 0 < self.poll_s < self.quiet_s:
            raise ValueError("0 < poll_s < quiet_s")


def create_app(
    sources: Sources, rules: ConsoleRules | None = None, *, names: frozenset[str] = frozenset()
) -> FastAPI:
    """Make the console.

    Args:
        sources: What it reads.
        rules: Rates and thresholds.
        names: Host names under which it may be asked for, beside addresses and localhost.
    """

    def own_page(request: Request) -> None:
        only_own_pages(request, names, "the console")

    app = FastAPI(
        title="Gateline console",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        dependencies=[Depends(own_page)],
    )
    templates = dress(app, _TEMPLATES)
    _teach(templates, sources)
    desk = _Desk(sources, rules or ConsoleRules(), templates)
    app.add_api_route("/", desk.overview)
    app.add_api_route("/nodes/{edge_id}", desk.node)
    app.add_api_route("/fleet.json", desk.fleet_json)
    app.add_api_route("/events", desk.events)
    app.add_api_route("/metrics", desk.metrics)
    city_pages.join(app, sources, desk.page)
    for failed in (FleetLogFailed, LedgerFailed, RegistryFailed):
        app.add_exception_handler(failed, desk.closed)
    app.add_exception_handler(HTTPException, desk.lost)
    app.add_exception_handler(RequestValidationError, desk.lost)
    return app


def _teach(templates: Jinja2Templates, sources: Sources) -> None:
    """Give the templates the words for times, places and severities."""

    def local(moment: datetime, form: str = "%H:%M:%S") -> str:
        return moment.astimezone(sources.zone).strftime(form)

    def ago(moment: datetime | None) -> str:
        return _NONE if moment is None else span((sources.clock() - moment).total_seconds())

    def left(moment: datetime | None) -> str:
        return _NONE if moment is None else span((moment - sources.clock()).total_seconds())

    def place(station_id: str) -> str:
        return sources.network.stations.get(station_id, Station(station_id, station_id, "")).name

    def percent(share: float | None) -> str:
        return _NONE if share is None else f"{share:.0%}"

    templates.env.filters |= {
        "local": local,
        "ago": ago,
        "left": left,
        "span": lambda seconds: _NONE if seconds is None else span(seconds),
        "place": place,
        "tone": board.tone,
        "summary": lambda proof: summary(proof, sources.clock()),
        "words": lambda name: board.words([name]),
        "percent": percent,
        "count": lambda number: f"{number:,}",
        "figure": lambda number: f"{number:,.1f}".removesuffix(".0"),
    }


@dataclass(frozen=True, slots=True)
class _Desk:
    """The handlers of the fleet's pages."""

    sources: Sources
    rules: ConsoleRules
    templates: Jinja2Templates

    def overview(self, request: Request) -> Response:
        """Show all nodes, the worst first."""
        return self.page(request, "fleet.html", board=self._board())

    def node(self, request: Request, edge_id: str) -> Response:
        """Show one node and its last two hours."""
        for line in self._board().lines:
            if line.node.standing.edge_id == edge_id:
                history = self.sources.fleet.history(edge_id, self.sources.clock())
                return self.page(
                    request,
                    "node.html",
                    line=line,
                    curves=board.curves(history),
                    recent=lately(history),
                )
        raise HTTPException(404, "No node of this name is admitted.")

    def fleet_json(self) -> Response:
        """Return what moves on the overview."""
        return Response(self._told(), media_type="application/json")

    def events(self) -> Response:
        """Stream the figures: at once, and then whenever they change."""
        rules = self.rules
        return news(self._newest, poll_s=rules.poll_s, quiet_s=rules.quiet_s, event="fleet")

    def metrics(self) -> Response:
        """Answer Prometheus."""
        told = self.sources.metrics()
        return Response(told.content, media_type=told.media_type)

    def closed(self, request: Request, _error: Exception) -> Response:
        """Say that the database cannot be read now."""
        return self.page(
            request, "notice.html", 503, text="The database cannot be read at the moment."
        )

    def lost(self, request: Request, error: Exception) -> Response:
        """Say that there is no such page or thing."""
        status = error.status_code if isinstance(error, HTTPException) else 404
        text = error.detail if isinstance(error, HTTPException) else "No such page."
        return self.page(request, "notice.html", status, text=text)

    def _board(self) -> board.Overview:
        return board.overview(self.sources.fleet.nodes(), self.sources.clock(), self.rules.fleet)

    def _told(self) -> str:
        return json.dumps(board.figures(self._board()), ensure_ascii=False)

    def _newest(self) -> str | None:
        try:
            return self._told()
        except FleetLogFailed:  # the next look may succeed
            return None

    def page(self, request: Request, name: str, status: int = 200, **content: object) -> Response:
        """Render a template."""
        return self.templates.TemplateResponse(request, name, content, status_code=status)
