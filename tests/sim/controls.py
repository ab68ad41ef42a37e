"""The controls: each takes one protection away, and one of the checkers must then find the harm.

A control is an altered function or a subclass, handed to the run; the shipped code has no switches
for it.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from cloud_sync.adapters.memory.replica import MemoryReplica
from cloud_sync.adapters.memory.taps import MemoryTapLog
from cloud_sync.gallery import Delta
from cloud_sync.stream import follow, serve_view
from cloud_sync.stream.credit import WINDOW_BYTES, Credit
from cloud_sync.stream.messages import Chunk
from cloud_sync.stream.serving import Step
from cloud_sync.taps import uplink
from cloud_sync.taps.outbox import GENESIS
from cloud_sync.taps.tap_log import Batch, Receipt
from tests.forgetful import Forgetful
from tests.sim.cloud import Cloud
from tests.sim.node import Node
from tests.sim.parts import Parts

_SHIPPED = Parts()


@dataclass(frozen=True, slots=True)
class Control:
    """A run with one protection less."""

    finds: tuple[str, ...]
    """The checkers of which one must find the harm."""
    parts: Parts = _SHIPPED
    node: type[Node] = Node
    cloud: type[Cloud] = Cloud
    needs: tuple[str, ...] = ()
    """Deeds and faults without which there is no harm; the cities tried have them, and often."""


class OldName(Cloud):
    """A promoted standby, or a restored backup, goes on under the old epoch."""

    def start_epoch(self) -> None:
        """Name nothing."""


class NoLedger(Cloud):
    """After a restore nobody is erased again."""

    def replay_ledger(self) -> None:
        """Replay nothing."""


class Unchecked(Cloud):
    """Whatever was found a moment ago is published, withdrawn or not."""

    def may_be_held(self, refs: Sequence[UUID]) -> frozenset[UUID]:
        """Ask nobody."""
        return frozenset(refs)


class Credulous(Cloud):
    """Edges take whatever comes."""

    def judged(self, chunk: Chunk) -> Chunk:
        """Refuse nothing."""
        return chunk


class Silent(Cloud):
    """An item is taken out and nobody is told."""

    def quarantine(self, station: str, digest: bytes, detail: str) -> None:
        """Take it out."""
        self.views.quarantine(station, digest, detail, self.wall())


class LyingDisk(Node):
    """The gallery's disk acknowledges what it has not written; a crash loses the last of it."""

    def store(self, effect: follow.Storing) -> follow.Event | None:
        """Remember how it was before."""
        self.before = copy.copy(self.disk)
        self.before._content = copy.copy(self.disk._content)
        self.before._content.templates = dict(self.disk._content.templates)
        return super().store(effect)

    def die(self, down_s: float, *, dark: bool) -> None:
        """Lose what was written last."""
        self.disk = getattr(self, "before", self.disk)
        super().die(down_s, dark=dark)


class LazyOutbox(Node):
    """The barrier opens before the tap is on disk; a crash loses what waits."""

    def die(self, down_s: float, *, dark: bool) -> None:
        """Lose every tap that the cloud has not acknowledged."""
        outbox = self.outbox
        outbox._kept = [kept for kept in outbox._kept if kept.seq <= outbox._acknowledged]
        outbox._seq = outbox._acknowledged
        outbox._head = outbox._kept[-1].digest() if outbox._kept else GENESIS
        super().die(down_s, dark=dark)


class AnyDelta(MemoryReplica):
    """A replica that applies whatever it is given."""

    def apply(self, delta: Delta) -> None:
        """Apply without looking where it stands."""
        self._content.take(delta.changes)
        self._content.rev = delta.to_rev


class EarlyReceipt(MemoryTapLog):
    """The receipt goes out before the commit, and now and then there is none."""

    def ingest(self, batch: Batch, received: datetime) -> Receipt:
        """Answer as if it were stored; forget the end of it."""
        receipt = super().ingest(batch, received)
        if batch.taps and len(self._log) % 3 == 0:
            self._log.pop()
        return receipt


class Boastful(MemoryTapLog):
    """The receipt names the last tap of the batch, whatever is missing before it."""

    def ingest(self, batch: Batch, received: datetime) -> Receipt:
        """Claim the last one."""
        receipt = super().ingest(batch, received)
        return Receipt(max((sealed.seq for sealed in batch.taps), default=receipt.durable_seq))


class Repeating(MemoryTapLog):
    """What arrives twice is stored twice."""

    def ingest(self, batch: Batch, received: datetime) -> Receipt:
        """Store it all."""
        known = set(self._log)
        receipt = super().ingest(batch, received)
        self._log.extend(sealed for sealed in batch.taps if sealed in known)
        return receipt


