"""An edge node: the shipped machines and adapters, and everything that can happen to it."""

from collections import deque
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from cloud_sync.adapters.memory.outbox import MemoryOutbox
from cloud_sync.gallery import Template
from cloud_sync.stream import follow
from cloud_sync.stream.backoff import Backoff
from cloud_sync.stream.digest import open_key
from cloud_sync.stream.follow import Follower
from cloud_sync.stream.lease import Anchor, assumed
from cloud_sync.stream.messages import FromCloud
from cloud_sync.stream.replica import ReplicaFailed, SnapshotRefused, WrongRevision
from cloud_sync.taps import uplink
from cloud_sync.taps.outbox import OutboxFailed
from cloud_sync.taps.tap_log import Batch, Receipt
from tests.sim import checks
from tests.sim.parts import KEYS, START
from tests.sim.wire import Link
from tests.taps import tap
from tests.templates import SPACE

if TYPE_CHECKING:
    from tests.sim.world import World

TICK_S = 0.1
"""How late the clock is looked at, seconds, as in the shipped loop."""
MARK_S = 60.0
"""Between two notes that time has passed, seconds, as in the shipped loop."""
ASK_S = 300.0
"""Between two questions what the cloud holds of the outbox, seconds, as in the shipped loop."""
DEADLINE_S = 10.0
"""For one batch of taps, seconds."""


class Cut(Exception):
    """The process dies between two effects."""


