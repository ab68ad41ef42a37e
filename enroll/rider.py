"""The rider: a pseudonym, an optional name, and the state of the face.

The states and the ways between them are one table. This file does not know about consents.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from uuid import UUID


class RiderState(StrEnum):
    """What holds for the rider as a whole."""

    ACTIVE = "active"
    """The face works where consents and photos allow it."""
    PAUSED = "paused"
    """The rider switched the face off for now; stations forgot it, ride codes work."""
    WITHDRAWN = "withdrawn"
    """Gone: face data deleted, nothing opens a gate; final."""


class RiderEvent(StrEnum):
    """What a rider can do to the state."""

    PAUSE = "pause"
    RESUME = "resume"
    WITHDRAW = "withdraw"


TRANSITIONS = MappingProxyType(
    {
        (RiderState.ACTIVE, RiderEvent.PAUSE): RiderState.PAUSED,
        (RiderState.PAUSED, RiderEvent.PAUSE): RiderState.PAUSED,
        (RiderState.PAUSED, RiderEvent.RESUME): RiderState.ACTIVE,
        (RiderState.ACTIVE, RiderEvent.RESUME): RiderState.ACTIVE,
        (RiderState.ACTIVE, RiderEvent.WITHDRAW): RiderState.WITHDRAWN,
        (RiderState.PAUSED, RiderEvent.WITHDRAW): RiderState.WITHDRAWN,
        (RiderState.WITHDRAWN, RiderEvent.WITHDRAW): RiderState.WITHDRAWN,
    }
)
"""Every allowed step; a tap sent twice by an impatient finger is no error. What is not here is
refused: nothing leads out of WITHDRAWN."""


@dataclass(frozen=True, slots=True)
class Rider:
    """A person who rides, as little of one as will do."""

    ref: UUID
    """The pseudonym that taps and charges carry; it opens nothing by itself."""
    display_name: str
    """What the app greets with; may be empty, and is emptied on withdrawal."""
    minor: bool
    """Under 14 as declared at sign-up; neither birthday nor year is asked for."""
    state: RiderState
    created: datetime
    """Aware UTC."""


@dataclass(frozen=True, slots=True)
class NotPossible:
    """The state does not allow the event."""

    state: RiderState
    event: RiderEvent


def step(rider: Rider, event: RiderEvent) -> Rider | NotPossible:
    """Return the rider after an event, or that the event is not possible.

    Args:
        rider: The rider before.
        event: What the rider does.
    """
    state = TRANSITIONS.get((rider.state, event))
    if state is None:
        return NotPossible(rider.state, event)
    name = "" if state is RiderState.WITHDRAWN else rider.display_name
    return replace(rider, state=state, display_name=name)
