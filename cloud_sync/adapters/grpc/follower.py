"""The edge's loop on the gallery stream: performs what `follow` decides."""

import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from gateline.sync.v1 import gallery_service_pb2 as pb

from cloud_sync.adapters.grpc.channel import BadgeSource, NoBadge
from cloud_sync.adapters.grpc.granted import Granted
from cloud_sync.adapters.grpc.inbox import StreamLost
from cloud_sync.adapters.grpc.stream import Stream
from cloud_sync.clock import Clock
from cloud_sync.content import Space
from cloud_sync.gallery import Change, Delta
from cloud_sync.secrecy.chunk_signature import ChunkVerifier
from cloud_sync.secrecy.grant import GrantRefused
from cloud_sync.secrecy.opener import Trust
from cloud_sync.secrecy.vault import Vault
from cloud_sync.stream import follow
from cloud_sync.stream.backoff import Backoff
from cloud_sync.stream.digest import open_key
from cloud_sync.stream.follow import Follower
from cloud_sync.stream.lease import Anchor, Lease, assumed
from cloud_sync.stream.messages import Repair, Snapshot
from cloud_sync.stream.replica import (
    Holding,
    Replica,
    ReplicaFailed,
    SnapshotRefused,
    WrongRevision,
)
from cloud_sync.wire import WireBroken, request_to_proto
from fare.log import say

_LOG = logging.getLogger(__name__)
_POLL_S = 0.1
"""How soon the loop sees that it must stop, seconds."""
_MARK_S = 60.0
"""Between two notes on disk that time has passed, seconds: a clock set back across a restart wins
no more than this."""
_NO_EPOCH = UUID(int=0)
"""Of a replica that holds nothing."""


@dataclass(frozen=True, slots=True)
class FollowerConfig:
    """Whose view is followed, and where."""

    target: str
    """`host:port` of the cloud's main port."""
    edge_id: str
    """This node, as in its certificate."""
    station_id: str
    """Its station."""
    space: Space
    """What the loaded model can compare."""
    badge: BadgeSource = field(repr=False)
    """Gives what the node is known by."""
    outbox_depth: Callable[[], int] = lambda: 0
    """Returns how many taps wait, for the cloud's overview."""
    backoff: Backoff = field(default_factory=Backoff)
    """Between two connections."""
    vault: Vault | None = None
    """Where the key grant is kept; without one nothing is asked to be sealed."""
    takes_plain: bool = True
    """Whether a cloud that does not seal is followed; a node at a station says no."""
    entropy: Callable[[int], bytes] = os.urandom
    """Gives that many random bytes, fit for keys."""
    settle_s: float = 30.0
    """From the start of the process to its first digest, seconds, from 0: each record has just been
    read and proven, and who stands at the gate comes first."""


