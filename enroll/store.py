"""The store of riders: one dossier a rider, changed in units that happen wholly or not at all.

A unit also writes what the stations must learn, so a rider's state and the stations' view of it
commit together. The port is `RiderStore`; this file does not know about SQL.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from cloud_sync.fleet.erasure import Erasure as Gone
from cloud_sync.gallery import Change, PutKey
from cloud_sync.master.gallery import Activate, Deactivate, Withdraw
from cloud_sync.master.model_change import ModelState
from enroll.consent import ConsentRecord
from enroll.lookalike import LookalikePair, Match
from enroll.rider import Rider
from enroll.template import Again, MasterTemplate, Photo


class StoreFailed(Exception):
    """The store cannot be reached or refused the unit; nothing of the unit has happened."""


@dataclass(frozen=True, slots=True)
class Erasure:
    """The proof that a rider's face data were deleted; holds numbers, no face."""

    rider_ref: UUID
    at: datetime
    """Aware UTC."""
    cause: str
    """What led to it, e.g. `withdrawn` or `consent_store`."""
    photos: int
    """Photos' measurements deleted."""
    originals: int
    """Pictures deleted."""
    templates: int
    """Templates deleted: one a model, so 2 at most."""


@dataclass(frozen=True, slots=True, eq=False)
class Dossier:
    """All that is held about one rider."""

    rider: Rider
    key_hash: bytes
    """SHA-256 of the rider's access key, 32 bytes."""
    consents: tuple[ConsentRecord, ...] = ()
    """In the order in which they were added."""
    photos: tuple[Photo, ...] = ()
    """Accepted photos, the oldest first."""
    template: MasterTemplate | None = None
    """Of the model in force."""
    next_template: MasterTemplate | None = None
    """Of the coming model, while the model is changed."""
    templates_made: int = 0
    """The highest template version ever given to this rider."""
    stationed: int = 0
    """The template version that stations may hold now; 0 for none."""
    homes: tuple[str, ...] = ()
    """Station ids that the rider wants to be known at, in the rider's order."""
    alike: tuple[LookalikePair, ...] = ()
    """Pairs with other riders, whatever their verdict."""
    erasures: tuple[Erasure, ...] = ()
    """In the order in which they happened."""
    unread: int = 0
    """Photos and templates in store that do not open, or are of a model that is going; an erasure
    takes them along."""
    past_photos: int = 0
    """Of those unread: photos that only a model that is going has measured."""
    past_templates: int = 0
    """Of those unread: templates of a model that is going."""
    models: ModelState = field(default_factory=ModelState)
    """Which models the cloud has: the same for everybody."""


@dataclass(frozen=True, slots=True)
class Remeasured:
    """How far riders are measured anew by the coming model."""

    done: int
    """Riders with a template of it."""
    waiting: int
    """Riders without, of whom a kept photo was not looked at yet."""
    refused: int
    """Riders without, whose kept photos are not good enough for it."""
    without: int
    """Riders without, of whom no photo is kept: they need a new one."""


class CheckIn(StrEnum):
    """What became of a check-in."""

    EXPECTED = "expected"
    """The station knows the face, until the check-in ends."""
    NOT_ACTIVE = "not_active"
    """The face is off, so there is nothing that the station could know."""
    NO_STATION = "no_station"
    """There is no such station, or its gates know no faces of this rider's model."""


@dataclass(frozen=True, slots=True)
class IssuerSecret:
    """A key pair that signs ride codes; never leaves the enrollment server but for `public`."""

    key_id: int
    """0 to 65,535."""
    seed: bytes
    """Ed25519 private key, 32 bytes raw."""
    public: bytes
    """Ed25519 public key, 32 bytes raw."""
    made: datetime
    """Aware UTC."""

    def __repr__(self) -> str:
        """Show the number alone: a key must not reach a log or a traceback."""
        return f"IssuerSecret(key_id={self.key_id})"