class Node:
    """One edge node. What is durable: `disk`, `outbox`. All else dies with the process."""

    def __init__(self, world: "World", number: int, station_id: str) -> None:
        """Stand there, switched off."""
        self.world = world
        self.edge_id = f"edge-{number}"
        self.station_id = station_id
        self.disk = world.parts.replica()
        self.outbox = MemoryOutbox(UUID(int=0x0B << 64 | number), KEYS[number])
        self.backoff = Backoff(cap_s=world.options.backoff_s)
        self.skew_s = 0.0
        self.is_up = False
        self.is_apart = False
        """Whether the network between it and the cloud is parted."""
        self.boot = 0
        self.cut_after: int | None = None
        self.is_rotten = False
        """Whether its disk holds something else than was written, and nobody has noticed."""
        self.digest_due_s = 0.0
        self.link: Link | None = None
        self.state: Follower | None = None
        self.anchor: Anchor | None = None
        self.began: Anchor | None = None
        """What is assumed of the time until the cloud is heard; never noted on disk."""
        self.index: dict[UUID, Template] = {}
        self.keyring: tuple[object, ...] = ()
        self.failures = 0
        self.link_since = 0.0
        self.marked_s = 0.0
        self.position = uplink.Position()
        self.ticket: object | None = None
        self.up_failures = 0
        self.must_ask = True
        self.answered_after = -1
        """How often the cloud had lost history when it last said what it holds."""
        self.taps_made = 0

    # The process.

    def start(self) -> None:
        """Switch on."""
        if self.is_up:
            return
        self.is_up, self.boot = True, self.boot + 1
        self.load()
        checks.acknowledged_is_held(self.world, self.edge_id)
        now_s = self.world.now
        lease = self.disk.standing().lease
        self.began = assumed(lease, wall=self.wall(), monotonic_s=now_s)
        self.marked_s = now_s
        self.position, self.ticket, self.must_ask = uplink.Position(), None, True
        self.failures = self.up_failures = 0
        self.digest_due_s = 0.0
        self.world.say(self, "starts", self.disk.standing)
        self.dial(self.boot)
        self.ask_again(self.boot)

    def die(self, down_s: float, *, dark: bool) -> None:
        """Lose everything that was not durable; start again after a while."""
        self.world.say(self, "dies", lambda: f"for {down_s:.0f} s")
        self.cut_after = None
        self.is_up = False
        if self.link is not None:
            self.world.cloud.lose(self.link, dark=dark)
        self.link = self.state = self.anchor = self.ticket = None
        self.index = {}
        self.world.after(down_s, self.start)

    def wall(self) -> datetime:
        """Return what the wall clock says."""
        return START + timedelta(seconds=self.world.now + self.skew_s)

    def maybe_cut(self) -> None:
        """Die here if it is due."""
        if self.cut_after is None:
            return
        self.cut_after -= 1
        if self.cut_after < 0:
            raise Cut

    def may_use(self) -> bool:
        """Ask the lease whether the gallery may be searched now."""
        lease = self.disk.standing().lease
        return self.world.parts.is_usable(
            lease, self.anchor or self.began, wall=self.wall(), monotonic_s=self.world.now
        )

    def load(self) -> None:
        """Build what gates search from the disk."""
        self.index = {held.rider_ref: held for held in self.disk.load().templates}

    # The gallery stream.

    def dial(self, boot: int) -> None:
        """Open a stream and say hello."""
        if not self.is_up or self.boot != boot or self.link is not None:
            return
        self.note_time()
        self.link_since = self.world.now
        if not self.world.is_reachable(self):
            self.again()
            return
        self.link = Link(self.edge_id)
        self.world.after(follow.SILENCE_S + TICK_S, self.tick, self.link)
        standing = self.disk.standing()
        self.state = Follower(
            self.edge_id,
            self.station_id,
            SPACE,
            standing.epoch,
            standing.applied_rev,
            digest_due_s=self.digest_due_s,
        )
        self.takes(follow.Connected(standing, self.wall(), self.outbox.depth()))

    def hung_up(self, link: Link) -> None:
        """Hear that the stream is over."""
        if self.link is link:
            self.link = self.state = None
            self.again()

    def again(self) -> None:
        """Wait before the next attempt."""
        held_s = self.world.now - self.link_since
        self.failures = self.backoff.failures_after(self.failures, held_s)
        delay_s = self.backoff.delay_s(self.failures, self.world.rng.random())
        self.world.after(delay_s, self.dial, self.boot)

    def tick(self, link: Link) -> None:
        """Look at the clock, when the cloud would have been silent for too long."""
        if self.link is not link:
            return
        self.note_time()
        self.takes(follow.Tick())
        if self.state is not None:
            due_s = self.state.heard_s + follow.SILENCE_S - self.world.now
            self.world.after(due_s + TICK_S, self.tick, link)

    def note_time(self) -> None:
        """Carry the high-water mark on."""
        now_s = self.world.now
        if self.anchor is None or now_s - self.marked_s < MARK_S:
            return
        self.marked_s = now_s
        self.disk.raise_mark(self.anchor.now(now_s))

    def hears(self, link: Link, message: FromCloud) -> None:
        """Take a message of the cloud."""
        if self.link is link:
            self.note_time()
            self.takes(follow.Received(message))

    def takes(self, event: follow.Event) -> None:
        """Take an event and what follows, unless the process dies on the way."""
        events = deque((event,))
        try:
            while events and self.state is not None:
                self.state, effects = self.world.parts.follow(
                    self.state, events.popleft(), self.world.now
                )
                self.digest_due_s = self.state.digest_due_s
                for effect in effects:
                    self.maybe_cut()
                    answer = self.does(effect)
                    if answer is not None:
                        events.append(answer)
        except Cut:
            self.die(self.world.rng.uniform(0.5, 5.0), dark=False)
        checks.gone_means_gone(self.world, self)

    def does(self, effect: follow.Effect) -> follow.Event | None:
        """Perform an effect."""
        match effect:
            case follow.Say(message):
                if self.link is not None:
                    self.world.wire.carry(self.link, "up", self.world.cloud.hears, message)
            case follow.RenewLease(until, cloud_time):
                checks.renewed_only_when_caught_up(self.world, self, until)
                self.anchor = Anchor(cloud_time, self.world.now)
                self.disk.renew_lease(until, cloud_time)
            case follow.NoteTime(cloud_time):
                self.anchor = Anchor(cloud_time, self.world.now)
            case follow.TakeGrant():
                pass  # nothing is sealed here
            case follow.HangUp(reason, _):
                self.world.say(self, "hangs up", lambda: reason)
                if self.link is not None:
                    link, self.link, self.state = self.link, None, None
                    self.world.cloud.lose(link, dark=False)
                    self.again()
            case _:
                return self.store(effect)
        return None

    def store(self, effect: follow.Storing) -> follow.Event | None:  # noqa: PLR0911  # one an effect
        """Change the disk, and the index after it."""
        try:
            match effect:
                case follow.Apply(nonce, delta):
                    before = self.disk.standing()
                    self.disk.apply(delta)
                    self.maybe_cut()
                    self.load()
                    checks.once(self, before)
                    checks.own_space(self)
                    checks.no_divergence(self.world, self)
                    return follow.Applied(nonce, delta.to_rev)
                case follow.BeginSnapshot(announced):
                    return follow.SnapshotBegun(self.disk.begin_snapshot(announced))
                case follow.Stage(chunk):
                    self.disk.stage(chunk.index, chunk.changes, chunk.span)
                    return follow.Staged(chunk.nonce, chunk.index, chunk.span)
                case follow.Expel(nonce, changes):
                    self.disk.expel(changes)
                    self.maybe_cut()
                    self.load()
                    return follow.Expelled(nonce)
                case follow.TakeDigest():
                    return self.digest() if self.world.compares else None
                case follow.Mend(repair):
                    self.disk.mend(repair)
                    self.maybe_cut()
                    self.load()
                    self.world.books.count("mended")
                    checks.no_divergence(self.world, self)
                    return follow.Mended(repair.nonce)
                case follow.FinishSnapshot(announced):
                    self.disk.finish_snapshot()
                    self.maybe_cut()
                    self.load()
                    checks.own_space(self)
                    checks.no_divergence(self.world, self)
                    return follow.Replaced(announced.epoch, announced.rev)
        except (ReplicaFailed, SnapshotRefused, WrongRevision) as problem:
            self.world.books.count("replica refused")
            return follow.Failed(0, str(problem))

    def digest(self) -> follow.Event:
        """Sum up the disk."""
        standing = self.disk.standing()
        assert standing.epoch is not None
        buckets = self.disk.digest(open_key(self.station_id, standing.epoch))
        return follow.DigestTaken(standing.epoch, standing.applied_rev, buckets)

    # The taps.

    def pass_through(self) -> None:
        """Let somebody through: the tap first, then the barrier."""
        if not self.is_up:
            return
        self.taps_made += 1
        number = int(self.edge_id.removeprefix("edge-")) * 10_000 + self.taps_made
        made = tap(number, station_id=self.station_id)
        try:
            self.maybe_cut()
            self.outbox.append(made)
            self.maybe_cut()
        except OutboxFailed:
            return
        except Cut:
            self.die(self.world.rng.uniform(0.5, 5.0), dark=True)
            return
        self.world.books.opened[made.tap_id] = self.edge_id
        self.upload(self.boot)

    def upload(self, boot: int) -> None:
        """Send a batch, if one waits and none is on its way."""
        if not self.is_up or self.boot != boot or self.ticket is not None:
            return
        if self.must_ask:
            batch = Batch(self.edge_id, self.outbox.outbox_id, ())
        else:
            taps = uplink.claim(self.outbox, self.position, limit=self.world.options.batch)
            if not taps:
                return
            batch = Batch(self.edge_id, taps[0].outbox_id, tuple(taps))
        self.ticket = ticket = object()
        self.world.after(DEADLINE_S, self.not_sent, ticket)
        self.world.ask(self, ticket, batch)

    def ask_again(self, boot: int) -> None:
        """Ask now and then what the cloud holds."""
        if self.is_up and self.boot == boot:
            self.ask()
            self.world.after(ASK_S, self.ask_again, boot)

    def ask(self) -> None:
        """Ask what the cloud holds, unless the answer would be the same as the last one."""
        self.must_ask = self.must_ask or self.answered_after != self.world.cloud.losses
        self.upload(self.boot)

    def sent(self, ticket: object, batch: Batch, receipt: Receipt, losses: int) -> None:
        """Hear what the cloud holds."""
        if self.ticket is not ticket:
            return
        try:
            if batch.taps:
                self.position, outcome = self.world.parts.settle(
                    self.outbox, self.position, batch, receipt
                )
            else:
                self.position, outcome = self.world.parts.regard(self.outbox, batch, receipt)
                self.answered_after = losses
        except OutboxFailed:
            self.not_sent(ticket)
            return
        self.world.books.count(f"uplink {outcome.value}")
        self.ticket, self.up_failures, self.must_ask = None, 0, False
        self.upload(self.boot)

    def not_sent(self, ticket: object) -> None:
        """Hear nothing, and try again later."""
        if self.ticket is not ticket:
            return
        self.ticket = None
        self.must_ask = True
        self.up_failures += 1
        delay_s = self.backoff.delay_s(self.up_failures, self.world.rng.random())
        self.world.after(delay_s, self.upload, self.boot)
