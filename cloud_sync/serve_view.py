"""The cloud's end of one gallery stream as a pure state machine.

The driver performs the effects in order and reports what became of them. At most `WINDOW` chunks
are on their way without an acknowledgement, so that a slow edge costs no memory here. This file
does no I/O and does not know about gRPC or SQL.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from uuid import UUID

from cloud_sync.messages import (
    Ack,
    Bookmark,
    Chunk,
    Deny,
    FromCloud,
    Hello,
    Nack,
    NackCode,
    Plan,
    Resume,
    Snapshot,
)
from cloud_sync.view import CHUNK_ITEMS, Head, Page

WINDOW = 8
"""Chunks on their way at once (reference/reliability.md, 2.2 rule 7)."""
NACKS_MAX = 3
"""So often an item may be refused before it is taken out (rule 5)."""


@dataclass(frozen=True, slots=True)
class ServeConfig:
    """How patiently an edge is served."""

    bookmark_s: float = 10.0
    """Between two bookmarks, seconds, above 0; the edge hangs up after 30 s of silence."""
    ack_s: float = 30.0
    """An edge that does not acknowledge a chunk for so long is hung up, seconds, above 0."""

    def __post_init__(self) -> None:
        """Refuse times that would spin.

        Raises:
            ValueError: A figure is out of its range.
        """
        if self.bookmark_s <= 0 or self.ack_s <= 0:
            raise ValueError(f"not a way to serve: {self}")


@dataclass(frozen=True, slots=True)
class Sent:
    """A chunk on its way."""

    nonce: int
    to_rev: int
    index: int
    at_s: float


@dataclass(frozen=True, slots=True)
class Serving:
    """Where the cloud's end of one stream stands."""

    hello: Hello
    config: ServeConfig
    head: Head | None = None
    plan: Resume | Snapshot | None = None
    acked_rev: int = 0
    sent_rev: int = 0
    next_index: int = 0
    """The chunk of a snapshot that is sent next."""
    unacked: tuple[Sent, ...] = ()
    next_nonce: int = 1
    is_reading: bool = False
    nacks: Mapping[bytes, int] = field(default_factory=lambda: MappingProxyType({}))
    """How often each item was refused on this stream."""
    bad_hashes: int = 0
    bookmark_due_s: float = 0.0
    is_leased: bool = False
    """Whether a lease was offered since the edge caught up first."""


@dataclass(frozen=True, slots=True)
class Planned:
    """How the edge is served was decided."""

    plan: Plan
    head: Head | None
    first_index: int = 0
    """Where a snapshot begun earlier goes on."""


@dataclass(frozen=True, slots=True)
class Heard:
    """The edge said something."""

    message: Ack | Nack


@dataclass(frozen=True, slots=True)
class HeadSeen:
    """The view was looked at."""

    head: Head


@dataclass(frozen=True, slots=True, eq=False)
class PageRead:
    """A part of the log was read."""

    page: Page


@dataclass(frozen=True, slots=True)
class Gone:
    """The log does not reach back any more, or has a new epoch."""


@dataclass(frozen=True, slots=True)
class LeaseOffered:
    """A lease was noted durably, together with the head it is valid for."""

    head: Head
    until: datetime
    cloud_time: datetime


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


Event = Planned | Heard | HeadSeen | PageRead | Gone | LeaseOffered | Tick


@dataclass(frozen=True, slots=True)
class Send:
    """Send this to the edge."""

    message: FromCloud


@dataclass(frozen=True, slots=True)
class SendPart:
    """Send one chunk of the snapshot that was taken."""

    nonce: int
    index: int


@dataclass(frozen=True, slots=True)
class Read:
    """Read the log after a revision; answer `PageRead` or `Gone`."""

    epoch: UUID
    from_rev: int
    limit: int


@dataclass(frozen=True, slots=True)
class TakeSnapshot:
    """Take the view as it stands now; answer `Planned`."""


@dataclass(frozen=True, slots=True)
class LetSnapshotGo:
    """The snapshot is no longer needed."""


@dataclass(frozen=True, slots=True)
class NoteAck:
    """Note what the edge holds durably."""

    epoch: UUID
    rev: int


