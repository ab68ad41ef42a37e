"""What all pages of Gateline share: one look, one way to tell news, one rule for host names."""

import asyncio
from collections.abc import AsyncIterator, Callable
from ipaddress import ip_address
from pathlib import Path

from fastapi import FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from fastapi.staticfiles import StaticFiles
from fastapi.templating import Jinja2Templates

_HERE = Path(__file__).parent


def dress(app: FastAPI, templates: Path) -> Jinja2Templates:
    """Mount the shared stylesheet at `/static` and return a package's templates.

    Args:
        app: The web application.
        templates: The package's own folder; its pages extend `base.html`.
    """
    app.mount("/static", StaticFiles(directory=_HERE / "static"), name="static")
    return Jinja2Templates(directory=[templates, _HERE / "templates"])


def news(
    look: Callable[[], str | None], *, poll_s: float, quiet_s: float, event: str = "message"
) -> StreamingResponse:
    """Answer with server-sent events: what there is, at once, and then whenever it changes.

    Args:
        look: Returns the news as one line; None if nobody can tell now, and the page keeps what it
            shows. Called in a thread.
        poll_s: Between two looks, seconds, above 0.
        quiet_s: A stream without news says so this often, so that a dead one shows and no proxy
            cuts a live one; seconds, above `poll_s`.
        event: The events' name.
    """
    return StreamingResponse(
        _news(look, poll_s, quiet_s, event),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _news(
    look: Callable[[], str | None], poll_s: float, quiet_s: float, event: str
) -> AsyncIterator[str]:
    told, since_s = "", 0.0
    while True:
        seen = await run_in_threadpool(look)
        if seen is not None and seen != told:
            told, since_s = seen, 0.0
            yield f"event: {event}\ndata: {seen}\n\n"
        elif since_s >= quiet_s:
            since_s = 0.0
            yield ": nothing new\n\n"
        await asyncio.sleep(poll_s)
        since_s += poll_s


def goes_by(host: str, names: frozenset[str]) -> bool:
    """Tell whether pages may be asked for under this name.

    Whoever owns a name can point it at this machine (DNS rebinding), and a browser then takes our
    pages for theirs; nobody can do so with an address, `localhost` or a name of our own.

    Args:
        host: The request's `Host`.
        names: Our own host names, lower case.
    """
    name, _, port = host.lower().rpartition(":")
    if not port.isdecimal():
        name = host.lower()
    if name in names | {"localhost"}:
        return True
    try:
        ip_address(name[1:-1] if name[:1] + name[-1:] == "[]" else name)
    except ValueError:
        return False
    return True


def only_own_pages(request: Request, names: frozenset[str], what: str) -> None:
    """Refuse what a page of another site asks for with the browser of somebody near this machine.

    A foreign name that is made to point here (DNS rebinding) would make that page our own, so only
    addresses and known names are answered; and a browser names the origin of each change.

    Args:
        request: What is asked.
        names: Our own host names, lower case.
        what: Who answers, for the refusal, e.g. `this station`.

    Raises:
        HTTPException: 421 for a name that is not ours, 403 for a change from elsewhere.
    """
    host = request.headers.get("host", "")
    if not goes_by(host, names):
        raise HTTPException(421, f"{what} does not go by that name")
    if request.method in ("GET", "HEAD"):
        return
    origin = request.headers.get("origin")
    foreign = origin is not None and origin.partition("://")[2] != host
    if foreign or request.headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        raise HTTPException(403, "this request comes from another site")
