"""Many seeds one after the other, and what they covered."""

import gc
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.sim.books import Broken
from tests.sim.world import simulate

_COLLECT = 25
"""Seeds between two collections of garbage: runs are full of circles, and counting them all the
time costs a tenth."""


@dataclass(slots=True)
class Covered:
    """What some seeds came to."""

    seeds: int = 0
    virtual_s: float = 0.0
    """Seconds that passed for the cities, together."""
    awake_s: float = 0.0
    """Of these, the seconds in which every message was carried; the others were leapt over."""
    counts: Counter[str] = field(default_factory=Counter)
    """How often what happened."""
    broken: list[str] = field(default_factory=list)
    """What was not kept, each with its seed."""

    def add(self, other: "Covered") -> None:
        """Take in what another stretch of seeds covered."""
        self.seeds += other.seeds
        self.virtual_s += other.virtual_s
        self.awake_s += other.awake_s
        self.counts.update(other.counts)
        self.broken.extend(other.broken)

    def summary(self) -> str:
        """Return one line with the figures."""
        days, awake = self.virtual_s / 86_400, self.awake_s / 3_600
        return (
            f"{self.seeds} seeds, {days:.0f} virtual days of 20 edges, "
            f"{awake:.1f} h of them message by message, {sum(self.counts.values())} deeds, "
            f"faults and answers, {len(self.broken)} broken"
        )


def run(seeds: Iterable[int]) -> Covered:
    """Run seeds; go on after one that breaks a promise.

    Args:
        seeds: Whole numbers.
    """
    covered = Covered()
    gc.disable()
    try:
        for seed in seeds:
            if covered.seeds % _COLLECT == 0:
                gc.collect()
            covered.seeds += 1
            try:
                world = simulate(seed)
            except Broken as broken:
                covered.broken.append(str(broken))
                continue
            covered.virtual_s += world.now
            covered.awake_s += world.now - world.leapt_s
            covered.counts.update(world.books.counts)
    finally:
        gc.enable()
    return covered
