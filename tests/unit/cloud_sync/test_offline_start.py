"""A node that starts without the cloud: its lease must run out all the same."""

import threading
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest

from cloud_sync.adapters.grpc.channel import Badge, NoBadge
from cloud_sync.adapters.grpc.follower import FollowerConfig, GalleryFollower
from cloud_sync.adapters.memory.replica import MemoryReplica
from cloud_sync.content import Space
from cloud_sync.gallery import Delta, DropTemplate
from cloud_sync.stream.follow_signals import Apply
from cloud_sync.stream.lease import Anchor, Lease, assumed, is_usable
from cloud_sync.stream.replica import Holding, ReplicaFailed
from tests.templates import EPOCH, SPACE, put, rider, snapshot
from tests.trust import source

HOUR = timedelta(hours=1)
NOBODY = "127.0.0.1:1"


@dataclass
class SetClock:
    """Clocks in the test's hand."""

    now: datetime
    now_s: float = 100.0

    def wall(self) -> datetime:
        """Return the wall clock."""
        return self.now

    def monotonic_s(self) -> float:
        """Return the monotonic clock."""
        return self.now_s


def no_badge() -> Badge:
    """End a connection before its hello."""
    raise NoBadge("none here")


class HalfWritten(MemoryReplica):
    """A disk that takes a change, and fails before it says so."""

    def apply(self, delta: Delta) -> None:
        """Apply it, then fail."""
        super().apply(delta)
        raise ReplicaFailed("the folder could not be synced")


class TestFailedWrite:
    """A write that reached the disk although it failed."""

    def test_is_in_force_before_the_cloud_is_told_of_it(self, noon: datetime) -> None:
        """The next hello says that the drop is there; the gates must have forgotten by then."""
        replica = HalfWritten()
        changes = (put("Ana"),)
        replica.begin_snapshot(snapshot(*changes, rev=30))
        replica.stage(0, changes)
        replica.finish_snapshot()
        told: list[Delta | Holding] = []
        follower = GalleryFollower(
            replica,
            told.append,
            lambda *_: None,
            config=FollowerConfig(NOBODY, "edge", "bei", SPACE, no_badge),
            clock=SetClock(noon),
            draw=lambda: 0.0,
        )
        follower.wake()
        drop = Delta(EPOCH, 30, 31, (DropTemplate(rider("Ana")),))

        follower._store(Apply(1, drop))
        assert follower._connection(threading.Event()) == "none here"

        before, after = told
        assert isinstance(before, Holding)
        assert isinstance(after, Holding)
        assert (len(before.templates), len(after.templates)) == (1, 0)
        assert replica.standing().applied_rev == 31


class TestOfflineStart:
    """The first lease that a station hears of after a restart."""

    def test_a_clock_set_back_after_an_offline_start_does_not_extend(self, noon: datetime) -> None:
        """Started at one o'clock, a day's lease from noon ends 23 hours later by any clock."""
        replica = MemoryReplica()
        replica.renew_lease(noon + 24 * HOUR, noon)
        heard: list[tuple[Lease, Anchor | None]] = []
        follower = GalleryFollower(
            replica,
            lambda _: None,
            lambda lease, anchor: heard.append((lease, anchor)),
            config=FollowerConfig(NOBODY, "edge", "bei", Space("m"), source("edge", "bei")),
            clock=SetClock(noon + HOUR),
            draw=lambda: 0.0,
        )
        stop = threading.Event()
        stop.set()
        follower.run(stop)
        ((lease, anchor),) = heard

        def usable(after_s: float) -> bool:
            return is_usable(lease, anchor, wall=noon, monotonic_s=100.0 + after_s)

        assert (usable(0), usable(23 * 3600 - 1), usable(23 * 3600)) == (True, True, False)
        # Control: without an anchor the same clock opens gates for ever.
        assert is_usable(lease, None, wall=noon, monotonic_s=1e9)

    @pytest.mark.parametrize("behind", [timedelta(0), timedelta(seconds=30), 5 * HOUR])
    def test_time_never_starts_before_the_mark(self, noon: datetime, behind: timedelta) -> None:
        """A wall clock that is behind what is known to have passed is not believed."""
        anchor = assumed(Lease(noon + HOUR, noon), wall=noon - behind, monotonic_s=7.0)

        assert anchor == Anchor(noon, 7.0)

    def test_nothing_is_assumed_without_a_lease(self, noon: datetime) -> None:
        """A node that never heard the cloud has nothing to measure."""
        assert assumed(Lease(), wall=noon, monotonic_s=7.0) is None
