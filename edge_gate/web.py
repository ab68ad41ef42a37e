"""The node's own pages: what a rider sees at each lane, and what staff see of the station.

Renders; decides nothing. Pictures are shown only where the configuration allows it, from memory,
and nothing here writes a file.
"""

import asyncio
import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse

from edge_gate.status import LaneStatus, StationStatus, lane_by_id
from fare.pages import dress, news, only_own_pages

_TEMPLATES = Path(__file__).parent / "pages" / "templates"
FRAME_BYTES_MAX = 1_000_000
"""Largest picture taken from a browser; a 640x480 JPEG at quality 90 has about 100 kB."""
_SCREEN_S = 0.1
"""Between two looks of a lane's stream, seconds: a screen that lags by more is felt."""
_STATION_S = 0.5
"""The same for the whole station's."""
_QUIET_S = 10.0
"""A quiet stream says something this often, seconds, so that a dead one shows."""


@dataclass(frozen=True, slots=True)
class NodeDoors:
    """What the pages may ask of the node."""

    status: Callable[[], StationStatus]
    reset: Callable[[str], None]
    """Puts a lane's barrier back into service."""
    pictures: Mapping[str, Callable[[], bytes | None]] = field(default_factory=dict)
    """Lane to its newest picture as JPEG; empty where pictures are not shown."""
    offers: Mapping[str, Callable[[bytes], bool]] = field(default_factory=dict)
    """Lane to a camera that takes pictures from a browser; empty where none does."""
    names: frozenset[str] = frozenset()
    """Host names under which the pages may be asked for, beside addresses and localhost."""


def make_app(doors: NodeDoors) -> FastAPI:
    """Return the node's web application."""

    def own_page(request: Request) -> None:
        only_own_pages(request, doors.names, "this station")

    app = FastAPI(
        title="Gateline station",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        dependencies=[Depends(own_page)],
    )
    templates = dress(app, _TEMPLATES)

    @app.get("/", response_class=HTMLResponse)
    def station(request: Request) -> Response:
        context = {"status": doors.status(), "pictures": doors.pictures, "offers": doors.offers}
        return templates.TemplateResponse(request, "station.html", context)

    @app.get("/lanes/{lane_id}", response_class=HTMLResponse)
    def lane(request: Request, lane_id: str) -> Response:
        status = doors.status()
        context = {
            "status": status,
            "lane": _lane(status, lane_id),
            "takes_webcam": lane_id in doors.offers,
        }
        return templates.TemplateResponse(request, "lane.html", context)

    @app.get("/status.json")
    def status_json() -> Response:
        return JSONResponse(plain(doors.status()))

    @app.get("/events")
    def events(lane: str = "") -> Response:
        poll_s = _SCREEN_S if lane else _STATION_S
        return news(lambda: _told(doors.status(), lane), poll_s=poll_s, quiet_s=_QUIET_S)

    @app.post("/lanes/{lane_id}/reset")
    def reset(lane_id: str) -> Response:
        _lane(doors.status(), lane_id)
        doors.reset(lane_id)
        return RedirectResponse("/", status_code=303)

    _add_pictures(app, doors)
    return app


def _add_pictures(app: FastAPI, doors: NodeDoors) -> None:
    """Add the routes of the demonstration; without pictures or offers they answer 404."""

    @app.get("/lanes/{lane_id}/picture")
    def picture(lane_id: str) -> Response:
        if lane_id not in doors.pictures:
            raise HTTPException(404, "no picture is shown of this lane")
        newest = doors.pictures[lane_id]()
        if newest is None:
            return Response(status_code=204)  # the camera has given none yet
        return Response(newest, media_type="image/jpeg", headers={"Cache-Control": "no-store"})

    @app.post("/lanes/{lane_id}/frame")
    async def frame(request: Request, lane_id: str) -> Response:
        if lane_id not in doors.offers:
            raise HTTPException(404, "this lane takes no pictures from a browser")
        content = await _bounded(request)
        taken = await asyncio.to_thread(doors.offers[lane_id], content)
        return Response(status_code=204 if taken else 422)


async def _bounded(request: Request) -> bytes:
    """Return the body; nothing past the limit is collected.

    Raises:
        HTTPException: 413.
    """
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > FRAME_BYTES_MAX:
            raise HTTPException(413, "the picture is too large")
    return bytes(content)


def _lane(status: StationStatus, lane_id: str) -> LaneStatus:
    lane = lane_by_id(status.lanes, lane_id)
    if lane is None:
        raise HTTPException(404, "this station has no such lane")
    return lane


def _told(status: StationStatus, lane_id: str) -> str:
    """Return the lane's screen, or the whole station if there is no such lane, as one line."""
    lane = lane_by_id(status.lanes, lane_id)
    shown = plain(lane.view.screen) if lane is not None else _calm(status)
    return json.dumps(shown, ensure_ascii=False)


def _calm(status: StationStatus) -> Any:
    """Return the station without its clock, which would be news at every look.

    An age grows just so: it is told in steps of ten seconds.
    """
    shown = plain(status)
    del shown["time"]
    age_s = shown["orders"]["deny_list_age_s"]
    if age_s is not None:
        shown["orders"]["deny_list_age_s"] = age_s // 10 * 10
    return shown


def plain(value: Any) -> Any:
    """Return a record as JSON-ready values; ids and times as text.

    Args:
        value: A dataclass, or anything inside one.
    """
    if dataclasses.is_dataclass(value):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)