class GalleryFollower:
    """Keeps a replica up to date and tells the station what changed, after it is durable."""

    def __init__(
        self,
        replica: Replica,
        on_changes: Callable[[Delta | Holding], None],
        on_lease: Callable[[Lease, Anchor | None], None],
        *,
        config: FollowerConfig,
        clock: Clock,
        draw: Callable[[], float],
    ) -> None:
        """Take what the loop needs.

        Args:
            replica: Used by this loop alone from now on.
            on_changes: Called with what the replica holds at the start and after a snapshot, and
                with each delta; the acknowledgement goes out when it returns, so a deletion that
                is acknowledged is in force.
            on_lease: Called with the lease on disk and the cloud's time, assumed until it is heard.
            config: Whose view, and where.
            clock: The time.
            draw: Returns a random number in [0, 1).
        """
        self._replica = replica
        self._on_changes = on_changes
        self._on_lease = on_lease
        self._config = config
        self._clock = clock
        self._draw = draw
        self._anchor: Anchor | None = None
        self._marked_s = clock.monotonic_s()
        self._say: Callable[[pb.FollowRequest], None] = _to_nobody
        self._digest_due_s = clock.monotonic_s() + config.settle_s
        self._granted = _granted(config)
        self._verifier: ChunkVerifier | None = None
        self._is_told = False
        """Whether the station knows what the disk holds."""
        self.divergences = 0
        """How often the disk was found to differ from the view at its own revision."""

    def wake(self) -> None:
        """Tell the station what the disk holds.

        `run` begins with it, and does it again where a write failed: what of it has reached the
        disk must be in force. A node calls it before its lanes start: beside them reading 50,000
        templates takes 1.5 times as long, and no face could pass meanwhile.

        Raises:
            ReplicaFailed: The disk does not answer.
        """
        standing = self._replica.standing()
        lease = standing.lease
        began = assumed(lease, wall=self._clock.wall(), monotonic_s=self._clock.monotonic_s())
        if self._granted is not None:
            self._granted.wake(standing.epoch, self._now())
            self._replica.use(self._granted.opener(standing.epoch))
        self._on_changes(self._replica.load())
        self._on_lease(lease, self._anchor or began)
        self._is_told = True

    def run(self, stop: threading.Event) -> None:
        """Follow until `stop` is set; call it in a thread of its own.

        Args:
            stop: Ends the loop within a second.
        """
        try:
            if not self._is_told:
                self.wake()
            self._follow(stop)
        except BaseException:
            self._is_told = False  # whoever begins anew starts from the disk
            raise

    def _follow(self, stop: threading.Event) -> None:
        failures = 0
        while not stop.is_set():
            began_s = self._clock.monotonic_s()
            reason = self._connection(stop)
            if stop.is_set():
                return
            held_s = self._clock.monotonic_s() - began_s
            failures = self._config.backoff.failures_after(failures, held_s)
            delay_s = self._config.backoff.delay_s(failures, self._draw())
            say(_LOG, "cloud_lost", reason=reason, failures=failures, again_in_s=round(delay_s, 3))
            self._pause(stop, delay_s)

    def _pause(self, stop: threading.Event, delay_s: float) -> None:
        until_s = self._clock.monotonic_s() + delay_s
        while self._clock.monotonic_s() < until_s and not stop.wait(min(_POLL_S, delay_s)):
            self._note_time()

    def _connection(self, stop: threading.Event) -> str:
        """Hold one connection; return why it ended."""
        try:
            if not self._is_told:
                self.wake()
            badge = self._config.badge()
            self._verifier = ChunkVerifier(badge.cloud_key)
            with Stream(self._config.target, badge, self._config.space) as stream:
                self._say = stream.say
                self._converse(stream, stop)
        except _HungUp as ended:
            level = logging.ERROR if ended.is_alarm else logging.INFO
            say(_LOG, "hung_up", level=level, reason=str(ended))
            return str(ended)
        except (NoBadge, StreamLost, WireBroken, ReplicaFailed) as problem:
            return str(problem)
        finally:
            self._say = _to_nobody
        return "stopped"

    def _converse(self, stream: Stream, stop: threading.Event) -> None:
        standing = self._replica.standing()
        state = Follower(
            self._config.edge_id,
            self._config.station_id,
            self._config.space,
            standing.epoch,
            standing.applied_rev,
            digest_due_s=self._digest_due_s,
        )
        depth = self._config.outbox_depth()
        key = self._granted.new_stream() if self._granted is not None else b""
        wall = self._clock.wall()
        event: follow.Event = follow.Connected(standing, wall, depth, stream_key=key)
        while not stop.is_set():
            state = self._step(state, event)
            self._refuse_plain(state)
            self._digest_due_s = state.digest_due_s
            message = stream.heard(_POLL_S, self._trust(state))
            event = follow.Tick() if message is None else follow.Received(message)
            self._note_time()

    def _step(self, state: Follower, event: follow.Event) -> Follower:
        """Take one event and everything that follows from it."""
        events = deque((event,))
        while events:
            state, effects = follow.step(state, events.popleft(), self._clock.monotonic_s())
            for effect in effects:
                answer = self._perform(effect)
                if answer is not None:
                    events.append(answer)
        return state

    def _perform(self, effect: follow.Effect) -> follow.Event | None:
        match effect:
            case follow.Say(message):
                self._say(request_to_proto(message))
            case follow.RenewLease(until, cloud_time):
                self._heard_time(Anchor(cloud_time, self._clock.monotonic_s()))
                self._replica.renew_lease(until, cloud_time)
                self._on_lease(self._replica.standing().lease, self._anchor)
            case follow.NoteTime(cloud_time):
                self._heard_time(Anchor(cloud_time, self._clock.monotonic_s()))
            case follow.TakeGrant(epoch, wrapped):
                self._take_grant(epoch, wrapped)
            case follow.HangUp(reason, alarm):
                raise _HungUp(reason, is_alarm=alarm)
            case _:
                return self._store(effect)
        return None

    def _store(self, effect: follow.Storing) -> follow.Event | None:
        """Change the replica; tell the station once it is durable."""
        try:
            return self._stored(effect)
        except (ReplicaFailed, SnapshotRefused, WrongRevision) as problem:
            say(_LOG, "replica_failed", level=logging.ERROR, detail=str(problem))
            self._is_told = False
            return follow.Failed(_nonce_of(effect), str(problem))

    def _stored(self, effect: follow.Storing) -> follow.Event | None:
        done: follow.Event | None
        match effect:
            case follow.Apply(nonce, delta):
                self._replica.apply(delta)
                self._on_changes(delta)
                done = follow.Applied(nonce, delta.to_rev)
            case follow.Expel(nonce, changes):
                self._replica.expel(changes)
                self._tell(changes)
                done = follow.Expelled(nonce)
            case follow.BeginSnapshot(snapshot):
                done = follow.SnapshotBegun(self._replica.begin_snapshot(snapshot))
            case follow.Stage(chunk):
                self._replica.stage(chunk.index, chunk.changes, chunk.span)
                done = follow.Staged(chunk.nonce, chunk.index, chunk.span)
            case follow.FinishSnapshot(snapshot):
                done = self._finish(snapshot)
            case follow.Mend(repair):
                done = self._mended(repair)
            case follow.TakeDigest():
                done = self._digest()
        return done

    def _tell(self, changes: tuple[Change, ...]) -> None:
        """Tell the station of changes that move no revision.

        Also where the file was found damaged and dropped: its gates still match with what it held.
        """
        standing = self._replica.standing()
        rev = standing.applied_rev
        self._on_changes(Delta(standing.epoch or _NO_EPOCH, rev, rev, changes))

    def _mended(self, repair: Repair) -> follow.Event:
        self.divergences += 1
        changes = self._replica.mend(repair)
        self._tell(changes)
        say(
            _LOG,
            "replica_mended",
            level=logging.ERROR,
            rev=repair.rev,
            buckets=len(repair.buckets),
            items=len(changes),
        )
        return follow.Mended(repair.nonce)

    def _digest(self) -> follow.Event | None:
        """Sum up the disk; None while its templates cannot be read."""
        standing = self._replica.standing()
        if standing.epoch is None:
            return None
        key = open_key(self._config.station_id, standing.epoch)
        if self._granted is not None:
            opener = self._granted.opener(standing.epoch)
            if opener is None and not self._config.takes_plain:
                return None
            key = opener.digest_key if opener is not None else key
        buckets = self._replica.digest(key)
        return follow.DigestTaken(standing.epoch, standing.applied_rev, buckets)

    def _refuse_plain(self, state: Follower) -> None:
        """Hang up on a cloud that would send templates in plain, before it does."""
        if self._config.takes_plain or state.plan is None or self._granted is None:
            return
        if self._granted.opener(state.plan.epoch) is None:
            raise _HungUp("the cloud grants no keys, and nothing is taken in plain", is_alarm=True)

    def _trust(self, state: Follower) -> Trust:
        """Return what the next message is believed by."""
        plan, granted = state.plan, self._granted
        opener = granted.opener(plan.epoch) if plan is not None and granted is not None else None
        # A cloud that seals signs as well; one that sends in plain may be of the version before.
        is_signed = opener is not None or not self._config.takes_plain
        return Trust(self._config.station_id, opener, self._verifier if is_signed else None)

    def _take_grant(self, epoch: UUID, wrapped: bytes) -> None:
        """Hold the keys; what lies on the disk under them can be read from now on."""
        if self._granted is None:
            return
        served = self._replica.standing().epoch
        could_read = self._granted.opener(served)
        try:
            self._granted.take(epoch, wrapped)
        except GrantRefused as problem:
            raise _HungUp(str(problem), is_alarm=True) from problem
        opener = self._granted.opener(served)
        if opener is not could_read:
            self._replica.use(opener)
            self._on_changes(self._replica.load())

    def _now(self) -> datetime:
        """Return the latest that it may be: keys are rather forgotten too early."""
        lease, moments = self._replica.standing().lease, [self._clock.wall()]
        if lease.mark is not None:
            moments.append(lease.mark)
        if self._anchor is not None:
            moments.append(self._anchor.now(self._clock.monotonic_s()))
        return max(moments)

    def _finish(self, snapshot: Snapshot) -> follow.Event:
        self._replica.finish_snapshot()
        if self._granted is not None:
            self._granted.serve(snapshot.epoch)
            self._replica.use(self._granted.opener(snapshot.epoch))
        holding = self._replica.load()
        self._on_changes(holding)
        say(_LOG, "snapshot_applied", rev=snapshot.rev, templates=len(holding.templates))
        return follow.Replaced(snapshot.epoch, snapshot.rev)

    def _heard_time(self, anchor: Anchor) -> None:
        self._anchor = anchor
        self._on_lease(self._replica.standing().lease, anchor)

    def _note_time(self) -> None:
        """Carry the high-water mark on, also while the cloud is away."""
        now_s = self._clock.monotonic_s()
        if self._granted is not None and self._granted.expire(self._now()):
            self._replica.use(self._granted.opener(self._replica.standing().epoch))
            self._on_changes(self._replica.load())
        if self._anchor is None or now_s - self._marked_s < _MARK_S:
            return
        self._marked_s = now_s
        try:
            self._replica.raise_mark(self._anchor.now(now_s))
            self._on_lease(self._replica.standing().lease, self._anchor)
        except ReplicaFailed as problem:
            say(_LOG, "replica_failed", level=logging.ERROR, detail=str(problem))


class _HungUp(Exception):
    """This end closes the stream."""

    def __init__(self, reason: str, *, is_alarm: bool) -> None:
        super().__init__(reason)
        self.is_alarm = is_alarm


def _to_nobody(_: pb.FollowRequest) -> None:
    """Drop what is said without a connection."""


def _nonce_of(effect: follow.Storing) -> int:
    match effect:
        case follow.Apply(nonce) | follow.Expel(nonce):
            return nonce
        case follow.Stage(chunk):
            return chunk.nonce
        case follow.Mend(repair):
            return repair.nonce
        case _:
            return 0


def _granted(config: FollowerConfig) -> Granted | None:
    if config.vault is None:
        return None
    return Granted(
        config.vault,
        station_id=config.station_id,
        edge_id=config.edge_id,
        dimension=config.space.dimension,
        entropy=config.entropy,
    )
