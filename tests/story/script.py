"""The script of the story: who walks where, shows what, and what must come of it."""

from dataclasses import dataclass
from enum import StrEnum


class Show(StrEnum):
    """What a passenger presents at a lane."""

    FACE = "face"
    CODE = "code"
    PHOTO = "photo"
    """A print of another rider's portrait, held up to the camera."""


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
    paid: str = ""
    """How the ride must be paid in the end: `wallet` or `card`."""
