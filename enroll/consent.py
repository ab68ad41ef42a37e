"""Consents: one choice per purpose, each with its own text, kept as records that are only added.

What a rider allows is a pure function of the records. This file does not know about photos,
stations or databases.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from uuid import UUID


class Purpose(StrEnum):
    """What a consent is for; nothing is bundled, each can be given and withdrawn alone."""

    COLLECT = "collect"
    """Look at the rider's photos and measure the face in them."""
    STORE = "store"
    """Keep the measurements (embeddings, template) in the operator's database."""
    SEND = "send"
    """Send the template over the network to the stations' gates."""
    PAY = "pay"
    """Charge rides to the rider's means of payment."""
    KEEP_PHOTOS = "keep_photos"
    """Keep the photos themselves, to measure them again with a better model; off by default."""
    GUARDIAN = "guardian"
    """A parent or guardian agrees for a rider under 14."""


@dataclass(frozen=True, slots=True)
class ConsentText:
    """What the rider read when choosing."""

    version: int
    """Grows with every change of the words."""
    oldest_valid: int
    """Choices made on this version or a later one still count: same meaning, other words."""
    title: str
    explains: str
    """What happens with it."""
    without: str
    """What is not possible without it."""
    on_withdrawal: str
    """What happens when it is withdrawn."""


TEXTS = MappingProxyType(
    {
        Purpose.COLLECT: ConsentText(
            version=1,
            oldest_valid=1,
            title="Look at my photos",
            explains="We find your face in each photo you give us and turn it into a list of 512 "
            "numbers. This happens in our computer's memory while you wait.",
            without="We cannot set up your face. Ride codes work all the same.",
            on_withdrawal="All numbers and photos of your face are deleted at once, here and at "
            "the stations.",
        ),
        Purpose.STORE: ConsentText(
            version=1,
            oldest_valid=1,
            title="Keep my face as numbers",
            explains="We keep the numbers of each accepted photo and their average (your "
            "template) in the operator's database until you withdraw. Whoever stole the numbers "
            "could rebuild a rough picture of you, so they are kept like a secret.",
            without="There is nothing to compare you with, so your face opens no gate. Ride codes "
            "work all the same.",
            on_withdrawal="All numbers and photos of your face are deleted at once, here and at "
            "the stations.",
        ),
        Purpose.SEND: ConsentText(
            version=2,
            oldest_valid=2,
            title="Send my face to the stations",
            explains="Your template (the numbers, never a photo) goes over the network to the "
            "computers of the stations where you may come, so that a gate can recognize you even "
            "when the network is down. To know where, we keep how often you were at a station at "
            "an hour of the week, which fades by half in four weeks, and where you tapped last.",
            without="The gates do not know your face. Ride codes work all the same.",
            on_withdrawal="Every connected station forgets your face within seconds, and one "
            "without a connection stops using it when its lease ends. What we kept of your ways is "
            "deleted. What you gave us stays here, so you can switch it on again.",
        ),
        Purpose.PAY: ConsentText(
            version=1,
            oldest_valid=1,
            title="Charge my rides",
            explains="After each ride we charge the fare to the means of payment you choose: the "
            "wallet or a bank card. The price is the same by face and by code.",
            without="Neither face nor ride code opens a gate; buy single tickets at the machine.",
            on_withdrawal="No new rides by face or code. Rides already made are still charged.",
        ),
        Purpose.KEEP_PHOTOS: ConsentText(
            version=1,
            oldest_valid=1,
            title="Keep my photos too (optional)",
            explains="We keep the photos themselves, so that we can measure them again when a "
            "better model comes and you need not take new ones.",
            without="Nothing is lost: each photo is forgotten as soon as it is measured, and you "
            "may be asked for new photos when the model changes.",
            on_withdrawal="The photos are deleted at once. Your face goes on working.",
        ),
        Purpose.GUARDIAN: ConsentText(
            version=1,
            oldest_valid=1,
            title="My parent or guardian agrees",
            explains="You are under 14. Your parent or guardian has read this page with you and "
            "agrees to every choice that is switched on.",
            without="Nothing can be switched on, neither face nor ride code. Ask the staff for a "
            "child's ticket.",
            on_withdrawal="Everything is switched off, and all numbers and photos of your face "
            "are deleted at once, here and at the stations.",
        ),
    }
)
"""The words in force. A change of meaning raises `oldest_valid`, and riders are asked again."""


@dataclass(frozen=True, slots=True)
class ConsentRecord:
    """One choice of one rider; records are added, never changed, and outlive a withdrawal."""

    rider_ref: UUID
    purpose: Purpose
    given: bool
    """True for given, False for withdrawn."""
    text_version: int
    """The version of the text that was shown."""
    at: datetime
    """When, aware UTC."""


@dataclass(frozen=True, slots=True)
class Permissions:
    """What the operator may do with one rider now."""

    collect: bool
    """Analyze photos."""
    store: bool
    """Keep embeddings and template."""
    send: bool
    """Send the template to stations."""
    charge: bool
    """Charge rides, hence hand out ride codes."""
    keep_photos: bool
    """Keep original photos."""


def standing(records: Iterable[ConsentRecord]) -> frozenset[Purpose]:
    """Return the purposes consented to, the last record of each purpose deciding.

    Args:
        records: One rider's records in the order in which they were added.
    """
    last = {record.purpose: record for record in records}
    return frozenset(
        purpose
        for purpose, record in last.items()
        if record.given and record.text_version >= TEXTS[purpose].oldest_valid
    )


def permissions(records: Iterable[ConsentRecord], *, minor: bool) -> Permissions:
    """Return what the records allow; each permission also needs the ones it builds on.

    A face is sent only together with `pay`: a gate that it opens makes a ride to charge.

    Args:
        records: One rider's records in the order in which they were added.
        minor: Whether the rider is under 14; then nothing is allowed without the guardian
            (China's measures on face recognition, 2025; PIPL article 31).
    """
    given = standing(records)
    able = not minor or Purpose.GUARDIAN in given
    collect = able and Purpose.COLLECT in given
    store = collect and Purpose.STORE in given
    charge = able and Purpose.PAY in given
    return Permissions(
        collect=collect,
        store=store,
        send=store and charge and Purpose.SEND in given,
        charge=charge,
        keep_photos=store and Purpose.KEEP_PHOTOS in given,
    )
