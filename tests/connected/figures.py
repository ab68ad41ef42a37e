"""A figure beside its goal, and whether it was met."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Figure:
    """What was measured of one promise."""

    name: str
    values: Sequence[float]
    """In `unit`."""
    goal: float | None
    """At most; None where there is none."""
    quantile: float = 1.0
    """Of the values, what the goal is of; 1 is the largest."""
    unit: str = "s"
    remark: str = ""

    @property
    def value(self) -> float:
        """Return what is held against the goal."""
        return float(np.quantile(self.values, self.quantile))

    @property
    def met(self) -> bool:
        """Say whether the goal was reached."""
        return self.goal is None or (bool(self.values) and self.value <= self.goal)

    def __str__(self) -> str:
        """Return one line for people."""
        if not self.values:
            return f"{self.name:<42} nothing was measured"
        word = "worst" if self.quantile == 1.0 else f"p{100 * self.quantile:g}"
        middle = float(np.median(self.values))
        goal = "" if self.goal is None else f"goal {self.goal:g}: {'met' if self.met else 'MISSED'}"
        spread = f"p50 {middle:.3f}, " if len(self.values) > 1 else ""
        told = f"{spread}{word} {self.value:.3f} {self.unit} of {len(self.values)}"
        return f"{self.name:<42} {told:<42} {goal}  {self.remark}".rstrip()
