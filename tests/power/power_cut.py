"""Runs of an outbox on a recorded disk, and the judgement of what each power cut leaves of them."""

import itertools
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random
from uuid import UUID

import apsw

from cloud_sync.adapters.disk.files import Disk
from cloud_sync.adapters.disk.outbox_file import Synchronous
from cloud_sync.adapters.disk.sqlite_outbox import SqliteConfig, SqliteOutbox
from cloud_sync.taps.signing import NodeKey
from edge_gate.barrier import Barrier
from edge_gate.tapping import Credential, MayPass, Place, Tapper
from fare.tap import Direction, Medium, Tap
from tests.power.recorder import Fate, Recorder, RecordingDisk, recording
from tests.taps import START, tap

KEY = NodeKey(bytes(range(32)))
FILE = "outbox.db"

SHIPPED: Synchronous = SqliteConfig().synchronous
"""What a node runs with: the tests cut the power of the shipped setting, not of a stated one."""


def ids(first: int) -> Iterator[UUID]:
    """Give outbox ids that are the same in every run."""
    return (UUID(int=number) for number in itertools.count(first))


@dataclass(slots=True)
class Run:
    """What the gate believed, and since which operation of the disk."""

    recorder: Recorder
    ready: list[tuple[int, UUID]] = field(default_factory=list)
    """The outbox was open for service."""
    durable: list[tuple[int, Tap]] = field(default_factory=list)
    """`append` returned: the barrier may be open."""
    asked: list[tuple[int, Tap]] = field(default_factory=list)
    """`append` was called."""
    acknowledged: list[tuple[int, int]] = field(default_factory=list)
    """The cloud had acknowledged up to here when this was asked to be noted."""
    pruned: list[tuple[int, int]] = field(default_factory=list)
    """Places up to here were allowed to be forgotten."""

    @property
    def now(self) -> int:
        """How many operations the disk has seen."""
        return len(self.recorder.ops)


@dataclass(frozen=True, slots=True)
class Cut:
    """One power cut: after how many operations, with which luck."""

    at: int
    fate: Fate
    seed: int


@contextmanager
def opened(run: Run, vfs: str, synchronous: Synchronous, first_id: int) -> Iterator[SqliteOutbox]:
    """Open the real adapter on the recorded disk and note when it was ready."""
    outbox = SqliteOutbox(
        run.recorder.folder / FILE,
        KEY,
        new_id=ids(first_id).__next__,
        config=SqliteConfig(synchronous=synchronous, vfs=vfs, wal_pages=12),
        disk=RecordingDisk(run.recorder),
    )
    try:
        run.ready.append((run.now, outbox.outbox_id))
        yield outbox
    finally:
        outbox.close()


