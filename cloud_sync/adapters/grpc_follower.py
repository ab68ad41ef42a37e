"""The edge's loop on the gallery stream: performs what `follow` decides."""

import contextlib
import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Self

import grpc
from gateline.sync.v1 import gallery_service_pb2 as pb
from gateline.sync.v1 import gallery_service_pb2_grpc

from cloud_sync import follow
from cloud_sync.adapters.grpc_channel import dial
from cloud_sync.backoff import Backoff
from cloud_sync.clock import Clock
from cloud_sync.content import Space
from cloud_sync.follow import Follower
from cloud_sync.gallery import Delta
from cloud_sync.lease import Anchor, Lease, assumed
from cloud_sync.messages import Snapshot
from cloud_sync.replica import Holding, Replica, ReplicaFailed, SnapshotRefused, WrongRevision
from cloud_sync.wire import WireBroken, request_to_proto, response_from_proto
from fare.log import say

_LOG = logging.getLogger(__name__)
_POLL_S = 0.1
"""How soon the loop sees that it must stop, seconds."""
_INBOX_MAX = 16
"""Messages of the cloud that wait: its window of 8 chunks and some bookmarks."""
_MARK_S = 60.0
"""Between two notes on disk that time has passed, seconds: a clock set back across a restart wins
no more than this."""


@dataclass(frozen=True, slots=True)
class FollowerConfig:
    """Whose view is followed, and where."""

    target: str
    """`host:port` of the cloud."""
    edge_id: str
    """This node, as admitted."""
    station_id: str
    """Its station."""
    space: Space
    """What the loaded model can compare."""
    outbox_depth: Callable[[], int] = lambda: 0
    """Returns how many taps wait, for the cloud's overview."""
    backoff: Backoff = field(default_factory=Backoff)
    """Between two connections."""


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

    def run(self, stop: threading.Event) -> None:
        """Follow until `stop` is set; call it in a thread of its own.

        Args:
            stop: Ends the loop within a second.
        """
        self._on_changes(self._replica.load())
        lease = self._replica.standing().lease
        began = assumed(lease, wall=self._clock.wall(), monotonic_s=self._clock.monotonic_s())
        self._on_lease(lease, self._anchor or began)
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
            with _Stream(self._config.target, self._config.space) as stream:
                self._say = stream.say
                self._converse(stream, stop)
        except _HungUp as ended:
            level = logging.ERROR if ended.is_alarm else logging.INFO
            say(_LOG, "hung_up", level=level, reason=str(ended))
            return str(ended)
        except (_StreamLost, WireBroken, ReplicaFailed) as problem:
            return str(problem)
        finally:
            self._say = _to_nobody
        return "stopped"

    def _converse(self, stream: "_Stream", stop: threading.Event) -> None:
        standing = self._replica.standing()
        state = Follower(
            self._config.edge_id,
            self._config.station_id,
            self._config.space,
            standing.epoch,
            standing.applied_rev,
        )
        depth = self._config.outbox_depth()
        event: follow.Event = follow.Connected(standing, self._clock.wall(), depth)
        while not stop.is_set():
            state = self._step(state, event)
            message = stream.heard(_POLL_S)
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
            case follow.HangUp(reason, alarm):
                raise _HungUp(reason, is_alarm=alarm)
            case _:
                return self._store(effect)
        return None

    def _store(self, effect: follow.Storing) -> follow.Event:
        """Change the replica; tell the station once it is durable."""
        nonce = 0
        try:
            match effect:
                case follow.Apply(nonce, delta):
                    self._replica.apply(delta)
                    self._on_changes(delta)
                    return follow.Applied(nonce, delta.to_rev)
                case follow.BeginSnapshot(snapshot):
                    return follow.SnapshotBegun(self._replica.begin_snapshot(snapshot))
                case follow.Stage(chunk):
                    nonce = chunk.nonce
                    self._replica.stage(chunk.index, chunk.changes)
                    return follow.Staged(nonce, chunk.index)
                case follow.FinishSnapshot(snapshot):
                    return self._finish(snapshot)
        except (ReplicaFailed, SnapshotRefused, WrongRevision) as problem:
            say(_LOG, "replica_failed", level=logging.ERROR, detail=str(problem))
            return follow.Failed(nonce, str(problem))

    def _finish(self, snapshot: Snapshot) -> follow.Event:
        self._replica.finish_snapshot()
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
        if self._anchor is None or now_s - self._marked_s < _MARK_S:
            return
        self._marked_s = now_s
        try:
            self._replica.raise_mark(self._anchor.now(now_s))
        except ReplicaFailed as problem:
            say(_LOG, "replica_failed", level=logging.ERROR, detail=str(problem))


class _HungUp(Exception):
    """This end closes the stream."""

    def __init__(self, reason: str, *, is_alarm: bool) -> None:
        super().__init__(reason)
        self.is_alarm = is_alarm


class _StreamLost(Exception):
    """The other end, or the network, closed the stream."""


class _Stream:
    """One connection with its reading thread; a bounded queue lies between."""

    def __init__(self, target: str, space: Space) -> None:
        self._space = space
        self._inbox: queue.Queue[pb.FollowResponse | _StreamLost] = queue.Queue(_INBOX_MAX)
        self._outgoing: queue.SimpleQueue[pb.FollowRequest | None] = queue.SimpleQueue()
        self._is_closed = threading.Event()
        self._channel = dial(target)
        make = gallery_service_pb2_grpc.GalleryServiceStub
        stub = make(self._channel)  # type: ignore[no-untyped-call]  # generated
        self._call = stub.Follow(iter(self._outgoing.get, None))
        self._reader = threading.Thread(target=self._read, name="gallery-reader", daemon=True)

    def __enter__(self) -> Self:
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_closed.set()
        self._outgoing.put(None)
        self._call.cancel()
        self._channel.close()
        self._reader.join()

    def say(self, request: pb.FollowRequest) -> None:
        """Send a message."""
        self._outgoing.put(request)

    def heard(self, timeout_s: float) -> Any:
        """Return the next message, None when none came in time.

        Raises:
            _StreamLost: There will be none.
            WireBroken: It cannot be read.
        """
        try:
            response = self._inbox.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if isinstance(response, _StreamLost):
            raise response
        return response_from_proto(response, self._space)

    def _read(self) -> None:
        for item in self._responses():
            while not self._is_closed.is_set():
                with contextlib.suppress(queue.Full):
                    self._inbox.put(item, timeout=_POLL_S)
                    break

    def _responses(self) -> Iterator[pb.FollowResponse | _StreamLost]:
        try:
            yield from self._call
        except grpc.RpcError as problem:
            yield _StreamLost(f"{problem.code().name}: {problem.details()}")
        else:
            yield _StreamLost("the cloud hung up")


def _to_nobody(_: pb.FollowRequest) -> None:
    """Drop what is said without a connection."""
