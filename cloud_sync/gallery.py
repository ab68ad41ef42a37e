"""What a station must hold: templates and ride-code keys, and the changes between revisions."""

from dataclasses import dataclass, field
from datetime import datetime
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


@dataclass(frozen=True, slots=True)
class IssuerKey:
    """A public key that signs ride codes."""

    key_id: int
    """0 to 65,535, as written in the code."""
    public_key: bytes
    """Ed25519, 32 bytes raw."""


@dataclass(frozen=True, slots=True, eq=False)
class PutTemplate:
    """The station must hold this template."""

    template: Template


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


Change = PutTemplate | DropTemplate | PutKey | DropKey
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
