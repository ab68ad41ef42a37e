"""The application: API, pages, static files, and one way to say that something went wrong."""

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException as AnyHTTPException

from enroll.store import StoreFailed
from enroll.web import api, pages
from enroll.web.desk import Desk
from enroll.web.guard import HEADERS, BoundedBodies, own_origin, visitor
from fare.log import say
from fare.pages import dress
from fare.store import StoreFailed as PurseFailed

_HERE = Path(__file__).parent
_log = logging.getLogger(__name__)

_TITLES = {404: "There is no such page", 401: "Please sign in", 403: "Not your page"}


def build(desk: Desk) -> FastAPI:
    """Return the rider app.

    Args:
        desk: Everything behind the counter.
    """
    app = FastAPI(
        title="Gateline enrollment",
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(own_origin)],
    )
    app.state.desk = desk
    app.state.templates = dress(app, _HERE / "templates")
    app.mount("/app", StaticFiles(directory=_HERE / "static"), name="app")
    app.include_router(api.router)
    app.include_router(api.mine)
    app.include_router(pages.router)
    app.add_middleware(BoundedBodies)
    app.middleware("http")(_with_headers)
    app.add_exception_handler(AnyHTTPException, _refuse)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(StoreFailed, _unavailable)
    app.add_exception_handler(PurseFailed, _unavailable)
    return app


async def _with_headers(
    request: Request, answer: Callable[[Request], Awaitable[Response]]
) -> Response:
    response = await answer(request)
    fixed = request.url.path.startswith(("/static/", "/app/"))
    for name, value in HEADERS.items():
        if name == "Cache-Control" and fixed:
            continue
        response.headers[name] = value
    return response


def _refuse(request: Request, error: Exception) -> Response:
    """Answer the API in JSON and a browser with a page."""
    assert isinstance(error, AnyHTTPException)
    if request.url.path.startswith("/api/"):
        return _json(error.status_code, str(error.detail))
    title = _TITLES.get(error.status_code, "That did not work")
    message = "The address may be mistyped." if error.status_code == 404 else str(error.detail)
    return pages.page(
        request,
        "problem",
        visitor(request),
        "",
        status=error.status_code,
        title=title,
        message=message,
    )


def _malformed(_: Request, error: Exception) -> Response:
    """Name the fields that are wrong, without repeating what was sent."""
    assert isinstance(error, RequestValidationError)
    fields = ", ".join(".".join(str(part) for part in e["loc"][1:]) for e in error.errors())
    return _json(422, f"Not understood: {fields}.", "malformed")


def _unavailable(request: Request, error: Exception) -> Response:
    """Say that the database is away; the client may try again."""
    say(_log, "store_failed", level=logging.ERROR, path=request.url.path, error=str(error))
    return _json(503, "We cannot do that just now. Please try again.", "unavailable")


def _json(status: int, message: str, error: str = "refused") -> Response:
    return JSONResponse({"error": error, "message": message}, status)
