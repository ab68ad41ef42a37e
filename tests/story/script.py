"""The script of the story: who walks where, shows what, and what must come of it."""

from dataclasses import dataclass
from enum import StrEnum


class Show(StrEnum):
    """What a passenger presents at a lane."""

    FACE = "face"
    CODE = "code"
    PHOTO = "photo"
    """A print of another rider's portrait, held up to the camera."""
    SCREEN = "screen"
    """A tablet that shows another rider's portrait."""


class Expect(StrEnum):
    """What the gate must answer."""

    OPEN = "open"
    SHUT = "shut"
    REPORTED = "reported"
    """Either; the story says honestly which."""


@dataclass(frozen=True, slots=True)
class Step:
    """One approach to one lane."""

    station: str
    direction: str
    show: Show
    expect: Expect = Expect.OPEN
    reasons: tuple[str, ...] = ()
    """The deny reasons that are right when the gate must stay shut."""
    beside: str = ""
    """The name of somebody who walks up shoulder to shoulder."""
    whose: str = ""
    """Whose portrait a PHOTO shows."""
    remark: str = ""
    """What the story tells before the approach."""


@dataclass(frozen=True, slots=True)
class Passenger:
    """One person with a plan."""

    name: str
    means: str
    """`wallet`, or the simulated bank's card token; empty for nobody's account."""
    steps: tuple[Step, ...]
    face: bool = True
    """Whether the rider enrolls a face in the app."""
    paused: bool = False
    """Whether the rider has paused the face."""
    fare_minor: int | None = None
    """What the whole ride must cost, in fen; None for nobody who rides."""
    after: str = ""
    """Whose plan must be over before this one begins."""


NORTH = "xianbeizhan"
"""Xi'an North Station."""
PAGODA = "dayanta"
"""Dayanta (Big Wild Goose Pagoda), 19,555 m from Xi'an North by the shortest way: 5 yuan."""
STATIONS = (NORTH, PAGODA)
FARE_MINOR = 500

_NOT_KNOWN = ("not_recognised",)
_BOTH = ("too_close_together",)


def _ride(
    origin: str, way_in: Show, way_out: Show, *, first: tuple[Step, ...] = ()
) -> tuple[Step, ...]:
    target = PAGODA if origin == NORTH else NORTH
    return (*first, Step(origin, "entry", way_in), Step(target, "exit", way_out))


def _refused(station: str, remark: str) -> Step:
    return Step(station, "entry", Show.FACE, Expect.SHUT, _NOT_KNOWN, remark=remark)


PASSENGERS = (
    Passenger("Robin", "tok_yes", _ride(NORTH, Show.FACE, Show.FACE), fare_minor=FARE_MINOR),
    Passenger("Sasha", "wallet", _ride(NORTH, Show.FACE, Show.CODE), fare_minor=FARE_MINOR),
    Passenger(
        "Kim",
        "tok_charged_silent",
        _ride(PAGODA, Show.CODE, Show.FACE),
        fare_minor=FARE_MINOR,
    ),
    Passenger(
        "Jules",
        "wallet",
        _ride(
            NORTH,
            Show.CODE,
            Show.CODE,
            first=(_refused(NORTH, "has an account, but no face enrolled"),),
        ),
        face=False,
        fare_minor=FARE_MINOR,
    ),
    Passenger(
        "Noor",
        "tok_yes",
        _ride(
            PAGODA,
            Show.CODE,
            Show.CODE,
            first=(_refused(PAGODA, "has paused the face in the app"),),
        ),
        paused=True,
        fare_minor=FARE_MINOR,
    ),
    Passenger(
        "Toni",
        "tok_yes",
        _ride(
            PAGODA,
            Show.FACE,
            Show.FACE,
            first=(
                Step(
                    PAGODA,
                    "entry",
                    Show.FACE,
                    Expect.SHUT,
                    _BOTH,
                    beside="Eileen",
                    remark="and Eileen walk up shoulder to shoulder",
                ),
            ),
        ),
        fare_minor=FARE_MINOR,
    ),
    Passenger(
        "Eileen",
        "wallet",
        _ride(PAGODA, Show.FACE, Show.FACE),
        fare_minor=FARE_MINOR,
        after="Toni",
    ),
    Passenger(
        "Tom",
        "",
        (
            Step(
                NORTH,
                "entry",
                Show.PHOTO,
                Expect.REPORTED,
                whose="Robin",
                remark="holds up a print of Robin's portrait",
            ),
            Step(
                NORTH,
                "entry",
                Show.SCREEN,
                Expect.REPORTED,
                whose="Robin",
                remark="holds up a tablet with Robin's portrait",
            ),
        ),
        face=False,
        after="Eileen",
    ),
)
"""Everybody, in the order in which they set out."""
