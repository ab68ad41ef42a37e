"""What each trip costs, as decided: numbered decisions per trip, the last one in force.

A decision is never changed; when a late tap tells another story, the next number says so. This
file does not know how money moves.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from fare.ledger import REVENUE_FARES, Entry, receivable, transfer
from fare.money import Money
from fare.network import Network
from fare.price import PricedTrip, Unpriced, price
from fare.tap import Medium, Tap, TapFlag
from fare.tariff import Tariff
from fare.trip import CompleteTrip, IncompleteEntry, IncompleteExit, OpenTrip, Trip


class Outcome(StrEnum):
    """What a trip turned out to be."""

    PRICED = "priced"
    """Complete, and the tariff has a price for it."""
    UNPRICED = "unpriced"
    """Complete, but without a price; staff must look. Not charged."""
    OPEN = "open"
    """A way in, and nothing after it yet."""
    INCOMPLETE_ENTRY = "incomplete_entry"
    """A way in without a way out. Not charged."""
    INCOMPLETE_EXIT = "incomplete_exit"
    """A way out without a way in. Not charged."""
    VOID = "void"
    """Later taps showed that there was no such trip; what was taken goes back."""


@dataclass(frozen=True, slots=True)
class Stop:
    """One end of a trip."""

    tap_id: UUID
    station_id: str
    medium: Medium
    tap_time: datetime


ORDER_EXEMPT = TapFlag.ORDER_EXEMPT.value
"""The reason of an incomplete trip whose missing end is no fault of the rider."""

DOUBTED = "exemption_doubted"
"""The reason of a trip with an end that claims what no order explains: nothing was left out for
it, and staff must look, since the node's keys may be stolen."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Everything that is held to be true of one trip."""

    trip_id: UUID
    """The id of the exit tap; of the entry tap while there is no exit."""
    rider_ref: UUID
    outcome: Outcome
    fare: Money
    """Zero for everything but PRICED."""
    entry: Stop | None
    """None where the way in is missing."""
    exit: Stop | None
    """None where the way out is missing."""
    overstayed: bool = False
    metres: int = 0
    """Length of the priced way; 0 where nothing was priced."""
    path: tuple[str, ...] = ()
    """Station ids of the priced way."""
    rule_id: str = ""
    """The tariff's rule that gave the fare."""
    tariff_version: str = ""
    reason: str = ""
    """Why there is no price, for UNPRICED; `ORDER_EXEMPT` where a missing end is excused;
    `DOUBTED` where an end claims what nobody ordered."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict with its place among the trip's verdicts."""

    verdict: Verdict
    number: int
    """1, 2, 3, ... within the trip; the highest is in force."""
    decided_time: datetime
    """Aware UTC."""

    @property
    def ridden(self) -> datetime:
        """When the trip ended, or began where its end is missing: the order of its debts."""
        stop = self.verdict.exit or self.verdict.entry
        assert stop is not None, "a trip has at least one end"
        return stop.tap_time


class Decisions(Protocol):
    """All fare decisions; append-only."""

    def in_force(self, rider_ref: UUID) -> Sequence[Decision]:
        """Return the last decision of each trip of a rider, in any order."""
        ...

    def add(self, decision: Decision) -> None:
        """Store a decision under a number that the trip has not used; numbers are dense.

        Raises:
            StoreFailed: The number is used (`fare.store`).
        """
        ...


def judge(trip: Trip, network: Network, tariff: Tariff) -> Verdict:
    """Price one trip if it has both ends.

    Args:
        trip: Any trip that `fare.trip.fold` returned.
        network: Stations and track.
        tariff: Every version.
    """
    verdict = _judge(trip, network, tariff)
    if verdict.outcome is not Outcome.UNPRICED and any(tap.doubted for tap in _ends(trip)):
        return replace(verdict, reason=DOUBTED)
    return verdict


def _ends(trip: Trip) -> tuple[Tap, ...]:
    match trip:
        case CompleteTrip():
            return trip.entry, trip.exit
        case OpenTrip() | IncompleteEntry():
            return (trip.entry,)
        case IncompleteExit():
            return (trip.exit,)


