"""What the web side is given: use cases, judges, clock and randomness, in one place."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from cloud_sync.master.model_change import ModelState, Phase
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

    coming: Assessor | None = None
    """The judge with the coming model, while the operator changes it."""
    judging: asyncio.Semaphore = field(
        default_factory=lambda: asyncio.Semaphore(JUDGED_AT_ONCE), repr=False, compare=False
    )
    """Whoever judges a photo holds a place of it."""

    def judges(self, models: ModelState) -> tuple[Assessor | None, Assessor | None]:
        """Return who judges a photo now: with the model that stays, and with the coming one.

        Args:
            models: Which models the cloud has. Whoever serves both packs need not be restarted in
                the moment in which the one takes the other's place.
        """
        both = [each for each in (self.assess, self.coming) if each is not None]
        by_model = {each.model_id: each for each in both}
        stays = by_model.get(models.trusted) if models.trusted else self.assess
        running = models.phase is Phase.RUNNING
        return stays, by_model.get(models.next_id) if running else None

    def new_id(self) -> UUID:
        """Return a random id (UUIDv4)."""
        return UUID(bytes=self.randomness(16), version=4)
