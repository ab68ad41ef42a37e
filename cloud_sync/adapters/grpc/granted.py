"""The keys a node holds: made for each stream, granted with the lease, forgotten at its end."""

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from cloud_sync.secrecy.grant import KeyGrant, StreamKey, unwrap
from cloud_sync.secrecy.keys import KEY_BYTES
from cloud_sync.secrecy.opener import Opener
from cloud_sync.secrecy.vault import Vault, VaultFailed
from fare.log import say

_LOG = logging.getLogger(__name__)


class Granted:
    """The grants of one node, by the epoch they are for: what is served, and what is coming."""

    def __init__(
        self,
        vault: Vault,
        *,
        station_id: str,
        edge_id: str,
        dimension: int,
        entropy: Callable[[int], bytes],
    ) -> None:
        """Hold nothing yet.

        Args:
            vault: Where the grant of the epoch that is served outlives this process.
            station_id: The node's station.
            edge_id: The node.
            dimension: Values in a vector.
            entropy: Gives that many random bytes, fit for keys.
        """
        self._vault = vault
        self._station_id, self._edge_id = station_id, edge_id
        self._dimension = dimension
        self._entropy = entropy
        self._stream: StreamKey | None = None
        self._held: dict[UUID, tuple[KeyGrant, Opener]] = {}
        self._served: UUID | None = None

    def wake(self, served: UUID | None, now: datetime) -> None:
        """Take up the grant that the process before this one left, unless its time is up.

        Args:
            served: The epoch of what the replica holds.
            now: By the cloud's clock as far as it is known, aware UTC.
        """
        self._served = served
        try:
            grant = self._vault.load()
            if grant is None:
                return
            if grant.epoch != served or grant.station_id != self._station_id:
                self._vault.forget()
                return
        except VaultFailed as problem:
            self._alarm(problem)
            return
        self._held[grant.epoch] = (grant, Opener(grant, dimension=self._dimension))
        self.expire(now)

    def new_stream(self) -> bytes:
        """Make the key of a new stream; return its public half, 32 bytes."""
        self._stream = StreamKey(self._entropy(KEY_BYTES))
        return self._stream.public_key

    def take(self, epoch: UUID, wrapped: bytes) -> None:
        """Open a grant of this stream and hold it.

        Args:
            epoch: What it is said to be for.
            wrapped: As it came.

        Raises:
            GrantRefused: It is not for this node, station, epoch or stream.
        """
        assert self._stream is not None
        grant = unwrap(
            wrapped,
            self._stream,
            station_id=self._station_id,
            edge_id=self._edge_id,
            epoch=epoch,
        )
        known = self._held.get(epoch)
        if known is not None and known[1].serves(grant):
            until = max(grant.valid_until, known[0].valid_until)
            self._held[epoch] = (replace(grant, valid_until=until), known[1])
        else:
            self._held[epoch] = (grant, Opener(grant, dimension=self._dimension))
        if epoch == self._served:
            self._keep()

    def serve(self, epoch: UUID | None) -> None:
        """Note which epoch the replica holds now; the grants of others are forgotten."""
        self._served = epoch
        self._held = {each: held for each, held in self._held.items() if each == epoch}
        self._keep()

    def opener(self, epoch: UUID | None) -> Opener | None:
        """Return what opens an epoch's templates; None without a grant for it."""
        held = self._held.get(epoch) if epoch is not None else None
        return held[1] if held is not None else None

    def expire(self, now: datetime) -> bool:
        """Forget what is no longer valid.

        Args:
            now: By the cloud's clock as far as it is known, aware UTC.

        Returns:
            Whether something was forgotten.
        """
        over = [epoch for epoch, held in self._held.items() if held[0].valid_until <= now]
        for epoch in over:
            del self._held[epoch]
        if self._served in over:
            try:
                self._vault.forget()
            except VaultFailed as problem:
                self._alarm(problem)
        return bool(over)

    def _keep(self) -> None:
        held = self._held.get(self._served) if self._served is not None else None
        if held is None:
            return
        try:
            self._vault.keep(held[0])
        except VaultFailed as problem:
            self._alarm(problem)  # it goes on from memory; a restart needs the cloud

    def _alarm(self, problem: VaultFailed) -> None:
        say(_LOG, "vault_failed", level=logging.ERROR, detail=str(problem))
