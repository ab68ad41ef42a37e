"""An outbox in memory: the same sealing, order and acknowledgements, for tests and bench runs.

It is not durable, so no gate in service may use it.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID, uuid5

from cloud_sync.taps.outbox import GENESIS, OutboxFailed, OutboxForked, SealedTap
from cloud_sync.taps.signing import NodeKey, seal
from fare.tap import Tap


class MemoryOutbox:
    """Implements `Outbox`; `full` makes every write fail as a full disk does."""

    def __init__(self, outbox_id: UUID, key: NodeKey) -> None:
        """Start empty.

        Args:
            outbox_id: The outbox's own id.
            key: Signs every tap.
        """
        self.outbox_id = outbox_id
        self.full = False
        self._key = key
        self._kept: list[SealedTap] = []
        self._seq = 0
        self._head = GENESIS
        self._acknowledged = 0

    def append(self, tap: Tap) -> SealedTap:
        """Seal and keep a tap."""
        self._refuse_if_full()
        sealed = seal(self._key, self.outbox_id, self._seq + 1, self._head, tap)
        self._kept.append(sealed)
        self._seq, self._head = sealed.seq, sealed.digest()
        return sealed

    def pending(self, limit: int) -> Sequence[SealedTap]:
        """Return up to `limit` taps not yet acknowledged."""
        return self.since(self._acknowledged, limit)

    def acknowledge(self, outbox_id: UUID, up_to_seq: int) -> None:
        """Note what the cloud holds."""
        self._refuse_if_full()
        if outbox_id != self.outbox_id:
            return
        if up_to_seq > self._seq:
            raise OutboxForked(f"acknowledged {up_to_seq}, but only {self._seq} exist")
        self._acknowledged = max(self._acknowledged, up_to_seq)

    def rewind(self, outbox_id: UUID, from_seq: int) -> None:
        """Offer everything from `from_seq` again, as far as it is kept."""
        self._refuse_if_full()
        if outbox_id != self.outbox_id:
            return
        first = self._kept[0].seq if self._kept else self._seq + 1
        self._acknowledged = min(self._acknowledged, max(from_seq, first) - 1)

    def renew(self, why: str) -> UUID:  # noqa: ARG002  # no log here
        """Begin another history with what was pending."""
        self._refuse_if_full()
        pending = self.pending(self._seq)
        self.outbox_id = uuid5(self.outbox_id, "renewed")
        self._kept, self._seq, self._head, self._acknowledged = [], 0, GENESIS, 0
        for sealed in pending:
            self.append(sealed.tap)
        return self.outbox_id

    def since(self, seq: int, limit: int) -> Sequence[SealedTap]:
        """Return up to `limit` kept taps above `seq`."""
        return tuple([s for s in self._kept if s.seq > seq][:limit])

    def recent(self, since: datetime) -> Sequence[SealedTap]:
        """Return the kept taps from a moment on."""
        return tuple(s for s in self._kept if s.tap.tap_time >= since)

    def prune(self, before: datetime) -> int:
        """Forget acknowledged taps from before a moment."""
        self._refuse_if_full()
        gone = 0
        for sealed in self._kept:
            if sealed.seq > self._acknowledged or sealed.tap.tap_time >= before:
                break
            gone += 1
        del self._kept[:gone]
        return gone

    def depth(self) -> int:
        """Return how many taps wait for acknowledgement."""
        return self._seq - self._acknowledged

    def _refuse_if_full(self) -> None:
        if self.full:
            raise OutboxFailed("no space left")
