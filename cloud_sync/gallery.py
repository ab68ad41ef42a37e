"""What a station must hold, and the changes between revisions.

Templates, ride-code keys, the deny list, and settings: one stream carries them all.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """One rider's reference in one embedding space."""

    rider_ref: UUID
    version: int
    """Grows with each new template of the rider, from 1."""
    model_id: str
    """The embedder that made it; a template meets only its own model."""
    transform_id: str
    """The keyed transform applied to it; `plain` for none."""
    vector: npt.NDArray[np.float32] = field(repr=False)
    """float32, shape (D,), unit length. Two bytes a value (float16) on wire and disk. Not in the
    `repr`: a template in a log line would be a face in a log line."""
    expires: datetime | None = None
    """After this moment (aware UTC) the edge must not use it; None is as long as the lease."""
    tier: int = 1
    """1: among the best candidates of the station, in memory. 2: the next ones, on disk, for whom
    a stricter threshold holds."""


@dataclass(frozen=True, slots=True)
class IssuerKey:
    """A public key that signs ride codes."""

    key_id: int
    """0 to 65,535, as written in the code."""
    public_key: bytes
    """Ed25519, 32 bytes raw."""


class DenialReason(StrEnum):
    """Why a rider may not pass, by whatever medium."""

    WITHDRAWN = "withdrawn"
    """The rider took their consent back; a code still out must not open either."""
    DEBT = "debt"
    """Rides are unpaid beyond what the operator lends."""
    LOST = "lost"
    """The rider's telephone is reported lost or stolen."""
    FRAUD = "fraud"
    """Staff found misuse."""


@dataclass(frozen=True, slots=True)
class Denial:
    """One rider on the deny list."""

    rider_ref: UUID
    reason: DenialReason
    since: datetime
    """Aware UTC."""
    until: datetime | None = None
    """From this moment (aware UTC) on it no longer holds; None is until it is dropped."""


class SettingName(StrEnum):
    """The documents that stations are given."""

    MODE = "mode"
    """What the station leaves out today: order of entry and exit, time, fare, or the gates."""
    TARIFF = "tariff"
    """What a ride costs, for the screen; the charge is the cloud's."""
    THRESHOLD = "threshold"
    """From which score a face opens, where the operator overrides the model card."""


SETTING_BYTES_MAX = 64 * 1024
"""Of a setting's body: with 256 of them a chunk would not fit, with the three there are it does."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A named document of a station."""

    name: SettingName
    body: bytes
    """Canonical JSON (sorted keys, no blanks, UTF-8), at most `SETTING_BYTES_MAX`."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """A template's record as it came: ciphertext, and what was checked when it was opened."""

    key_id: str
    """The root key behind its data key."""
    transform_id: str
    """The rotation that the vector has inside the record."""
    body: bytes = field(repr=False)
    """Nonce, ciphertext and tag."""
    content_hash: bytes
    """Of the record opened, 32 bytes."""


@dataclass(frozen=True, slots=True, eq=False)
class PutTemplate:
    """The station must hold this template."""

    template: Template
    sealed: Sealed | None = None
    """At a node: what its disk keeps in place of the template."""


@dataclass(frozen=True, slots=True)
class DropTemplate:
    """The station must forget this rider's face."""

    rider_ref: UUID


@dataclass(frozen=True, slots=True)
class PutKey:
    """The station must trust this ride-code key."""

    key: IssuerKey


@dataclass(frozen=True, slots=True)
class DropKey:
    """The station must no longer trust this ride-code key."""

    key_id: int


@dataclass(frozen=True, slots=True)
class PutDenial:
    """The station must let this rider in by no medium."""

    denial: Denial


@dataclass(frozen=True, slots=True)
class DropDenial:
    """The rider is off the deny list."""

    rider_ref: UUID


@dataclass(frozen=True, slots=True)
class PutSetting:
    """The station must go by this document."""

    setting: Setting


@dataclass(frozen=True, slots=True)
class DropSetting:
    """The station must go by its own default again."""

    name: SettingName


Change = (
    PutTemplate
    | DropTemplate
    | PutKey
    | DropKey
    | PutDenial
    | DropDenial
    | PutSetting
    | DropSetting
)
"""One line of a station's view log."""


@dataclass(frozen=True, slots=True, eq=False)
class Delta:
    """Changes that take a replica from one revision to another, all or nothing."""

    epoch: UUID
    """The history these revisions belong to; a restored cloud starts a new one."""
    from_rev: int
    """The revision the replica must be at."""
    to_rev: int
    """The revision it is at afterwards."""
    changes: tuple[Change, ...]
