"""What the API answers: plain dictionaries of what a rider may read, made in one place.

No answer holds an embedding, a template or a photo.
"""

from typing import Any

from cloud_sync.master.model_change import Phase
from enroll.consent import TEXTS, Purpose, standing
from enroll.enrollment import DECLINE_MESSAGES, Decline, Declined
from enroll.purse import End, PurseView, TripRow
from enroll.refusal import ADVICE, MESSAGES, Refused
from enroll.remeasure import CAUSE
from enroll.rider import RiderState
from enroll.stationing import allowed, held_back, wanted
from enroll.store import Dossier
from fare.money import Money

Answer = dict[str, Any]

DECLINE_STATUS = {
    Decline.UNKNOWN_RIDER: 404,
    Decline.UNKNOWN_PHOTO: 404,
    Decline.WITHDRAWN: 410,
    Decline.CONSENT_MISSING: 409,
    Decline.GUARDIAN_MISSING: 409,
    Decline.PHOTOS_FULL: 409,
    Decline.HOMES_FULL: 422,
    Decline.FACE_OFF: 409,
    Decline.UNKNOWN_STATION: 404,
    Decline.MODEL_CHANGES: 503,
}
"""HTTP status of each."""

_ALIKE = (
    "Another account has a face very much like yours, so gates cannot tell the two apart safely. "
    "Is it an older account of your own? Withdraw it there. Otherwise please use the ride code "
    "until our staff has checked."
)


_LOST = (
    "Our gates see faces in a new way and do not know you by the photos you had. Please add a new "
    "photo; until then your ride code works at every gate."
)
_UNKNOWN_TO_NEW_GATES = (
    "Your face opens the gates you know. We are changing them one by one, and the new ones do not "
    "know you yet: please add a new photo. Your ride code works at every gate."
)


def rider(dossier: Dossier) -> Answer:
    """Return a rider's own view of everything that is held but money."""
    may = allowed(dossier)
    given = standing(dossier.consents)
    return {
        "ref": str(dossier.rider.ref),
        "name": dossier.rider.display_name,
        "minor": dossier.rider.minor,
        "state": dossier.rider.state.value,
        "created": dossier.rider.created.isoformat(),
        "consents": {purpose.value: purpose in given for purpose in Purpose},
        "may": {
            "add_photos": may.store and dossier.rider.state is not RiderState.WITHDRAWN,
            "ride_by_code": may.charge,
            "ride_by_face": wanted(dossier) is not None,
        },
        "face": face_in_words(dossier),
        "photos": [
            {
                "photo_id": str(photo.photo_id),
                "taken": photo.taken.isoformat(),
                "quality": round(photo.quality, 2),
                "kept": photo.original is not None,
            }
            for photo in dossier.photos
        ],
        "template_version": dossier.template.version if dossier.template else 0,
        "at_stations": dossier.stationed,
        "homes": list(dossier.homes),
        "needs_second_factor": held_back(dossier),
        "erasures": [
            {
                "at": erasure.at.isoformat(),
                "cause": erasure.cause,
                "photos": erasure.photos,
                "originals": erasure.originals,
                "templates": erasure.templates,
            }
            for erasure in dossier.erasures
        ],
    }


def face_in_words(dossier: Dossier) -> str:
    """Return in one sentence whether the face opens gates, and if not, what is missing."""
    may = allowed(dossier)
    hindrances = (
        (
            dossier.rider.state is RiderState.WITHDRAWN,
            "You have withdrawn. Nothing of your face is kept.",
        ),
        (not may.store, "Your face is not set up: choose first what we may do."),
        (not dossier.photos and _is_lost(dossier), _LOST),
        (not dossier.photos, "Your face is not set up: add a photo."),
        (
            held_back(dossier),
            _ALIKE,
        ),
        (
            dossier.rider.state is RiderState.PAUSED,
            "Your face is paused. The stations do not know it now.",
        ),
        (
            not may.send,
            "Your face stays here: sending it to the stations, or charging, is not switched on.",
        ),
        (_is_unknown_to_new_gates(dossier), _UNKNOWN_TO_NEW_GATES),
    )
    words = (text for hinders, text in hindrances if hinders)
    return next(words, "Your face opens the gates.")


def _is_lost(dossier: Dossier) -> bool:
    """Tell whether the last thing that became of the face is a change of the gates' model."""
    return bool(dossier.erasures) and dossier.erasures[-1].cause == CAUSE


def _is_unknown_to_new_gates(dossier: Dossier) -> bool:
    return dossier.models.phase is Phase.RUNNING and dossier.next_template is None


def consents() -> Answer:
    """Return the texts in force."""
    return {
        purpose.value: {
            "version": text.version,
            "title": text.title,
            "explains": text.explains,
            "without": text.without,
            "on_withdrawal": text.on_withdrawal,
        }
        for purpose, text in TEXTS.items()
    }


def declined(outcome: Declined) -> Answer:
    """Return why a use case was not carried out."""
    return {"error": outcome.reason.value, "message": DECLINE_MESSAGES[outcome.reason]}


def refused(outcome: Refused) -> Answer:
    """Return why a photo was not taken, and what to do about it."""
    return {
        "error": outcome.reason.value,
        "message": MESSAGES[outcome.reason],
        "advice": ADVICE[outcome.reason],
    }


def purse(view: PurseView) -> Answer:
    """Return means, balance and trips."""
    return {
        "means": view.means,
        "card_token": view.card_token,
        "wallet": _money(view.wallet),
        "owed": _money(view.owed),
        "trips": [_trip(row) for row in view.trips],
    }


def _trip(row: TripRow) -> Answer:
    return {
        "trip_id": str(row.trip_id),
        "in": _end(row.way_in),
        "out": _end(row.way_out),
        "status": row.status,
        "settled": row.settled,
        "metres": row.metres,
        "fare": _money(row.fare) if row.fare else None,
        "why": row.why,
        "payments": list(row.payments),
    }


def _end(end: End | None) -> Answer | None:
    if end is None:
        return None
    return {"station": end.station, "time": end.time.isoformat(), "medium": end.medium}


def _money(money: Money) -> Answer:
    return {"minor_units": money.minor_units, "currency": money.currency, "text": str(money)}
