"""Look-alikes in the master gallery: twins, and people whom the model takes for one another.

Comes in: a new template's matches. Goes out: the pairs that a face alone must not decide. The
rule: while a pair is OPEN, the templates of both riders stay away from all stations and both ride
by code. Holding back the newcomer alone would go on charging the first rider for a twin of whom
we now know. The price is that somebody who enrolls with your picture can send you to the code
reader (same fare, nobody rides as you) until an operator clears the pair; the operator sees who
was there first. This file does not know how the gallery is searched.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class Verdict(StrEnum):
    """What is known about a pair."""

    OPEN = "open"
    """Found by the search; both faces are held back."""
    CLEARED = "cleared"
    """An operator compared the two and lets both faces work; the gate's margin between the first
    and the second candidate still stands between them."""


@dataclass(frozen=True, slots=True)
class Match:
    """Another rider's template that is close."""

    rider_ref: UUID
    score: float
    """Cosine similarity, -1 to 1."""


@dataclass(frozen=True, slots=True)
class LookalikePair:
    """Two riders with faces too alike for a face alone."""

    one: UUID
    """The smaller reference of the two."""
    other: UUID
    """The larger reference."""
    score: float
    """Cosine similarity of their templates when found."""
    found: datetime
    """Aware UTC."""
    verdict: Verdict = Verdict.OPEN


@dataclass(frozen=True, slots=True)
class LookalikeConfig:
    """When two riders are too alike."""

    score_min: float = 0.5
    """Cosine similarity of two templates from which they are a pair, -1 to 1. Of the 14,535 pairs
    of 171 riders with three photos each none reaches it with the open embedder (highest 0.49), and
    95 % of 1,021 pairs of single photos of one person reach 0.49; see docs/enrollment.md."""
    matches_max: int = 20
    """The most other riders whom an honest template may match, from 1: more make it a hub, which
    would send all of them to the code reader. Chance alone matches FMR(score_min) of the gallery,
    2e-5 by the shipped model's cautious tail, hence 20 of a million; raise it with the city."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges.

        Raises:
            ValueError: A value is out of range.
        """
        if not -1 <= self.score_min <= 1:
            raise ValueError("score_min is a cosine")
        if self.matches_max < 1:
            raise ValueError("matches_max is at least 1")


def pairs(
    rider_ref: UUID, matches: Iterable[Match], known: Iterable[LookalikePair], found: datetime
) -> tuple[LookalikePair, ...]:
    """Return the pairs that are new, the closest first.

    Args:
        rider_ref: Whose new template was searched.
        matches: Other riders above the score.
        known: Pairs of this rider so far, whatever their verdict; they are not found twice.
        found: Now, aware UTC.
    """
    before = {frozenset((pair.one, pair.other)) for pair in known}
    fresh = [
        LookalikePair(
            min(rider_ref, match.rider_ref), max(rider_ref, match.rider_ref), match.score, found
        )
        for match in matches
        if frozenset((rider_ref, match.rider_ref)) not in before
    ]
    return tuple(sorted(fresh, key=lambda pair: -pair.score))
