"""What a simulated day comes to: who was found where, what it cost, and what the gates could do."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cloud_sync.calibration import Calibration, OpeningConfig, opening_threshold
from cloud_sync.city.config import DAY_MIN, CityDay
from cloud_sync.city.day import SOURCES, Seen

FNIR_LIMIT = OpeningConfig().fnir_limit
"""Beyond this a gate refuses to open on a face alone."""


@dataclass(frozen=True, slots=True)
class SourceRate:
    """How often a source knew the rider who passed."""

    name: str
    entry: float
    """Share of entries, 0 to 1."""
    exit: float
    alone: float
    """Share of all passages that no other source knew."""


@dataclass(frozen=True, slots=True)
class Matching:
    """What the model can do with so many templates."""

    size: int
    """Templates compared with: the median of what passages met."""
    threshold: float | None
    """None where a face alone may not open."""
    fpir: float
    """Share of strangers expected to be taken for somebody, 0 to 1; 0 where nothing opens."""
    fnir: float
    """Share of riders expected to be refused, those who are not in the view included."""


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """A day in figures."""

    passages: int
    peak_to_mean: float
    """Of the passages in ten minutes."""
    entry_first: float
    """Share of entries whose rider is in the first tier."""
    exit_first: float
    entry_both: float
    """Share of entries whose rider is in one of the tiers."""
    exit_both: float
    sources: tuple[SourceRate, ...]
    sizes: tuple[int, int, int, int]
    """First tier: median, 95th and 99th of 100, largest."""
    second: tuple[int, int]
    """Second tier: median and largest."""
    puts_s: tuple[float, float]
    """Templates pushed a second in the whole city: mean of the day, mean of the busiest step."""
    station_bytes: tuple[int, int]
    """On the wire, a station and day: median and largest."""
    tiers: Matching
    """With the prefilter: both tiers, each with its share of the target."""
    whole: Matching
    """Without: every rider of the city in every gate."""


def summed(
    seen: Sequence[Seen],
    day: CityDay,
    calibration: Calibration,
    *,
    put_bytes: int,
    drop_bytes: int,
) -> Report:
    """Sum up a day.

    Args:
        seen: Of every station and step.
        day: The city.
        calibration: Of the model that the gates use.
        put_bytes: A template on the wire.
        drop_bytes: A deletion on the wire.
    """
    is_exit, first, second, claimed = (
        np.concatenate([getattr(each, name) for each in seen])
        for name in ("is_exit", "in_first", "in_second", "claimed")
    )
    alone = claimed.sum(1) == 1
    sizes = np.array([each.size for each in seen])
    knows = np.array([each.known for each in seen])
    return Report(
        passages=len(is_exit),
        peak_to_mean=_peak(seen),
        entry_first=_share(first[~is_exit]),
        exit_first=_share(first[is_exit]),
        entry_both=_share((first | second)[~is_exit]),
        exit_both=_share((first | second)[is_exit]),
        sources=tuple(
            SourceRate(
                source.name,
                _share(claimed[~is_exit, place]),
                _share(claimed[is_exit, place]),
                _share(claimed[:, place] & alone),
            )
            for place, source in enumerate(SOURCES)
        ),
        sizes=tuple(int(v) for v in np.percentile(sizes, (50, 95, 99, 100))),  # type: ignore[arg-type]
        second=(int(np.median(knows)), int(knows.max())),
        puts_s=_pushes(seen, day.step_min),
        station_bytes=_bytes(seen, put_bytes, drop_bytes),
        tiers=_tiers(seen, day, calibration),
        whole=_whole(day, calibration),
    )


def _tiers(seen: Sequence[Seen], day: CityDay, calibration: Calibration) -> Matching:
    """Weigh each passage with the threshold of the view that it meets."""
    found = np.zeros(2)
    opened = 0.0
    met: list[tuple[int, int]] = []
    passages = 0
    thresholds: dict[tuple[int, float], tuple[float | None, float]] = {}

    def judged(size: int, target: float) -> tuple[float | None, float]:
        key = (_rounded(size), target)
        if key not in thresholds:
            config = OpeningConfig(target_fpir=target)
            at = opening_threshold(calibration, max(1, key[0]), config)
            missed = 1.0 if at is None else calibration.expected_fnir(at.score)
            thresholds[key] = (None if at is None else at.score, missed)
        return thresholds[key]

    target_first = day.target_fpir * day.sizes.first_share
    target_second = day.target_fpir - target_first
    for each in seen:
        here = len(each.is_exit)
        if not here:
            continue
        both = each.size + each.known
        at_first, missed_first = judged(each.size, target_first)
        at_second, missed_second = judged(both, target_second)
        found += (
            each.in_first.sum() * (1 - missed_first),
            each.in_second.sum() * (1 - missed_second),
        )
        opened += here * (
            target_first * (at_first is not None) + target_second * (at_second is not None)
        )
        met.append((each.size, here))
        passages += here
    size = _median(met)
    return Matching(
        size, judged(size, target_first)[0], opened / passages, 1 - float(found.sum()) / passages
    )


def _whole(day: CityDay, calibration: Calibration) -> Matching:
    riders = day.riding.riders
    at = opening_threshold(calibration, riders, OpeningConfig(target_fpir=day.target_fpir))
    if at is None:
        return Matching(riders, None, 0.0, 1.0)
    return Matching(riders, at.score, day.target_fpir, calibration.expected_fnir(at.score))


def _rounded(size: int) -> int:
    """Round up to two digits: a threshold hardly changes within a hundredth of a size."""
    digits: int = 10 ** max(0, len(str(size)) - 2)
    return -(-size // digits) * digits


def _median(weighted: Iterable[tuple[int, int]]) -> int:
    ordered = sorted(weighted)
    half = sum(weight for _, weight in ordered) / 2
    for size, weight in ordered:
        half -= weight
        if half <= 0:
            return int(size)
    return 0


def _peak(seen: Iterable[Seen]) -> float:
    steps = _by_minute(seen, lambda each: len(each.is_exit))
    return float(steps.max() / max(steps.sum() * 10 / DAY_MIN, 1e-9))


def _pushes(seen: Sequence[Seen], step_min: int) -> tuple[float, float]:
    steps = _by_minute(seen, lambda each: each.puts)
    return float(steps.sum() / (DAY_MIN * 60)), float(steps.max() / (step_min * 60))


def _by_minute(seen: Iterable[Seen], count: Callable[[Seen], int]) -> npt.NDArray[np.float64]:
    totals = np.zeros(DAY_MIN)
    for each in seen:
        totals[each.minute] += count(each)
    return totals


def _bytes(seen: Iterable[Seen], put_bytes: int, drop_bytes: int) -> tuple[int, int]:
    totals: dict[int, int] = {}
    for each in seen:
        size = each.puts * put_bytes + each.drops * drop_bytes
        totals[each.station] = totals.get(each.station, 0) + size
    per_day = list(totals.values())
    return int(np.median(per_day)), max(per_day)


def _share(flags: npt.NDArray[np.bool_]) -> float:
    return float(flags.mean()) if len(flags) else 0.0
