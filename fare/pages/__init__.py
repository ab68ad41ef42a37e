"""The look that every page of Gateline shares: one base template, one stylesheet."""

from ipaddress import ip_address
from pathlib import Path

from fastapi import FastAPI
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
