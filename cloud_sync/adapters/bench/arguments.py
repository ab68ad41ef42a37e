"""The arguments of the command `bench`, apart from what it needs to run: that takes a second."""

import argparse

PART_NAMES = ("sync", "master", "presence", "reach", "views")
"""In their order."""


def parse(bench: argparse.ArgumentParser) -> None:
    """Add the arguments.

    Args:
        bench: The command's parser.
    """
    bench.add_argument("part", nargs="*", help=f"of {', '.join(PART_NAMES)}; all without a word")
    bench.add_argument(
        "--count", type=int, nargs="*", default=[20_000, 50_000], help="sync: templates in a view"
    )
    bench.add_argument(
        "--sizes", type=int, nargs="*", default=[10_000, 100_000], help="master: templates in all"
    )
    bench.add_argument("--looks", type=int, default=300, help="master: probes of each kind")
    bench.add_argument("--riders", type=int, default=5_000, help="presence: riders enrolled")
    bench.add_argument("--seen", type=int, default=100, help="presence: riders seen")
    bench.add_argument("--pack", default="open", help="presence: whose calibration counts")
    bench.add_argument("--edges", type=int, default=40, help="reach: stations with an edge each")
    bench.add_argument("--leaving", type=int, default=30, help="reach: riders who come and go")
    bench.add_argument("--claims", type=int, default=60_000, help="views: riders at a station")
    bench.add_argument("--stations", type=int, default=200, help="views: stations to reckon with")
    bench.add_argument("--city", default="xian", help="a city shipped in fare/data")
