"""Tap batches and their receipts as protobuf and back."""

from uuid import UUID

from gateline.sync.v1 import tap_service_pb2 as pb
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from cloud_sync.taps.outbox import SealedTap
from cloud_sync.taps.tap_log import BATCH_MAX, Batch, Receipt
from cloud_sync.wire.primitive import WireBroken, time_of, uuid_of
from fare.tap import Direction, Medium, Tap, TapFlag

_DIRECTIONS = {
    Direction.ENTRY: pb.Tap.DIRECTION_ENTRY,
    Direction.EXIT: pb.Tap.DIRECTION_EXIT,
}
_MEDIA = {Medium.FACE: pb.Tap.MEDIUM_FACE, Medium.CODE: pb.Tap.MEDIUM_CODE}
_FLAGS = {
    TapFlag.ORDER_EXEMPT: pb.Tap.FLAG_ORDER_EXEMPT,
    TapFlag.TIME_EXEMPT: pb.Tap.FLAG_TIME_EXEMPT,
    TapFlag.FARE_EXEMPT: pb.Tap.FLAG_FARE_EXEMPT,
    TapFlag.DENIED: pb.Tap.FLAG_DENIED,
}
_DIRECTION_OF = {number: direction for direction, number in _DIRECTIONS.items()}
_MEDIUM_OF = {number: medium for medium, number in _MEDIA.items()}
_FLAG_OF = {number: flag for flag, number in _FLAGS.items()}


def batch_to_proto(batch: Batch) -> pb.BatchCreateTapsRequest:
    """Return a batch as protobuf."""
    return pb.BatchCreateTapsRequest(
        edge_id=batch.edge_id,
        outbox_id=batch.outbox_id.bytes,
        taps=[_sealed_to_proto(sealed) for sealed in batch.taps],
    )


def batch_from_proto(request: pb.BatchCreateTapsRequest, *, is_suspect: bool = False) -> Batch:
    """Return the batch.

    Args:
        request: As received, with the edge that the caller was proven to be.
        is_suspect: Whether that edge was revoked.

    Raises:
        WireBroken: Too many taps, or one that cannot be read.
    """
    if len(request.taps) > BATCH_MAX:
        raise WireBroken(f"{len(request.taps)} taps in a batch")
    outbox_id = uuid_of(request.outbox_id)
    taps = tuple(_sealed_from_proto(sealed, outbox_id) for sealed in request.taps)
    return Batch(request.edge_id, outbox_id, taps, is_suspect=is_suspect)


def batch_request_of(encoded: bytes) -> pb.BatchCreateTapsRequest:
    """Return a batch that came as bytes, signed as they are.

    Raises:
        WireBroken: They are not one.
    """
    try:
        found: pb.BatchCreateTapsRequest = pb.BatchCreateTapsRequest.FromString(encoded)
    except DecodeError as problem:
        raise WireBroken("not a batch of taps") from problem
    return found


def receipt_to_proto(receipt: Receipt) -> pb.BatchCreateTapsResponse:
    """Return the cloud's answer as protobuf."""
    return pb.BatchCreateTapsResponse(
        durable_seq=receipt.durable_seq,
        resend_from_seq=receipt.resend_from_seq,
        is_forked=receipt.is_forked,
    )


def receipt_from_proto(response: pb.BatchCreateTapsResponse) -> Receipt:
    """Return the cloud's answer."""
    return Receipt(response.durable_seq, response.resend_from_seq, response.is_forked)


def _sealed_to_proto(sealed: SealedTap) -> pb.SealedTap:
    tap = sealed.tap
    return pb.SealedTap(
        seq=sealed.seq,
        prev_hash=sealed.prev_hash,
        signature=sealed.signature,
        tap=pb.Tap(
            tap_id=tap.tap_id.bytes,
            rider_ref=tap.rider_ref.bytes,
            station_id=tap.station_id,
            lane_id=tap.lane_id,
            direction=_DIRECTIONS[tap.direction],
            medium=_MEDIA[tap.medium],
            tap_time=tap.tap_time,
            clock_error_ms=tap.clock_error_ms,
            model_id=tap.model_id,
            score_e4=tap.score_e4,
            code_id=tap.code_id,
            flags=sorted(_FLAGS[flag] for flag in tap.flags),
        ),
    )


def _sealed_from_proto(sealed: pb.SealedTap, outbox_id: UUID) -> SealedTap:
    if len(sealed.prev_hash) != 32 or sealed.seq == 0:
        raise WireBroken("a tap without a place in the chain")
    tap = sealed.tap
    if tap.direction not in _DIRECTION_OF or tap.medium not in _MEDIUM_OF:
        raise WireBroken(f"direction {tap.direction} or medium {tap.medium} is unknown")
    if not set(tap.flags) <= _FLAG_OF.keys():
        # Without it the hash would not fit either, and the edge would be held for a forger.
        raise WireBroken("a flag is unknown")
    return SealedTap(
        outbox_id=outbox_id,
        seq=sealed.seq,
        prev_hash=sealed.prev_hash,
        signature=sealed.signature,
        tap=Tap(
            tap_id=uuid_of(tap.tap_id),
            rider_ref=uuid_of(tap.rider_ref),
            station_id=tap.station_id,
            lane_id=tap.lane_id,
            direction=_DIRECTION_OF[tap.direction],
            medium=_MEDIUM_OF[tap.medium],
            tap_time=time_of(tap.tap_time),
            clock_error_ms=tap.clock_error_ms,
            model_id=tap.model_id,
            score_e4=tap.score_e4,
            code_id=tap.code_id,
            flags=frozenset(_FLAG_OF[flag] for flag in tap.flags),
        ),
    )
