"""The tap: one person's passage through one lane, the record all four packages share.

A tap is made at the edge before the barrier opens and never changes. This file does not know
about trips, prices or the wire.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from uuid import UUID


class Medium(StrEnum):
    """What the rider presented."""

    FACE = "face"
    CODE = "code"


class Direction(StrEnum):
    """Which way the lane leads through the gate line."""

    ENTRY = "entry"
    EXIT = "exit"


class TapFlag(StrEnum):
    """What the gate did differently for this passage; the cloud prices and reviews by it."""

    ORDER_EXEMPT = "order_exempt"
    """The station asked for no way in before a way out, and none after: a missing end is no
    fault of the rider."""
    TIME_EXEMPT = "time_exempt"
    """The station set no limit to the time of a ride."""
    FARE_EXEMPT = "fare_exempt"
    """The station asked for no fare."""
    DENIED = "denied"
    """The rider is on the deny list and was let out all the same: nobody is locked in."""


@dataclass(frozen=True, slots=True)
class Tap:
    """One person, one passage."""

    tap_id: UUID
    """Made at the edge (UUIDv7), durable there before the barrier opens."""
    rider_ref: UUID
    """The rider's pseudonym; never a name."""
    station_id: str
    """Stop id of the station, as in the tariff's network."""
    lane_id: str
    """The lane within the station."""
    direction: Direction
    """Into or out of the paid area."""
    medium: Medium
    """Face or code."""
    tap_time: datetime
    """When the gate decided, aware UTC, by the edge's clock."""
    clock_error_ms: int
    """The edge's own estimate of its clock's error, milliseconds, >= 0."""
    model_id: str = ""
    """The embedder that matched a face; empty for a code."""
    score_e4: int = 0
    """Cosine similarity of a face match times 10,000, -10,000 to 10,000; 0 for a code."""
    code_id: bytes = b""
    """The ride code's own id (its nonce); empty for a face."""
    flags: frozenset[TapFlag] = frozenset()
    """What was different at this passage; empty as a rule."""
    doubted: frozenset[TapFlag] = frozenset()
    """Those of the flags that no order of the operator explains. The cloud's word and not the
    gate's: it is no part of what the gate has signed."""

    def __post_init__(self) -> None:
        """Refuse a time without a zone: it would sort differently on two machines.

        Raises:
            ValueError: The tap time is naive.
        """
        if self.tap_time.tzinfo is None:
            raise ValueError("tap_time must be aware")

    @property
    def exemptions(self) -> frozenset[TapFlag]:
        """The flags that trips and fares go by: those nobody doubts."""
        return self.flags - self.doubted

    def canonical(self) -> bytes:
        """Return the one byte string that hash chain and signature cover.

        Returns:
            UTF-8 JSON with sorted keys, no spaces, integers and strings only; the time in
            microseconds since 1970 UTC. A tap without flags has no such field, so that taps made
            before there were any keep their hash.
        """
        delta = self.tap_time.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
        micros = (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds
        fields: dict[str, str | int] = {
            "clock_error_ms": self.clock_error_ms,
            "code_id": self.code_id.hex(),
            "direction": self.direction.value,
            "lane_id": self.lane_id,
            "medium": self.medium.value,
            "model_id": self.model_id,
            "rider_ref": self.rider_ref.hex,
            "score_e4": self.score_e4,
            "station_id": self.station_id,
            "tap_id": self.tap_id.hex,
            "tap_time_us": micros,
        }
        if self.flags:
            fields["flags"] = flags_text(self.flags)
        return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()


def flags_text(flags: frozenset[TapFlag]) -> str:
    """Return flags as one text, the same for the same flags: sorted, with commas."""
    return ",".join(sorted(flag.value for flag in flags))


def flags_of(text: str) -> frozenset[TapFlag]:
    """Return the flags of a text that `flags_text` made.

    Raises:
        ValueError: One is unknown.
    """
    return frozenset(TapFlag(word) for word in text.split(",") if word)
