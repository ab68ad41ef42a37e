"""One gallery stream of the cloud: performs what `serve_view` decides."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import Enum

import grpc
from gateline.sync.v1 import gallery_service_pb2 as pb

from cloud_sync.adapters.grpc.counts import Counts
from cloud_sync.adapters.grpc.mending import Digests, Mending
from cloud_sync.adapters.grpc.outgoing import Outgoing, Sealing
from cloud_sync.adapters.grpc.shelf import Parcel, Shelf
from cloud_sync.adapters.postgres.wakes import Wakes
from cloud_sync.clock import Clock
from cloud_sync.secrecy.grant import GrantRefused
from cloud_sync.secrecy.key_store import KeysFailed
from cloud_sync.stream import serve_view
from cloud_sync.stream.messages import PROTOCOL_MIN, Ack, Bookmark, Digest, Hello, Nack
from cloud_sync.stream.serve_view import ServeConfig, Serving
from cloud_sync.stream.view import Head, HistoryGone, NeedsSnapshot, ViewLog, ViewLogFailed, plan
from cloud_sync.view_id import station_of
from cloud_sync.wire import WireBroken, request_from_proto
from fare.log import say

_LOG = logging.getLogger(__name__)
_HELLO_S = 10.0
"""For the first message, seconds."""
_TICK_S = 1.0
"""Between two looks at the clock, seconds."""
_INBOX_MAX = 32
"""Messages of an edge that wait; an edge has at most one acknowledgement a chunk on its way."""


_Sending = serve_view.Send | serve_view.SendPart | serve_view.SendRepair


class SessionEnded(Exception):
    """The stream is over, with the status that the edge is told."""

    def __init__(self, code: grpc.StatusCode, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class _Signal(Enum):
    """What may come beside the edge's messages."""

    WOKEN = "woken"
    """The view may have changed."""
    LEFT = "left"
    """The edge has hung up."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What all streams of a server share."""

    views: ViewLog
    config: ServeConfig
    shelf: Shelf
    wakes: Wakes
    clock: Clock
    sealing: Sealing | None = None
    """None sends templates in plain, as version 1 did: for tests and for taking over old nodes."""
    oldest: int = PROTOCOL_MIN
    """The oldest protocol that is served."""
    digests: Digests = field(default_factory=Digests)
    counts: Counts = field(default_factory=Counts)


