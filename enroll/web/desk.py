"""What the web side is given: use cases, judges, clock and randomness, in one place."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from enroll.code import CodeConfig
from enroll.enrollment import Enrollment
from enroll.photo import Assessor
from enroll.purse import Purse
from enroll.store import IssuerSecret

JUDGED_AT_ONCE = 4
"""Photos that are decoded and judged at one time; the largest takes 180 MB meanwhile."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A ride code's symbol."""

    svg: str
    png: bytes


@dataclass(frozen=True, slots=True)
class Desk:
    """Everything behind the counter."""

    enrollment: Enrollment
    assess: Assessor | None
    """None where no model could be opened: photos are refused, everything else works."""
    purse: Purse
    stations: Mapping[str, str]
    """Names of the city's stations by their ids."""
    issuer: IssuerSecret
    codes: CodeConfig
    draw: Callable[[bytes], Drawn]
    """Draws a ride code's payload as a QR symbol."""
    clock: Callable[[], datetime]
    """Now, aware UTC."""
    randomness: Callable[[int], bytes]
    """That many fresh random bytes."""
    upload_bytes_max: int = 12_000_000
    """Largest photo file; a phone's 50 megapixels as JPEG stay below, bytes."""

    judging: asyncio.Semaphore = field(
        default_factory=lambda: asyncio.Semaphore(JUDGED_AT_ONCE), repr=False, compare=False
    )
    """Whoever judges a photo holds a place of it."""

    def new_id(self) -> UUID:
        """Return a random id (UUIDv4)."""
        return UUID(bytes=self.randomness(16), version=4)
