"""Who is in a station's view: riders ranked by their claims, cut into tiers by the budget.

Comes in: the claims of one station, and who is in its view already. Goes out: one total order with
a reason for every place in it. This file does not know where claims come from or how templates
travel.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from uuid import UUID

from cloud_sync.prefilter.budget import FIRST, OUTSIDE, SECOND, Budget
from cloud_sync.prefilter.claim import LONG_SHOT, SHIPPED, Claim, Source, by_name

_GRADES_PER_HALVING = 2
"""Weights within a factor of the square root of 2 count as equal: estimates are no better, and
riders at the edge of the budget would change places at every look."""
_NOBODY: Mapping[UUID, int] = MappingProxyType({})
_SHIPPED = by_name(SHIPPED)


@dataclass(frozen=True, slots=True)
class Place:
    """Where one rider stands at one station."""

    rider_ref: UUID
    rank: int
    """1 is the first to be kept."""
    tier: int
    """`FIRST`, `SECOND`, or `OUTSIDE` for whoever did not fit."""
    priority: int
    """Of the rider's best claim; `LONG_SHOT` when it is less than likely."""
    weight: float
    """How likely the rider comes, by all claims together, 0 to 1."""
    held: int
    """The tier in the view as it was; equal riders keep their places by it."""
    claims: tuple[Claim, ...]
    """The best first; at least one."""

    @property
    def likely(self) -> bool:
        """Return whether the first tier stretches for this rider."""
        return self.priority > LONG_SHOT


@dataclass(frozen=True, slots=True)
class Ranking:
    """All riders with a claim on one station, in the order in which they are kept."""

    budget: Budget
    places: tuple[Place, ...]
    """By rank; whoever is evicted first stands last."""

    @property
    def desired(self) -> Mapping[UUID, int]:
        """Return the tier of everybody who belongs into the view, by rank."""
        return {place.rider_ref: place.tier for place in self.places if place.tier != OUTSIDE}

    @property
    def first(self) -> int:
        """Return how many ranks make the first tier now."""
        return self.budget.first_of(sum(place.likely for place in self.places))

    def of(self, rider_ref: UUID) -> Place | None:
        """Return a rider's place; None without a claim that holds."""
        return next((place for place in self.places if place.rider_ref == rider_ref), None)


def desired(
    claims: Iterable[Claim],
    budget: Budget,
    now: datetime,
    *,
    held: Mapping[UUID, int] = _NOBODY,
    sources: Mapping[str, Source] = _SHIPPED,
) -> Ranking:
    """Rank everybody with a claim that holds, and cut the order into tiers.

    The order is that of the best claim's priority, then of the weight of all claims together in
    grades of a half halving, then of who is in the view already, then of the exact weight, and last
    of the reference, so that no two riders are ever equal.

    Args:
        claims: Of one station; those that do not hold now are passed over, and so are those of a
            source that is not among `sources` (it was switched off).
        budget: The bounds.
        now: Aware UTC.
        held: The tier of each rider in the view as it is.
        sources: What may claim, by name.
    """
    of_rider: defaultdict[UUID, list[Claim]] = defaultdict(list)
    for claim in claims:
        if claim.source in sources and claim.holds(now):
            of_rider[claim.rider_ref].append(claim)
    ranked = sorted(_weigh(own, sources, held) for own in of_rider.values())
    first = budget.first_of(sum(-key[0] > LONG_SHOT for key, _ in ranked))
    return Ranking(
        budget,
        tuple(
            Place(
                rider_ref=claims[0].rider_ref,
                rank=rank,
                tier=_tier(rank, first, budget),
                priority=-key[0],
                weight=-key[3],
                held=key[2] if key[2] <= SECOND else OUTSIDE,
                claims=claims,
            )
            for rank, (key, claims) in enumerate(ranked, 1)
        ),
    )


_Key = tuple[int, int, int, float, bytes]


def _weigh(
    own: Sequence[Claim], sources: Mapping[str, Source], held: Mapping[UUID, int]
) -> tuple[_Key, tuple[Claim, ...]]:
    """Return what a rider is sorted by, smallest first, and the claims, best first."""
    best_first = own
    missing = 1 - own[0].weight
    if len(own) > 1:
        best_first = sorted(
            own, key=lambda c: (-priority_of(c, sources), -c.weight, c.source, c.since)
        )
        missing = math.prod([1 - claim.weight for claim in own])
    rider_ref = own[0].rider_ref
    key = (
        -priority_of(best_first[0], sources),
        -_grade(1 - missing),
        held.get(rider_ref, OUTSIDE) or SECOND + 1,
        missing - 1,
        rider_ref.bytes,
    )
    return key, tuple(best_first)


def priority_of(claim: Claim, sources: Mapping[str, Source] = _SHIPPED) -> int:
    """Return the priority that a claim gives: its source's, or that of a long shot."""
    source = sources[claim.source]
    if claim.weight < source.likely_min:
        return min(source.priority, LONG_SHOT)
    return source.priority


def _grade(weight: float) -> int:
    """Return the weight in steps that count; all below a thousandth are one."""
    return math.floor(_GRADES_PER_HALVING * math.log2(max(weight, 1e-3)))


def _tier(rank: int, first: int, budget: Budget) -> int:
    if rank <= first:
        return FIRST
    return SECOND if rank <= first + budget.second else OUTSIDE


@dataclass(frozen=True, slots=True)
class Differences:
    """What turns a view as it is into the one desired; drops go first."""

    drops: tuple[UUID, ...]
    puts: tuple[tuple[UUID, int], ...]
    """Rider and tier, the best rank first: whoever is new, and whoever changes tier."""


def differences(wanted: Mapping[UUID, int], held: Mapping[UUID, int]) -> Differences:
    """Compare a view with what its ranking makes of it.

    Args:
        wanted: The tier of each rider as it should be, by rank.
        held: The tier of each rider in the view as it is.
    """
    return Differences(
        drops=tuple(sorted((ref for ref in held if ref not in wanted), key=lambda ref: ref.bytes)),
        puts=tuple((ref, tier) for ref, tier in wanted.items() if held.get(ref) != tier),
    )
