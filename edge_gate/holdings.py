"""What the station holds of riders now: the gallery, the ride-code keys and the lease on both.

The thread that follows the cloud calls `apply`, `reset` and `renew`, a chore calls `sweep`; they
take turns. Lanes read `standing`, `keys` and `gallery` at any time; each is swapped as a whole.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from cloud_sync.gallery import Change, DropKey, DropTemplate, IssuerKey, PutKey, PutTemplate
from cloud_sync.lease import Anchor, Lease
from edge_gate.decide import Standing
from edge_gate.ride_code import KeyRing
from edge_gate.search import Gallery, sort_changes, space_of

ThresholdFor = Callable[[int], float | None]
"""Size of a gallery to the least cosine that opens; None where a face alone may not."""


class Holdings:
    """A station's gallery and keys."""

    def __init__(
        self,
        gallery: Gallery,
        threshold_for: ThresholdFor,
        *,
        turn: AbstractContextManager[object] | None = None,
    ) -> None:
        """Start with an empty gallery and no lease.

        Args:
            gallery: Empty; from here on changed only through this object.
            threshold_for: From the model card's calibration and the station's target FPIR.
            turn: A reusable context that one thread at a time can hold; give a lock where the
                writers are threads.
        """
        self._turn = turn or nullcontext()
        self._gallery = gallery
        self._threshold_for = threshold_for
        self._foreign: set[UUID] = set()
        self._keys: dict[int, IssuerKey] = {}
        self._ring = KeyRing()
        self._standing = Standing(0, 0, None, Lease())
        self._revision = 0

    @property
    def gallery(self) -> Gallery:
        """To search in."""
        return self._gallery

    @property
    def keys(self) -> KeyRing:
        """The ride-code keys trusted now."""
        return self._ring

    @property
    def standing(self) -> Standing:
        """What the gallery is worth now."""
        return self._standing

    @property
    def revision(self) -> int:
        """The revision of the station's view that this is; 0 before the first."""
        return self._revision

    def apply(self, changes: Sequence[Change], *, revision: int | None = None) -> None:
        """Take a run of changes; they count for every decision that starts afterwards.

        Args:
            changes: In the order of their revisions.
            revision: Of the view after them, where they come from one.
        """
        with self._turn:
            self._take(changes)
            self._revision = self._revision if revision is None else revision

    def reset(self, changes: Iterable[Change], *, revision: int | None = None) -> None:
        """Hold what these changes give, starting from nothing, and no more than that.

        Args:
            changes: In the order of their revisions.
            revision: Of the view after them, where they come from one.
        """
        changes = tuple(changes)
        fold = sort_changes(changes, self._gallery.space)
        held = {template.rider_ref for template in fold.puts}
        with self._turn:
            self._restand(at_least=max(self._gallery.size, len(fold.puts)))
            self._gallery.replace(fold.puts)
            self._foreign.clear()
            self._keys.clear()
            # The templates are in; the keys and the foreign are still to be noted.
            self._take([c for c in changes if not _is_held(c, held)])
            self._revision = self._revision if revision is None else revision

    def renew(self, lease: Lease, anchor: Anchor | None) -> None:
        """Take the lease that is on disk, and the cloud's time as heard in this process."""
        with self._turn:
            self._standing = replace(self._standing, lease=lease, anchor=anchor)

    def sweep(self, now: datetime) -> int:
        """Forget the templates whose own time is up, and return how many there were."""
        gone = self._gallery.expired(now)
        if gone:
            with self._turn:
                self._gallery.apply((), gone)
                self._restand()
        return len(gone)

    def _take(self, changes: Sequence[Change]) -> None:
        fold = sort_changes(changes, self._gallery.space)
        # First the stricter threshold, then the larger gallery: a search in between must not be
        # judged by what fewer templates would have allowed.
        self._restand(at_least=self._gallery.size + len(fold.puts))
        self._gallery.apply(fold.puts, fold.drops)
        for change in changes:
            match change:
                case PutTemplate(template):
                    if space_of(template) == self._gallery.space:
                        self._foreign.discard(template.rider_ref)
                    else:
                        self._foreign.add(template.rider_ref)
                case DropTemplate(rider_ref):
                    self._foreign.discard(rider_ref)
                case PutKey(key):
                    self._keys[key.key_id] = key
                case DropKey(key_id):
                    self._keys.pop(key_id, None)
        self._restand()

    def _restand(self, *, at_least: int = 0) -> None:
        size = self._gallery.size
        judged = max(size, at_least)
        self._standing = replace(
            self._standing,
            size=size,
            foreign=len(self._foreign),
            threshold=self._threshold_for(judged) if judged else None,
        )
        self._ring = KeyRing(self._keys.values())


def _is_held(change: Change, held: set[UUID]) -> bool:
    return isinstance(change, PutTemplate | DropTemplate) and (
        (change.template.rider_ref if isinstance(change, PutTemplate) else change.rider_ref) in held
    )
