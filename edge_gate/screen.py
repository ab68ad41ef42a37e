"""What the rider at a lane sees: one sign, one line, and why; made from what the lane did.

Comes in: the lane's answers and what it is busy with. Goes out: a `Screen`. This file does not
know about HTML.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from cloud_sync.setting import Mode, StationMode
from edge_gate.reason import DenyReason


class Sign(StrEnum):
    """The big thing on the screen."""

    READY = "ready"
    """Walk up and look at the camera."""
    WAIT = "wait"
    """The gate is looking; stand still a moment."""
    GO = "go"
    """The barrier is open."""
    STOP = "stop"
    """Not like this; the line below says what to do."""
    CODE = "code"
    """The face did not do; a ride code will."""


@dataclass(frozen=True, slots=True)
class Screen:
    """What is shown now."""

    sign: Sign
    headline: str
    """A few words, readable from three metres."""
    why: str = ""
    """One sentence on what happened or what to do; may be empty."""
    reason: DenyReason | None = None
    """The reason behind STOP or CODE."""
    note: str = ""
    """What the station leaves out now, for everybody to read; empty as a rule."""


_SHOW_CODE = "Show your code"
# The same for every reason of the deny list: whoever stands behind reads it too.
_SEE_STAFF = (Sign.STOP, "Please see staff", "Staff or the ride app will tell you how to go on.")

MESSAGES: Mapping[DenyReason, tuple[Sign, str, str]] = MappingProxyType(
    {
        DenyReason.NOT_RECOGNISED: (
            Sign.CODE, _SHOW_CODE, "Your face was not recognised."),
        DenyReason.AMBIGUOUS: (
            Sign.CODE, _SHOW_CODE, "Your face alone is not certain enough."),
        DenyReason.TOO_CLOSE_TOGETHER: (
            Sign.STOP, "One at a time", "Please let one person step forward."),
        DenyReason.NO_USABLE_FACE: (
            Sign.CODE, _SHOW_CODE, "The camera could not see your face well."),
        DenyReason.PRESENTATION_ATTACK: (
            Sign.CODE, _SHOW_CODE, "The camera did not see a live face."),
        DenyReason.GALLERY_EMPTY: (
            Sign.CODE, _SHOW_CODE, "Faces are not loaded at this station yet."),
        DenyReason.GALLERY_TOO_LARGE: (
            Sign.CODE, _SHOW_CODE, "Faces are switched off at this station."),
        DenyReason.SECOND_TIER_CLOSED: (
            Sign.CODE, _SHOW_CODE, "Your face was not recognised."),
        DenyReason.GALLERY_BROKEN: (
            Sign.CODE, _SHOW_CODE, "Faces are being loaded anew at this station."),
        DenyReason.GALLERY_STALE: (
            Sign.CODE, _SHOW_CODE, "This station is offline, so faces are switched off."),
        DenyReason.MODEL_REFUSED: (
            Sign.CODE, _SHOW_CODE, "Faces are switched off at this lane."),
        DenyReason.SPACE_MISMATCH: (
            Sign.CODE, _SHOW_CODE, "Faces are being updated at this station."),
        DenyReason.CAMERA_LOST: (
            Sign.CODE, _SHOW_CODE, "The camera of this lane is out of order."),
        DenyReason.CAMERA_BLACK: (
            Sign.CODE, _SHOW_CODE, "The camera of this lane sees nothing."),
        DenyReason.CAMERA_FROZEN: (
            Sign.CODE, _SHOW_CODE, "The camera of this lane is stuck."),
        DenyReason.CAMERA_OVEREXPOSED: (
            Sign.CODE, _SHOW_CODE, "The camera of this lane is blinded."),
        DenyReason.CODE_EXPIRED: (
            Sign.STOP, "Code too old", "Please show a fresh code from the app."),
        DenyReason.CODE_FUTURE: (
            Sign.STOP, "Code not valid yet", "Please check the clock of your phone."),
        DenyReason.CODE_REPLAYED: (
            Sign.STOP, "Code already used", "Please show a fresh code from the app."),
        DenyReason.CODE_TRUNCATED: (
            Sign.STOP, "Code not readable", "Please show the whole code."),
        DenyReason.CODE_FOREIGN: (
            Sign.STOP, "Not a ride code", "Please show the code from the ride app."),
        DenyReason.CODE_FORGED: (
            Sign.STOP, "Code not valid", "Please show the code from the ride app."),
        DenyReason.CLOCK_UNSURE: (
            Sign.STOP, "Please see staff", "This station's clock is being set; staff will help."),
        DenyReason.DENIED_WITHDRAWN: _SEE_STAFF,
        DenyReason.DENIED_DEBT: _SEE_STAFF,
        DenyReason.DENIED_LOST: _SEE_STAFF,
        DenyReason.DENIED_FRAUD: _SEE_STAFF,
        DenyReason.TAP_NOT_DURABLE: (
            Sign.STOP, "Use another lane", "This lane cannot record rides now."),
        DenyReason.BARRIER_FAULT: (
            Sign.STOP, "Use another lane", "This lane is out of order; staff are called."),
    }
)  # fmt: skip
"""Sign, headline and sentence of each reason: what the rider reads. No reason accuses anybody."""

READY = Screen(Sign.READY, "Look at the camera", "Or show your ride code.")
WAIT = Screen(Sign.WAIT, "One moment", "Please look at the camera.")
GO = Screen(Sign.GO, "Go", "Have a good journey.")
RELEASED = Screen(Sign.GO, "Walk through", "All gates are open. Please keep walking.")

NOTES: Mapping[Mode, str] = MappingProxyType(
    {
        Mode.FARE_EXEMPT: "Rides are free here now.",
        Mode.TIME_EXEMPT: "No time limit now.",
        Mode.ORDER_EXEMPT: "A missed gate is no fault now.",
    }
)
"""What riders read of a mode; emergency release has a screen of its own."""


def note(mode: StationMode) -> str:
    """Return what riders read of the station's mode; empty when nothing is left out."""
    return " ".join(text for each, text in NOTES.items() if each in mode.modes)