def _for_the_slow(state: follow.Follower, event: follow.Event, now_s: float) -> follow.Step:
    """Renew the lease by any bookmark, caught up or not."""
    state, effects = follow.step(state, event, now_s)
    return state, tuple(
        follow.RenewLease(effect.cloud_time + timedelta(days=1), effect.cloud_time)
        if isinstance(effect, follow.NoteTime)
        else effect
        for effect in effects
    )


def _again(state: follow.Follower, event: follow.Event, now_s: float) -> follow.Step:
    """Apply a chunk whether it was applied before or not."""
    match event:
        case follow.Received(Chunk() as chunk) if not (chunk.is_snapshot or chunk.refusals):
            delta = Delta(chunk.epoch, chunk.from_rev, chunk.to_rev, tuple(chunk.changes))
            return replace(state, heard_s=now_s), (follow.Apply(chunk.nonce, delta),)
        case _:
            return follow.step(state, event, now_s)


def _without_window(state: serve_view.Serving, event: serve_view.Event, now_s: float) -> Step:
    """Send on without waiting for acknowledgements."""
    state, effects = serve_view.step(state, event, now_s)
    return replace(state, credit=Credit(allowance=WINDOW_BYTES)), effects


def _never_aside(state: serve_view.Serving, event: serve_view.Event, now_s: float) -> Step:
    """Hang up on an edge that refuses an item, however often."""
    before = state
    state, effects = serve_view.step(state, event, now_s)
    if any(isinstance(effect, serve_view.Quarantine) for effect in effects):
        return before, (serve_view.HangUp("refused again"),)
    return state, effects


def _for_ever(*_: object, **__: object) -> bool:
    return True


def _by_the_wall(lease: Any, _: object, *, wall: datetime, monotonic_s: float) -> bool:
    """Believe the wall clock."""
    return lease.until is not None and wall < lease.until


def _deaf(outbox: Any, question: Batch, _: Receipt) -> tuple[uplink.Position, uplink.Outcome]:
    """Take no notice of what the cloud says it holds."""
    return uplink.Position(question.outbox_id, outbox._acknowledged), uplink.Outcome.SENT


def _undigested(state: follow.Follower, event: follow.Event, now_s: float) -> follow.Step:
    """Compare nothing."""
    state, effects = follow.step(state, event, now_s)
    return state, tuple(one for one in effects if not isinstance(one, follow.TakeDigest))


CONTROLS: dict[str, Control] = {
    "a lease is never asked for": Control(("gone_means_gone",), Parts(is_usable=_for_ever)),
    "the wall clock is believed": Control(
        ("gone_means_gone",), Parts(is_usable=_by_the_wall), needs=("turn_clock", "part_network")
    ),
    "a lease is renewed behind": Control(
        ("renewed_only_when_caught_up",), Parts(follow=_for_the_slow)
    ),
    "a standby keeps the epoch": Control(
        ("no_divergence", "in_step"), cloud=OldName, needs=("fail_over",)
    ),
    "compaction forgets drops": Control(("no_divergence", "in_step"), Parts(views=Forgetful)),
    "a chunk is applied again": Control(("once",), Parts(follow=_again, replica=AnyDelta)),
    "acknowledged before durable": Control(("acknowledged_is_held",), node=LyingDisk),
    "another space is taken": Control(("own_space",), cloud=Credulous, needs=("mix_space",)),
    "a found rider is not checked": Control(
        ("published",), cloud=Unchecked, needs=("push", "withdraw")
    ),
    "the ledger is not replayed": Control(
        ("withdrawn_is_nowhere",), cloud=NoLedger, needs=("restore",)
    ),
    "the barrier opens first": Control(("no_tap_lost",), node=LazyOutbox),
    "a receipt before the commit": Control(("acknowledged_is_stored",), Parts(taps=EarlyReceipt)),
    "a receipt beyond a gap": Control(
        ("acknowledged_is_stored",), Parts(taps=Boastful), needs=("fail_over",)
    ),
    "a repeated tap is stored": Control(("dense",), Parts(taps=Repeating)),
    "the window is ignored": Control(("bounded",), Parts(serve=_without_window)),
    "nothing is quarantined": Control(
        ("in_step",), Parts(serve=_never_aside), needs=("damage_item",)
    ),
    "the cloud's loss is ignored": Control(("in_step",), Parts(regard=_deaf), needs=("fail_over",)),
    "nothing is compared": Control(
        ("rot_is_mended",), Parts(follow=_undigested), needs=("rot_gallery",)
    ),
    "a quarantine without alarm": Control(("all_alarmed",), cloud=Silent, needs=("damage_item",)),
}
