"""The cloud's tap log: what arrives from an outbox, and what the cloud answers.

The port is `TapLog`; the rules by which a batch is judged are in `ingest.py`. This file does not
know about SQL or the wire.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from cloud_sync.taps.outbox import SealedTap

BATCH_MAX = 500
"""Taps in one batch at most: some 200 kB, well below gRPC's 4 MiB."""


class TapLogFailed(Exception):
    """The database did not take the batch; nothing of it is acknowledged."""


class EdgeUnknown(Exception):
    """No such edge is admitted, or the outbox belongs to another one."""


class Blemish(StrEnum):
    """Why a tap stands in quarantine: kept, alarmed, and left to a person."""

    BAD_SIGNATURE = "bad_signature"
    """The signature is not the edge's over this tap in this place."""
    FORK = "fork"
    """It does not continue the tap before, or the tap after does not continue it."""
    CONFLICT = "conflict"
    """The place is taken by other content."""
    WRONG_STATION = "wrong_station"
    """A tap of a station this edge does not stand in."""
    REVOKED = "revoked"
    """Brought by an edge that was revoked; a thief could have signed it."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A run of one outbox."""

    edge_id: str
    """The edge that sends it."""
    outbox_id: UUID
    taps: tuple[SealedTap, ...]
    """At most `BATCH_MAX`, in any order."""
    is_suspect: bool = False
    """Whether the edge was revoked: what it brings is kept, and a person decides."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the cloud holds now."""

    durable_seq: int
    """Everything up to here is durable in the cloud without a gap; 0 is nothing."""
    resend_from_seq: int = 0
    """Where the edge should offer its taps again; 0 is nowhere."""
    is_forked: bool = False
    """The batch belongs to another history than what is held under this outbox id."""


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A tap that was kept aside."""

    sealed: SealedTap
    blemish: Blemish


class TapLog(Protocol):
    """Where taps become durable in the cloud."""

    def ingest(self, batch: Batch, received: datetime) -> Receipt:
        """Store a batch in one transaction; what is stored already changes nothing.

        Args:
            batch: As received.
            received: When, aware UTC.

        Raises:
            EdgeUnknown: The edge is not admitted, or the outbox is another edge's.
            TapLogFailed: The database did not take it.
        """
        ...

    def stored(self, outbox_id: UUID) -> tuple[SealedTap, ...]:
        """Return the taps in the log of one outbox, by sequence."""
        ...

    def quarantined(self, outbox_id: UUID) -> tuple[Quarantined, ...]:
        """Return what was kept aside of one outbox, in the order of arrival."""
        ...