class Unit(Protocol):
    """One change in progress; units are exclusive, so what is read stays true until the end."""

    def read(self, ref: UUID) -> Dossier | None:
        """Return a rider's dossier as of now within the unit."""
        ...

    def add_rider(self, rider: Rider, key_hash: bytes) -> None:
        """Add a rider with an unused reference."""
        ...

    def set_rider(self, rider: Rider) -> None:
        """Write a known rider's name and state."""
        ...

    def set_key_hash(self, ref: UUID, key_hash: bytes) -> None:
        """Replace the access key."""
        ...

    def append_consent(self, record: ConsentRecord) -> None:
        """Add a record after all others of the rider."""
        ...

    def add_photo(self, photo: Photo) -> None:
        """Keep what stays of an accepted photo."""
        ...

    def drop_photo(self, ref: UUID, photo_id: UUID) -> None:
        """Delete one photo with its measurement; nothing happens if it is unknown."""
        ...

    def drop_photos(self, ref: UUID) -> None:
        """Delete all of a rider's photos with their measurements."""
        ...

    def drop_originals(self, ref: UUID) -> None:
        """Delete the pictures, keep the measurements."""
        ...

    def put_template(self, template: MasterTemplate) -> None:
        """Replace the rider's template, here and in the master gallery; note it as made."""
        ...

    def drop_template(self, ref: UUID, now: datetime) -> None:
        """Delete the rider's template, here and in the master gallery; its version stays used."""
        ...

    def measure(self, photo_id: UUID, again: Again) -> None:
        """Note what the coming model made of a photo."""
        ...

    def put_next(self, template: MasterTemplate) -> None:
        """Replace the rider's template of the coming model, here and in the master gallery."""
        ...

    def drop_next(self, ref: UUID, now: datetime) -> None:
        """Delete the rider's template of the coming model, here and in the master gallery."""
        ...

    def adopt(self, ref: UUID) -> None:
        """Let what the coming model made be all there is: what the old one made is deleted."""
        ...

    def nearest(self, template: MasterTemplate, score_min: float) -> tuple[Match, ...]:
        """Return other riders' templates of the same model, the closest first.

        Those of the units before this one count, however short a time ago they ended; what this
        unit itself has changed may not be seen.
        """
        ...

    def put_pair(self, pair: LookalikePair) -> None:
        """Add a pair, or replace it."""
        ...

    def drop_pairs(self, ref: UUID) -> None:
        """Forget all pairs of a rider."""
        ...

    def add_erasure(self, erasure: Erasure) -> None:
        """Keep the proof of a deletion."""
        ...

    def tell_ledger(self, erasure: Gone) -> None:
        """Have the cloud note at the end of the unit that face data went, and from which nodes."""
        ...

    def tell_master(self, change: Activate | Deactivate | Withdraw, now: datetime) -> None:
        """Change a rider's standing in the master gallery; the views follow with the unit."""
        ...

    def set_stationed(self, ref: UUID, version: int) -> None:
        """Note which version stations may hold; 0 for none."""
        ...

    def set_homes(self, ref: UUID, station_ids: Sequence[str], now: datetime) -> None:
        """Replace the rider's home stations; views follow at their next reconcile."""
        ...

    def check_in(self, ref: UUID, station_id: str, until: datetime, now: datetime) -> CheckIn:
        """Have a station expect the rider from now on; nothing else may be in the unit."""
        ...

    def tell_stations(self, changes: Sequence[Change]) -> None:
        """Write changes that concern no rider into the views of all stations."""
        ...

    def issuer_keys(self) -> tuple[IssuerSecret, ...]:
        """Return all keys that gates trust, the newest last."""
        ...

    def add_issuer_key(self, key: IssuerSecret) -> None:
        """Keep a new key."""
        ...

    def new_stations(self) -> tuple[str, ...]:
        """Return stations that exist but were never filled, sorted."""
        ...

    def fill_station(self, station_id: str, keys: Sequence[PutKey], now: datetime) -> None:
        """Write keys, and whoever may come, into a new view, and note it as filled.

        Of a large city the best candidates come now and the others with the next reconcile. Once a
        unit.
        """
        ...


class RiderStore(Protocol):
    """Where dossiers live."""

    def find(self, ref: UUID) -> Dossier | None:
        """Return a rider's dossier as last committed.

        Raises:
            StoreFailed: The store cannot be reached.
        """
        ...

    def begin(self) -> AbstractContextManager[Unit]:
        """Open a unit: it commits at the end of the block, and not at all on an exception.

        Raises:
            StoreFailed: The store cannot be reached or refused the unit.
        """
        ...

    def last_erasure(self) -> datetime | None:
        """Return the moment of the latest erasure; None when there was none.

        Raises:
            StoreFailed: The store cannot be reached.
        """
        ...

    def forgotten(self, told: Sequence[Gone]) -> tuple[Gone, ...]:
        """Return those erasures that known riders do not show: a restored backup lost them.

        Args:
            told: What riders were told, oldest first.

        Raises:
            StoreFailed: The store cannot be reached.
        """
        ...

    def read_gallery(self) -> int:
        """Read what look-alikes are searched in; return how many changes there were.

        Slow the first time, in a large city some minutes: call it before the first unit has to wait
        for it, and now and then from a thread that serves nobody.

        Raises:
            StoreFailed: It cannot be read.
        """
        ...

    def to_measure(self, model_id: str, after: UUID | None, limit: int) -> tuple[UUID, ...]:
        """Return riders with a kept photo that a coming model has not looked at, by reference.

        Args:
            model_id: The coming model.
            after: The last one known; None to begin.
            limit: Riders at most.

        Raises:
            StoreFailed: The store cannot be reached.
        """
        ...

    def remeasured(self, model_id: str) -> Remeasured:
        """Return how far riders with a face are measured anew.

        Raises:
            StoreFailed: The store cannot be reached.
        """
        ...

    def to_adopt(self, model_id: str, after: UUID | None, limit: int) -> tuple[UUID, ...]:
        """Return riders of whom something is kept that another model made, by reference.

        Args:
            model_id: The model that stays.
            after: The last one known; None to begin.
            limit: Riders at most.

        Raises:
            StoreFailed: The store cannot be reached.
        """
        ...

    def forget_model(self, model_id: str) -> int:
        """Delete all that a model made which does not come after all; return how much.

        Raises:
            StoreFailed: The store cannot be reached; what was deleted stays so.
        """
        ...

    def open_pairs(self) -> tuple[LookalikePair, ...]:
        """Return all look-alike pairs that wait for an operator, the oldest first."""
        ...
