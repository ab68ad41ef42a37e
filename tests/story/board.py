"""The story's page: both stations, their lanes, the passengers, and the money as it moves."""

import json
import threading
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse

from fare.pages import dress, news

_SHOWN_S = 4.0
"""How long a gate's answer stays on the page."""


@dataclass
class LaneView:
    """What the page shows of a lane."""

    id: str
    label: str
    picture: str
    """Address of the lane's live picture at its own node."""
    light: str = ""
    text: str = "ready"
    until_s: float = 0.0


@dataclass
class StationView:
    """What the page shows of a station."""

    id: str
    name: str
    url: str
    lanes: list[LaneView]


@dataclass
class PersonView:
    """A row of the passengers' table, as text."""

    name: str
    way_in: str = ""
    way_out: str = ""
    km: str = ""
    fare: str = ""
    paid: str = ""


@dataclass
class Board:
    """The page's state; any thread may change it through its methods."""

    links: dict[str, str]
    stations: list[StationView]
    people: dict[str, PersonView] = field(default_factory=dict)
    money: list[dict[str, str]] = field(default_factory=list)
    lines: deque[dict[str, str]] = field(default_factory=lambda: deque(maxlen=40))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def light(self, station: str, lane: str, light: str, text: str) -> None:
        """Show a gate's answer for a moment."""
        with self._lock:
            for view in self._lanes(station, lane):
                view.light, view.text = light, text
                view.until_s = time.monotonic() + _SHOWN_S

    def tell(self, at: str, text: str) -> None:
        """Add a line of the story on top."""
        with self._lock:
            self.lines.appendleft({"at": at, "text": text})

    def person(self, name: str, **cells: str) -> None:
        """Change cells of a passenger's row."""
        with self._lock:
            view = self.people.setdefault(name, PersonView(name))
            for cell, text in cells.items():
                setattr(view, cell, text)

    def show_money(self, rows: list[dict[str, str]]) -> None:
        """Show the accounts."""
        with self._lock:
            self.money = rows

    def snapshot(self) -> str:
        """Return the page's state as JSON."""
        with self._lock:
            now = time.monotonic()
            for station in self.stations:
                for view in station.lanes:
                    if view.light and now > view.until_s:
                        view.light, view.text = "", "ready"
            return json.dumps(
                {
                    "stations": [asdict(station) for station in self.stations],
                    "passengers": [asdict(person) for person in self.people.values()],
                    "money": self.money,
                    "lines": list(self.lines),
                }
            )

    def _lanes(self, station: str, lane: str) -> list[LaneView]:
        return [v for s in self.stations if s.id == station for v in s.lanes if v.id == lane]


def create_app(board: Board) -> FastAPI:
    """Return the page and its stream of events."""
    app = FastAPI(title="Gateline story", docs_url=None, redoc_url=None, openapi_url=None)
    pages = dress(app, Path(__file__).parent / "templates")

    @app.get("/")
    def page(request: Request) -> HTMLResponse:
        return pages.TemplateResponse(
            request, "board.html", {"links": board.links, "stations": board.stations}
        )

    @app.get("/events")
    def events() -> Response:
        return news(board.snapshot, poll_s=0.25, quiet_s=15.0)

    return app


def serve(board: Board, port: int) -> uvicorn.Server:
    """Serve the page on loopback from a thread of its own; set `should_exit` to end it."""
    config = uvicorn.Config(
        create_app(board),
        host="127.0.0.1",
        port=port,
        log_config=None,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    threading.Thread(target=server.run, name="board", daemon=True).start()
    return server
