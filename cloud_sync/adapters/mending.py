"""The cloud's half of anti-entropy: compares a digest with the view, and cuts the repair."""

from dataclasses import dataclass, field

from cloud_sync.content import key_of
from cloud_sync.digest import bucket_of, differing, grouped, summed
from cloud_sync.gallery import PutSetting, PutTemplate
from cloud_sync.messages import Digest, Repair
from cloud_sync.serve_signals import Compared, SendRepair
from cloud_sync.view import Roll, ViewLog, Whole

_REPAIR_BYTES = 1024 * 1024
"""In one message, about; some four buckets of a view of 50,000."""
_ITEM_BYTES = 1_100
_SMALL_BYTES = 100


@dataclass(slots=True)
class Digests:
    """The digest of each view as it was computed last; 4 kB a station, shared by its edges."""

    kept: dict[str, tuple[Roll, bytes, bytes]] = field(default_factory=dict)

    def of(self, station_id: str, roll: Roll, key: bytes) -> bytes:
        """Return the digest of a view.

        Args:
            station_id: Whose view.
            roll: What it holds.
            key: Of the station and epoch.
        """
        found = self.kept.get(station_id)
        if found is not None:
            old, old_key, buckets = found
            if (old.epoch, old.rev, old_key) == (roll.epoch, roll.rev, key):
                return buckets
        buckets = summed(roll.items, key)
        self.kept[station_id] = (Roll(roll.epoch, roll.rev, ()), key, buckets)
        return buckets


class Mending:
    """One stream's comparisons; to be called in a thread, it takes 0.3 s at 50,000 templates."""

    def __init__(self, views: ViewLog, station_id: str, digests: Digests) -> None:
        """Take where the views are."""
        self._views = views
        self._station_id = station_id
        self._digests = digests
        self._whole: Whole | None = None

    def compared(self, digest: Digest, key: bytes) -> Compared:
        """Return in which buckets edge and view differ.

        Args:
            digest: The edge's.
            key: Of the station and epoch.

        Raises:
            ViewLogFailed: The database did not answer.
        """
        self._whole = None
        roll = self._views.hashes(self._station_id)
        if (roll.epoch, roll.rev) != (digest.epoch, digest.rev):
            return Compared(roll.epoch, roll.rev, ())
        mine = self._digests.of(self._station_id, roll, key)
        buckets = differing(mine, digest.buckets)
        if not buckets:
            return Compared(roll.epoch, roll.rev, ())
        whole = self._views.whole(self._station_id)
        if (whole.epoch, whole.rev) == (roll.epoch, roll.rev):
            self._whole = whole
        sizes = [(bucket, _size(whole, bucket)) for bucket in buckets]
        return Compared(whole.epoch, whole.rev, grouped(sizes, limit=_REPAIR_BYTES))

    def repair(self, effect: SendRepair) -> Repair:
        """Return all that the view has in some buckets.

        Args:
            effect: Follows from the last comparison.
        """
        assert self._whole is not None
        assert (self._whole.epoch, self._whole.rev) == (effect.epoch, effect.rev)
        pairs = zip(self._whole.changes, self._whole.hashes, strict=True)
        found = [pair for pair in pairs if bucket_of(key_of(pair[0])) in effect.buckets]
        return Repair(
            nonce=effect.nonce,
            epoch=effect.epoch,
            rev=effect.rev,
            buckets=effect.buckets,
            changes=tuple(change for change, _ in found),
            hashes=tuple(digest for _, digest in found),
        )


def _size(whole: Whole, bucket: int) -> int:
    total = 0
    for change in whole.changes:
        if bucket_of(key_of(change)) != bucket:
            continue
        match change:
            case PutTemplate():
                total += _ITEM_BYTES
            case PutSetting(setting):
                total += _SMALL_BYTES + len(setting.body)
            case _:
                total += _SMALL_BYTES
    return total
