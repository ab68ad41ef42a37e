"""Why a rider is in a station's view, or is not: for the operator, and for whoever asks.

Comes in: the ranking of `prefilter` and what the master gallery says of the rider. Goes out: values
that a command prints and a page shows; no vector is among them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from cloud_sync.budget import FIRST, OUTSIDE
from cloud_sync.claim import LONG_SHOT, SHIPPED, Source, by_name
from cloud_sync.master import Standing
from cloud_sync.prefilter import Place, Ranking, priority_of

_SHIPPED = by_name(SHIPPED)


class Absence(StrEnum):
    """Why a rider is not in a view."""

    UNKNOWN_RIDER = "unknown_rider"
    GONE = "gone"
    INACTIVE = "inactive"
    OTHER_SPACE = "other_space"
    NO_CLAIM = "no_claim"
    OUTRANKED = "outranked"


ABSENCES: Mapping[Absence, str] = {
    Absence.UNKNOWN_RIDER: "no rider has this reference",
    Absence.GONE: "the rider has withdrawn, and that is final",
    Absence.INACTIVE: "the face is paused, held back, or not enrolled",
    Absence.OTHER_SPACE: "there is no template of the model that the station uses",
    Absence.NO_CLAIM: "no source expects the rider here",
    Absence.OUTRANKED: "the view is full of riders with better claims",
}
"""Why not, in words."""


@dataclass(frozen=True, slots=True)
class Reason:
    """One claim as it is told."""

    source: str
    says: str
    """In words, after the rider's reference."""
    weight: float
    since: datetime
    until: datetime | None
    long_shot: bool
    """Whether it is less likely than its source has to be."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom an explanation is about, and what is known of them besides the claims."""

    rider_ref: UUID
    station_id: str
    at: datetime
    """The moment of the ranking, aware UTC."""
    standing: Standing
    held: int
    """The tier in the view as it is; 0 outside."""
    comparable: bool = True
    """Whether the rider has a template of the view's space."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything that decides about one rider at one station."""

    subject: Subject
    tier: int
    """The tier that the claims give; the next reconcile brings the view there."""
    rank: int
    """0 without a claim."""
    ranked: int
    """Riders with a claim on this station."""
    first: int
    """Ranks in the first tier now."""
    second: int
    """Ranks in the second tier at most."""
    reasons: tuple[Reason, ...]
    """The best first."""
    evicted_by: str
    """What would move the rider out of the tier; empty outside the view."""
    absence: Absence | None
    """Why the rider does not belong into the view; None when it does."""


def explain(
    subject: Subject, ranking: Ranking, *, sources: Mapping[str, Source] = _SHIPPED
) -> Explanation:
    """Return why a rider is in a view, in which tier, what would end that, or why not.

    Args:
        subject: Who, where and when.
        ranking: Of the station, active riders only.
        sources: The sources by name.
    """
    place = ranking.of(subject.rider_ref)
    absence = _absence(place, subject)
    tier = place.tier if place is not None and absence is None else OUTSIDE
    return Explanation(
        subject=subject,
        tier=tier,
        rank=place.rank if place else 0,
        ranked=len(ranking.places),
        first=ranking.first,
        second=ranking.budget.second,
        reasons=_reasons(place, sources),
        evicted_by=_eviction(place, ranking) if place is not None and tier != OUTSIDE else "",
        absence=absence,
    )


def _absence(place: Place | None, subject: Subject) -> Absence | None:
    standing = subject.standing
    hindrances = (
        (standing is Standing.UNKNOWN, Absence.UNKNOWN_RIDER),
        (standing is Standing.GONE, Absence.GONE),
        (standing is Standing.INACTIVE, Absence.INACTIVE),
        (not subject.comparable, Absence.OTHER_SPACE),
        (place is None, Absence.NO_CLAIM),
        (place is not None and place.tier == OUTSIDE, Absence.OUTRANKED),
    )
    return next((absence for hinders, absence in hindrances if hinders), None)


def _reasons(place: Place | None, sources: Mapping[str, Source]) -> tuple[Reason, ...]:
    if place is None:
        return ()
    return tuple(
        Reason(
            claim.source,
            sources[claim.source].says,
            claim.weight,
            claim.since,
            claim.until,
            long_shot=priority_of(claim, sources) == LONG_SHOT,
        )
        for claim in place.claims
    )


def _eviction(place: Place, ranking: Ranking) -> str:
    """Say what would move a rider out of the tier."""
    last = ranking.first if place.tier == FIRST else ranking.first + ranking.budget.second
    ends = [claim.until for claim in place.claims if claim.until is not None]
    parts = [f"{last - place.rank + 1} more riders with better claims"]
    if len(ends) == len(place.claims):
        parts.append(f"the end of the last claim at {max(ends).isoformat(timespec='seconds')}")
    parts.append("a pause or withdrawal, at once")
    return "; ".join(parts)


def in_words(explained: Explanation) -> Sequence[str]:
    """Return an explanation as lines for a terminal."""
    tiers = {0: "not in the view", 1: "in the first tier", 2: "in the second tier"}
    subject = explained.subject
    lines = [f"{subject.rider_ref} at {subject.station_id}: {tiers[subject.held]}"]
    if explained.tier != subject.held:
        lines.append(f"  belongs {tiers[explained.tier]}; the next reconcile brings it there")
    if explained.absence is not None:
        lines.append(f"  not, because {ABSENCES[explained.absence]}")
    if explained.rank:
        lines.append(
            f"  rank {explained.rank} of {explained.ranked}; first tier {explained.first},"
            f" second {explained.second}"
        )
    for reason in explained.reasons:
        until = f" until {reason.until.isoformat(timespec='seconds')}" if reason.until else ""
        shot = ", a long shot" if reason.long_shot else ""
        lines.append(f"  {reason.source} {reason.weight:.2f}: {reason.says}{until}{shot}")
    if explained.evicted_by:
        lines.append(f"  would leave by: {explained.evicted_by}")
    return lines


def as_json(explained: Explanation) -> dict[str, Any]:
    """Return an explanation as plain values for JSON."""
    subject = explained.subject
    return {
        "rider_ref": str(subject.rider_ref),
        "station_id": subject.station_id,
        "at": subject.at.isoformat(),
        "standing": subject.standing.value,
        "held_tier": subject.held,
        "tier": explained.tier,
        "rank": explained.rank,
        "ranked": explained.ranked,
        "first": explained.first,
        "second": explained.second,
        "reasons": [
            {
                "source": reason.source,
                "says": reason.says,
                "weight": round(reason.weight, 4),
                "since": reason.since.isoformat(),
                "until": reason.until.isoformat() if reason.until else None,
                "long_shot": reason.long_shot,
            }
            for reason in explained.reasons
        ],
        "evicted_by": explained.evicted_by,
        "absence": explained.absence.value if explained.absence else None,
    }
