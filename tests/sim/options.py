"""What one seed decides about a run: its city, its wire, its faults and their frequency."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

EDGES = 20
HOUR_S = 3_600.0
BURSTS = 2
"""With these and a day between them a thousand seeds fit into every test run
(reference/reliability.md, R15)."""

DEEDS: tuple[tuple[str, float], ...] = (
    ("enroll", 6.0),
    ("withdraw", 3.0),
    ("erase", 2.0),
    ("move", 4.0),
    ("push", 4.0),
    ("deny", 1.0),
    ("rush", 1.0),
    ("tap", 7.0),
    ("compact", 2.0),
    ("replicate", 3.0),
    ("back_up", 1.0),
)
"""What always happens, and how often against the others."""
FAULTS: tuple[tuple[str, float], ...] = (
    ("kill_node", 3.0),
    ("cut_power", 3.0),
    ("turn_clock", 2.0),
    ("break_line", 3.0),
    ("darken_line", 2.0),
    ("part_network", 2.0),
    ("kill_cloud", 1.0),
    ("lose_database", 1.0),
    ("fail_over", 1.0),
    ("restore", 0.6),
    ("damage_item", 1.5),
    ("mix_space", 1.0),
    ("lose_gallery", 1.0),
    ("rot_gallery", 1.0),
    ("fill_disk", 1.0),
)
"""What a seed may have beside it. Each seed has about half of them: a bug that needs two kinds of
fault shows sooner where the other twelve do not wash its traces away (swarm testing)."""


@dataclass(frozen=True, slots=True)
class Options:
    """One run's figures, all of them drawn from its seed."""

    seed: int
    stations: int
    """Between which the 20 edges are divided; some have several, and compaction waits for all."""
    riders: int
    lease_s: int
    """Seconds: from minutes, so that it often ends in a burst, to the shipped day."""
    bookmark_s: float
    """Between two bookmarks, seconds."""
    backoff_s: float
    """The longest wait between two attempts to connect, seconds."""
    page: int
    """Lines in a chunk at most; small, so that a few riders make many chunks."""
    batch: int
    """Taps in a batch at most."""
    snapshots_max: int
    """Snapshots on their way at once."""
    delay_s: float
    """The longest way of a message, seconds."""
    loss: float
    """Share of messages that the wire drops without telling."""
    twice: float
    """Share of messages that arrive twice."""
    is_orderly: bool
    """Whether messages arrive in the order they were sent, as on one TCP connection."""
    spoilt: float
    """Share of chunks whose bytes change on the way."""
    bursts: int
    """Times of activity, between which hours are leapt over."""
    deeds: int
    """Deeds and faults in one burst."""
    burst_s: float
    """Length of a burst, seconds."""
    leap_h: float
    """The mean of the leaps between bursts, hours."""
    weights: tuple[tuple[str, float], ...]
    """Deeds and faults with their frequency."""


def dense(options: Options, needs: Sequence[str] = ()) -> Options:
    """Return the same city with more of everything: slower, and harm shows sooner.

    Args:
        options: What a seed has decided.
        needs: Deeds and faults that it must have, and often.
    """
    more = (("enroll", 8.0), ("rush", 3.0), *((name, 5.0) for name in needs))
    return replace(
        options,
        deeds=40,
        burst_s=40.0,
        riders=24,
        page=1,
        lease_s=150,
        weights=(*options.weights, *more),
    )


def derive(seed: int) -> Options:
    """Return what a seed means.

    Args:
        seed: Any whole number.
    """
    draw = random.Random(f"options {seed}")
    unruly = draw.random() < 0.4
    faults = tuple(fault for fault in FAULTS if draw.random() < 0.5)
    return Options(
        seed=seed,
        stations=draw.choice((4, 8, 12, 20)),
        riders=draw.choice((6, 12, 24)),
        lease_s=draw.choice((150, 300, 3_600, 86_400)),
        bookmark_s=draw.choice((8.0, 10.0, 14.0, 14.0)),
        backoff_s=draw.choice((10.0, 10.0, 60.0)),
        page=draw.choice((1, 2, 4, 256)),
        batch=draw.choice((1, 3, 500)),
        snapshots_max=draw.choice((1, 2, 4, 8)),
        delay_s=draw.choice((0.01, 0.2, 2.0)),
        loss=draw.choice((0.01, 0.1)) if unruly else 0.0,
        twice=draw.choice((0.02, 0.1)) if unruly else 0.0,
        is_orderly=not unruly or draw.random() < 0.5,
        spoilt=0.02 if draw.random() < 0.3 else 0.0,
        bursts=BURSTS,
        deeds=draw.randint(6, 15),
        burst_s=draw.choice((6.0, 12.0, 20.0)),
        leap_h=24.0 / (BURSTS - 1),
        weights=DEEDS + faults,
    )
