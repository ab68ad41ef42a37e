"""What the station holds of riders now: the gallery, the ride-code keys, the orders, the lease.

The thread that follows the cloud calls `follow` and `renew`, chores call `sweep` and
`examine`; they take turns. Lanes read `standing`, `keys`, `orders` and `gallery` at any time; each
is swapped as a whole.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from cloud_sync.gallery import (
    Change,
    Delta,
    DropKey,
    DropSetting,
    IssuerKey,
    PutDenial,
    PutKey,
    PutSetting,
    SettingName,
)
from cloud_sync.stream.lease import Anchor, Lease
from cloud_sync.stream.replica import Holding
from edge_gate.decide import Standing
from edge_gate.orders import Orders, without_ended
from edge_gate.ride_code import KeyRing
from edge_gate.search import Sorted, sort_changes, sort_templates, turned_space
from edge_gate.tiers import Tiers
from fare.log import say

_LOG = logging.getLogger(__name__)

ThresholdFor = Callable[[int, float], float | None]
"""Size of a gallery and target FPIR to the least cosine that opens; None where a face alone may
not."""


@dataclass(frozen=True, slots=True)
class TiersConfig:
    """How the station's promise to strangers is divided between its two searches."""

    target_fpir: float = 1e-2
    """Share of strangers' approaches that may open wrongly, by both searches together, above 0,
    below 1."""
    second_share: float = 0.2
    """The part of it that the second tier may use, above 0, below 1; the first has the rest. The
    chance that either search errs is at most the sum of both, so the promise holds for any share.
    Measured with `open`, one photo, 1,000 riders in the first tier and a target of 1e-2: a fifth
    refuses half a percent more of the first tier's riders and lets 8,730 into the second, a half
    refuses 2.5 % more and lets 21,858 in. The first tier has nearly all passages, so it keeps most.
    Where no second tier opens, because there is none or more than the model supports, the first
    has all of it."""

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ValueError: One is out of range.
        """
        if not (0 < self.target_fpir < 1 and 0 < self.second_share < 1):
            raise ValueError(f"out of range: {self}")


class Holdings:
    """A station's gallery, keys and orders."""

    def __init__(
        self,
        gallery: Tiers,
        threshold_for: ThresholdFor,
        *,
        config: TiersConfig | None = None,
        turn: AbstractContextManager[object] | None = None,
    ) -> None:
        """Start with an empty gallery and no lease.

        Args:
            gallery: Empty; from here on changed only through this object.
            threshold_for: From the model card's calibration.
            config: The station's target FPIR and its split.
            turn: A reusable context that one thread at a time can hold; give a lock where the
                writers are threads.
        """
        self._turn = turn or nullcontext()
        self._gallery = gallery
        self._threshold_for = threshold_for
        self._config = config or TiersConfig()
        self._foreign: set[UUID] = set()
        self._keys: dict[int, IssuerKey] = {}
        self._ring = KeyRing()
        self._orders = Orders()
        self._standing = Standing(0, 0, None, Lease())
        self._revision = 0

    @property
    def gallery(self) -> Tiers:
        """To search in."""
        return self._gallery

    @property
    def keys(self) -> KeyRing:
        """The ride-code keys trusted now."""
        return self._ring

    @property
    def orders(self) -> Orders:
        """Deny list, mode and the other documents in force now."""
        return self._orders

    @property
    def standing(self) -> Standing:
        """What the gallery is worth now."""
        return self._standing

    @property
    def target_fpir(self) -> float:
        """The station's target for both searches together: the operator's, else its own."""
        override = self._orders.threshold.target_fpir
        return self._config.target_fpir if override is None else override

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
            self._orders = self._orders.after(changes)
            self._take(changes)
            self._examine(all_of_them=False)
            self._revision = self._revision if revision is None else revision

    def replace(self, holding: Holding) -> None:
        """Hold what the replica holds, and no more than that.

        Args:
            holding: After a start or a snapshot; at most one template a rider.
        """
        space = turned_space(self._gallery.space, holding.rotation)
        fold = sort_templates(holding.templates, space)
        _alarm(fold)
        second = fold.puts.tiers.count(2)
        first = len(fold.puts) - second
        with self._turn:
            self._orders = _replaced(self._orders, holding)
            self._restand(
                at_least=(
                    max(self._gallery.size, first),
                    max(self._gallery.second_size, second),
                )
            )
            self._gallery.replace(fold.puts, rotation=holding.rotation)
            self._foreign = set(fold.foreign)
            self._keys = {key.key_id: key for key in holding.keys}
            self._restand()
            self._examine(all_of_them=True)
            self._revision = holding.rev

    def follow(self, news: Delta | Holding) -> None:
        """Hold what the replica holds after this; counted from the next decision on.

        Args:
            news: A delta that was applied, or everything after a start or a snapshot.
        """
        if isinstance(news, Delta):
            self.apply(news.changes, revision=news.to_rev)
        else:
            self.replace(news)

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

    def end_denials(self) -> int:
        """Forget the denials that ended before the time that is known to have passed.

        On the disk they stay until the cloud drops them, since the disk holds what the view holds.

        Returns:
            How many there were.
        """
        mark = self._standing.lease.mark
        if mark is None:
            return 0
        with self._turn:
            before = len(self._orders.denials)
            self._orders = without_ended(self._orders, mark)
            return before - len(self._orders.denials)

    def examine(self) -> bool:
        """Look for all canaries; a gallery that lost one opens for nobody and is built anew.

        Returns:
            Whether the gallery is sound now.
        """
        with self._turn:
            return self._examine(all_of_them=True)

    def _examine(self, *, all_of_them: bool) -> bool:
        if self._gallery.sound(all_of_them=all_of_them):
            if not self._standing.intact:
                self._standing = replace(self._standing, intact=True)
            return True
        self._standing = replace(self._standing, intact=False)
        say(_LOG, "gallery_broken", level=logging.CRITICAL, revision=self._revision)
        self._gallery.rebuild()
        sound = self._gallery.sound(all_of_them=True)
        if sound:
            self._standing = replace(self._standing, intact=True)
            say(_LOG, "gallery_rebuilt", level=logging.WARNING, revision=self._revision)
        return sound

    def _take(self, changes: Sequence[Change]) -> None:
        fold = sort_changes(changes, self._gallery.template_space)
        _alarm(fold)
        # First the stricter threshold, then the larger gallery: a search in between must not be
        # judged by what fewer templates would have allowed.
        coming = [fold.puts.tiers.count(tier) for tier in (1, 2)]
        self._restand(
            at_least=(self._gallery.size + coming[0], self._gallery.second_size + coming[1])
        )
        self._gallery.apply(fold.puts, fold.drops)
        self._foreign.difference_update((put.rider_ref for put in fold.puts), fold.drops)
        self._foreign.update(fold.foreign)
        for change in changes:
            match change:
                case PutKey(key):
                    self._keys[key.key_id] = key
                case DropKey(key_id):
                    self._keys.pop(key_id, None)
        self._restand()

    def _restand(self, *, at_least: tuple[int, int] = (0, 0)) -> None:
        size, second_size = self._gallery.size, self._gallery.second_size
        first, second = self._thresholds(max(size, at_least[0]), max(second_size, at_least[1]))
        self._standing = replace(
            self._standing,
            size=size,
            second_size=second_size,
            foreign=len(self._foreign),
            threshold=first,
            second_threshold=second,
            margin_min=self._orders.threshold.margin_min,
        )
        self._ring = KeyRing(self._keys.values())

    def _thresholds(self, size: int, second_size: int) -> tuple[float | None, float | None]:
        """Return both tiers' thresholds; see `TiersConfig.second_share` for the split."""
        target, share = self.target_fpir, self._config.second_share
        second = self._threshold_for(second_size, share * target) if second_size else None
        left = target if second is None else (1 - share) * target
        return self._threshold_for(size, left) if size else None, second


def _alarm(fold: Sorted) -> None:
    if fold.poisoned:
        say(_LOG, "template_refused", level=logging.ERROR, count=len(fold.poisoned))


def _replaced(orders: Orders, holding: Holding) -> Orders:
    """Return the orders of a holding.

    A document that cannot be read leaves the last good one in force; one that the holding has no
    word of is none.
    """
    told = {setting.name for setting in holding.settings}
    changes: tuple[Change, ...] = (
        *map(PutDenial, holding.denials),
        *map(PutSetting, holding.settings),
        *(DropSetting(name) for name in SettingName if name not in told),
    )
    return replace(orders, denials=Orders().denials).after(changes)