@dataclass(frozen=True, slots=True)
class OfferLease:
    """Note a lease of this length; answer `LeaseOffered`."""

    length: timedelta


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Take an item out of the view; a person must look."""

    content_hash: bytes
    detail: str


@dataclass(frozen=True, slots=True)
class HangUp:
    """Close the stream."""

    reason: str
    alarm: bool = False


Effect = (
    Send
    | SendPart
    | Read
    | TakeSnapshot
    | LetSnapshotGo
    | NoteAck
    | OfferLease
    | Quarantine
    | HangUp
)
Step = tuple[Serving, tuple[Effect, ...]]


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
            state, effects = _heard(state, message)
        case HeadSeen(head):
            state, effects = _head_seen(state, head)
        case PageRead(page):
            state, effects = _page_read(state, page, now_s)
        case Gone():
            state, effects = replace(state, is_reading=False, plan=None), (TakeSnapshot(),)
        case LeaseOffered(head, until, cloud_time):
            mark = Bookmark(head.epoch, head.head_rev, until, cloud_time)
            state, effects = _head_seen(state, head)
            effects = (Send(mark), *effects)
        case Tick():
            state, effects = _tick(state, now_s)
    if any(isinstance(effect, HangUp) for effect in effects):
        return state, effects
    state, more = _pump(state, now_s)
    return state, (*effects, *more)


def _planned(state: Serving, event: Planned, now_s: float) -> Step:
    plan = event.plan
    noted: tuple[Effect, ...] = ()
    match plan:
        case Resume(epoch, rev):
            state = replace(state, acked_rev=rev, sent_rev=rev)
            noted = (NoteAck(epoch, rev),)  # the hello says what is durable; its ack may be lost
        case Snapshot():
            state = replace(state, next_index=event.first_index)
        case _:
            reason = plan.detail
            return state, (Send(plan), HangUp(reason, alarm=isinstance(plan, Deny)))
    state = replace(
        state, plan=plan, head=event.head, unacked=(), bookmark_due_s=now_s, is_leased=False
    )
    return state, (Send(plan), *noted)


def _heard(state: Serving, message: Ack | Nack) -> Step:
    match message:
        case Ack():
            return _acked(state, message)
        case Nack(_, code, detail, hashes):
            if code is NackCode.BAD_ITEM or _is_lone_stranger(state, code):
                return _item_refused(state, hashes, detail)
            if code is NackCode.BAD_HASH and state.bad_hashes + 1 < NACKS_MAX:
                return _rewound(replace(state, bad_hashes=state.bad_hashes + 1)), ()
            return state, (HangUp(f"{code.name}: {detail}", alarm=True),)


def _acked(state: Serving, ack: Ack) -> Step:
    left = tuple(sent for sent in state.unacked if sent.nonce > ack.nonce)
    match state.plan:
        case Snapshot(epoch, rev):
            if ack.nonce == 0 and ack.durable_rev == rev:
                state = replace(
                    state, plan=Resume(epoch, rev), unacked=(), acked_rev=rev, sent_rev=rev
                )
                return state, (LetSnapshotGo(), NoteAck(epoch, rev))
            return replace(state, unacked=left), ()
        case Resume(epoch):
            if not state.acked_rev < ack.durable_rev <= state.sent_rev:
                return replace(state, unacked=left), ()
            state = replace(state, unacked=left, acked_rev=ack.durable_rev, bad_hashes=0)
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
    first = state.unacked[0].index if state.unacked else state.next_index
    return replace(state, unacked=(), sent_rev=state.acked_rev, next_index=first)


def _head_seen(state: Serving, head: Head) -> Step:
    if state.plan is not None and head.epoch != state.plan.epoch:
        return replace(state, head=head, plan=None), (TakeSnapshot(),)
    return replace(state, head=head), ()


def _page_read(state: Serving, page: Page, now_s: float) -> Step:
    state = replace(state, is_reading=False)
    plan = state.plan
    if not isinstance(plan, Resume) or page.from_rev != state.sent_rev:
        return state, ()  # it went back, or was planned anew, while the page was read
    if page.to_rev == page.from_rev:
        # Behind the head and yet nothing to send: lines are missing, and one may be a drop.
        is_behind = state.head is not None and state.head.head_rev > page.to_rev
        return (replace(state, plan=None), (TakeSnapshot(),)) if is_behind else (state, ())
    chunk = Chunk(
        nonce=state.next_nonce,
        epoch=plan.epoch,
        from_rev=page.from_rev,
        to_rev=page.to_rev,
        changes=page.changes,
        hashes=page.hashes,
    )
    return _sent(state, chunk.to_rev, 0, now_s), (Send(chunk),)


def _tick(state: Serving, now_s: float) -> Step:
    if state.unacked and now_s - state.unacked[0].at_s > state.config.ack_s:
        return state, (HangUp("the edge does not acknowledge"),)
    return state, ()


def _pump(state: Serving, now_s: float) -> Step:
    """Send what fits into the window, and a bookmark when it is due."""
    head = state.head
    if state.plan is None or head is None:
        return state, ()
    effects: list[Effect] = []
    match state.plan:
        case Snapshot(chunk_count=count, rev=rev):
            while state.next_index < count and len(state.unacked) < WINDOW:
                effects.append(SendPart(state.next_nonce, state.next_index))
                index = state.next_index
                state = replace(_sent(state, rev, index, now_s), next_index=index + 1)
        case Resume(epoch):
            behind = state.sent_rev < head.head_rev
            if behind and not state.is_reading and len(state.unacked) < WINDOW:
                effects.append(Read(epoch, state.sent_rev, CHUNK_ITEMS))
                state = replace(state, is_reading=True)
    caught_up = isinstance(state.plan, Resume) and state.acked_rev == head.head_rev
    if now_s >= state.bookmark_due_s or (caught_up and not state.is_leased):
        effects.append(OfferLease(timedelta(seconds=head.lease_s)))
        due_s = now_s + state.config.bookmark_s
        state = replace(state, bookmark_due_s=due_s, is_leased=state.is_leased or caught_up)
    return state, tuple(effects)


def _sent(state: Serving, to_rev: int, index: int, now_s: float) -> Serving:
    sent = Sent(state.next_nonce, to_rev, index, now_s)
    return replace(
        state,
        unacked=(*state.unacked, sent),
        sent_rev=to_rev,
        next_nonce=state.next_nonce + 1,
    )
