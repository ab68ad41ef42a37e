"""The edge's end of the gallery stream as a pure state machine.

Events go in with the time; the new state and a list of effects come out, both of `follow_signals`.
This file does no I/O and does not know
about gRPC or SQLite.
"""

from dataclasses import dataclass, replace
from uuid import UUID

from cloud_sync.content import Space
from cloud_sync.gallery import Delta
from cloud_sync.stream.follow_signals import (
    Applied,
    Apply,
    BeginSnapshot,
    Connected,
    DigestTaken,
    Effect,
    Event,
    Expel,
    Expelled,
    Failed,
    FinishSnapshot,
    HangUp,
    Mend,
    Mended,
    NoteTime,
    Outcome,
    Received,
    RenewLease,
    Replaced,
    Say,
    SnapshotBegun,
    Stage,
    Staged,
    Storing,
    TakeDigest,
    TakeGrant,
    Tick,
)
from cloud_sync.stream.messages import (
    PROTOCOL,
    Ack,
    Bookmark,
    Chunk,
    Deny,
    Digest,
    FromCloud,
    Hello,
    Nack,
    NackCode,
    Plan,
    Repair,
    Resume,
    Snapshot,
    UpgradeRequired,
)
from cloud_sync.stream.placing import Place, place

__all__ = [
    "DIGEST_AGAIN_S",
    "DIGEST_S",
    "SILENCE_S",
    "Applied",
    "Apply",
    "BeginSnapshot",
    "Connected",
    "DigestTaken",
    "Effect",
    "Event",
    "Expel",
    "Expelled",
    "Failed",
    "FinishSnapshot",
    "Follower",
    "HangUp",
    "Mend",
    "Mended",
    "NoteTime",
    "Outcome",
    "Received",
    "RenewLease",
    "Replaced",
    "Say",
    "SnapshotBegun",
    "Stage",
    "Staged",
    "Storing",
    "TakeDigest",
    "TakeGrant",
    "Tick",
    "step",
]

SILENCE_S = 30.0
"""A stream on which nothing came for so long is dead, seconds: three bookmarks of 10 s. A transport
ping does not see a cloud whose program hangs (reference/reliability.md, 2.5)."""
DIGEST_S = 3_600.0
"""Between two digests, seconds (reference/reliability.md, 2.3)."""
DIGEST_AGAIN_S = 60.0
"""Until the next one when there was no answer, or a repair: the two ends were not at the same
revision, or the repair has to prove itself."""


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
    digest_due_s: float = 0.0
    """When what is held is compared again, monotonic seconds; carry it to the next connection."""


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
    """Go on after an effect: acknowledge what is durable, and nothing before it is.

    A part of a snapshot is acknowledged as written: no revision goes with it, and after a crash the
    hello says which parts are there.
    """
    effects: tuple[Effect, ...]
    match event:
        case SnapshotBegun(due_index):
            state, effects = replace(state, due_index=due_index), ()
        case Staged(nonce, index, span):
            state = replace(state, due_index=index + span)
            effects = (Say(Ack(nonce, state.applied_rev)),)
        case Applied(nonce, rev):
            return replace(state, applied_rev=rev), (Say(Ack(nonce, rev)),)
        case Expelled(nonce) | Mended(nonce):
            return state, (Say(Ack(nonce, state.applied_rev)),)
        case DigestTaken(epoch, rev, buckets):
            return state, (Say(Digest(epoch, rev, buckets)),)
        case Replaced(epoch, rev):
            return _replaced(state, epoch, rev)
        case Failed(nonce, detail):
            nack = Say(Nack(nonce, NackCode.DISK, detail))
            return state, (nack, HangUp(f"the disk failed: {detail}", alarm=True))
    return _staged_up_to(state, effects)


def _replaced(state: Follower, epoch: UUID, rev: int) -> Step:
    protocol = state.plan.protocol if state.plan else PROTOCOL
    plan = Resume(epoch, rev, protocol)
    state = replace(state, epoch=epoch, applied_rev=rev, plan=plan, digest_due_s=0.0)
    return state, (Say(Ack(0, rev)),)


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
        stream_key=event.stream_key,
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
            return _bookmark(state, message)
        case Repair():
            return _repair(state, message)
        case _:
            return _planned(state, message)


