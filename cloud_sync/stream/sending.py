"""What the cloud sends next on a gallery stream: content, expulsions, repairs, bookmarks."""

from dataclasses import replace
from datetime import timedelta

from cloud_sync.stream.messages import PROTOCOL, Chunk, Repair, Resume, Snapshot
from cloud_sync.stream.serve_signals import (
    Compared,
    Effect,
    NoteDivergence,
    OfferLease,
    PageRead,
    Read,
    ReadUrgent,
    Send,
    SendPart,
    SendRepair,
    TakeSnapshot,
    UrgentRead,
)
from cloud_sync.stream.serving import Serving, Step, base, is_gathering, sent, size_of, stands_at
from cloud_sync.stream.skew import as_known
from cloud_sync.stream.view import CHUNK_ITEMS, PART_ITEMS, Head, Page

REPAIR_BUCKETS_MAX = 64
"""A replica that differs in more of its 256 buckets is sent anew: that is checked as a whole."""

_ITEM_BYTES = 1_100
"""A template of 512 values on the wire, sealed, with its ids."""
_SPAN_MAX = CHUNK_ITEMS // PART_ITEMS


def pump(state: Serving, now_s: float) -> Step:
    """Send what there is room for, and a bookmark when it is due.

    Args:
        state: After an event.
        now_s: Monotonic seconds.
    """
    head = state.head
    if state.plan is None or head is None:
        return state, ()
    state, expulsion = _expel(state, head, now_s)
    state, parts = _content(state, head, now_s)
    effects = [*expulsion, *parts]
    caught_up = isinstance(state.plan, Resume) and state.acked_rev == head.head_rev
    if now_s >= state.bookmark_due_s or (caught_up and not state.is_leased):
        effects.append(OfferLease(timedelta(seconds=head.lease_s)))
        due_s = now_s + state.config.bookmark_s
        state = replace(state, bookmark_due_s=due_s, is_leased=state.is_leased or caught_up)
    return state, tuple(effects)


def _content(state: Serving, head: Head, now_s: float) -> Step:
    """Send parts of the snapshot, or read on in the log, as far as the credit goes."""
    effects: list[Effect] = []
    match state.plan:
        case Snapshot() if state.is_expelling:
            pass  # whoever must be shut out goes before the next part
        case Snapshot(chunk_count=count, protocol=protocol):
            part = (PART_ITEMS if protocol >= PROTOCOL else CHUNK_ITEMS) * _ITEM_BYTES
            while state.next_index < count and state.credit.fits(part):
                span = max(1, min(_SPAN_MAX, state.credit.room // part, count - state.next_index))
                span = span if protocol >= PROTOCOL else 1
                effects.append(SendPart(state.next_nonce, state.next_index, span))
                after = state.next_index + span
                state = replace(sent(state, span * part, now_s), next_index=after)
        case Resume(epoch):
            behind = state.sent_rev < head.head_rev and not is_gathering(state, now_s)
            if behind and not state.is_reading and state.credit.fits(_ITEM_BYTES):
                limit = max(1, min(CHUNK_ITEMS, state.credit.room // _ITEM_BYTES))
                effects.append(Read(epoch, state.sent_rev, limit))
                state = replace(state, is_reading=True)
    return state, tuple(effects)


def _expel(state: Serving, head: Head, now_s: float) -> Step:
    """Look for what shuts somebody out wherever it would wait behind other things."""
    plan = state.plan
    if plan is None or plan.protocol < PROTOCOL or state.is_expelling:
        return state, ()
    start, is_new = base(state), head.head_rev > state.urgent_rev
    one_page = state.credit.fits(_ITEM_BYTES) and head.head_rev - start <= PART_ITEMS
    waits = isinstance(plan, Snapshot) or not one_page or is_gathering(state, now_s)
    if not (is_new and waits and head.head_rev > start):
        return state, ()
    read = ReadUrgent(plan.epoch, start, max(start, state.urgent_rev))
    return replace(state, is_expelling=True), (read,)


def answered(state: Serving, event: PageRead | UrgentRead | Compared, now_s: float) -> Step:
    """Go on with what was read.

    Args:
        state: Before.
        event: What it is.
        now_s: Monotonic seconds.
    """
    match event:
        case PageRead(page):
            return _page_read(state, page, now_s)
        case UrgentRead(base_rev, page):
            return _urgent_read(state, base_rev, page, now_s)
        case Compared():
            return _compared(state, event, now_s)


def _page_read(state: Serving, page: Page, now_s: float) -> Step:
    state = replace(state, is_reading=False)
    plan = state.plan
    if not isinstance(plan, Resume) or page.from_rev != state.sent_rev:
        return state, ()  # it went back, or was planned anew, while the page was read
    if page.to_rev == page.from_rev:
        # Behind the head and yet nothing to send: lines are missing, and one may be a drop.
        is_behind = state.head is not None and state.head.head_rev > page.to_rev
        return (replace(state, plan=None), (TakeSnapshot(),)) if is_behind else (state, ())
    changes, hashes = as_known(page.changes, page.hashes, plan.protocol)
    chunk = Chunk(state.next_nonce, plan.epoch, page.from_rev, page.to_rev, changes, hashes)
    due_s = now_s + state.config.batch_s
    state = replace(sent(state, size_of(changes), now_s), sent_rev=page.to_rev, batch_due_s=due_s)
    return state, (Send(chunk),)


def _urgent_read(state: Serving, base_rev: int, page: Page, now_s: float) -> Step:
    """Send ahead of its revision what shuts somebody out.

    The chunk moves no revision and counts for an edge that stands where everything sent before it
    leads: what comes later in the log has neither been sent nor can it be undone by this.
    """
    state, plan = replace(state, is_expelling=False), state.plan
    if plan is None or base_rev != base(state):
        return state, ()  # more was sent meanwhile: look again from there
    state = replace(state, urgent_rev=max(state.urgent_rev, page.to_rev))
    if not page.changes:
        return state, ()
    chunk = Chunk(state.next_nonce, plan.epoch, base_rev, base_rev, page.changes, page.hashes)
    return sent(state, size_of(page.changes), now_s), (Send(chunk),)


def _compared(state: Serving, found: Compared, now_s: float) -> Step:
    """Repair the buckets that differ, or send everything when they are many."""
    if not stands_at(state, found):
        return state, ()  # it has moved on; the edge asks again
    if not found.groups:
        return state, (Send(Repair(0, found.epoch, found.rev, (), (), ())),)
    count = sum(len(group) for group in found.groups)
    alarm = NoteDivergence(found.epoch, found.rev, count)
    if count > REPAIR_BUCKETS_MAX:
        return replace(state, plan=None), (alarm, TakeSnapshot())
    effects: list[Effect] = [alarm]
    for group in found.groups:
        effects.append(SendRepair(state.next_nonce, found.epoch, found.rev, group))
        state = sent(state, 0, now_s)
    return state, tuple(effects)
