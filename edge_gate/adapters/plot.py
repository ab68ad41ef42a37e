"""Matplotlib: the detection error trade-off as a PNG, without a display."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

_FLOOR = 1e-4
"""Smallest rate drawn: the project's goal for the matcher, below what any shared set can show."""

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
        # A rate of zero has no place on a logarithmic axis: it is drawn on its edge.
        axes.step(np.maximum(fpir, _FLOOR), np.maximum(fnir, _FLOOR), where="post", label=label)
    axes.set(xscale="log", yscale="log", xlim=(_FLOOR, 1), ylim=(_FLOOR, 1), title=title)
    axes.set_xlabel("FPIR: strangers taken for a rider (0 on the edge)")
    axes.set_ylabel("FNIR: riders not recognised (0 on the edge)")
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend()
    figure.savefig(path, format="png")