def refusal(reason: DenyReason) -> Screen:
    """Return what a rider reads for a reason."""
    sign, headline, why = MESSAGES[reason]
    return Screen(sign, headline, why, reason)


@dataclass(frozen=True, slots=True)
class DisplayConfig:
    """How long an answer stays."""

    hold_s: float = 3.0
    """A refusal stays this long unless the lane has a newer answer, seconds, > 0: long enough to
    read two lines and reach for a phone."""

    def __post_init__(self) -> None:
        """Check the range.

        Raises:
            ValueError: It is out of range.
        """
        if self.hold_s <= 0:
            raise ValueError(f"out of range: {self}")


class Display:
    """The screen of one lane."""

    def __init__(self, config: DisplayConfig | None = None) -> None:
        self._config = config or DisplayConfig()
        self._refusal: Screen | None = None
        self._until_s = float("-inf")

    def refuse(self, reason: DenyReason, now_s: float) -> None:
        """Show a refusal for a while."""
        self._refusal = refusal(reason)
        self._until_s = now_s + self._config.hold_s

    def clear(self) -> None:
        """Forget the refusal: somebody was granted, or has left."""
        self._until_s = float("-inf")

    def show(self, now_s: float, *, is_open: bool, busy: bool, shut: DenyReason | None) -> Screen:
        """Return what to show now.

        Args:
            now_s: Monotonic seconds.
            is_open: Whether the barrier is open for somebody.
            busy: Whether somebody is being looked at.
            shut: Why no face can open here, if so.
        """
        if shut is DenyReason.BARRIER_FAULT:
            return refusal(shut)
        if is_open:
            return GO
        if self._refusal is not None and now_s < self._until_s:
            return self._refusal
        if shut is not None:
            return refusal(shut)
        return WAIT if busy else READY
