"""Who is asking, and is it really their own page: access keys, cookies, origins, headers."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, HTTPException, Request, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from enroll import session
from enroll.store import Dossier
from enroll.web.desk import Desk

COOKIE = "gateline_rider"
_COOKIE_S = 365 * 86_400
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data: blob:; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'; media-src 'self' blob:",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
"""Sent with every page and answer; the stylesheet and scripts may be cached."""
BODY_BYTES_MAX = 65_536
"""Largest body of a request that is no photo; the longest honest one has some hundred bytes."""


class BoundedBodies:
    """Ends a request whose body is too large before it fills the memory.

    Photos have a limit of their own (see `upload`), which needs no memory either.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on a request; its body fails with 413 at the limit."""
        is_photo = scope.get("path", "").endswith(("/photos", "/photos/glance"))
        left = BODY_BYTES_MAX

        async def bounded() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise HTTPException(413, "This request is too large.")
            return message

        await self._app(scope, receive if is_photo else bounded, send)


def desk(request: Request) -> Desk:
    """Return what the application was built with."""
    found: Desk = request.app.state.desk
    return found


def own_origin(request: Request) -> None:
    """Refuse a changing request that a browser sends from another site's page.

    A browser names the page's origin on every such request; `SameSite=Lax` is the second lock. A
    program with a bearer key sends no cookie and needs no origin.

    Raises:
        HTTPException: 403.
    """
    if request.method in _SAFE:
        return
    origin = request.headers.get("origin")
    if origin is None:
        by_cookie = COOKIE in request.cookies and "authorization" not in request.headers
        if by_cookie and request.headers.get("sec-fetch-site") not in ("same-origin", "none"):
            raise HTTPException(403, "This request names no origin.")
    elif origin.partition("://")[2] != request.headers.get("host"):
        raise HTTPException(403, "This request comes from another site.")


def visitor(request: Request) -> Dossier | None:
    """Return the dossier of the key in the header or, without one, in the cookie."""
    header = request.headers.get("authorization", "")
    scheme, _, bearer = header.partition(" ")
    key = bearer if scheme.lower() == "bearer" else request.cookies.get(COOKIE, "")
    return session.opened(desk(request).enrollment.store, key)


def owner(ref: UUID, request: Request) -> Dossier:
    """Return the rider named in the path, if the key is theirs.

    Whoever asks for somebody else gets one answer, whether that rider exists or not.

    Raises:
        HTTPException: 401 without a valid key, 403 with the key of another rider.
    """
    dossier = visitor(request)
    if dossier is None:
        raise HTTPException(401, "Sign in with your access key.")
    if dossier.rider.ref != ref:
        raise HTTPException(403, "This is not your page.")
    return dossier


Owner = Annotated[Dossier, Depends(owner)]
"""The signed-in rider whose reference is in the path."""
Visitor = Annotated[Dossier | None, Depends(visitor)]
"""The signed-in rider, if any."""
TheDesk = Annotated[Desk, Depends(desk)]
"""Everything behind the counter."""


def sign_in(response: Response, request: Request, key: session.AccessKey) -> None:
    """Set the cookie: not readable by scripts, not sent from other sites, HTTPS only if used."""
    response.set_cookie(
        COOKIE,
        key.text(),
        max_age=_COOKIE_S,
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )


def sign_out(response: Response) -> None:
    """Take the cookie away."""
    response.delete_cookie(COOKIE, httponly=True, samesite="lax")