def run_taps(folder: Path, count: int, *, synchronous: Synchronous = SHIPPED) -> Run:
    """Make an outbox and let `count` riders through, with acknowledgements and a pruning between.

    Twelve pages of WAL before each checkpoint put several checkpoints and WAL restarts in the run.
    """
    with recording(folder) as (recorder, vfs):
        run = Run(recorder)
        with opened(run, vfs, synchronous, 100) as outbox:
            for number in range(count):
                pass_one(run, outbox, number)
                if number % 5 == 4:
                    run.acknowledged.append((run.now, number - 1))
                    outbox.acknowledge(outbox.outbox_id, number - 1)
                if number == count // 2:
                    run.pruned.append((run.now, number // 2))
                    outbox.prune(START + timedelta(seconds=number // 2))
    return run


def run_gate(folder: Path, riders: int, *, synchronous: Synchronous = SHIPPED) -> Run:
    """Let riders through a real tapper; what counts is when it gave permission to open."""
    with recording(folder) as (recorder, vfs):
        run = Run(recorder)
        with opened(run, vfs, synchronous, 100) as outbox:
            tapper = Tapper(outbox, entropy=Random(1).randbytes, now=START)
            for number in range(riders):
                asked_at = run.now
                outcome = tapper.present(
                    Place("bell-tower", "lane-1", Direction.ENTRY),
                    Credential(UUID(int=number), Medium.FACE, "open-512", 6_000),
                    barrier=Barrier(),
                    now=START + timedelta(seconds=number),
                    clock_error_ms=3,
                )
                assert isinstance(outcome, MayPass)
                run.asked.append((asked_at, outcome.tap))
                run.durable.append((run.now, outcome.tap))
    return run


def run_again(folder: Path, before: Run, cut: Cut, count: int) -> Run:
    """Start again on what a cut left of an earlier run, and let `count` more riders through."""
    lay_out(before.recorder, cut, folder)
    with recording(folder) as (recorder, vfs):
        run = Run(recorder)
        run.asked = [(-1, t) for asked_at, t in before.asked if asked_at < cut.at]
        run.durable = [(0, t) for durable_at, t in before.durable if durable_at <= cut.at]
        run.acknowledged = [(-1, seq) for asked_at, seq in before.acknowledged if asked_at < cut.at]
        run.pruned = [(-1, seq) for asked_at, seq in before.pruned if asked_at < cut.at]
        with opened(run, vfs, SHIPPED, 500) as outbox:
            # What the gate has read is sent and shown: it must not vanish later.
            found = [s.tap for s in outbox.since(0, 10_000)]
            run.asked = [each for each in run.asked if each[1] in (*found, *_taps(run.durable))]
            run.durable += [(run.now, t) for t in found if t not in _taps(run.durable)]
            for number in range(1_000, 1_000 + count):
                pass_one(run, outbox, number)
    return run


def _taps(noted: Sequence[tuple[int, Tap]]) -> list[Tap]:
    return [each for _, each in noted]


def run_on_damage(folder: Path) -> Run:
    """Open a file in which one of four pending taps is damaged, and let two more riders through."""
    with SqliteOutbox(folder / FILE, KEY, new_id=ids(100).__next__) as outbox:
        for number in range(6):
            outbox.append(tap(number))
        outbox.acknowledge(outbox.outbox_id, 2)
    connection = apsw.Connection(str(folder / FILE))
    # The taps stay in the WAL, as a killed process leaves them.
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("UPDATE tap SET signature = zeroblob(64) WHERE seq = 4")
    connection.close()
    with recording(folder) as (recorder, vfs):
        run = Run(recorder)
        run.durable = [(0, tap(number)) for number in (2, 4, 5)]
        run.asked = [(-1, tap(number)) for number in (2, 4, 5)]
        with opened(run, vfs, SHIPPED, 500) as outbox:
            for number in (6, 7):
                pass_one(run, outbox, number)
    return run


def pass_one(run: Run, outbox: SqliteOutbox, number: int) -> None:
    """Let one rider through, noting when the tap was asked for and when it was durable."""
    run.asked.append((run.now, tap(number)))
    outbox.append(tap(number))
    run.durable.append((run.now, tap(number)))


def cuts(run: Run, *, first: int = 0, torn: int) -> Iterator[Cut]:
    """Give every place for a cut, each with everything kept, everything lost, and torn variants."""
    for at in range(first, run.now + 1):
        yield Cut(at, "kept", 0)
        yield Cut(at, "lost", 0)
        for seed in range(torn):
            yield Cut(at, "torn", seed)


@dataclass(frozen=True, slots=True)
class Aftermath:
    """What the adapter finds after a cut."""

    lost: tuple[Tap, ...]
    """Taps whose `append` had returned before the cut, and that are neither in the file nor
    forgotten with leave."""
    strange: tuple[str, ...]
    """Everything else that must not be: an unknown tap, a gap, a damaged file, a lost queue."""


def aftermath(run: Run, cut: Cut, folder: Path) -> Aftermath:
    """Lay out what a cut leaves, open it with the real adapter, and judge."""
    lay_out(run.recorder, cut, folder)
    # What is found does not depend on how it is synced; not waiting makes thousands of cuts quick.
    outbox = SqliteOutbox(
        folder / FILE,
        KEY,
        new_id=ids(900).__next__,
        config=SqliteConfig(synchronous="OFF"),
        disk=_Hasty(),
    )
    with outbox:
        return judge(run, cut.at, outbox)


class _Hasty(Disk):
    """Does not wait for names to be durable."""

    def sync_folder(self, folder: Path) -> None:
        """Do nothing."""


def lay_out(recorder: Recorder, cut: Cut, folder: Path) -> None:
    """Write the files that a cut leaves into an empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    image = recorder.image(cut.at, cut.fate, Random(f"{cut.at}/{cut.seed}"))
    for name, content in image.items():
        (folder / name).write_bytes(content)


def judge(run: Run, at: int, outbox: SqliteOutbox) -> Aftermath:
    """Compare what the outbox holds with what the gate was told before the cut."""
    kept = outbox.since(0, 10_000)
    forgettable = max((seq for asked_at, seq in run.pruned if asked_at < at), default=0)
    durable = [t for durable_at, t in run.durable if durable_at <= at]
    lost = set(durable[forgettable:]) - {s.tap for s in kept}
    return Aftermath(
        tuple(sorted(lost, key=lambda t: t.tap_time)),
        tuple(_strange(run, at, outbox, [s.seq for s in kept], [s.tap for s in kept])),
    )


def _strange(
    run: Run, at: int, outbox: SqliteOutbox, places: Sequence[int], taps: Sequence[Tap]
) -> Iterator[str]:
    ready = [outbox_id for ready_at, outbox_id in run.ready if ready_at <= at]
    # Before the outbox was ready the damage may be an old one that is still to be dealt with.
    if ready and outbox.opening.damage:
        yield f"declared damaged: {outbox.opening.damage}"
    if ready and outbox.outbox_id != ready[-1]:
        yield "another outbox id"
    asked = [t for asked_at, t in run.asked if asked_at < at]
    if taps and list(taps) != asked[places[0] - 1 :][: len(taps)]:
        yield "taps out of order, or never asked for"
    if list(places) != list(range(places[0], places[0] + len(places)) if places else ()):
        yield "a gap"
    known = max((seq for asked_at, seq in run.acknowledged if asked_at < at), default=0)
    pending = [s.seq for s in outbox.pending(10_000)]
    if [seq for seq in places if seq > known and seq not in pending]:
        yield "a tap left the queue without acknowledgement"
    before = places[-1] if places else 0
    if outbox.append(tap(9_999)).seq != max(before, outbox.opening.end.seq) + 1:
        yield "the sequence does not go on"
