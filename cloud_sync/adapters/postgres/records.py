"""The items of a whole view as they lie in the database, opened as they are asked for.

A snapshot of 50,000 templates so begins to leave at once, and holds 50 MB of ciphertext while it
is on its way in place of three times as much of vectors.
"""

from collections.abc import Callable, Sequence
from typing import overload

from cloud_sync.adapters.postgres.item_row import Item, puts_of
from cloud_sync.columns import PackedChanges
from cloud_sync.gallery import Change
from cloud_sync.secrecy.key_store import KeysFailed
from cloud_sync.secrecy.safe import Safe
from cloud_sync.stream.view import HistoryGone, ViewLogFailed


class Records(Sequence[Change]):
    """The changes that bring the items; each time that one is read it is opened anew."""

    __slots__ = ("_items", "_on_unread", "_safe")

    def __init__(
        self, items: Sequence[Item], safe: Safe, *, on_unread: Callable[[Sequence[Item]], None]
    ) -> None:
        """Take what was read.

        Args:
            items: As they were read.
            safe: Opens templates.
            on_unread: Takes items that do not open out of the view.
        """
        self._items = items
        self._safe = safe
        self._on_unread = on_unread

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> Change: ...
    @overload
    def __getitem__(self, index: slice) -> PackedChanges: ...
    def __getitem__(self, index: int | slice) -> Change | PackedChanges:
        """Open one item, or some.

        Raises:
            HistoryGone: One does not open. It has been taken out of the view.
            ViewLogFailed: The keys or the database did not answer.
        """
        if isinstance(index, int):
            return self._opened([self._items[index]])[0]
        return self._opened(self._items[index])

    def _opened(self, items: Sequence[Item]) -> PackedChanges:
        try:
            changes, unread = puts_of(items, self._safe)
        except KeysFailed as problem:
            raise ViewLogFailed(str(problem)) from problem
        if unread:
            _, unread = puts_of(self._items, self._safe)  # all of them: each makes a new snapshot
            self._on_unread(unread)
            raise HistoryGone(f"{len(unread)} records do not open and have left the view")
        return changes
