"""What the station holds of riders now: the gallery, the ride-code keys and the lease on both.

One writer, the thread that follows the cloud, calls `apply`, `reset`, `renew` and `sweep`. Lanes
read `standing`, `keys` and `gallery` at any time; each is swapped as a whole.
"""

from collections.abc import Callable, Iterable, Sequence
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

    def __init__(self, gallery: Gallery, threshold_for: ThresholdFor) -> None:
        """Start with an empty gallery and no lease.

        Args:
            gallery: Empty; from here on changed only through this object.
            threshold_for: From the model card's calibration and the station's target FPIR.
        """
        self._gallery = gallery
        self._threshold_for = threshold_for
        self._foreign: set[UUID] = set()
        self._keys: dict[int, IssuerKey] = {}
        self._ring = KeyRing()
        self._standing = Standing(0, 0, None, Lease())

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

    def apply(self, changes: Sequence[Change]) -> None:
        """Take a run of changes; they count for every decision that starts afterwards."""
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

    def reset(self, changes: Iterable[Change]) -> None:
        """Hold what these changes give, starting from nothing, and no more than that."""
        changes = tuple(changes)
        fold = sort_changes(changes, self._gallery.space)
        self._restand(at_least=max(self._gallery.size, len(fold.puts)))
        self._gallery.replace(fold.puts)
        self._foreign.clear()
        self._keys.clear()
        held = {template.rider_ref for template in fold.puts}
        # The templates are in; the rest of `apply` still has the keys and the foreign to note.
        self.apply([c for c in changes if not _is_held(c, held)])

    def renew(self, lease: Lease, anchor: Anchor | None) -> None:
        """Take the lease that is on disk, and the cloud's time as heard in this process."""
        self._standing = replace(self._standing, lease=lease, anchor=anchor)

    def sweep(self, now: datetime) -> int:
        """Forget the templates whose own time is up, and return how many there were."""
        gone = self._gallery.expired(now)
        if gone:
            self._gallery.apply((), gone)
            self._restand()
        return len(gone)

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
