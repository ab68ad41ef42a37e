"""`python -m cloud_sync simulate`: a city's day through the prefilter, in figures and pictures."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

import numpy as np
from rich.console import Console
from rich.progress import Progress

from cloud_sync.adapters.city import plots as city_plots
from cloud_sync.calibration import Calibration, from_table
from cloud_sync.city import people
from cloud_sync.city.config import CityDay, parse
from cloud_sync.city.day import Seen, Stage, replay
from cloud_sync.city.memory import Past, remember
from cloud_sync.city.people import People, Ways
from cloud_sync.city.report import FNIR_LIMIT, Matching, Report, summed
from cloud_sync.content import content_hash
from cloud_sync.gallery import Change, DropTemplate, PutTemplate
from cloud_sync.generate import templates
from cloud_sync.stream.messages import Chunk
from cloud_sync.wire import response_to_proto
from fare.city import CityUnreadable, shipped
from models import manifest

_WEEKDAY = 3
"""The simulated day is a Thursday, as the day that the arrival curve was measured on."""
Say = Callable[[str], None]


class SimulationRefused(Exception):
    """The day cannot be simulated; the message says why."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command was told."""

    day: Path
    """TOML as in `cloud_sync/data/city-day.toml`."""
    out: Path
    """Folder for the pictures."""
    pack: str
    """Pack of models whose calibration counts."""
    riders: int | None = None
    """So many instead of the file's, with trips and budgets in proportion; None for the file's."""
    presence: float | None = None
    """Share of passages at stations with entrance cameras, instead of the file's."""


def run(options: Options, say: Say) -> Report:
    """Simulate a day, say what came of it, and write the pictures.

    Args:
        options: What and where.
        say: Takes one line.

    Raises:
        SimulationRefused: The file, the city or the pack's calibration is not there or not right.
    """
    day, calibration = _read(options)
    seen = simulate(day, calibration)
    put_bytes, drop_bytes = _wire_bytes()
    report = summed(seen, day, calibration, put_bytes=put_bytes, drop_bytes=drop_bytes)
    _tell(report, day, say)
    options.out.mkdir(parents=True, exist_ok=True)
    for path in city_plots.draw(seen, day, calibration, options.out):
        say(f"picture: {path}")
    return report


def simulate(day: CityDay, calibration: Calibration) -> list[Seen]:
    """Return what every station saw in every step of the day.

    Args:
        day: The city.
        calibration: Of the model, for what an entrance camera's identification is worth.

    Raises:
        SimulationRefused: The city is not shipped.
    """
    rng = np.random.default_rng(day.seed)
    try:
        between = people.ways(shipped(day.city).network, day.ground)
    except CityUnreadable as problem:
        raise SimulationRefused(str(problem)) from problem
    steps = 1_440 // day.step_min
    with Progress(console=Console(stderr=True), transient=True) as bar:
        past = bar.add_task("weeks before", total=day.means.history_days)
        now = bar.add_task("the day", total=steps)
        living = people.settle(day, between, rng)
        earlier = people.used_before(living, day.riding, day.means.known_days, rng)
        days = _history(day, living, between, rng, lambda: bar.advance(past))
        memory = remember(days, earlier, day.riding.riders)
        trips = people.travel(living, day.riding, between, rng, is_working=True)
        stations = len(between.station_ids)
        stage = Stage(
            day=day,
            between=between,
            people=living,
            memory=memory,
            trips=trips,
            users=tuple(memory.users_of(station) for station in range(stations)),
            identified=_identified(day, calibration),
        )
        return list(replay(stage, rng, lambda: bar.advance(now)))


def _read(options: Options) -> tuple[CityDay, Calibration]:
    try:
        day = parse(options.day.read_text(encoding="utf-8"))
        pack = manifest.pack(options.pack)
    except (OSError, ValueError, manifest.PackUnknown) as problem:
        raise SimulationRefused(str(problem)) from problem
    if not pack.calibration:
        raise SimulationRefused(f"{pack.name} has no calibration: no gallery has a threshold")
    if options.riders is not None:
        day = _scaled(day, options.riders)
    if options.presence is not None:
        day = replace(day, means=replace(day.means, presence_share=options.presence))
    return day, from_table(pack.calibration)


