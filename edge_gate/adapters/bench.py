"""The command `bench`: what this machine makes of a lane, against goals and against a rival.

Everything runs on one core, models and search included. Passengers are real faces of a sample
photo, those who look into its camera, walked up by the scene camera. Their frames are composed
beforehand and come at 15 a second to a pipeline that takes its real time (`edge_gate.bench`).
Taps go to a real outbox.
"""

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from cloud_sync.adapters.disk.sqlite_outbox import SqliteOutbox
from cloud_sync.calibration import Calibration
from cloud_sync.content import Space
from cloud_sync.gallery import Template
from cloud_sync.generate import templates
from cloud_sync.stream.lease import Lease
from cloud_sync.stream.replica import Holding
from cloud_sync.taps.signing import NodeKey
from edge_gate.adapters.bench_faces import FPS, faces_camera, film, sample_people, stage
from edge_gate.adapters.bench_rival import Rival, face_analysis
from edge_gate.adapters.bench_search import compare
from edge_gate.adapters.faiss_gallery import FaissGallery
from edge_gate.adapters.pack import open_calibration, open_eye
from edge_gate.adapters.qr import ZxingReader
from edge_gate.adapters.sim_turnstile import SimTurnstile, Walk
from edge_gate.bench import BenchClock, Spread, Walks, at_pace, spread, walk
from edge_gate.eye import Eye
from edge_gate.face import Image
from edge_gate.holdings import Holdings
from edge_gate.lap import Laps
from edge_gate.pipeline import LaneConfig, LanePipeline, Organs
from edge_gate.tapping import Place, Tapper
from edge_gate.tiers import Tiers
from fare.tap import Direction

