"""How a sealed tap lies in a row of the outbox file, and how damage to one is noticed.

Every byte of a row is covered: the content by the chain, the signature and the rest by a seal of
their own, so that reading back a wrong row is impossible rather than unlikely.
"""

import hashlib
import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

from cloud_sync.taps.outbox import SealedTap
from fare.tap import Direction, Medium, Tap, flags_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Row = tuple[int, bytes, bytes, bytes, bytes, int, bytes]
"""seq, outbox_id, prev_hash, body, signature, tap_time_us, seal; see `COLUMNS`."""
COLUMNS = "seq, outbox_id, prev_hash, body, signature, tap_time_us, seal"


class RowDamaged(Exception):
    """The row is not what was written."""


def micros(moment: datetime) -> int:
    """Return an aware moment as microseconds since 1970 UTC, exactly."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def to_row(sealed: SealedTap) -> Row:
    """Return the row of a sealed tap."""
    body = sealed.tap.canonical()
    place = (sealed.seq, sealed.outbox_id.bytes, sealed.prev_hash, body, sealed.signature)
    return (*place, micros(sealed.tap.tap_time), _seal(*place))


def from_row(row: Row) -> SealedTap:
    """Return the sealed tap of a row.

    Raises:
        RowDamaged: A value has another type, the seal does not fit, or the body is not a tap.
    """
    seq, outbox_id, prev_hash, body, signature, tap_time_us, seal = row
    parts = (outbox_id, prev_hash, body, signature, seal)
    if not all(isinstance(part, bytes) for part in parts):
        raise RowDamaged(f"tap {seq}: a value has another type")
    if seal != _seal(seq, outbox_id, prev_hash, body, signature):
        raise RowDamaged(f"tap {seq}: the seal does not fit")
    tap = _tap(body)
    if micros(tap.tap_time) != tap_time_us:
        raise RowDamaged(f"tap {seq}: the time beside it differs")
    return SealedTap(UUID(bytes=outbox_id), seq, prev_hash, tap, signature)


def _seal(seq: int, outbox_id: bytes, prev_hash: bytes, body: bytes, signature: bytes) -> bytes:
    content = seq.to_bytes(8, "big", signed=True) + outbox_id + prev_hash + signature + body
    return hashlib.sha256(content).digest()


def _tap(body: bytes) -> Tap:
    """Read the canonical form back; the seal has proved that these bytes were written by us."""
    fields = json.loads(body)
    tap = Tap(
        tap_id=UUID(fields["tap_id"]),
        rider_ref=UUID(fields["rider_ref"]),
        station_id=fields["station_id"],
        lane_id=fields["lane_id"],
        direction=Direction(fields["direction"]),
        medium=Medium(fields["medium"]),
        tap_time=_EPOCH + timedelta(microseconds=fields["tap_time_us"]),
        clock_error_ms=fields["clock_error_ms"],
        model_id=fields["model_id"],
        score_e4=fields["score_e4"],
        code_id=bytes.fromhex(fields["code_id"]),
        flags=flags_of(fields.get("flags", "")),
    )
    if tap.canonical() != body:
        raise RowDamaged("the body is not in canonical form")
    return tap
