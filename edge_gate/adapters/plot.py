"""Matplotlib: the detection error trade-off as a PNG, without a display."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

Curve = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]


def det_plot(curves: Mapping[str, Curve], path: Path, *, title: str) -> None:
    """Draw FNIR against FPIR, both logarithmic, and write the picture.

    Args:
        curves: Label to (FPIR, FNIR), each shape (K,), 0 to 1.
        path: Of the PNG.
        title: Above the plot.
    """
    figure = Figure(figsize=(7, 5), layout="constrained")
    FigureCanvasAgg(figure)  # attaches itself; saving then needs no display
    axes = figure.add_subplot()
    for label, (fpir, fnir) in curves.items():
        # A rate of zero has no place on a logarithmic axis.
        shown = (fpir > 0) & (fnir > 0)
        axes.step(fpir[shown], fnir[shown], where="post", label=label)
    axes.set(xscale="log", yscale="log", ylim=(None, 1), xlim=(None, 1), title=title)
    axes.set_xlabel("FPIR: strangers taken for a rider")
    axes.set_ylabel("FNIR: riders not recognised")
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend()
    figure.savefig(path, format="png")
