"""The look that every page of Gateline shares: one base template, one stylesheet."""

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