SIZE = 20_000
"""Templates beside the riders, as a large station holds."""
TARGET_FPIR = 1e-2
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
_RIVAL_WIDTH = 640
"""Pixels; the size that `FaceAnalysis.prepare` takes by default."""
STAGES = (
    "watch", "detect", "track", "align", "quality", "liveness", "embed", "search", "decide",
    "code", "tap",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """What the command line asks for."""

    pack: str
    models: Path
    """The folder of all packs."""
    accept_noncommercial: bool
    quick: bool
    """Few repetitions: whether it works, not how fast it is."""


def run(options: BenchOptions, eye: Eye, *, say: Callable[[str], None] = print) -> int:
    """Measure and say the results; return 0 if all goals were met, else 1.

    Args:
        options: From the command line.
        eye: The opened pack.
        say: Takes one line.
    """
    core = _one_core()
    calibration = open_calibration(options.pack)
    say(f"Gateline bench: model {eye.embedder.model_id}, one core (number {core})")
    busy = os.getloadavg()[0]
    if busy > 0.5:
        say(f"Other programs are running here (load {busy:.1f}), so this machine can do better.")
    with tempfile.TemporaryDirectory(prefix="gateline-bench-") as folder:
        good = _passengers(options, eye, calibration, Path(folder), say)
    return 0 if _searches(calibration, options, say) and good else 1


def _one_core() -> int:
    """Keep this process and its threads on one core, and return its number."""
    core = min(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    return core


def _passengers(
    options: BenchOptions,
    eye: Eye,
    calibration: Calibration,
    folder: Path,
    say: Callable[[str], None],
) -> bool:
    people = sample_people(eye)
    space = Space(eye.embedder.model_id)
    riders = tuple(
        Template(UUID(int=number + 1), 1, space.model_id, "plain", eye.embedding(photo, face))
        for number, (photo, face) in enumerate(people.values())
    )
    known = riders + templates(SIZE, seed=1, model_id=space.model_id)
    threshold = calibration.threshold(len(known), TARGET_FPIR).score
    wide = open_eye(
        options.pack,
        options.models,
        detect_width=_RIVAL_WIDTH,
        accept_noncommercial=options.accept_noncommercial,
    )
    rival = Rival(face_analysis(wide.detector, eye.embedder), known, threshold)
    holdings = _holdings(space, known, threshold)
    names = list(people)
    facing = [name for name, (_, face) in people.items() if faces_camera(face)]
    good = True
    with stage({name: photo for name, (photo, _) in people.items()}) as photos:
        for crowd, title in ((0, "alone"), (5, "with five others in view")):
            clock = BenchClock(time.perf_counter)
            lane = _lane(eye, holdings, clock, folder / f"{crowd}.db")
            ours, theirs = Walks(), Walks()
            for seed in range(6 if options.quick else 30):
                name = facing[seed % len(facing)]
                others = [other for other in names if other != name][:crowd]
                images = film(photos, name, others, seed=seed, eye=eye)
                walk(lane, images, clock, noon=NOON, fps=FPS, into=ours)
                _rival_walk(rival, images, ours.usable_s[-1], theirs)
            say(f"\nAn enrolled rider {title}, {SIZE:,} templates, threshold {threshold:.3f}:")
            good &= _say_walks(ours, theirs, say)
    return good


def _holdings(space: Space, known: Sequence[Template], threshold: float) -> Holdings:
    holdings = Holdings(
        Tiers(FaissGallery(space), FaissGallery(space)), lambda _size, _target: threshold
    )
    holdings.replace(Holding(None, 1, tuple(known), ()))
    holdings.renew(Lease(NOON + timedelta(days=1), NOON), None)
    return holdings


def _lane(eye: Eye, holdings: Holdings, clock: BenchClock, outbox: Path) -> LanePipeline:
    """Return a lane with a real outbox, whose passengers are through before the next comes."""
    key = NodeKey(bytes(range(32)))
    kept = SqliteOutbox(outbox, key, new_id=lambda: UUID(int=1))
    tapper = Tapper(kept, entropy=os.urandom, now=NOON)
    place = Place("bench", "lane", Direction.ENTRY)
    turnstile = SimTurnstile(usual=Walk(reach_s=0.2, cross_s=0.2))
    organs = Organs(eye, ZxingReader(), holdings, tapper, turnstile)
    return LanePipeline(place, organs, LaneConfig(), Laps(clock.now_s))


def _rival_walk(rival: Rival, images: Sequence[Image], usable_s: float | None, into: Walks) -> None:
    """Let the same passenger be seen by the rival.

    It has no zone and no quality, so its clock starts at the frame that our quality called the
    first usable one; earlier frames cost it time, but do not open.
    """
    clock = BenchClock(time.perf_counter)
    into.walks += 1
    taken = 0
    for frame in at_pace(images, clock, fps=FPS, first_number=0):
        taken += 1
        began_s = clock.now_s()
        hit = rival.look(frame.image)
        done_s = clock.now_s()
        into.stages_ms.setdefault(f"get, {min(hit.faces, 6)} faces", []).append(
            1000 * (done_s - began_s)
        )
        into.step_ms.append(1000 * (done_s - began_s))
        late_enough = usable_s is not None and frame.arrival_s >= usable_s - 1e-6
        if hit.rider_ref is not None and late_enough and usable_s is not None:
            into.opened += 1
            into.deciding_ms.append(1000 * (done_s - frame.arrival_s))
            into.usable_ms.append(1000 * (done_s - usable_s))
            usable_s = None
    into.frames += taken
    into.frames_lost += len(images) - taken


def _say_walks(ours: Walks, theirs: Walks, say: Callable[[str], None]) -> bool:
    for name in STAGES:
        _say_spread(f"  {name}", spread(ours.stages_ms.get(name, [])), say)
    _say_spread("  whole step, a face in view", spread(ours.step_ms), say)
    deciding, usable = spread(ours.deciding_ms), spread(ours.usable_ms)
    lost = f"{ours.frames_lost} of {ours.frames + ours.frames_lost} frames lost"
    say(f"  opened {ours.opened} of {ours.walks}, {lost}; refusals {ours.refusals or 'none'}")
    good = ours.opened == ours.walks
    good &= _say_goal("  deciding frame to open", deciding, None, 80.0, say)
    good &= _say_goal("  first usable face to open", usable, 300.0, 500.0, say)
    say("  FaceAnalysis.get on every frame, every face embedded, no liveness, no tap:")
    for name, samples in sorted(theirs.stages_ms.items()):
        if len(samples) >= 5:
            _say_spread(f"    {name}", spread(samples), say)
    lost = f"{theirs.frames_lost} of {theirs.frames + theirs.frames_lost} frames lost"
    say(f"    opened {theirs.opened} of {theirs.walks}, {lost}")
    _say_spread("    deciding frame to open", spread(theirs.deciding_ms), say)
    _say_spread("    first usable face to open", spread(theirs.usable_ms), say)
    return good


def _say_spread(name: str, measured: Spread | None, say: Callable[[str], None]) -> None:
    if measured is not None:
        say(f"{name:<32} {measured}  ({measured.count})")


def _say_goal(
    name: str,
    measured: Spread | None,
    p50_ms: float | None,
    p95_ms: float,
    say: Callable[[str], None],
) -> bool:
    if measured is None:
        say(f"{name:<32} not measured: MISSED")
        return False
    good = measured.p95_ms <= p95_ms and (p50_ms is None or measured.p50_ms <= p50_ms)
    goal = f"p95 <= {p95_ms:.0f}" if p50_ms is None else f"p50 <= {p50_ms:.0f}, p95 <= {p95_ms:.0f}"
    say(f"{name:<32} {measured}  ({measured.count})  goal {goal}: {'met' if good else 'MISSED'}")
    return good


def _searches(calibration: Calibration, options: BenchOptions, say: Callable[[str], None]) -> bool:
    say(f"\n1:N search at FPIR {TARGET_FPIR:g}, generated templates, one probe at a time:")
    good = True
    for size in (1_000, 10_000, 50_000):
        found = compare(
            size,
            calibration,
            target_fpir=TARGET_FPIR,
            probes=300 if options.quick else 3_000,
            noon=NOON,
            now_s=time.perf_counter,
        )
        share = found.equal / found.probes
        met = share == 1.0 and (size < 50_000 or found.ours.p50_ms <= 0.6)
        say(f"  {size:>6}: {found.ours}; IndexFlatIP {found.flat}; equal decisions"
            f" {100 * share:.2f} % of {found.probes}: {'met' if met else 'MISSED'}")  # fmt: skip
        good &= met
    return good