class Session:
    """One stream, from after its hello to its end."""

    def __init__(
        self,
        hello: Hello,
        edge_id: str,
        tools: Tools,
        *,
        write: Callable[[pb.FollowResponse], Awaitable[None]],
    ) -> None:
        """Take what the stream needs.

        Args:
            hello: What the edge says it holds.
            edge_id: Who it is, proven.
            tools: Shared by all streams.
            write: Sends a message to the edge.
        """
        self._hello = hello
        self._edge_id = edge_id
        self._station_id = self._view_id = hello.station_id
        self._model_id = ""
        self._views = tools.views
        self._config = tools.config
        self._shelf = tools.shelf
        self._wakes = tools.wakes
        self._clock = tools.clock
        self._tools = tools
        self._mending = Mending(tools.views, self._view_id, tools.digests)
        self._outgoing = Outgoing(tools.views, tools.sealing, hello, edge_id, tools.clock)
        self._write = write
        self._inbox: asyncio.Queue[Ack | Nack | Digest | _Signal] = asyncio.Queue(_INBOX_MAX)
        self._is_woken = False
        self._has_place = False
        self._parcel: Parcel | None = None

    async def run(self, requests: AsyncIterator[pb.FollowRequest]) -> None:
        """Serve until the edge hangs up.

        Args:
            requests: What the edge says after its hello.

        Raises:
            SessionEnded: The cloud hangs up.
        """
        reader = asyncio.create_task(self._read(requests))
        try:
            await self._choose_view()
            with self._wakes.subscribed(self._view_id, self._wake):
                await self._serve()
        except ViewLogFailed as problem:
            say(_LOG, "view_log_failed", level=logging.ERROR, detail=str(problem))
            raise SessionEnded(grpc.StatusCode.UNAVAILABLE, "no database") from problem
        finally:
            self._let_snapshot_go()
            reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reader
            say(_LOG, "edge_left", edge_id=self._edge_id, station=self._station_id)

    async def _choose_view(self) -> None:
        """Take the view of the edge's own model; only at the station where it was admitted."""
        node = await asyncio.to_thread(self._views.edge, self._edge_id)
        if node is None or node.station_id != self._station_id:
            return  # `plan` says why not
        chosen = await asyncio.to_thread(self._views.follow, self._edge_id, self._hello.model_id)
        self._view_id = self._outgoing.view_id = chosen or self._station_id
        self._mending = Mending(self._views, self._view_id, self._tools.digests)

    async def _serve(self) -> None:
        state = Serving(self._hello, self._config)
        event: serve_view.Event | None = await self._planned(self._hello)
        while event is not None:
            state = await self._step(state, event)
            if self._wakes.is_ended:
                raise SessionEnded(grpc.StatusCode.UNAVAILABLE, "the server stops")
            event = await self._next_event(state)

    async def _planned(self, hello: Hello) -> serve_view.Event:
        node = await asyncio.to_thread(self._views.edge, self._edge_id)
        head = await asyncio.to_thread(self._views.head, self._view_id)
        self._model_id = head.model_id if head is not None else ""
        is_sealing = self._tools.sealing is not None
        verdict = plan(hello, node, head, is_sealing=is_sealing, oldest=self._tools.oldest)
        self._outgoing.lease = timedelta(seconds=head.lease_s) if head is not None else timedelta(0)
        name = type(verdict).__name__
        station = hello.station_id
        say(_LOG, "edge_joined", edge_id=self._edge_id, station=station, plan=name)
        if isinstance(verdict, NeedsSnapshot):
            return await self._snapshot_planned()
        return serve_view.Planned(verdict, head)

    async def _next_event(self, state: Serving) -> serve_view.Event | None:
        """Wait for the edge, for a change of the view, or for the time; None is the end."""
        patience_s = serve_view.patience_s(state, self._clock.monotonic_s())
        try:
            wait_s = _TICK_S if patience_s is None else min(patience_s, _TICK_S)
            came = await asyncio.wait_for(self._inbox.get(), wait_s)
        except TimeoutError:
            return serve_view.Tick()
        match came:
            case _Signal.LEFT:
                return None
            case _Signal.WOKEN:
                self._is_woken = False
                head = await asyncio.to_thread(self._views.head, self._view_id)
                return serve_view.HeadSeen(self._still(head))
            case message:
                return serve_view.Heard(message)

    async def _step(self, state: Serving, event: serve_view.Event) -> Serving:
        """Take one event and everything that follows from it."""
        events = [event]
        while events:
            state, effects = serve_view.step(state, events.pop(0), self._clock.monotonic_s())
            for effect in effects:
                answer = await self._perform(effect)
                if answer is not None:
                    events.append(answer)
                if isinstance(answer, serve_view.Gone):
                    break  # the rest was meant for a view that is no more
        return state

    async def _perform(self, effect: serve_view.Effect) -> serve_view.Event | None:
        match effect:
            case (
                serve_view.Read()
                | serve_view.ReadUrgent()
                | serve_view.ReadAbsent()
                | serve_view.Compare()
            ):
                return await self._read_for(effect)
            case serve_view.TakeSnapshot():
                # What the edge had begun is over: the view has changed under it, or an item that no
                # edge takes was in it. It would be found on the shelf and sent again for ever.
                self._hello = replace(self._hello, staged_root=b"", staged_chunks=0)
                return await self._snapshot_planned()
            case serve_view.OfferLease(length):
                return await self._lease_offered(length)
            case serve_view.Send() | serve_view.SendPart() | serve_view.SendRepair():
                return await self._send(effect)
            case serve_view.LetSnapshotGo():
                self._let_snapshot_go()
            case serve_view.NoteAck(epoch, rev):
                now = self._clock.wall()
                await asyncio.to_thread(self._views.acknowledge, self._edge_id, epoch, rev, now)
            case serve_view.NoteDivergence(_, rev, buckets):
                self._note_divergence(rev, buckets)
            case serve_view.Quarantine(digest, detail):
                await self._quarantine(digest, detail)
            case serve_view.HangUp(reason, alarm):
                raise self._ended(reason, is_alarm=alarm)
        return None

    async def _send(self, effect: _Sending) -> serve_view.Event | None:
        """Say it; a record that does not open has left the view, and what was begun is void."""
        try:
            response = await asyncio.to_thread(self._response, effect)
        except HistoryGone:
            if self._parcel is not None:
                self._shelf.discard(self._parcel)
            return serve_view.Gone()
        except (KeysFailed, GrantRefused) as problem:
            say(_LOG, "not_sealed", level=logging.ERROR, detail=str(problem))
            raise SessionEnded(grpc.StatusCode.UNAVAILABLE, "no keys") from problem
        try:
            await asyncio.wait_for(self._write(response), self._config.ack_s)
        except TimeoutError as problem:
            raise SessionEnded(grpc.StatusCode.DEADLINE_EXCEEDED, "nobody reads") from problem
        return None

    def _response(self, effect: _Sending) -> pb.FollowResponse:
        """Return what is said, ready to leave; in a thread."""
        match effect:
            case serve_view.Send(message):
                return self._outgoing.ready(message)
            case serve_view.SendPart(nonce, index, span):
                assert self._parcel is not None
                return self._outgoing.ready(self._parcel.chunk(nonce, index, span))
            case serve_view.SendRepair():
                return self._outgoing.ready(self._mending.repair(effect))

    async def _read_for(
        self,
        effect: serve_view.Read
        | serve_view.ReadUrgent
        | serve_view.ReadAbsent
        | serve_view.Compare,
    ) -> serve_view.Event:
        station = self._view_id
        try:
            match effect:
                case serve_view.Read(epoch, from_rev, limit):
                    page = await asyncio.to_thread(
                        self._views.read, station, epoch, from_rev, limit
                    )
                    return serve_view.PageRead(page)
                case serve_view.ReadUrgent(epoch, base_rev, from_rev):
                    page = await asyncio.to_thread(self._views.urgent, station, epoch, from_rev)
                    return serve_view.UrgentRead(base_rev, page)
                case serve_view.ReadAbsent(rev):
                    page = await asyncio.to_thread(self._views.absent, self._edge_id, station, rev)
                    return serve_view.UrgentRead(rev, page)
                case serve_view.Compare(digest):
                    key = await asyncio.to_thread(self._outgoing.digest_key, digest.epoch)
                    return await asyncio.to_thread(self._mending.compared, digest, key)
        except HistoryGone:
            return serve_view.Gone()

    def _note_divergence(self, rev: int, buckets: int) -> None:
        self._tools.counts.divergences += 1
        say(
            _LOG,
            "view_diverged",
            level=logging.ERROR,
            edge_id=self._edge_id,
            station=self._station_id,
            rev=rev,
            buckets=buckets,
        )

    async def _snapshot_planned(self) -> serve_view.Event:
        """Wait for a place and for the view, with a sign of life to the edge now and then."""
        self._let_snapshot_go()
        while not await self._shelf.take_place(self._config.bookmark_s):
            await self._show_life()
        self._has_place = True
        self._parcel = await self._prepared()
        snapshot = self._parcel.snapshot
        is_begun = snapshot.root_hash == self._hello.staged_root
        head = await asyncio.to_thread(self._views.head, self._view_id)
        return serve_view.Planned(snapshot, head, self._hello.staged_chunks if is_begun else 0)

    async def _prepared(self) -> Parcel:
        """Wait for the view, however long that takes; the edge hears from the cloud meanwhile."""
        making = asyncio.create_task(self._shelf.parcel(self._views, self._view_id, self._hello))
        try:
            while not (await asyncio.wait({making}, timeout=self._config.bookmark_s))[0]:
                await self._show_life()
            return await making
        except HistoryGone as problem:
            raise self._ended("the view has gone", is_alarm=False) from problem
        finally:
            making.cancel()  # the shelf makes it to its end all the same

    async def _show_life(self) -> None:
        """Send a bookmark that leases nothing."""
        offered = await self._lease_offered(timedelta(0))
        mark = Bookmark(offered.head.epoch, 0, offered.until, offered.cloud_time)
        await self._send(serve_view.Send(mark))

    def _let_snapshot_go(self) -> None:
        self._parcel = None
        if self._has_place:
            self._has_place = False
            self._shelf.leave_place()

    async def _lease_offered(self, length: timedelta) -> serve_view.LeaseOffered:
        now = self._clock.wall()
        try:
            head = await asyncio.to_thread(self._views.offer_lease, self._edge_id, now + length)
        except HistoryGone as problem:
            raise SessionEnded(grpc.StatusCode.PERMISSION_DENIED, str(problem)) from problem
        if station_of(head.station_id) != self._station_id:
            raise self._ended("the edge was moved to another station", is_alarm=True)
        self._still(head)
        return serve_view.LeaseOffered(head, now + length, now)

    async def _quarantine(self, digest: bytes, detail: str) -> None:
        say(
            _LOG,
            "template_quarantined",
            level=logging.ERROR,
            edge_id=self._edge_id,
            station=self._station_id,
            content_hash=digest.hex(),
            detail=detail,
        )
        now = self._clock.wall()
        await asyncio.to_thread(self._views.quarantine, self._view_id, digest, detail, now)

    def _still(self, head: Head | None) -> Head:
        """Return where the view stands, unless it is no longer the one this stream is of.

        Raises:
            SessionEnded: A change of the model has ended, or a newer stream of the edge brought
                another model; the edge says again what it has.
        """
        is_mine = head is not None and head.station_id == self._view_id
        if head is None or not is_mine or (self._model_id and head.model_id != self._model_id):
            raise self._ended("the station's view is another now", is_alarm=False)
        return head

    def _ended(self, reason: str, *, is_alarm: bool) -> SessionEnded:
        level = logging.ERROR if is_alarm else logging.INFO
        say(_LOG, "edge_hung_up", level=level, edge_id=self._edge_id, reason=reason)
        code = grpc.StatusCode.PERMISSION_DENIED if is_alarm else grpc.StatusCode.UNAVAILABLE
        return SessionEnded(code, reason)

    async def _read(self, requests: AsyncIterator[pb.FollowRequest]) -> None:
        try:
            async for request in requests:
                message = request_from_proto(request)
                if not isinstance(message, Hello):
                    await self._inbox.put(message)
        except WireBroken as problem:
            say(_LOG, "wire_broken", level=logging.ERROR, detail=str(problem))
        await self._inbox.put(_Signal.LEFT)

    def _wake(self) -> None:
        if not self._is_woken and not self._inbox.full():
            self._is_woken = True
            self._inbox.put_nowait(_Signal.WOKEN)


async def first(requests: AsyncIterator[pb.FollowRequest]) -> Hello:
    """Return the hello that a stream starts with.

    Args:
        requests: The stream.

    Raises:
        SessionEnded: It did not come, or something else did.
    """
    try:
        message = request_from_proto(await asyncio.wait_for(anext(requests), _HELLO_S))
    except (TimeoutError, StopAsyncIteration) as problem:
        raise SessionEnded(grpc.StatusCode.DEADLINE_EXCEEDED, "no hello") from problem
    except WireBroken as problem:
        raise SessionEnded(grpc.StatusCode.INVALID_ARGUMENT, str(problem)) from problem
    if not isinstance(message, Hello):
        raise SessionEnded(grpc.StatusCode.INVALID_ARGUMENT, "a stream starts with its hello")
    return message
