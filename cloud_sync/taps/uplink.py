"""The edge's end of the taps: take a batch from the outbox, send it, note what the cloud holds.

One step at a time and without a clock; the loop and its back-off live in the gRPC adapter.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol
from uuid import UUID

from cloud_sync.taps.outbox import Outbox, OutboxForked, SealedTap
from cloud_sync.taps.tap_log import BATCH_MAX, Batch, Receipt


class LinkDown(Exception):
    """The cloud could not be asked, or could not store; try again later."""


class LinkRefused(Exception):
    """The cloud does not take this edge's taps; a person must look. The taps stay in the outbox."""


class TapSink(Protocol):
    """The way to the cloud's tap log."""

    def send(self, batch: Batch) -> Receipt:
        """Send a batch and return what the cloud holds after its commit.

        Raises:
            LinkDown: No answer; the batch may or may not be stored.
            LinkRefused: The cloud said no.
        """
        ...


class Outcome(Enum):
    """What a step did."""

    IDLE = "idle"
    """Nothing waits."""
    SENT = "sent"
    """A batch is with the cloud, more may wait."""
    STUCK = "stuck"
    """The cloud misses taps that this outbox no longer has; a person must look."""
    RENEWED = "renewed"
    """The cloud holds another history under this outbox id; a new one was begun."""


@dataclass(frozen=True, slots=True)
class Position:
    """How far an outbox was offered in this process."""

    outbox_id: UUID | None = None
    """The history this is about."""
    offered_seq: int = 0
    """Offered up to here."""
    wanted_seq: int = 0
    """What the cloud wanted again last; 0 for nothing."""


def claim(outbox: Outbox, position: Position, *, limit: int = BATCH_MAX) -> Sequence[SealedTap]:
    """Return the taps to send next, oldest first.

    Args:
        outbox: The outbox.
        position: How far it was offered; of another history it says nothing.
        limit: Taps at most.
    """
    if position.outbox_id != outbox.outbox_id:
        return outbox.pending(limit)
    return outbox.since(position.offered_seq, limit)


def settle(
    outbox: Outbox, position: Position, batch: Batch, receipt: Receipt
) -> tuple[Position, Outcome]:
    """Note what the cloud holds, and where to go on.

    The cloud may want taps again that it had acknowledged (it lost a suffix). A place that it
    wanted before, and that was offered since, is not offered a third time: either the outbox no
    longer has it or the cloud keeps refusing it, and what follows must not wait for it.

    Args:
        outbox: The outbox.
        position: Before the batch.
        batch: What was sent, oldest first, not empty.
        receipt: The cloud's answer.

    Raises:
        OutboxFailed: The disk did not take it; send the batch again.
    """
    if receipt.is_forked:
        outbox.renew("the cloud holds another history")
        return Position(), Outcome.RENEWED
    try:
        outbox.acknowledge(batch.outbox_id, receipt.durable_seq)
    except OutboxForked:
        outbox.renew("the cloud holds more than this disk")
        return Position(), Outcome.RENEWED
    last, wanted = batch.taps[-1].seq, receipt.resend_from_seq
    if not wanted or wanted > last:
        return Position(batch.outbox_id, last), Outcome.SENT
    if wanted == position.wanted_seq:
        return Position(batch.outbox_id, last, wanted), Outcome.STUCK
    outbox.rewind(batch.outbox_id, wanted)
    return Position(batch.outbox_id, wanted - 1, wanted), Outcome.SENT


def regard(outbox: Outbox, question: Batch, receipt: Receipt) -> tuple[Position, Outcome]:
    """Go back to where the cloud stands, as it said when it was asked without any taps.

    Args:
        outbox: The outbox.
        question: What was sent, without taps.
        receipt: The cloud's answer.

    Raises:
        OutboxFailed: The disk did not take it; ask again.
    """
    try:
        outbox.acknowledge(question.outbox_id, receipt.durable_seq)
    except OutboxForked:
        outbox.renew("the cloud holds more than this disk")
        return Position(), Outcome.RENEWED
    outbox.rewind(question.outbox_id, receipt.durable_seq + 1)
    return Position(question.outbox_id, receipt.durable_seq), Outcome.SENT


def ask(outbox: Outbox, sink: TapSink, edge_id: str) -> tuple[Position, Outcome]:
    """Ask what the cloud holds, with a batch without taps, and go on from there.

    A cloud that went back to a standby or a backup lacks taps it had acknowledged. A later tap
    would show it, but at night none comes; so ask when a connection is new, and now and then.

    Args:
        outbox: The outbox.
        sink: The way to the cloud.
        edge_id: This edge node.

    Raises:
        LinkDown: Ask again later.
        LinkRefused: The cloud does not answer this edge.
        OutboxFailed: The disk did not take the answer; ask again.
    """
    question = Batch(edge_id, outbox.outbox_id, ())
    return regard(outbox, question, sink.send(question))


def step(
    outbox: Outbox, sink: TapSink, edge_id: str, position: Position, *, limit: int = BATCH_MAX
) -> tuple[Position, Outcome]:
    """Send one batch and note what the cloud holds after it.

    Args:
        outbox: The outbox.
        sink: The way to the cloud.
        edge_id: This edge node.
        position: How far the outbox was offered.
        limit: Taps in the batch at most.

    Raises:
        LinkDown: Try again later from the same position.
        LinkRefused: The cloud does not take them.
        OutboxFailed: The disk did not take the acknowledgement; sending again is harmless.
    """
    taps = claim(outbox, position, limit=limit)
    if not taps:
        return position, Outcome.IDLE
    batch = Batch(edge_id, taps[0].outbox_id, tuple(taps))
    return settle(outbox, position, batch, sink.send(batch))
