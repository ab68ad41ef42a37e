"""A ride code used at two places: what no gate can see offline, the tap log shows.

Taps of one rider in, the doubtful ones out. A code opens one passage; gates of one station know
each other's codes, those of two stations learn of each other here. The ride is priced all the
same, an offline tap is a fact; staff are told.
"""

from collections import defaultdict
from collections.abc import Iterable

from fare.tap import Tap


def replayed(taps: Iterable[Tap]) -> tuple[tuple[Tap, ...], ...]:
    """Return the taps of each code that was used at more than one lane, in order of time.

    Args:
        taps: Of one rider; faces have no code and are passed over.
    """
    by_code: dict[bytes, dict[str, Tap]] = defaultdict(dict)
    for tap in taps:
        if tap.code_id:
            by_code[tap.code_id][tap.tap_id.hex] = tap
    return tuple(
        tuple(sorted(used.values(), key=lambda tap: (tap.tap_time, tap.tap_id)))
        for _, used in sorted(by_code.items())
        if len({(tap.station_id, tap.lane_id) for tap in used.values()}) > 1
    )
