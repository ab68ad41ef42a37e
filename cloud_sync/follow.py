"""The edge's end of the gallery stream as a pure state machine.

Events go in with the time; the new state and a list of effects come out. The driver performs the
effects in order and reports what became of them as events. This file does no I/O and does not know
about gRPC or SQLite.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from uuid import UUID

from cloud_sync.content import Space
from cloud_sync.gallery import Delta
from cloud_sync.messages import (
    Ack,
    Bookmark,
    Chunk,
    Deny,
    FromCloud,
    FromEdge,
    Hello,
    Nack,
    NackCode,
    Plan,
    Resume,
    Snapshot,
    UpgradeRequired,
)
from cloud_sync.replica import Standing

SILENCE_S = 30.0
"""A stream on which nothing came for so long is dead, seconds: three bookmarks of 10 s. A transport
ping does not see a cloud whose program hangs (reference/reliability.md, 2.5)."""


@dataclass(frozen=True, slots=True)
class Follower:
    """Where the edge's end stands within one connection."""

    edge_id: str
    station_id: str
    space: Space
    epoch: UUID | None
    """The history of what is on disk."""
    applied_rev: int
    """The revision that is durable on disk."""
    plan: Resume | Snapshot | None = None
    """How the cloud serves; None until it has said so."""
    due_index: int = 0
    """The chunk of a snapshot that must come next."""
    refusing: bool = False
    """A chunk was refused: what follows it in flight is dropped until the cloud starts again."""
    heard_s: float = 0.0
    """When the cloud was heard last, monotonic seconds."""


@dataclass(frozen=True, slots=True)
class Connected:
    """A stream is open; what the disk holds, read just now."""

    standing: Standing
    wall: datetime
    """The wall clock, aware UTC."""
    outbox_depth: int = 0
    disk_free_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Received:
    """The cloud said something."""

    message: FromCloud


@dataclass(frozen=True, slots=True)
class Applied:
    """A delta is on disk."""

    nonce: int
    rev: int


@dataclass(frozen=True, slots=True)
class SnapshotBegun:
    """There is room for the snapshot; this chunk is needed next."""

    due_index: int


@dataclass(frozen=True, slots=True)
class Staged:
    """A chunk of the snapshot is on disk."""

    nonce: int
    index: int


@dataclass(frozen=True, slots=True)
class Replaced:
    """The snapshot has replaced what was held."""

    epoch: UUID
    rev: int


@dataclass(frozen=True, slots=True)
class Failed:
    """The disk did not do what an effect asked for."""

    nonce: int
    detail: str


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


Outcome = Applied | SnapshotBegun | Staged | Replaced | Failed
Event = Connected | Received | Tick | Outcome


@dataclass(frozen=True, slots=True)
class Say:
    """Send this to the cloud."""

    message: FromEdge


@dataclass(frozen=True, slots=True, eq=False)
class Apply:
    """Apply a delta; answer `Applied` or `Failed`."""

    nonce: int
    delta: Delta


@dataclass(frozen=True, slots=True)
class BeginSnapshot:
    """Make room for a snapshot; answer `SnapshotBegun` or `Failed`."""

    snapshot: Snapshot


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """Keep a chunk of the snapshot; answer `Staged` or `Failed`."""

    chunk: Chunk


@dataclass(frozen=True, slots=True)
class FinishSnapshot:
    """Check and swap; answer `Replaced` or `Failed`."""

    snapshot: Snapshot


@dataclass(frozen=True, slots=True)
class RenewLease:
    """Note the lease; the gallery is caught up."""

    until: datetime
    cloud_time: datetime


@dataclass(frozen=True, slots=True)
class NoteTime:
    """The cloud's time was heard; it renews nothing."""

    cloud_time: datetime


@dataclass(frozen=True, slots=True)
class HangUp:
    """Close the stream and dial again later; the next hello says what is held."""

    reason: str
    alarm: bool = False
    """Whether a person must look."""


Storing = Apply | BeginSnapshot | Stage | FinishSnapshot
Effect = Say | Apply | BeginSnapshot | Stage | FinishSnapshot | RenewLease | NoteTime | HangUp
Step = tuple[Follower, tuple[Effect, ...]]


def step(state: Follower, event: Event, now_s: float) -> Step:
    """Return what the edge's end becomes and does.

    Args:
        state: Before.
        event: What happened.
        now_s: Monotonic seconds.
    """
    match event:
        case Connected():
            return _connected(state, event, now_s)
        case Received(message):
            return _received(replace(state, heard_s=now_s), message)
        case Tick():
            silent = now_s - state.heard_s > SILENCE_S
            return state, (HangUp("the cloud is silent"),) if silent else ()
        case _:
            return _done(state, event)