def _judge(trip: Trip, network: Network, tariff: Tariff) -> Verdict:
    ends: tuple[Stop | None, Stop | None]
    excused = False
    match trip:
        case CompleteTrip():
            return _judge_complete(trip, price(trip, network, tariff), _nothing(tariff))
        case OpenTrip():
            outcome, ends = Outcome.OPEN, (_stop(trip.entry), None)
        case IncompleteEntry():
            outcome, ends = Outcome.INCOMPLETE_ENTRY, (_stop(trip.entry), None)
            excused = trip.excused
        case IncompleteExit():
            outcome, ends = Outcome.INCOMPLETE_EXIT, (None, _stop(trip.exit))
            excused = trip.excused
    verdict = Verdict(trip.trip_id, trip.rider_ref, outcome, _nothing(tariff), *ends)
    return replace(verdict, reason=ORDER_EXEMPT) if excused else verdict


def _nothing(tariff: Tariff) -> Money:
    currencies = {version.same_station.currency for version in tariff.versions}
    return Money(0, *currencies) if len(currencies) == 1 else Money(0)


def _judge_complete(trip: CompleteTrip, priced: PricedTrip | Unpriced, nothing: Money) -> Verdict:
    verdict = Verdict(
        trip_id=trip.trip_id,
        rider_ref=trip.rider_ref,
        outcome=Outcome.UNPRICED,
        fare=nothing,
        entry=_stop(trip.entry),
        exit=_stop(trip.exit),
        overstayed=trip.overstayed,
    )
    if isinstance(priced, Unpriced):
        return replace(verdict, reason=priced.reason.value)
    return replace(
        verdict,
        outcome=Outcome.PRICED,
        fare=priced.amount,
        metres=priced.metres,
        path=priced.path,
        rule_id=priced.rule_id,
        tariff_version=priced.tariff_version,
    )


def _stop(tap: Tap) -> Stop:
    return Stop(tap.tap_id, tap.station_id, tap.medium, tap.tap_time)


def revise(
    verdicts: Iterable[Verdict], in_force: Iterable[Decision], now: datetime
) -> tuple[Decision, ...]:
    """Return the decisions that make the verdicts the ones in force.

    Args:
        verdicts: All of one rider's trips as they are seen now.
        in_force: The last decision of every trip of that rider.
        now: Stamped on the new decisions.

    Returns:
        A decision for each trip that is new or different, and a VOID one for each trip that is
        gone; nothing where nothing changed.
    """
    known = {decision.verdict.trip_id: decision for decision in in_force}
    seen = {verdict.trip_id: verdict for verdict in verdicts}
    for trip_id, decision in known.items():
        if trip_id not in seen:
            seen[trip_id] = void(decision.verdict)
    return tuple(
        Decision(verdict, known[trip_id].number + 1 if trip_id in known else 1, now)
        for trip_id, verdict in seen.items()
        if trip_id not in known or known[trip_id].verdict != verdict
    )


def void(verdict: Verdict) -> Verdict:
    """Return the verdict that a trip did not happen; its ends stay for whoever asks why."""
    return Verdict(
        trip_id=verdict.trip_id,
        rider_ref=verdict.rider_ref,
        outcome=Outcome.VOID,
        fare=Money(0, verdict.fare.currency),
        entry=verdict.entry,
        exit=verdict.exit,
    )


def booking(decision: Decision, before: Decision | None) -> Entry | None:
    """Return the entry that books the difference to the decision before, or None where none is.

    Args:
        decision: The new decision.
        before: The trip's decision in force until now.
    """
    verdict = decision.verdict
    fare = verdict.fare if before is None else verdict.fare - before.verdict.fare
    if fare.minor_units == 0:
        return None
    return transfer(
        "fare",
        f"{verdict.trip_id}/{decision.number}",
        debit=receivable(verdict.rider_ref),
        credit=REVENUE_FARES,
        amount=fare,
        event_time=decision.ridden,
    )
