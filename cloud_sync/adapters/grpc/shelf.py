"""Snapshots on their way: whole views in memory, a few at a time."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from uuid import UUID

from cloud_sync.content import is_drop, is_template, key_of, root_hash
from cloud_sync.stream.messages import PROTOCOL, Chunk, Hello, Snapshot
from cloud_sync.stream.skew import agreed, as_known
from cloud_sync.stream.view import CHUNK_ITEMS, PART_ITEMS, ViewLog, Whole


@dataclass(frozen=True, slots=True, eq=False)
class Parcel:
    """A whole view, ready to be sent in chunks."""

    whole: Whole
    snapshot: Snapshot
    size: int
    """Changes in a part."""

    def chunk(self, nonce: int, index: int, span: int = 1) -> Chunk:
        """Return some parts as one chunk.

        Args:
            nonce: Of the chunk.
            index: The first part.
            span: How many, from 1.

        Raises:
            HistoryGone: An item cannot be read; the view has gone on without it.
            ViewLogFailed: The log did not answer.
        """
        part = slice(index * self.size, (index + span) * self.size)
        return Chunk(
            nonce=nonce,
            epoch=self.whole.epoch,
            from_rev=0,
            to_rev=self.whole.rev,
            changes=self.whole.changes[part],
            hashes=self.whole.hashes[part],
            index=index,
            is_snapshot=True,
            span=span,
        )


class Shelf:
    """The snapshots last taken, and how many may be on their way at once.

    An edge whose line broke in the middle of one goes on where it stopped, if it is still here. One
    that is being made is made to its end, whoever hangs up meanwhile, and whoever asks again waits
    for the same one: a database that is slow is not asked for a whole view again and again.
    """

    def __init__(self, snapshots_max: int) -> None:
        self._places = asyncio.Semaphore(snapshots_max)
        self._kept: OrderedDict[tuple[str, int], Parcel] = OrderedDict()
        self._kept_max = snapshots_max
        self._making: dict[tuple[str, int, UUID | None], asyncio.Task[Parcel]] = {}

    async def take_place(self, timeout_s: float) -> bool:
        """Wait for leave to send a snapshot; return whether it came in time."""
        try:
            await asyncio.wait_for(self._places.acquire(), timeout_s)
        except TimeoutError:
            return False
        return True

    def leave_place(self) -> None:
        """Let the next one send."""
        self._places.release()

    async def parcel(self, views: ViewLog, view_id: str, hello: Hello) -> Parcel:
        """Return the snapshot of a view that an edge has begun, or that stands, or a new one.

        Raises:
            HistoryGone: There is no such view.
        """
        head = await asyncio.to_thread(views.head, view_id)
        protocol = agreed(hello) or PROTOCOL
        place = (view_id, protocol)
        kept = self._kept.get(place)
        if kept is not None and head is not None and kept.whole.epoch == head.epoch:
            is_begun = kept.snapshot.root_hash == hello.staged_root
            reaches = kept.whole.rev >= head.compacted_rev
            if kept.whole.rev == head.head_rev or (is_begun and reaches):
                return kept
        begun = (*place, head.epoch if head is not None else None)
        making = self._making.get(begun)
        if making is None:
            making = asyncio.create_task(self._make(views, view_id, protocol))
            self._making[begun] = making
            making.add_done_callback(lambda task: self._made(begun, task))
        return await asyncio.shield(making)

    def discard(self, parcel: Parcel) -> None:
        """Keep a snapshot no longer: something in it cannot be read.

        Args:
            parcel: As `parcel` returned it.
        """
        self._kept = OrderedDict(
            (place, kept) for place, kept in self._kept.items() if kept is not parcel
        )

    async def _make(self, views: ViewLog, view_id: str, protocol: int) -> Parcel:
        """Read a whole view and hash it, beside the streams that are served meanwhile."""
        return await asyncio.to_thread(lambda: parcel(views.whole(view_id), protocol=protocol))

    def _made(self, begun: tuple[str, int, UUID | None], task: "asyncio.Task[Parcel]") -> None:
        """Keep what was made; a failure is told by whoever waits, if anybody still does."""
        del self._making[begun]
        if task.cancelled() or task.exception() is not None:
            return
        place = begun[:2]
        self._kept[place] = task.result()
        self._kept.move_to_end(place)
        while len(self._kept) > self._kept_max:
            self._kept.popitem(last=False)


def parcel(whole: Whole, *, size: int | None = None, protocol: int = PROTOCOL) -> Parcel:
    """Announce a whole view: how many parts and templates, and the hash over all of it.

    Args:
        whole: The view.
        size: Changes in a part, from 1; as the protocol has it if None.
        protocol: The version that the stream goes on in; the older one knows less.
    """
    size = size or (PART_ITEMS if protocol >= PROTOCOL else CHUNK_ITEMS)
    whole = _as_known(whole, protocol)
    snapshot = Snapshot(
        epoch=whole.epoch,
        rev=whole.rev,
        chunk_count=-(-len(whole.keys) // size),
        template_count=sum(is_template(key) for key in whole.keys),
        root_hash=root_hash(whole.hashes),
        protocol=protocol,
    )
    return Parcel(whole, snapshot, size)


def _as_known(whole: Whole, protocol: int) -> Whole:
    """Return a view as a version knows it; what is a drop to it was never in its snapshot."""
    if protocol >= PROTOCOL:
        return whole  # a view holds no drops
    changes, hashes = as_known(whole.changes, whole.hashes, protocol)
    pairs = [pair for pair in zip(changes, hashes, strict=True) if not is_drop(pair[0])]
    known = tuple(change for change, _ in pairs)
    keys = tuple(key_of(change) for change in known)
    return Whole(whole.epoch, whole.rev, keys, tuple(digest for _, digest in pairs), known)
