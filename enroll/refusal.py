"""Why a photo is not taken: the one list that API, pages and tests share."""

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Refusal(StrEnum):
    """Why a photo is not taken; `MESSAGES` and `ADVICE` have what the rider reads."""

    NOT_AN_IMAGE = "not_an_image"
    """Neither JPEG nor PNG nor WebP, or one that cannot be decoded."""
    TRUNCATED = "truncated"
    """The file breaks off."""
    TOO_LARGE = "too_large"
    """More bytes or pixels than are accepted."""
    NO_FACE = "no_face"
    """The detector finds none."""
    TWO_FACES = "two_faces"
    """Besides the largest face there is another of like size."""
    TOO_SMALL = "too_small"
    """The face has too few pixels."""
    BLURRED = "blurred"
    """The face is not sharp."""
    TURNED_AWAY = "turned_away"
    """The face does not look into the camera."""
    CUT_OFF = "cut_off"
    """Part of the face is outside the picture."""
    TOO_DARK = "too_dark"
    """The face is underexposed."""
    TOO_BRIGHT = "too_bright"
    """The face is overexposed."""
    OTHER_PERSON = "other_person"
    """Not the same person as on the first photo."""
    PICTURE_OF_PICTURE = "picture_of_picture"
    """The liveness model takes it for a print or a screen; weak evidence, see the advice."""
    UNUSABLE = "unusable"
    """The template made with it is none, or a hub that strangers would match
    (`cloud_sync.master.intake.IntakeFault`)."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A photo that is not taken."""

    reason: Refusal


MESSAGES = MappingProxyType(
    {
        Refusal.NOT_AN_IMAGE: "We cannot read this file as a photo.",
        Refusal.TRUNCATED: "This file breaks off before its end.",
        Refusal.TOO_LARGE: "This photo is too large.",
        Refusal.NO_FACE: "We see no face.",
        Refusal.TWO_FACES: "We see more than one face.",
        Refusal.TOO_SMALL: "Your face is too small in the photo.",
        Refusal.BLURRED: "The photo is blurred.",
        Refusal.TURNED_AWAY: "You are not looking into the camera.",
        Refusal.CUT_OFF: "Part of your face is outside the picture.",
        Refusal.TOO_DARK: "Your face is too dark.",
        Refusal.TOO_BRIGHT: "Your face is too bright.",
        Refusal.OTHER_PERSON: "This does not look like the person on your first photo.",
        Refusal.PICTURE_OF_PICTURE: "This looks like a photo of a photo or of a screen.",
        Refusal.UNUSABLE: "This photo does not tell you from other people.",
    }
)
"""What is wrong, in one sentence."""

ADVICE = MappingProxyType(
    {
        Refusal.NOT_AN_IMAGE: "Send a JPEG, PNG or WebP picture.",
        Refusal.TRUNCATED: "Send it again, or take a new one.",
        Refusal.TOO_LARGE: "Send at most 12 megabytes and 60 megapixels.",
        Refusal.NO_FACE: "Hold the phone at arm's length, at eye level, with light from the "
        "front, and nothing over your face.",
        Refusal.TWO_FACES: "Take it again alone, or cut the others off.",
        Refusal.TOO_SMALL: "Come closer: your face should fill a third of the picture.",
        Refusal.BLURRED: "Hold still, wipe the lens, and find more light.",
        Refusal.TURNED_AWAY: "Look straight into the camera, with your head upright.",
        Refusal.CUT_OFF: "Move the camera until your whole head is in the picture.",
        Refusal.TOO_DARK: "Turn towards a window or a lamp.",
        Refusal.TOO_BRIGHT: "Step out of the direct sun, and switch the flash off.",
        Refusal.OTHER_PERSON: "One account is for one person. If the first photo is wrong, delete "
        "it and begin again.",
        Refusal.PICTURE_OF_PICTURE: "Use the camera and show your own face. We are sometimes "
        "wrong here: try other light, or ride by code.",
        Refusal.UNUSABLE: "Take another one of your own face, sharp and in even light, or ride "
        "by code.",
    }
)
"""What to do about it."""
