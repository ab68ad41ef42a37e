"""The outbox: every tap of an edge node, in order, chained and signed, until the cloud has it.

Dense sequence, hash chain and signature let the cloud prove that nothing is missing. The port is
`Outbox`; this file does not know about SQLite or the wire.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from fare.tap import Tap

GENESIS = bytes(32)
"""The `prev_hash` of sequence 1."""


class OutboxFailed(Exception):
    """The disk did not take the tap; the barrier must stay shut."""


class OutboxInUse(OutboxFailed):
    """Another process holds this outbox; two writers would fork the chain."""


class OutboxForked(Exception):
    """The cloud holds more of this outbox than the outbox itself.

    It lost its end, or is an old copy. Call `renew`; going on would give a place in the sequence
    to two different taps.
    """


@dataclass(frozen=True, slots=True)
class SealedTap:
    """A tap in its place in one outbox."""

    outbox_id: UUID
    """New whenever the file is created anew, so that sequences never clash."""
    seq: int
    """1, 2, 3, ... without gaps within one outbox."""
    prev_hash: bytes
    """32 bytes: the hash of the tap before, `GENESIS` for the first."""
    tap: Tap
    signature: bytes
    """Ed25519 of `digest()` by the edge node's key, 64 bytes."""

    def digest(self) -> bytes:
        """Return the chained SHA-256 of this tap, 32 bytes."""
        return chained(self.outbox_id, self.seq, self.prev_hash, self.tap)


def chained(outbox_id: UUID, seq: int, prev_hash: bytes, tap: Tap) -> bytes:
    """Return the SHA-256 over place, predecessor and content, 32 bytes.

    Args:
        outbox_id: The outbox.
        seq: The place, from 1.
        prev_hash: 32 bytes.
        tap: The content.
    """
    head = outbox_id.bytes + seq.to_bytes(8, "big") + prev_hash
    return hashlib.sha256(head + tap.canonical()).digest()


class Outbox(Protocol):
    """An edge node's durable queue of taps; one writer."""

    @property
    def outbox_id(self) -> UUID:
        """The file's own id."""
        ...

    def append(self, tap: Tap) -> SealedTap:
        """Seal and store a tap; on return it survives a power cut.

        What raises is not stored, and does not appear later.

        Raises:
            OutboxFailed: It is not stored.
        """
        ...

    def pending(self, limit: int) -> Sequence[SealedTap]:
        """Return up to `limit` taps not yet acknowledged, oldest first."""
        ...

    def acknowledge(self, outbox_id: UUID, up_to_seq: int) -> None:
        """Note that the cloud holds everything up to and with `up_to_seq`; nothing is deleted.

        Args:
            outbox_id: Of the taps that were sent. Nothing is noted when the outbox has begun
                another history since: the same places now hold other taps.
            up_to_seq: The last place that the cloud holds without a gap.

        Raises:
            OutboxForked: That is beyond the last tap; nothing is noted.
            OutboxFailed: The disk did not take it; asking again is harmless.
        """
        ...

    def rewind(self, outbox_id: UUID, from_seq: int) -> None:
        """Offer everything from `from_seq` again, as far as it is kept: the cloud lost a suffix.

        Args:
            outbox_id: As the cloud named it; of another history nothing is offered.
            from_seq: The first place that the cloud misses.

        Raises:
            OutboxFailed: The disk did not take it.
        """
        ...

    def renew(self, why: str) -> UUID:
        """Close this history and begin another; return the new outbox id.

        Taps that wait for acknowledgement open the new one, under their own tap ids.

        Args:
            why: For the log.

        Raises:
            OutboxFailed: The disk did not take it; the old history goes on.
        """
        ...

    def since(self, seq: int, limit: int) -> Sequence[SealedTap]:
        """Return up to `limit` stored taps with a sequence above `seq`, acknowledged or not."""
        ...

    def recent(self, since: datetime) -> Sequence[SealedTap]:
        """Return the stored taps whose tap time is `since` or later, in order of their place."""
        ...

    def prune(self, before: datetime) -> int:
        """Forget acknowledged taps from before a moment, from the oldest on; return how many.

        Stops at the first tap that is not acknowledged or not older. Sequence and chain go on.

        Raises:
            OutboxFailed: The disk did not take it; nothing is forgotten.
        """
        ...

    def depth(self) -> int:
        """Return how many taps wait for acknowledgement."""
        ...
