"""The JSON API under `/api`; the app's own pages use nothing else."""

import base64
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from enroll import code, session
from enroll.consent import TEXTS, Purpose
from enroll.enrollment import Decline, Declined
from enroll.purse import PurseRefused
from enroll.refusal import Refusal, Refused
from enroll.rider import RiderEvent
from enroll.stationing import allowed
from enroll.store import Dossier
from enroll.web import answers, upload
from enroll.web.answers import Answer
from enroll.web.desk import Desk
from enroll.web.guard import Owner, TheDesk, sign_in, sign_out
from fare.account import BankCard, TopUp, Wallet
from fare.money import Money

router = APIRouter(prefix="/api")
mine = APIRouter(prefix="/api/riders/{ref}")
"""What the signed-in rider in the path may do; `Owner` checks that."""


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewRider(_Form):
    """Sign-up; nothing more is asked for."""

    name: Annotated[str, Field(max_length=80, pattern=r"^[^\x00-\x1f\x7f]*$")] = ""
    minor: bool = False


class Choice(_Form):
    """One consent given or withdrawn."""

    purpose: Purpose
    given: bool
    text_version: int | None = None
    """The version that was on the screen; a choice on an older text is asked again."""


class Key(_Form):
    """Sign-in on another device."""

    key: Annotated[str, Field(max_length=200)]


class Homes(_Form):
    """The stations that a rider wants to be known at."""

    station_ids: Annotated[list[Annotated[str, Field(max_length=100)]], Field(max_length=20)]


class Coming(_Form):
    """Where a rider is going."""

    station_id: Annotated[str, Field(max_length=100)]


class NewMeans(_Form):
    """How to pay from now on."""

    kind: Literal["wallet", "card"]
    token: Annotated[str, Field(max_length=200)] = ""


class NewTopUp(_Form):
    """Demo money for the wallet; the id makes a retry harmless."""

    top_up_id: UUID
    minor_units: Annotated[int, Field(gt=0)]


def _answer(outcome: Dossier | Declined) -> Response:
    if isinstance(outcome, Declined):
        status = answers.DECLINE_STATUS[outcome.reason]
        return JSONResponse(answers.declined(outcome), status)
    return JSONResponse(answers.rider(outcome))


@router.get("/consents")
def consent_texts() -> Answer:
    """Return the words of each consent, with versions."""
    return answers.consents()


@router.get("/stations")
def stations(desk: TheDesk) -> Answer:
    """Return the city's stations by name."""
    by_name = sorted(desk.stations.items(), key=lambda each: each[1])
    return {"stations": [{"station_id": key, "name": name} for key, name in by_name]}


@router.post("/riders", status_code=201)
def create(form: NewRider, desk: TheDesk, request: Request, response: Response) -> Answer:
    """Sign up. The access key is in this answer and in the cookie, and nowhere else."""
    key = session.AccessKey(desk.new_id(), desk.randomness(session.SECRET_BYTES))
    dossier = desk.enrollment.create(
        ref=key.ref,
        name=form.name.strip(),
        minor=form.minor,
        key_hash=key.hash(),
        now=desk.clock(),
    )
    sign_in(response, request, key)
    return {"ref": str(key.ref), "key": key.text(), "rider": answers.rider(dossier)}


@router.post("/session", status_code=204)
def open_session(form: Key, desk: TheDesk, request: Request, response: Response) -> None:
    """Sign in with an access key."""
    key = session.parse(form.key)
    if key is None or session.opened(desk.enrollment.store, form.key) is None:
        raise HTTPException(401, "This key opens nothing.")
    sign_in(response, request, key)


@router.delete("/session", status_code=204)
def close_session(response: Response) -> None:
    """Sign this browser out; the rider stays enrolled."""
    sign_out(response)


@mine.get("")
def read(rider: Owner) -> Answer:
    """Return everything that is held about the rider but money."""
    return answers.rider(rider)


@mine.post("/key")
def renew_key(rider: Owner, desk: TheDesk, request: Request, response: Response) -> Answer:
    """Make a new access key; the old one opens nothing any more."""
    key = session.AccessKey(rider.rider.ref, desk.randomness(session.SECRET_BYTES))
    desk.enrollment.renew_key(key.ref, key.hash())
    sign_in(response, request, key)
    return {"key": key.text()}


@mine.post("/consents")
def choose(form: Choice, rider: Owner, desk: TheDesk) -> Response:
    """Give or withdraw one consent."""
    shown = form.text_version
    if form.given and shown is not None and shown != TEXTS[form.purpose].version:
        raise HTTPException(409, "The text has changed. Please read it again.")
    return _answer(
        desk.enrollment.choose(rider.rider.ref, form.purpose, given=form.given, now=desk.clock())
    )


@mine.post("/photos")
async def add_photo(rider: Owner, desk: TheDesk, request: Request) -> Response:
    """Judge one photo: 201 when taken, 200 when known already, 422 with advice when refused."""
    data = await upload.photo(request, bytes_max=desk.upload_bytes_max)
    async with desk.judging:
        return await run_in_threadpool(_take, desk, rider, data)


def _take(desk: Desk, rider: Dossier, data: bytes | None) -> Response:
    ref = rider.rider.ref
    assess, coming = desk.judges(rider.models)
    if assess is None:
        raise HTTPException(503, "Photos cannot be judged now. Ride codes work all the same.")
    if data is None:
        return JSONResponse(answers.refused(Refused(Refusal.TOO_LARGE)), 422)
    photo_id = desk.new_id()
    outcome = desk.enrollment.add_photo(
        ref, data, assess=assess, photo_id=photo_id, now=desk.clock(), coming=coming
    )
    if isinstance(outcome, Refused):
        return JSONResponse(answers.refused(outcome), 422)
    if isinstance(outcome, Declined):
        return _answer(outcome)
    known = {photo.photo_id for photo in outcome.photos}
    return JSONResponse(answers.rider(outcome), 201 if photo_id in known else 200)


