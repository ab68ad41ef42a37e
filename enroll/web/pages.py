"""The rider app's pages; every change they make goes through the API."""

from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from fastapi.templating import Jinja2Templates

from enroll.consent import TEXTS, Purpose, standing
from enroll.rider import RiderState
from enroll.store import Dossier
from enroll.web import answers
from enroll.web.desk import Desk
from enroll.web.guard import TheDesk, Visitor

router = APIRouter(include_in_schema=False)

_SIGN_IN = "/sign-in"


@dataclass(frozen=True, slots=True)
class Step:
    """One line of "Getting ready"."""

    title: str
    says: str
    href: str
    done: bool


def page(request: Request, name: str, dossier: Dossier | None, here: str, **more: Any) -> Response:
    """Render a template of this package.

    Args:
        request: What is answered.
        name: The template without its ending.
        dossier: The signed-in rider, if any.
        here: Which entry of the navigation is current.
        more: What the template needs besides.
    """
    templates: Jinja2Templates = request.app.state.templates
    rider = answers.rider(dossier) if dossier else None
    status = int(more.pop("status", 200))
    context = {"rider": rider, "here": here, **more}
    return templates.TemplateResponse(request, f"{name}.html", context, status)


@router.get("/")
def welcome(request: Request, visitor: Visitor) -> Response:
    """Show what this is and the sign-up form; a signed-in rider goes home."""
    if visitor is not None and visitor.rider.state is not RiderState.WITHDRAWN:
        return RedirectResponse("/me", 303)
    return page(request, "welcome", visitor, "welcome")


@router.get("/sign-in")
def sign_in(request: Request, visitor: Visitor) -> Response:
    """Ask for the access key."""
    return RedirectResponse("/me", 303) if visitor else page(request, "sign_in", None, "sign-in")


@router.get("/me")
def me(request: Request, visitor: Visitor, desk: TheDesk) -> Response:
    """Show the state of face and code, what is left to do, and the last trips."""
    if visitor is None:
        return RedirectResponse(_SIGN_IN, 303)
    purse = answers.purse(desk.purse.view(visitor.rider.ref))
    steps = _steps(visitor, desk.enrollment.config.photos_advised, purse)
    names = _by_name(desk)
    return page(request, "me", visitor, "me", purse=purse, steps=steps, stations=names)


def _by_name(desk: Desk) -> dict[str, str]:
    """Return the stations in the order in which people look for them."""
    return dict(sorted(desk.stations.items(), key=lambda each: each[1]))


def _steps(dossier: Dossier, photos_advised: int, purse: answers.Answer) -> tuple[Step, ...]:
    given = standing(dossier.consents)
    needed = {Purpose.COLLECT, Purpose.STORE, Purpose.SEND, Purpose.PAY}
    if dossier.rider.minor:
        needed.add(Purpose.GUARDIAN)
    missing = len(needed - given)
    photos = len(dossier.photos)
    card = purse["means"] == "card"
    funded = card or purse["wallet"]["minor_units"] > 0
    means = f"card {purse['card_token']}" if card else f"wallet, {purse['wallet']['text']}"
    return (
        Step(
            "Choose what we may do",
            f"{missing} of {len(needed)} left to ride by face" if missing else "All that is needed",
            "/me/choices",
            not missing,
        ),
        Step(
            "Add photos of your face",
            f"{photos} of {photos_advised} advised",
            "/me/photos",
            photos >= photos_advised,
        ),
        Step("Choose how to pay", f"Now: {means}", "/me/trips#pay-title", bool(funded)),
    )


@router.get("/me/choices")
def choices(request: Request, visitor: Visitor) -> Response:
    """Show each consent as its own choice."""
    if visitor is None:
        return RedirectResponse(_SIGN_IN, 303)
    given = standing(visitor.consents)
    minor = visitor.rider.minor
    shown = [p for p in Purpose if minor or p is not Purpose.GUARDIAN]
    shown.sort(key=lambda purpose: purpose is not Purpose.GUARDIAN)
    waits = minor and Purpose.GUARDIAN not in given
    gone = visitor.rider.state is RiderState.WITHDRAWN
    cards = [
        {
            "purpose": purpose.value,
            "given": purpose in given,
            "locked": gone or (waits and purpose is not Purpose.GUARDIAN and purpose not in given),
            "version": TEXTS[purpose].version,
            "title": TEXTS[purpose].title,
            "explains": TEXTS[purpose].explains,
            "without": TEXTS[purpose].without,
            "on_withdrawal": TEXTS[purpose].on_withdrawal,
        }
        for purpose in shown
    ]
    return page(request, "choices", visitor, "choices", choices=cards)


@router.get("/me/stations")
def stations(request: Request, visitor: Visitor, desk: TheDesk) -> Response:
    """Let the rider choose the stations that know the face at any hour."""
    if visitor is None:
        return RedirectResponse(_SIGN_IN, 303)
    most = desk.enrollment.config.homes_max
    names = _by_name(desk)
    return page(request, "stations", visitor, "stations", stations=names, homes_max=most)


@router.get("/me/photos")
def photos(request: Request, visitor: Visitor, desk: TheDesk) -> Response:
    """Take photos by camera or file, and show the accepted ones."""
    if visitor is None:
        return RedirectResponse(_SIGN_IN, 303)
    config = desk.enrollment.config
    return page(
        request,
        "photos",
        visitor,
        "photos",
        photos_max=config.photos_max,
        photos_advised=config.photos_advised,
    )


@router.get("/me/code")
def code(request: Request, visitor: Visitor) -> Response:
    """Show the ride code as large as the screen allows."""
    if visitor is None:
        return RedirectResponse(_SIGN_IN, 303)
    return page(request, "code", visitor, "code")


@router.get("/me/trips")
def trips(request: Request, visitor: Visitor, desk: TheDesk) -> Response:
    """Show trips, charges and the means of payment."""
    if visitor is None:
        return RedirectResponse(_SIGN_IN, 303)
    purse = answers.purse(desk.purse.view(visitor.rider.ref))
    return page(request, "trips", visitor, "trips", purse=purse)


@router.get("/me/leave")
def leave(request: Request, visitor: Visitor) -> Response:
    """Say what a withdrawal deletes, with the button beside it."""
    if visitor is None:
        return RedirectResponse(_SIGN_IN, 303)
    if visitor.rider.state is RiderState.WITHDRAWN:
        return RedirectResponse("/me", 303)
    kept = sum(photo.original is not None for photo in visitor.photos)
    return page(request, "leave", visitor, "leave", kept=kept)
