"""Views whose compaction forgets drops that an edge has not acknowledged, and tells nobody."""

from datetime import datetime
from uuid import UUID

from cloud_sync.adapters.memory.view_log import MemoryViewLog
from cloud_sync.content import content_hash
from cloud_sync.stream.view import HistoryGone, Page, coalesce


class Forgetful(MemoryViewLog):
    """The control of model and simulator."""

    def compact(self, station_id: str, now: datetime, *, keep: int) -> int:
        """Forget everything."""
        view = self._views[station_id]
        view.log.clear()
        return view.head.compacted_rev

    def read(self, station_id: str, epoch: UUID, from_rev: int, limit: int) -> Page:
        """Give what is left, as if nothing were missing."""
        view = self._views[station_id]
        if view.head.epoch != epoch:
            raise HistoryGone(station_id)
        left = [self._line(view, *line) for line in view.log if line[0] > from_rev]
        changes = coalesce(line.change for line in left if line.change is not None)
        hashes = tuple(content_hash(change) for change in changes)
        return Page(from_rev, view.head.head_rev, changes, hashes)