@mine.post("/photos/glance")
async def glance(rider: Owner, desk: TheDesk, request: Request) -> Answer:
    """Judge a live picture for guidance; nothing is measured or kept."""
    if desk.assess is None:
        raise HTTPException(503, "Photos cannot be judged now. Ride codes work all the same.")
    if not allowed(rider).collect:
        raise HTTPException(409, "This needs the choice \u201cLook at my photos\u201d.")
    data = await upload.photo(request, bytes_max=desk.upload_bytes_max)
    if data is None:
        outcome: Refused | None = Refused(Refusal.TOO_LARGE)
    else:
        async with desk.judging:
            outcome = await run_in_threadpool(desk.assess.glance, data)
    if outcome is None:
        return {"good": True, "message": "Good. Take the photo."}
    return {"good": False, **answers.refused(outcome)}


@mine.delete("/photos/{photo_id}")
def drop_photo(photo_id: UUID, rider: Owner, desk: TheDesk) -> Response:
    """Delete one photo and what was measured in it."""
    return _answer(desk.enrollment.drop_photo(rider.rider.ref, photo_id, now=desk.clock()))


@mine.get("/photos/{photo_id}")
def original(photo_id: UUID, rider: Owner) -> Response:
    """Return the kept picture, where the rider consented to keeping it."""
    for photo in rider.photos:
        if photo.photo_id == photo_id and photo.original is not None:
            return Response(photo.original, media_type="image/jpeg")
    raise HTTPException(404, "There is no such picture.")


@mine.post("/pause")
def pause(rider: Owner, desk: TheDesk) -> Response:
    """Make the stations forget the face until it is resumed."""
    return _answer(desk.enrollment.move(rider.rider.ref, RiderEvent.PAUSE, now=desk.clock()))


@mine.post("/resume")
def resume(rider: Owner, desk: TheDesk) -> Response:
    """Send the face to the stations again, as far as the consents allow."""
    return _answer(desk.enrollment.move(rider.rider.ref, RiderEvent.RESUME, now=desk.clock()))


@mine.post("/withdraw")
def withdraw(rider: Owner, desk: TheDesk) -> Response:
    """Delete all face data, here and at the stations, for good."""
    return _answer(desk.enrollment.move(rider.rider.ref, RiderEvent.WITHDRAW, now=desk.clock()))


@mine.put("/homes")
def choose_homes(form: Homes, rider: Owner, desk: TheDesk) -> Response:
    """Choose the stations that know the face at any hour."""
    if not set(form.station_ids) <= set(desk.stations):
        return _answer(Declined(Decline.UNKNOWN_STATION))
    return _answer(
        desk.enrollment.choose_homes(rider.rider.ref, form.station_ids, now=desk.clock())
    )


@mine.post("/check-ins")
def check_in(form: Coming, rider: Owner, desk: TheDesk) -> Response:
    """Have a station expect the face for half an hour."""
    name = desk.stations.get(form.station_id)
    if name is None:
        return _answer(Declined(Decline.UNKNOWN_STATION))
    until = desk.enrollment.check_in(rider.rider.ref, form.station_id, now=desk.clock())
    if isinstance(until, Declined):
        return _answer(until)
    return JSONResponse({"station": name, "until": until.isoformat()}, 201)


def _code(rider: Dossier, desk: Desk) -> code.RideCode:
    issued = code.issue(
        rider, desk.issuer, nonce=desk.randomness(16), now=desk.clock(), config=desk.codes
    )
    if isinstance(issued, code.NoCode):
        raise HTTPException(409, issued.reason)
    return issued


@mine.get("/code")
def ride_code(rider: Owner, desk: TheDesk) -> Answer:
    """Make a fresh ride code: payload, symbol, and how long it lives."""
    issued = _code(rider, desk)
    drawn = desk.draw(issued.payload)
    return {
        "payload": base64.b64encode(issued.payload).decode(),
        "svg": drawn.svg,
        "issued_at": issued.issued_at.isoformat(),
        "expires": issued.expires.isoformat(),
        "valid_s": max(0.0, (issued.expires - desk.clock()).total_seconds()),
        "refresh_s": desk.codes.refresh_s,
    }


@mine.get("/code.png")
def ride_code_png(rider: Owner, desk: TheDesk) -> Response:
    """Make a fresh ride code as a picture."""
    return Response(desk.draw(_code(rider, desk).payload).png, media_type="image/png")


@mine.get("/trips")
def trips(rider: Owner, desk: TheDesk) -> Answer:
    """Return means of payment, balance, trips and charges."""
    return answers.purse(desk.purse.view(rider.rider.ref))


@mine.put("/means")
def set_means(form: NewMeans, rider: Owner, desk: TheDesk) -> Answer:
    """Choose the wallet or a bank card's token."""
    try:
        means = Wallet() if form.kind == "wallet" else BankCard(form.token)
    except ValueError as error:
        raise HTTPException(422, f"This card cannot be used: {error}.") from error
    desk.purse.choose(rider.rider.ref, means)
    return answers.purse(desk.purse.view(rider.rider.ref))


@mine.post("/top-ups")
def top_up(form: NewTopUp, rider: Owner, desk: TheDesk) -> Answer:
    """Put demo money into the wallet."""
    payment = TopUp(form.top_up_id, rider.rider.ref, Money(form.minor_units), desk.clock())
    try:
        desk.purse.top_up(payment)
    except PurseRefused as error:
        raise HTTPException(422, str(error)) from error
    return answers.purse(desk.purse.view(rider.rider.ref))
