"""Matplotlib: a simulated day as pictures, without a display."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from cloud_sync.calibration import Calibration
from cloud_sync.city.config import CityDay
from cloud_sync.city.day import SOURCES, Seen


def draw(
    seen: Sequence[Seen], day: CityDay, calibration: Calibration, folder: Path
) -> tuple[Path, ...]:
    """Write the pictures of a day and return their paths.

    Args:
        seen: Of every station and step.
        day: The city.
        calibration: Of the model.
        folder: Exists.
    """
    return (
        _passages(seen, folder / "passages.png"),
        _found(seen, folder / "found.png"),
        _sizes(seen, folder / "sizes.png"),
        _errors(seen, day, calibration, folder / "errors.png"),
    )


def _passages(seen: Sequence[Seen], path: Path) -> Path:
    minutes = sorted({each.minute for each in seen})
    entries, exits = np.zeros(len(minutes)), np.zeros(len(minutes))
    place = {minute: number for number, minute in enumerate(minutes)}
    for each in seen:
        exits[place[each.minute]] += each.is_exit.sum()
        entries[place[each.minute]] += (~each.is_exit).sum()
    figure, axes = _axes("Passages by face in ten minutes, whole city")
    hours = np.array(minutes) / 60
    axes.step(hours, entries, where="post", label="entries")
    axes.step(hours, exits, where="post", label="exits")
    axes.set_xlabel("hour of the day")
    axes.legend()
    return _saved(figure, path)


def _found(seen: Sequence[Seen], path: Path) -> Path:
    figure, axes = _axes("Share of passages whose rider the station held")
    rows = {"first tier": 0, "both tiers": 1} | {
        source.name: 2 + place for place, source in enumerate(SOURCES)
    }
    totals = np.zeros((24, len(rows)))
    counts = np.zeros(24)
    for each in seen:
        hour = each.minute // 60
        counts[hour] += len(each.is_exit)
        totals[hour, 0] += each.in_first.sum()
        totals[hour, 1] += (each.in_first | each.in_second).sum()
        totals[hour, 2:] += each.claimed.sum(0)
    busy = counts > counts.sum() / 1_000  # an hour with nobody in it has no share
    for name, column in rows.items():
        thick = 2.5 if column < 2 else 1.0
        axes.plot(
            np.nonzero(busy)[0] + 0.5,
            totals[busy, column] / counts[busy],
            label=name.replace("_", " "),
            linewidth=thick,
        )
    axes.axhline(0.99, color="gray", linestyle=":", label="goal")
    axes.set_xlabel("hour of the day")
    axes.set_ylim(0, 1.02)
    axes.legend(loc="lower right", ncols=2, fontsize="small")
    return _saved(figure, path)


def _sizes(seen: Sequence[Seen], path: Path) -> Path:
    figure, axes = _axes("Templates in the first tier, by station")
    by_hour = [[each.size for each in seen if each.minute // 60 == hour] for hour in range(24)]
    hours = [hour for hour in range(24) if by_hour[hour]]
    for share in (50, 95, 99):
        axes.plot(
            [hour + 0.5 for hour in hours],
            [float(np.percentile(by_hour[hour], share)) for hour in hours],
            label="median" if share == 50 else f"{share} of 100 stations are below",
        )
    axes.set_xlabel("hour of the day")
    axes.legend()
    return _saved(figure, path)


def _errors(seen: Sequence[Seen], day: CityDay, calibration: Calibration, path: Path) -> Path:
    figure, axes = _axes(f"Riders refused by the matcher at FPIR {day.target_fpir:g}")
    sizes = np.unique(np.geomspace(10, max(100, day.riding.riders), 60).astype(int))
    missed = [
        calibration.expected_fnir(calibration.threshold(int(size), day.target_fpir).score)
        for size in sizes
    ]
    axes.plot(sizes, missed, label="by the size of the gallery")
    views = np.array([each.size for each in seen if len(each.is_exit)])
    axes.axvline(float(np.median(views)), color="green", label="median first tier")
    axes.axvline(day.riding.riders, color="red", label="everybody")
    axes.set(xscale="log", xlabel="templates", ylabel="expected FNIR")
    axes.legend()
    return _saved(figure, path)


def _axes(title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    FigureCanvasAgg(figure)  # attaches itself; saving then needs no display
    axes = figure.add_subplot()
    axes.set_title(title)
    axes.grid(visible=True, alpha=0.3)
    return figure, axes


def _saved(figure: Figure, path: Path) -> Path:
    figure.savefig(path, format="png")
    return path
