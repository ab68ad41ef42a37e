"""The power is cut at every operation of the gallery's disk: old or new, never half."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal
from uuid import UUID

import pytest

from cloud_sync.adapters.disk.sqlite_replica import ReplicaConfig, SqliteReplica
from cloud_sync.gallery import Change, Delta, DropTemplate, IssuerKey, PutKey
from cloud_sync.stream.lease import Lease
from cloud_sync.stream.messages import Repair
from cloud_sync.stream.replica import Replica
from tests.power.power_cut import Cut, lay_out
from tests.power.recorder import Recorder, RecordingDisk, recording
from tests.templates import EPOCH, deny, put, rider, setting, snapshot

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
FILE = "gallery.db"
SHIPPED = ReplicaConfig().synchronous
"""What a node runs with."""
OTHER = UUID(int=2)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a replica holds, as far as gates care."""

    epoch: UUID | None
    rev: int
    riders: frozenset[UUID]
    keys: frozenset[int]
    denied: frozenset[UUID]
    settings: frozenset[bytes]
    lease: Lease

    @classmethod
    def of(cls, replica: Replica) -> "Seen":
        """Look at a replica."""
        standing, holding = replica.standing(), replica.load()
        return cls(
            standing.epoch,
            standing.applied_rev,
            frozenset(one.rider_ref for one in holding.templates),
            frozenset(key.key_id for key in holding.keys),
            frozenset(one.rider_ref for one in holding.denials),
            frozenset(one.body for one in holding.settings),
            standing.lease,
        )


@dataclass(slots=True)
class Run:
    """What happened, and how many operations had been done when it was durable."""

    recorder: Recorder
    states: list[tuple[int, Seen]] = field(default_factory=list)

    def note(self, replica: Replica) -> None:
        """Note what is held now."""
        self.states.append((len(self.recorder.ops), Seen.of(replica)))


def follow(folder: Path, *, synchronous: Literal["FULL", "NORMAL"] = SHIPPED) -> Run:
    """Take a snapshot, deltas with drops, leases, and another snapshot, all recorded."""
    folder.mkdir()
    with recording(folder) as (recorder, vfs):
        run = Run(recorder)
        config = ReplicaConfig(synchronous, vfs)
        replica = SqliteReplica(folder / FILE, config=config, disk=RecordingDisk(recorder))
        run.note(replica)
        crowd = [put(f"rider {number}") for number in range(6)]
        _swap(run, replica, crowd, rev=7)
        replica.renew_lease(NOON + timedelta(hours=24), NOON)
        run.note(replica)
        for number in range(4):
            changes = (DropTemplate(rider(f"rider {number}")), put(f"late {number}"))
            replica.apply(Delta(EPOCH, 7 + number, 8 + number, changes))
            run.note(replica)
        replica.apply(
            Delta(EPOCH, 11, 12, (PutKey(IssuerKey(3, bytes(32))), deny("Ana"), setting()))
        )
        run.note(replica)
        replica.expel((DropTemplate(rider("late 0")),))
        run.note(replica)
        repair = Repair(1, EPOCH, 12, tuple(range(256)), (put("late 1"), deny("Ben")), ())
        replica.mend(repair)
        run.note(replica)
        _swap(run, replica, [put("Ana"), put("Ben"), put("Cleo")], rev=40, epoch=OTHER)
        replica.renew_lease(NOON + timedelta(hours=30), NOON + timedelta(hours=6))
        run.note(replica)
        replica.apply(Delta(OTHER, 40, 41, (DropTemplate(rider("Ana")),)))
        run.note(replica)
        replica.close()
    return run


def _swap(
    run: Run, replica: Replica, changes: Sequence[Change], *, rev: int, epoch: UUID = EPOCH
) -> None:
    """Take a snapshot in chunks of two."""
    chunks = -(-len(changes) // 2)
    replica.begin_snapshot(snapshot(*changes, rev=rev, chunks=chunks, epoch=epoch))
    for index in range(chunks):
        replica.stage(index, changes[2 * index : 2 * index + 2])
    replica.finish_snapshot()
    run.note(replica)


def found_after(run: Run, cut: Cut, folder: Path) -> Seen:
    """Open what a cut leaves."""
    lay_out(run.recorder, cut, folder)
    replica = SqliteReplica(folder / FILE, config=ReplicaConfig("NORMAL"))
    try:
        return Seen.of(replica)
    finally:
        replica.close()


def allowed(run: Run, at: int) -> list[Seen]:
    """Return what may be there after a cut: what was durable, or what was being written."""
    done = [seen for when, seen in run.states if when <= at]
    coming = [seen for when, seen in run.states if when > at]
    nothing = Seen(None, 0, frozenset(), frozenset(), frozenset(), frozenset(), Lease())
    return [done[-1] if done else nothing, *coming[:1]]


def cuts(run: Run, *, every: int, torn: int) -> list[Cut]:
    """Return places for cuts, with everything kept, everything lost, and torn variants."""
    found = []
    for at in range(0, len(run.recorder.ops) + 1, every):
        found += [Cut(at, "kept", 0), Cut(at, "lost", 0)]
        found += [Cut(at, "torn", seed) for seed in range(torn)]
    return found


class TestPowerCut:
    """Cuts during chunks, deltas, checkpoints and the swap of files."""

    def test_leaves_old_or_new(self, tmp_path: Path) -> None:
        """After any cut the replica stands at a revision it had, with exactly its content."""
        run = follow(tmp_path / "run")

        places = cuts(run, every=2, torn=1)
        for cut in places:
            assert found_after(run, cut, tmp_path / "image") in allowed(run, cut.at), cut

        assert len(places) > 150

    def test_normal_forgets_what_was_acknowledged(self, tmp_path: Path) -> None:
        """Control: without waiting for the disk an acknowledged deletion comes back."""
        run = follow(tmp_path / "run", synchronous="NORMAL")

        lost = [
            cut
            for cut in cuts(run, every=7, torn=0)
            if found_after(run, cut, tmp_path / "image") not in allowed(run, cut.at)
        ]

        assert lost

    @pytest.mark.power
    @pytest.mark.timeout(600)
    def test_leaves_old_or_new_at_length(self, tmp_path: Path) -> None:
        """The same with twenty torn variants of every cut."""
        run = follow(tmp_path / "run")

        for cut in cuts(run, every=1, torn=20):
            assert found_after(run, cut, tmp_path / "image") in allowed(run, cut.at), cut