def _planned(state: Follower, plan: Plan) -> Step:
    match plan:
        case Resume(epoch, rev):
            if (epoch, rev) != (state.epoch, state.applied_rev):
                return state, (HangUp(f"asked to resume at {rev}, stands at {state.applied_rev}"),)
            return replace(state, plan=plan, refusing=False), _granted(epoch, plan.grant)
        case Snapshot(epoch):
            granted = _granted(epoch, plan.grant)
            state = replace(state, plan=plan, due_index=0, refusing=False)
            return state, (*granted, BeginSnapshot(plan))
        case UpgradeRequired(detail) | Deny(detail):
            return state, (HangUp(detail, alarm=True),)


def _granted(epoch: UUID, wrapped: bytes) -> tuple[Effect, ...]:
    return (TakeGrant(epoch, wrapped),) if wrapped else ()


def _bookmark(state: Follower, mark: Bookmark) -> Step:
    """Renew only when caught up: a slow but connected edge may lack a deletion."""
    granted = _granted(mark.epoch, mark.grant)
    if (mark.epoch, mark.head_rev) != (state.epoch, state.applied_rev):
        return state, (*granted, NoteTime(mark.cloud_time))
    effects = (*granted, RenewLease(mark.lease_until, mark.cloud_time))
    speaks = isinstance(state.plan, Resume) and state.plan.protocol >= PROTOCOL
    if not speaks or state.heard_s < state.digest_due_s:
        return state, effects
    state = replace(state, digest_due_s=state.heard_s + DIGEST_AGAIN_S)
    return state, (*effects, TakeDigest())


def _repair(state: Follower, repair: Repair) -> Step:
    """Take a repair only where the edge stands still: one revision on, it would undo something."""
    here = (state.epoch, state.applied_rev)
    if not isinstance(state.plan, Resume) or (repair.epoch, repair.rev) != here:
        return state, (Say(Ack(repair.nonce, state.applied_rev)),) if repair.nonce else ()
    if not repair.buckets:
        return replace(state, digest_due_s=state.heard_s + DIGEST_S), ()
    problem = _problem(repair)
    return state, (Say(problem),) if problem else (Mend(repair),)


def _chunk(state: Follower, chunk: Chunk) -> Step:
    here = place(
        chunk,
        state.plan,
        epoch=state.epoch,
        applied_rev=state.applied_rev,
        due_index=state.due_index,
    )
    if here is Place.PAST:  # a duplicate: it is on disk already
        return state, (Say(Ack(chunk.nonce, state.applied_rev)),)
    if here is Place.AHEAD and state.refusing:
        # The cloud starts again before it, so all of the log up to it is still to come and this may
        # count early; whoever it shuts out is not let in meanwhile.
        is_early = chunk.is_expulsion and _problem(chunk) is None
        return state, (_storing(chunk),) if is_early else ()
    if here is not Place.DUE:
        nack = Nack(chunk.nonce, NackCode.WRONG_REVISION, "the chunk does not start here")
        return state, (Say(nack), HangUp(f"a chunk from {chunk.from_rev} does not fit"))
    problem = _problem(chunk)
    if problem is not None:
        return replace(state, refusing=True), (Say(problem),)
    return replace(state, refusing=False), (_storing(chunk),)


def _storing(chunk: Chunk) -> Effect:
    if chunk.is_snapshot:
        return Stage(chunk)
    if chunk.is_expulsion:
        return Expel(chunk.nonce, tuple(chunk.changes))
    delta = Delta(chunk.epoch, chunk.from_rev, chunk.to_rev, tuple(chunk.changes))
    return Apply(chunk.nonce, delta)


def _problem(chunk: Chunk | Repair) -> Nack | None:
    """Return why the whole of it is refused; the last good state is kept meanwhile."""
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
