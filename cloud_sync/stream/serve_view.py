"""The cloud's end of one gallery stream as a pure state machine.

Its events and effects are in `serve_signals`, what may be on its way at once in `credit`. This file
does no I/O and does not know about gRPC or SQL.
"""

from dataclasses import replace
from types import MappingProxyType

from cloud_sync.stream.credit import WINDOW
from cloud_sync.stream.messages import (
    PROTOCOL,
    Ack,
    Bookmark,
    Deny,
    Digest,
    Nack,
    NackCode,
    Resume,
    Snapshot,
)
from cloud_sync.stream.sending import REPAIR_BUCKETS_MAX, answered, pump
from cloud_sync.stream.serve_signals import (
    Compare,
    Compared,
    Effect,
    Event,
    Gone,
    HangUp,
    HeadSeen,
    Heard,
    LeaseOffered,
    LetSnapshotGo,
    NoteAck,
    NoteDivergence,
    OfferLease,
    PageRead,
    Planned,
    Quarantine,
    Read,
    ReadAbsent,
    ReadUrgent,
    Send,
    SendPart,
    SendRepair,
    TakeSnapshot,
    Tick,
    UrgentRead,
)
from cloud_sync.stream.serving import ServeConfig, Serving, Step, is_gathering, stands_at
from cloud_sync.stream.view import Head

__all__ = [
    "NACKS_MAX",
    "REPAIR_BUCKETS_MAX",
    "WINDOW",
    "Compare",
    "Compared",
    "Effect",
    "Event",
    "Gone",
    "HangUp",
    "HeadSeen",
    "Heard",
    "LeaseOffered",
    "LetSnapshotGo",
    "NoteAck",
    "NoteDivergence",
    "OfferLease",
    "PageRead",
    "Planned",
    "Quarantine",
    "Read",
    "ReadAbsent",
    "ReadUrgent",
    "Send",
    "SendPart",
    "SendRepair",
    "ServeConfig",
    "Serving",
    "TakeSnapshot",
    "Tick",
    "UrgentRead",
    "patience_s",
    "step",
]

NACKS_MAX = 3
"""So often an item may be refused before it is taken out (rule 5)."""


def step(state: Serving, event: Event, now_s: float) -> Step:
    """Return what the cloud's end becomes and does.

    Args:
        state: Before.
        event: What happened.
        now_s: Monotonic seconds.
    """
    match event:
        case Planned():
            state, effects = _planned(state, event, now_s)
        case Heard(message):
            if isinstance(state.plan, Snapshot):
                state = replace(state, snapshot_heard_s=now_s)
            state, effects = _heard(state, message, now_s)
        case HeadSeen(head):
            state, effects = _head_seen(state, head)
        case PageRead() | UrgentRead() | Compared():
            state, effects = answered(state, event, now_s)
        case Gone():
            state = replace(state, is_reading=False, is_expelling=False, plan=None)
            effects = (TakeSnapshot(),)
        case LeaseOffered(head, until, cloud_time):
            mark = Bookmark(head.epoch, head.head_rev, until, cloud_time)
            state, effects = _head_seen(state, head)
            effects = (Send(mark), *effects)
        case Tick():
            state, effects = _tick(state, now_s)
    if any(isinstance(effect, HangUp) for effect in effects):
        return state, effects
    state, more = pump(state, now_s)
    return state, (*effects, *more)


def patience_s(state: Serving, now_s: float) -> float | None:
    """Return how soon a `Tick` has something to do though nothing else happens; None: not at all.

    Args:
        state: As it stands.
        now_s: Monotonic seconds.
    """
    return max(0.0, state.batch_due_s - now_s) if is_gathering(state, now_s) else None


def _planned(state: Serving, event: Planned, now_s: float) -> Step:
    plan = event.plan
    noted: tuple[Effect, ...] = ()
    match plan:
        case Resume(epoch, rev):
            state = replace(state, acked_rev=rev, sent_rev=rev, urgent_rev=rev)
            noted = (NoteAck(epoch, rev),)  # the hello says what is durable; its ack may be lost
        case Snapshot(rev=rev):
            state = replace(state, next_index=event.first_index, urgent_rev=rev)
            if plan.protocol >= PROTOCOL:
                # Until the snapshot is whole the edge goes on with what it has, in memory even when
                # its disk was lost; what was dropped since may lie before the snapshot in the log,
                # or be compacted.
                state = replace(state, is_expelling=True)
                noted = (ReadAbsent(rev),)
        case _:
            reason = plan.detail
            return state, (Send(plan), HangUp(reason, alarm=isinstance(plan, Deny)))
    state = replace(
        state,
        plan=plan,
        head=event.head,
        credit=state.credit.emptied(),
        bookmark_due_s=now_s,
        is_leased=False,
        snapshot_heard_s=now_s,
    )
    return state, (Send(plan), *noted)


