"""The master gallery: what stations may hold, and whether they may hold it now.

The port is `MasterGallery`. Enrollment alone changes it, in the transaction that changes the rider.
An index follows it by revision; whatever an index proposes is checked here again. This file does
not know about SQL, claims or views.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from cloud_sync.gallery import Template


class MasterFailed(Exception):
    """The database did not answer; nothing has changed."""


class Standing(StrEnum):
    """What the master gallery says of a rider."""

    ACTIVE = "active"
    """Stations may hold the face."""
    INACTIVE = "inactive"
    """Known, but paused, held back, or without the consent for stations."""
    GONE = "gone"
    """Withdrawn, which is final: nothing that comes later brings the rider back."""
    UNKNOWN = "unknown"
    """Nobody has this reference."""


@dataclass(frozen=True, slots=True)
class PutMaster:
    """Keep this template, in the place of an older one of its model.

    The rider's standing stays: a new template never makes a rider active. One of an older version,
    or of a rider who is gone, came late and changes nothing.
    """

    template: Template


@dataclass(frozen=True, slots=True)
class Activate:
    """Stations may hold the rider from now on; changes nothing for one who is gone."""

    rider_ref: UUID


@dataclass(frozen=True, slots=True)
class Deactivate:
    """Stations may not hold the rider now; the templates stay."""

    rider_ref: UUID
    forget_ways: bool = False
    """Whether claims and habits are deleted too: the rider took back the consent behind them."""


@dataclass(frozen=True, slots=True)
class Erase:
    """Delete the rider's templates in every space; the rider may enroll again."""

    rider_ref: UUID


@dataclass(frozen=True, slots=True)
class Forget:
    """Delete the rider's template in one space; the standing stays, and so do other spaces."""

    rider_ref: UUID
    model_id: str


@dataclass(frozen=True, slots=True)
class Withdraw:
    """The rider is gone for good: templates, claims and habits are deleted."""

    rider_ref: UUID
    denied_until: datetime
    """Until when a ride code still out must be refused, aware UTC."""


MasterChange = PutMaster | Activate | Deactivate | Erase | Forget | Withdraw
"""What enrollment tells the master gallery."""


def rider_of(change: MasterChange) -> UUID:
    """Return whom a change is about."""
    return change.template.rider_ref if isinstance(change, PutMaster) else change.rider_ref


@dataclass(frozen=True, slots=True)
class MasterLine:
    """One template's latest state in the feed."""

    rev: int
    rider_ref: UUID
    model_id: str
    transform_id: str
    version: int
    is_active: bool
    template: Template | None
    """None once it was erased: an index must forget it."""


@dataclass(frozen=True, slots=True)
class MasterPage:
    """A part of the feed."""

    lines: tuple[MasterLine, ...]
    """In the order of their revisions; a template that changed again has moved to its new place."""
    to_rev: int
    """Where the next page begins."""


class MasterGallery(Protocol):
    """The templates of all riders of a city."""

    def apply(self, changes: Sequence[MasterChange], now: datetime) -> None:
        """Make changes in their order, in one transaction; each takes its own revision.

        Raises:
            TemplateRefused: A template is not a unit vector of its dimension.
            MasterFailed: Nothing has changed.
        """
        ...

    def changes_since(self, rev: int, limit: int) -> MasterPage:
        """Return up to `limit` templates whose latest change lies after a revision.

        Revisions commit in their order, so whoever reads on from `to_rev` misses nothing.
        """
        ...

    def head(self) -> int:
        """Return the latest revision, 0 at first."""
        ...

    def standing(self, rider_ref: UUID) -> Standing:
        """Return what holds for a rider."""
        ...

    def active(self, rider_refs: Iterable[UUID]) -> frozenset[UUID]:
        """Return those of some riders whom stations may hold."""
        ...

    def everybody(self, at_most: int) -> frozenset[UUID] | None:
        """Return all whom stations may hold; None when they are more than `at_most`."""
        ...


@dataclass(frozen=True, slots=True)
class Held:
    """What is known of a rider's template in one space before a put."""

    version: int
    """The highest ever put, erased or not; 0 for none."""


def is_late(before: Held, version: int) -> bool:
    """Return whether a template comes too late to be taken.

    A version that was erased never comes back; the very one that is held changes nothing either.

    Args:
        before: What is held of its model.
        version: Of the template that comes.
    """
    return version <= before.version
