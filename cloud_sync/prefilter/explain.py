"""Why a rider is in a station's view, or is not: for the operator, and for whoever asks.

Comes in: the ranking (`ranking`) and what the master gallery says of the rider. Goes out: values
that a command prints and a page shows; no vector is among them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from enum import StrEnum
from typing import Any
from uuid import UUID

from cloud_sync.gallery import Denial
from cloud_sync.master.gallery import Standing
from cloud_sync.prefilter.budget import FIRST, OUTSIDE, Budget
from cloud_sync.prefilter.claim import HABIT, LONG_SHOT, SHIPPED, Source, by_name
from cloud_sync.prefilter.ranking import Place, Ranking, priority_of
from cloud_sync.prefilter.sourcing import Lapse

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
    Absence.INACTIVE: "the face is paused by the rider, held back by staff, or not enrolled yet",
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
    since: datetime | None = None
    """Since when the standing holds, aware UTC; None of an unknown rider."""
    denial: Denial | None = None
    """What the station's deny list says: face and code are refused, whatever the view holds."""
    lapses: tuple[Lapse, ...] = ()
    """Claims that hold no longer or not yet."""


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
    likely: int
    """Riders who are likely to come: the first tier stretches for them, and for nobody else."""
    budget: Budget
    """The station's."""
    reasons: tuple[Reason, ...]
    """The best first."""
    room: int
    """How many more riders with better claims it takes to move the rider out of the tier; 0 outside
    the view."""
    ends: datetime | None
    """When the last claim ends, aware UTC; None outside the view, or where no end is set."""
    absence: Absence | None
    """Why the rider does not belong into the view; None when it does."""

    @property
    def last(self) -> int:
        """Return the last rank that the view holds."""
        return self.first + self.budget.second


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
    first = ranking.first
    room = 0
    if place is not None and tier != OUTSIDE:
        room = (first if tier == FIRST else first + ranking.budget.second) - place.rank + 1
    return Explanation(
        subject=subject,
        tier=tier,
        rank=place.rank if place else 0,
        ranked=len(ranking.places),
        first=first,
        likely=sum(each.likely for each in ranking.places),
        budget=ranking.budget,
        reasons=_reasons(place, sources),
        room=room,
        ends=_end(place) if place is not None and tier != OUTSIDE else None,
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


def _end(place: Place) -> datetime | None:
    """Return when a rider has no claim left; a habit is weighed anew, so that its end is none."""
    ends = [claim.until for claim in place.claims if claim.source != HABIT.name]
    if len(ends) < len(place.claims) or None in ends:
        return None
    return max(each for each in ends if each is not None)


def rule(explained: Explanation) -> str:
    """Return which rule decides about a rider who has a rank, in words.

    Args:
        explained: With a rank.
    """
    first, budget = explained.first, explained.budget
    if explained.rank <= first:
        is_likely = explained.rank <= explained.likely
        why = "is likely to come" if is_likely else "takes a place that no likely rider needs"
        cut = f"the first tier ends at rank {first:,}"
    elif explained.rank <= explained.last:
        why = "stands behind the first tier"
        cut = f"it ends at rank {first:,}, and the second tier at rank {explained.last:,}"
    else:
        why = "stands behind the last place"
        cut = f"the view ends at rank {explained.last:,}"
    stretched = f"stretched for the {explained.likely:,} who are likely to come, to "
    bounds = f"{stretched if first > budget.first else ''}{budget.first_max:,} at most"
    return f"{why}: {cut} (first tier {budget.first:,} as a rule, {bounds})"


def in_words(explained: Explanation, zone: tzinfo = UTC) -> Sequence[str]:
    """Return an explanation as lines for a terminal.

    Args:
        explained: What is told.
        zone: Of the times.
    """

    def local(moment: datetime) -> str:
        return moment.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S %Z")

    tiers = {0: "not in the view", 1: "in the first tier", 2: "in the second tier"}
    subject = explained.subject
    lines = [f"{subject.rider_ref} at {subject.station_id}: {tiers[subject.held]}"]
    if explained.tier != subject.held:
        lines.append(f"  belongs {tiers[explained.tier]}; the next reconcile brings it there")
    if explained.absence is not None:
        since = f", since {local(subject.since)}" if subject.since else ""
        lines.append(f"  not, because {ABSENCES[explained.absence]} ({subject.standing}{since})")
    if subject.denial is not None:
        until = f" until {local(subject.denial.until)}" if subject.denial.until else ""
        lines.append(
            f"  refused by face and code: on the deny list ({subject.denial.reason.value}) since"
            f" {local(subject.denial.since)}{until}"
        )
    if explained.rank:
        lines.append(f"  rank {explained.rank:,} of {explained.ranked:,}: {rule(explained)}")
    lines += [_told(reason, local) for reason in explained.reasons]
    lines += [f"  {each.source}: {each.says} {local(each.at)}" for each in subject.lapses]
    if explained.room:
        lines.append(f"  moves down when {explained.room:,} more riders have better claims")
        if explained.ends is not None:
            lines.append(f"  leaves when the last claim ends, {local(explained.ends)}")
        lines.append("  leaves at once by a pause or a withdrawal")
    return lines


def _told(reason: Reason, local: Callable[[datetime], str]) -> str:
    """Return one claim as a line."""
    until = f", until {local(reason.until)}" if reason.until else ""
    if reason.source == HABIT.name:
        until = ", weighed anew every hour"
    shot = " (a long shot: ranks behind everybody who is likely)" if reason.long_shot else ""
    return f"  {reason.source} {reason.weight:.2f}: {reason.says}{until}{shot}"


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
        "likely": explained.likely,
        "second": explained.budget.second,
        "rule": rule(explained) if explained.rank else "",
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
        "room": explained.room,
        "ends": explained.ends.isoformat() if explained.ends else None,
        "absence": explained.absence.value if explained.absence else None,
        "standing_since": subject.since.isoformat() if subject.since else None,
        "denied": subject.denial.reason.value if subject.denial else None,
        "lapses": [
            {"source": each.source, "says": each.says, "at": each.at.isoformat()}
            for each in subject.lapses
        ],
    }