def _done(state: Follower, event: Outcome) -> Step:
    """Go on after an effect: acknowledge what is durable, and nothing before it is."""
    match event:
        case Applied(nonce, rev):
            return replace(state, applied_rev=rev), (Say(Ack(nonce, rev)),)
        case SnapshotBegun(due_index):
            return _staged_up_to(replace(state, due_index=due_index), ())
        case Staged(nonce, index):
            ack = Say(Ack(nonce, state.applied_rev))
            return _staged_up_to(replace(state, due_index=index + 1), (ack,))
        case Replaced(epoch, rev):
            state = replace(state, epoch=epoch, applied_rev=rev, plan=Resume(epoch, rev))
            return state, (Say(Ack(0, rev)),)
        case Failed(nonce, detail):
            nack = Say(Nack(nonce, NackCode.DISK, detail))
            return state, (nack, HangUp(f"the disk failed: {detail}", alarm=True))


def _connected(state: Follower, event: Connected, now_s: float) -> Step:
    standing = event.standing
    hello = Hello(
        edge_id=state.edge_id,
        station_id=state.station_id,
        epoch=standing.epoch,
        applied_rev=standing.applied_rev,
        model_id=state.space.model_id,
        transform_id=state.space.transform_id,
        template_count=standing.template_count,
        utc_time=event.wall,
        staged_root=standing.staged_root,
        staged_chunks=standing.staged_chunks,
        outbox_depth=event.outbox_depth,
        disk_free_bytes=event.disk_free_bytes,
    )
    state = replace(
        state,
        epoch=standing.epoch,
        applied_rev=standing.applied_rev,
        plan=None,
        due_index=0,
        refusing=False,
        heard_s=now_s,
    )
    return state, (Say(hello),)


def _received(state: Follower, message: FromCloud) -> Step:
    match message:
        case Chunk():
            return _chunk(state, message)
        case Bookmark():
            return state, (_bookmark(state, message),)
        case _:
            return _planned(state, message)


def _planned(state: Follower, plan: Plan) -> Step:
    match plan:
        case Resume(epoch, rev):
            if (epoch, rev) != (state.epoch, state.applied_rev):
                return state, (HangUp(f"asked to resume at {rev}, stands at {state.applied_rev}"),)
            return replace(state, plan=plan, refusing=False), ()
        case Snapshot():
            return replace(state, plan=plan, due_index=0, refusing=False), (BeginSnapshot(plan),)
        case UpgradeRequired(detail) | Deny(detail):
            return state, (HangUp(detail, alarm=True),)


def _bookmark(state: Follower, mark: Bookmark) -> Effect:
    """Renew only when caught up: a slow but connected edge may lack a deletion."""
    if (mark.epoch, mark.head_rev) == (state.epoch, state.applied_rev):
        return RenewLease(mark.lease_until, mark.cloud_time)
    return NoteTime(mark.cloud_time)


def _chunk(state: Follower, chunk: Chunk) -> Step:
    place = _place(state, chunk)
    if place is _Place.PAST:  # a duplicate: it is on disk already
        return state, (Say(Ack(chunk.nonce, state.applied_rev)),)
    if place is _Place.AHEAD and state.refusing:
        return state, ()
    if place is not _Place.DUE:
        nack = Nack(chunk.nonce, NackCode.WRONG_REVISION, "the chunk does not start here")
        return state, (Say(nack), HangUp(f"a chunk from {chunk.from_rev} does not fit"))
    problem = _problem(chunk)
    if problem is not None:
        return replace(state, refusing=True), (Say(problem),)
    state = replace(state, refusing=False)
    if chunk.is_snapshot:
        return state, (Stage(chunk),)
    delta = Delta(chunk.epoch, chunk.from_rev, chunk.to_rev, chunk.changes)
    return state, (Apply(chunk.nonce, delta),)


class _Place(Enum):
    """Where a chunk stands against what is held."""

    PAST = "past"
    DUE = "due"
    AHEAD = "ahead"
    FOREIGN = "foreign"


def _place(state: Follower, chunk: Chunk) -> _Place:
    match state.plan:
        case Snapshot(epoch, rev) if chunk.is_snapshot:
            if (chunk.epoch, chunk.to_rev) != (epoch, rev):
                return _Place.FOREIGN
            here, there = state.due_index, chunk.index
            past = there < here
        case Resume() if not chunk.is_snapshot:
            if chunk.epoch != state.epoch:
                return _Place.FOREIGN
            here, there = state.applied_rev, chunk.from_rev
            past = chunk.to_rev <= here
        case _:
            return _Place.FOREIGN
    if past:
        return _Place.PAST
    if there == here:
        return _Place.DUE
    return _Place.AHEAD if there > here else _Place.FOREIGN


def _problem(chunk: Chunk) -> Nack | None:
    """Return why the whole chunk is refused; the last good state is kept meanwhile."""
    if not chunk.intact:
        return Nack(chunk.nonce, NackCode.BAD_HASH, "the chunk's digest differs")
    if not chunk.refusals:
        return None
    first = chunk.refusals[0]
    hashes = tuple(item.content_hash for item in chunk.refusals if item.code is first.code)
    return Nack(chunk.nonce, first.code, first.detail, hashes)


def _staged_up_to(state: Follower, effects: tuple[Effect, ...]) -> Step:
    plan = state.plan
    if isinstance(plan, Snapshot) and state.due_index >= plan.chunk_count:
        return state, (*effects, FinishSnapshot(plan))
    return state, effects