def _scaled(day: CityDay, riders: int) -> CityDay:
    """Return a smaller or larger city alike in all proportions."""
    scale = riders / day.riding.riders
    trips = max(1, round(day.riding.face_trips * scale))
    return replace(
        day,
        riding=replace(day.riding, riders=riders, face_trips=trips),
        sizes=replace(
            day.sizes,
            first=max(1, round(day.sizes.first * scale)),
            first_max=max(1, round(day.sizes.first_max * scale)),
            second_max=max(1, round(day.sizes.second_max * scale)),
        ),
    )


def _history(
    day: CityDay,
    living: People,
    between: Ways,
    rng: np.random.Generator,
    tick: Callable[[], None],
) -> Iterator[Past]:
    for ago in range(day.means.history_days, 0, -1):
        weekday = (_WEEKDAY - ago) % 7
        is_working = weekday < 5
        trips = people.travel(living, day.riding, between, rng, is_working=is_working)
        yield Past(ago, is_working, weekday == _WEEKDAY, trips)
        tick()


def _identified(day: CityDay, calibration: Calibration) -> float:
    """Return the chance that a rider is among the proposals of a search in the whole city.

    Proposals go to whoever scores best: a rider is among k if fewer than k strangers score higher,
    that is above the score which one in (riders / k) strangers reaches.
    """
    fmr = min(calibration.tail_share, day.means.presence_proposals / day.riding.riders)
    score = calibration.tail_from + calibration.tail_mean * math.log(calibration.tail_share / fmr)
    return 1 - calibration.expected_fnir(score)


def _wire_bytes() -> tuple[int, int]:
    """Return what a template and a deletion take on the wire, in a full chunk."""

    def size(changes: list[Change]) -> int:
        hashes = tuple(content_hash(change) for change in changes)
        chunk = Chunk(1, UUID(int=1), 0, len(changes), tuple(changes), hashes)
        return int(response_to_proto(chunk).ByteSize()) // len(changes)

    made = templates(256, seed=1, model_id="open/fr_feature@099a05f677f2")
    return size([PutTemplate(each) for each in made]), size(
        [DropTemplate(each.rider_ref) for each in made]
    )


def _tell(report: Report, day: CityDay, say: Say) -> None:
    riding = day.riding
    say(
        f"{riding.riders:,} riders, {report.passages:,} passages by face, "
        f"busiest ten minutes {report.peak_to_mean:.2f} times the mean"
    )
    say(f"entrance cameras at {day.means.presence_share:.0%} of passages")
    say("")
    say("source       knew at entry   at exit   alone")
    for source in report.sources:
        say(f"{source.name:<12}{source.entry:>13.1%}{source.exit:>10.1%}{source.alone:>8.1%}")
    say("")
    say(f"in the first tier    entry {report.entry_first:.2%}, exit {report.exit_first:.2%}")
    both = (report.entry_both + report.exit_both) / 2
    say(
        f"in one of the tiers  entry {report.entry_both:.2%}, exit {report.exit_both:.2%}, "
        f"together {both:.2%} (goal 99 %: {'met' if both >= 0.99 else 'MISSED'})"
    )
    median, p95, p99, largest = report.sizes
    say(f"first tier   median {median:,}, p95 {p95:,}, p99 {p99:,}, largest {largest:,}")
    say(f"second tier  median {report.second[0]:,}, largest {report.second[1]:,}")
    say(f"pushes       {report.puts_s[0]:,.1f}/s mean, {report.puts_s[1]:,.1f}/s in the peak")
    say(
        f"wire         {report.station_bytes[0] / 1e6:,.1f} MB a station and day, "
        f"largest {report.station_bytes[1] / 1e6:,.1f} MB"
    )
    say("")
    say(f"matching at target FPIR {day.target_fpir:g}")
    say(f"  with the prefilter: {_matching(report.tiers)}")
    say(f"  without it:         {_matching(report.whole)}")


def _matching(one: Matching) -> str:
    if one.threshold is None:
        return (
            f"among {one.size:,} the model's calibration supports no threshold with FNIR up to "
            f"{FNIR_LIMIT:.0%}: no gate opens on a face alone"
        )
    return (
        f"among {one.size:,} (median) threshold {one.threshold:.3f}, "
        f"expected FPIR {one.fpir:.2g}, FNIR {one.fnir:.1%}, misses of the views included"
    )
