"""`python -m tests.sim SEED` replays a seed with its trace; `--seeds N` runs many."""

import argparse
import multiprocessing
import sys
import time

from tests.sim.books import Broken
from tests.sim.options import derive
from tests.sim.runs import Covered, run
from tests.sim.world import simulate

_STRETCH = 50
"""Seeds that one process takes at a time."""


def main() -> int:
    """Read the arguments and run; return 1 when a promise was not kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("seed", type=int, nargs="?", help="replay this one and print its trace")
    parser.add_argument("--seeds", type=int, default=1_000, help="how many to run (1000)")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first of them (0)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (1)")
    given = parser.parse_args()
    return _many(given) if given.seed is None else _replay(given.seed)


def _replay(seed: int) -> int:
    print(derive(seed))
    try:
        world = simulate(seed, trace=print)
    except Broken as broken:
        print(broken)
        return 1
    print(dict(sorted(world.books.counts.items())))
    return 0


def _many(given: argparse.Namespace) -> int:
    began_s, covered = time.monotonic(), Covered()
    last = given.first + given.seeds
    stretches = [range(at, min(at + _STRETCH, last)) for at in range(given.first, last, _STRETCH)]
    with multiprocessing.get_context("spawn").Pool(given.jobs) as pool:
        for part in pool.imap_unordered(run, stretches):
            covered.add(part)
            for line in part.broken:
                print(f"\n{line}")
            print(f"\r{covered.seeds} of {given.seeds}", end="", flush=True)
    print(f"\r{covered.summary()}, {time.monotonic() - began_s:.0f} s")
    print(dict(sorted(covered.counts.items())))
    for line in covered.broken:
        print(line)
    return 1 if covered.broken else 0


if __name__ == "__main__":
    sys.exit(main())
