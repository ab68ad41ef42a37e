"""One movement of money for one trip, and the states it goes through, as a table.

A charge is sent only after it is known to be SENT, and an unanswered one is UNKNOWN until a query
says what became of it; it never comes again under another id. Pure: no clock, no bank, no store.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Protocol
from uuid import UUID, uuid5

from fare.account import Means
from fare.money import Money


class State(StrEnum):
    """Where a charge stands."""

    NEW = "new"
    """Decided, and no answer is awaited."""
    SENT = "sent"
    """Handed to the gateway, or about to be: the bank may have it."""
    PAID = "paid"
    """The money moved and is booked."""
    DECLINED = "declined"
    """The bank refused for good; the debt stays."""
    UNKNOWN = "unknown"
    """Sent without an answer; only a query resolves it."""
    CANCELLED = "cancelled"
    """Never sent, and not wanted any more."""


class Event(StrEnum):
    """What happens to a charge."""

    SEND = "send"
    PAID = "paid"
    DECLINED = "declined"
    SILENCE = "silence"
    NOT_FOUND = "not_found"
    """A query's answer: the bank has never seen it."""
    CANCEL = "cancel"


TRANSITIONS = MappingProxyType(
    {
        (State.NEW, Event.SEND): State.SENT,
        (State.NEW, Event.CANCEL): State.CANCELLED,
        # A wallet pays at once; and a late answer to an earlier sending still counts.
        (State.NEW, Event.PAID): State.PAID,
        (State.NEW, Event.DECLINED): State.DECLINED,
        (State.SENT, Event.PAID): State.PAID,
        (State.SENT, Event.DECLINED): State.DECLINED,
        (State.SENT, Event.SILENCE): State.UNKNOWN,
        (State.UNKNOWN, Event.PAID): State.PAID,
        (State.UNKNOWN, Event.DECLINED): State.DECLINED,
        (State.UNKNOWN, Event.SILENCE): State.UNKNOWN,
        # Sent again under its own id: should the first sending still arrive, the bank knows both.
        (State.UNKNOWN, Event.NOT_FOUND): State.NEW,
        # The same answer twice, e.g. from the gateway and from the janitor's query.
        (State.PAID, Event.PAID): State.PAID,
        (State.DECLINED, Event.DECLINED): State.DECLINED,
    }
)
"""Every (state, event) that may happen; any other is an error of the bank's or ours."""

OPEN = frozenset({State.NEW, State.SENT, State.UNKNOWN})
"""States in which money may still move."""


class ImpossibleEvent(Exception):
    """An event that the charge's state does not allow, e.g. DECLINED after PAID."""


class Kind(StrEnum):
    """Which way the money goes."""

    CAPTURE = "capture"
    REFUND = "refund"


@dataclass(frozen=True, slots=True)
class ChargeRules:
    """How patient the worker is with the bank."""

    stale_s: float = 30.0
    """A SENT charge older than this was orphaned by a crash; seconds, above the gateway's
    time-out."""
    query_after_s: tuple[float, ...] = (5, 15, 60, 300, 3_600, 86_400)
    """Wait before the 1st, 2nd, ... query of an UNKNOWN charge, the last one for ever; seconds.
    WeChat Pay asks for 3 to 5 s at first, Kill Bill's janitor ends at a day
    (reference/fares.md 2, reliability.md 2.8)."""
    sends_max: int = 5
    """Sendings of one charge that the bank says it never saw; then it stays UNKNOWN, for staff."""

    def __post_init__(self) -> None:
        """Refuse settings that would never or always ask.

        Raises:
            ValueError: A value is not positive, or there is no waiting time.
        """
        waits = self.query_after_s
        if self.stale_s <= 0 or not waits or min(waits) <= 0 or self.sends_max < 1:
            raise ValueError("waiting times and sends_max are above zero")


@dataclass(frozen=True, slots=True)
class Charge:
    """One movement between a rider's means and us."""

    charge_id: UUID
    """See `charge_id`; also the bank's id of it."""
    trip_id: UUID
    rider_ref: UUID
    number: int
    """The decision that asked for it."""
    seq: int
    """0, 1, 2, ... among the trip's charges."""
    kind: Kind
    amount: Money
    """Above zero, for a refund too."""
    means: Means
    of: UUID | None
    """The capture that a refund gives back from; None for a capture."""
    state: State
    made_time: datetime
    due_time: datetime
    """When the worker should look at it next, aware UTC; without meaning once it is closed."""
    sends: int = 0
    queries: int = 0
    reason: str = ""
    """Why it was declined or is unknown, in the bank's words."""


class Charges(Protocol):
    """All charges."""

    def of_rider(self, rider_ref: UUID) -> Sequence[Charge]:
        """Return and lock a rider's charges, by trip and seq."""
        ...

    def get(self, charge_id: UUID) -> Charge:
        """Return and lock one charge.

        Raises:
            KeyError: There is none.
        """
        ...

    def save(self, charge: Charge) -> None:
        """Store a new charge, or the next state of one that this transaction has locked."""
        ...

    def claim(self, states: Collection[State], now: datetime, limit: int) -> Sequence[Charge]:
        """Lock and return due bank charges, longest due first, passing over locked ones."""
        ...


def charge_id(trip_id: UUID, number: int, seq: int) -> UUID:
    """Return the id of a trip's charge: a function of the decision, never of chance.

    Args:
        trip_id: The trip.
        number: The decision that asks for the money.
        seq: How many charges the trip has had before.
    """
    return uuid5(trip_id, f"charge/{number}/{seq}")


def step(state: State, event: Event) -> State:
    """Return the state after an event.

    Raises:
        ImpossibleEvent: The table has no such step.
    """
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise ImpossibleEvent(f"{event} in state {state}") from None


def send(charge: Charge, now: datetime, rules: ChargeRules) -> Charge:
    """Return the charge as it must be stored before the gateway is called."""
    return replace(
        charge,
        state=step(charge.state, Event.SEND),
        sends=charge.sends + 1,
        due_time=now + timedelta(seconds=rules.stale_s),
    )


def ask(charge: Charge, now: datetime, rules: ChargeRules) -> Charge:
    """Return a SENT or UNKNOWN charge as it must be stored before the gateway is queried."""
    asked = replace(charge, state=step(charge.state, Event.SILENCE), queries=charge.queries + 1)
    return replace(asked, due_time=now + _patience(asked, rules))


def answer(charge: Charge, event: Event, now: datetime, rules: ChargeRules, reason: str) -> Charge:
    """Return the charge after what the bank said, or did not say.

    Args:
        charge: The charge as it is stored now.
        event: PAID, DECLINED, SILENCE or NOT_FOUND.
        now: The moment of the answer.
        rules: When to ask again.
        reason: The bank's words.

    Raises:
        ImpossibleEvent: The charge cannot be answered so.
    """
    if event is Event.NOT_FOUND and charge.sends >= rules.sends_max:
        event, reason = Event.SILENCE, "sent often, never seen by the bank"
    state = step(charge.state, event)
    due = now + _patience(charge, rules) if state is State.UNKNOWN else now
    return replace(charge, state=state, due_time=due, reason=reason)


def _patience(charge: Charge, rules: ChargeRules) -> timedelta:
    waits = rules.query_after_s
    return timedelta(seconds=waits[min(charge.queries, len(waits) - 1)])