def _heard(state: Serving, message: Ack | Nack | Digest, now_s: float) -> Step:
    match message:
        case Ack():
            return _acked(state, message, now_s)
        case Digest():
            return state, (Compare(message),) if stands_at(state, message) else ()
        case Nack(_, code, detail, hashes):
            if code is NackCode.BAD_ITEM or _is_lone_stranger(state, code):
                return _item_refused(state, hashes, detail)
            if code is NackCode.BAD_HASH and state.bad_hashes + 1 < NACKS_MAX:
                return _rewound(replace(state, bad_hashes=state.bad_hashes + 1)), ()
            return state, (HangUp(f"{code.name}: {detail}", alarm=True),)


def _acked(state: Serving, ack: Ack, now_s: float) -> Step:
    acked = replace(state, credit=state.credit.acked(ack.nonce, now_s))
    match state.plan:
        case Snapshot(epoch, rev, protocol=protocol):
            if ack.nonce == 0 and ack.durable_rev == rev:
                plan, credit = Resume(epoch, rev, protocol), state.credit.emptied()
                state = replace(state, plan=plan, credit=credit, acked_rev=rev, sent_rev=rev)
                return state, (LetSnapshotGo(), NoteAck(epoch, rev))
            return acked, ()
        case Resume(epoch):
            if not state.acked_rev < ack.durable_rev <= state.sent_rev:
                return acked, ()
            state = replace(acked, acked_rev=ack.durable_rev, bad_hashes=0)
            return state, (NoteAck(epoch, ack.durable_rev),)
        case None:
            return state, ()


def _is_lone_stranger(state: Serving, code: NackCode) -> bool:
    """Return whether the edge refuses a template of another space than edge and view agree on."""
    if code is not NackCode.WRONG_SPACE or state.head is None:
        return False
    agreed = (state.head.model_id, state.head.transform_id)
    return agreed == (state.hello.model_id, state.hello.transform_id)


def _item_refused(state: Serving, hashes: tuple[bytes, ...], detail: str) -> Step:
    if not hashes:
        return state, (HangUp(f"items refused without naming them: {detail}", alarm=True),)
    nacks = dict(state.nacks)
    for content_hash in hashes:
        nacks[content_hash] = nacks.get(content_hash, 0) + 1
    state = _rewound(replace(state, nacks=MappingProxyType(nacks)))
    worn_out = [digest for digest in hashes if nacks[digest] >= NACKS_MAX]
    taken_out = tuple(Quarantine(digest, detail) for digest in worn_out)
    if taken_out and isinstance(state.plan, Snapshot):  # its root hash has changed
        return replace(state, plan=None), (*taken_out, TakeSnapshot())
    return state, taken_out


def _rewound(state: Serving) -> Serving:
    """Go back to what is acknowledged: the edge drops what is still on its way."""
    unacked = state.credit.unacked
    return replace(
        state,
        credit=state.credit.emptied(),
        sent_rev=state.acked_rev,
        urgent_rev=state.acked_rev,
        next_index=unacked[0].index if unacked else state.next_index,
    )


def _head_seen(state: Serving, head: Head) -> Step:
    if state.plan is not None and head.epoch != state.plan.epoch:
        return replace(state, head=head, plan=None), (TakeSnapshot(),)
    return replace(state, head=head), ()


def _tick(state: Serving, now_s: float) -> Step:
    if state.credit.waits_s(now_s) > state.config.ack_s:
        return state, (HangUp("the edge does not acknowledge"),)
    # After the last chunk nothing is on its way, yet the snapshot still holds a place: an edge that
    # never swaps it in would keep others from theirs.
    if isinstance(state.plan, Snapshot) and now_s - state.snapshot_heard_s > state.config.ack_s:
        return state, (HangUp("the edge does not finish its snapshot"),)
    return state, ()
