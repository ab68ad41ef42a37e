"""Snapshots on their way: whole views in memory, a few at a time."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass

from cloud_sync.content import root_hash
from cloud_sync.gallery import PutTemplate
from cloud_sync.messages import Chunk, Hello, Snapshot
from cloud_sync.view import CHUNK_ITEMS, ViewLog, Whole


@dataclass(frozen=True, slots=True, eq=False)
class Parcel:
    """A whole view, ready to be sent in chunks."""

    whole: Whole
    snapshot: Snapshot
    size: int
    """Changes in a chunk."""

    def chunk(self, nonce: int, index: int) -> Chunk:
        """Return one chunk."""
        part = slice(index * self.size, (index + 1) * self.size)
        return Chunk(
            nonce=nonce,
            epoch=self.whole.epoch,
            from_rev=0,
            to_rev=self.whole.rev,
            changes=self.whole.changes[part],
            hashes=self.whole.hashes[part],
            index=index,
            is_snapshot=True,
        )


class Shelf:
    """The snapshots last taken, and how many may be on their way at once.

    An edge whose line broke in the middle of one goes on where it stopped, if it is still here.
    """

    def __init__(self, snapshots_max: int) -> None:
        self._places = asyncio.Semaphore(snapshots_max)
        self._kept: OrderedDict[str, Parcel] = OrderedDict()
        self._kept_max = snapshots_max

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

    async def parcel(self, views: ViewLog, hello: Hello) -> Parcel:
        """Return the snapshot that an edge has begun, or that stands, or a new one."""
        head = await asyncio.to_thread(views.head, hello.station_id)
        kept = self._kept.get(hello.station_id)
        if kept is not None and head is not None and kept.whole.epoch == head.epoch:
            is_begun = kept.snapshot.root_hash == hello.staged_root
            reaches = kept.whole.rev >= head.compacted_rev
            if kept.whole.rev == head.head_rev or (is_begun and reaches):
                return kept
        made = parcel(await asyncio.to_thread(views.whole, hello.station_id))
        self._kept[hello.station_id] = made
        self._kept.move_to_end(hello.station_id)
        while len(self._kept) > self._kept_max:
            self._kept.popitem(last=False)
        return made


def parcel(whole: Whole, *, size: int = CHUNK_ITEMS) -> Parcel:
    """Announce a whole view: how many chunks and templates, and the hash over all of it.

    Args:
        whole: The view.
        size: Changes in a chunk, from 1.
    """
    snapshot = Snapshot(
        epoch=whole.epoch,
        rev=whole.rev,
        chunk_count=-(-len(whole.changes) // size),
        template_count=sum(isinstance(change, PutTemplate) for change in whole.changes),
        root_hash=root_hash(whole.hashes),
    )
    return Parcel(whole, snapshot, size)
