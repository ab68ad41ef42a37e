"""What the cloud says, made ready to leave it: templates sealed, chunks signed, keys granted."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

from gateline.sync.v1 import gallery_service_pb2 as pb

from cloud_sync.clock import Clock
from cloud_sync.secrecy.key_store import KeyRing
from cloud_sync.secrecy.sealer import Sealer
from cloud_sync.stream.digest import open_key
from cloud_sync.stream.messages import Bookmark, Chunk, FromCloud, Hello, Repair, Resume, Snapshot
from cloud_sync.stream.view import ViewLog
from cloud_sync.wire import response_to_proto


@dataclass(frozen=True, slots=True)
class Sealing:
    """How templates leave the cloud."""

    ring: Callable[[], KeyRing]
    """Returns the operator's keys as they are now."""
    entropy: Callable[[int], bytes] = os.urandom
    """Gives that many random bytes, fit for keys."""


class Outgoing:
    """The way out of one stream; to be called in a thread, one call after the other."""

    def __init__(
        self,
        views: ViewLog,
        sealing: Sealing | None,
        hello: Hello,
        edge_id: str,
        clock: Clock,
    ) -> None:
        """Take whom it is for.

        Args:
            views: Say which root key an epoch is under.
            sealing: None leaves everything plain.
            hello: The edge's, with the key that grants are wrapped to.
            edge_id: The edge, proven.
            clock: The time.
        """
        self._views, self._sealing = views, sealing
        self._hello, self._edge_id = hello, edge_id
        self._clock = clock
        self._sealer: Sealer | None = None
        self.view_id = hello.station_id
        """The view whose epochs are served."""
        self.lease = timedelta(0)
        """How long a lease of the station lasts."""

    def ready(self, message: FromCloud) -> pb.FollowResponse:
        """Return what is sent.

        Args:
            message: What is said.

        Raises:
            KeysFailed: The operator's keys cannot be read.
            GrantRefused: The edge's stream key is none.
            ViewLogFailed: The database did not answer.
        """
        sealer = None
        if isinstance(message, Chunk | Repair | Bookmark | Resume | Snapshot):
            sealer = self._sealer_of(message.epoch)
            message = self._with_grant(message, sealer)
        return response_to_proto(message, sealer)

    def digest_key(self, epoch: UUID) -> bytes:
        """Return the key of an epoch's digests.

        Raises:
            KeysFailed: The operator's keys cannot be read.
            ViewLogFailed: The database did not answer.
        """
        sealer = self._sealer_of(epoch)
        return open_key(self._hello.station_id, epoch) if sealer is None else sealer.digest_key

    def _sealer_of(self, epoch: UUID) -> Sealer | None:
        """Return what seals this epoch's templates; None where nothing is sealed."""
        sealing = self._sealing
        if sealing is None:
            return None
        ring = sealing.ring()
        known = self._sealer
        if known is not None and known.epoch == epoch:
            if known.rotations == ring.rotations:
                return known
            # A re-key has begun or ended: what is granted changes, also on a stream that goes on.
            key_id = known.key_id
        else:
            head = self._views.head(self.view_id)
            key_id = head.key_id if head is not None else ""
        self._sealer = Sealer(
            ring,
            ring.root_of(key_id) or ring.root,
            station_id=self._hello.station_id,
            epoch=epoch,
            entropy=sealing.entropy,
        )
        return self._sealer

    def _with_grant(self, message: FromCloud, sealer: Sealer | None) -> FromCloud:
        """Put the keys beside a plan or a bookmark, good as long as the lease."""
        if sealer is None or not isinstance(message, Bookmark | Resume | Snapshot):
            return message
        now = self._clock.wall()
        until = message.lease_until if isinstance(message, Bookmark) else now + self.lease
        if until <= now:  # a sign of life alone
            return message
        recipient = self._hello.stream_key
        return replace(
            message, grant=sealer.granted(until, edge_id=self._edge_id, recipient=recipient)
        )
