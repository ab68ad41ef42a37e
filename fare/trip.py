"""All taps of one rider in, their trips out; the same trips for any order and any duplication.

This file does not know about money, stations' distances or the clock: a trip is a fact about taps.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from fare.tap import Direction, Tap, TapFlag, flags_text


@dataclass(frozen=True, slots=True)
class TripRules:
    """What makes two taps one passage, and a ride too long."""

    same_passage_s: float = 10.0
    """Two taps at one lane within this time are one person passing once; seconds, 0 to 60. A
    passage takes a few seconds; ten covers a face and a code shown one after the other."""
    ride_limit_min: int = 210
    """Longest ride before it counts as overstayed; minutes, at least 1. Xi'an's published limit
    (reference/fares.md, section 4: 210 by two sources, 120 by an older one)."""

    def __post_init__(self) -> None:
        """Refuse settings outside their ranges.

        Raises:
            ValueError: A value lies outside the range named beside it.
        """
        if not 0 <= self.same_passage_s <= 60 or self.ride_limit_min < 1:
            raise ValueError("same_passage_s is 0 to 60 and ride_limit_min at least 1")


@dataclass(frozen=True, slots=True)
class CompleteTrip:
    """A way in and a way out; the only kind of trip that has a price."""

    trip_id: UUID
    """The id of the exit tap."""
    rider_ref: UUID
    entry: Tap
    exit: Tap
    merged: tuple[UUID, ...]
    """Taps that told of the same two passages again, sorted."""
    overstayed: bool
    """The ride took longer than `TripRules.ride_limit_min`, and neither end was time exempt."""


@dataclass(frozen=True, slots=True)
class OpenTrip:
    """A way in with nothing after it yet: the rider may still be inside."""

    trip_id: UUID
    """The id of the entry tap."""
    rider_ref: UUID
    entry: Tap
    merged: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class IncompleteEntry:
    """A way in followed by another way in: its way out is missing."""

    trip_id: UUID
    """The id of the entry tap."""
    rider_ref: UUID
    entry: Tap
    merged: tuple[UUID, ...]
    excused: bool = False
    """This way in, or the one after it, was order exempt: the missing end is no fault."""


@dataclass(frozen=True, slots=True)
class IncompleteExit:
    """A way out that no way in precedes."""

    trip_id: UUID
    """The id of the exit tap."""
    rider_ref: UUID
    exit: Tap
    merged: tuple[UUID, ...]
    excused: bool = False
    """It was order exempt: the missing way in is no fault."""


Trip = CompleteTrip | OpenTrip | IncompleteEntry | IncompleteExit


def fold(taps: Iterable[Tap], rules: TripRules | None = None) -> tuple[Trip, ...]:
    """Make one rider's trips from all of their taps.

    The result depends on the set of taps alone. A tap that comes late may change trips that were
    made without it, so a caller folds the rider's whole history again and books the difference.
    When one id comes with two contents (no honest gate does that) the smaller canonical form is
    taken: any rule would do that does not depend on the order.

    Args:
        taps: Every tap known of one rider, in any order, any of them more than once.
        rules: Limits in seconds and minutes; the published ones by default.

    Returns:
        Trips in the order of their last tap.

    Raises:
        ValueError: The taps belong to more than one rider.
    """
    rules = rules or TripRules()
    trips: list[Trip] = []
    inside: _Passage | None = None
    for passage in _passages(_ordered(taps), rules):
        if passage.tap.direction is Direction.ENTRY:
            if inside is not None:
                trips.append(_abandoned(inside, passage))
            inside = passage
        else:
            trips.append(_at_exit(inside, passage, rules))
            inside = None
    if inside is not None:
        trips.append(_open(inside))
    return tuple(trips)


@dataclass(frozen=True, slots=True)
class _Passage:
    """One walk through one lane: its first tap stands for it, `again` are the others."""

    tap: Tap
    again: tuple[UUID, ...] = ()


def _ordered(taps: Iterable[Tap]) -> list[Tap]:
    by_id: dict[UUID, Tap] = {}
    for tap in taps:
        known = by_id.get(tap.tap_id)
        if known is None or _rank(tap) < _rank(known):
            by_id[tap.tap_id] = tap
    if len({tap.rider_ref for tap in by_id.values()}) > 1:
        raise ValueError("taps of more than one rider do not fold together")
    return sorted(by_id.values(), key=lambda tap: (tap.tap_time, tap.tap_id))


def _rank(tap: Tap) -> tuple[bytes, str]:
    return tap.canonical(), flags_text(tap.exemptions)  # of doubt and none, doubt counts


def _passages(taps: Iterable[Tap], rules: TripRules) -> list[_Passage]:
    """Merge each tap into the passage before it when both are one walk through one lane.

    The first tap keeps the passage: it is also the first in its lane's outbox, so the one that
    arrives first, and the trip keeps its id when the second one arrives.
    """
    within = timedelta(seconds=rules.same_passage_s)
    passages: list[_Passage] = []
    for tap in taps:
        last = passages[-1] if passages else None
        if last and _lane(last.tap) == _lane(tap) and tap.tap_time - last.tap.tap_time <= within:
            passages[-1] = _Passage(last.tap, (*last.again, tap.tap_id))
        else:
            passages.append(_Passage(tap))
    return passages


def _lane(tap: Tap) -> tuple[str, str, Direction]:
    return tap.station_id, tap.lane_id, tap.direction


def _at_exit(
    inside: _Passage | None, out: _Passage, rules: TripRules
) -> CompleteTrip | IncompleteExit:
    tap = out.tap
    if inside is None:
        excused = TapFlag.ORDER_EXEMPT in tap.exemptions
        return IncompleteExit(tap.tap_id, tap.rider_ref, tap, tuple(sorted(out.again)), excused)
    unlimited = TapFlag.TIME_EXEMPT in inside.tap.exemptions | tap.exemptions
    took = tap.tap_time - inside.tap.tap_time
    return CompleteTrip(
        trip_id=tap.tap_id,
        rider_ref=tap.rider_ref,
        entry=inside.tap,
        exit=tap,
        merged=tuple(sorted(inside.again + out.again)),
        overstayed=not unlimited and took > timedelta(minutes=rules.ride_limit_min),
    )


def _abandoned(inside: _Passage, following: _Passage) -> IncompleteEntry:
    tap = inside.tap
    excused = TapFlag.ORDER_EXEMPT in tap.exemptions | following.tap.exemptions
    return IncompleteEntry(tap.tap_id, tap.rider_ref, tap, tuple(sorted(inside.again)), excused)


def _open(inside: _Passage) -> OpenTrip:
    tap = inside.tap
    return OpenTrip(tap.tap_id, tap.rider_ref, tap, tuple(sorted(inside.again)))
