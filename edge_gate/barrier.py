"""The barrier: one table of states, events and commands, and its two timeouts. Nothing else.

Comes in: an event with its moment. Goes out: the next state and what the turnstile must do. This
file does not know about riders, taps or hardware; who may send GRANT is `edge_gate.tapping`'s
business. docs/barrier.md is printed from the table below.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType


class State(StrEnum):
    """Where the barrier is."""

    CLOSED = "closed"
    """Shut; nobody may pass."""
    OPEN = "open"
    """Open for one person who has not entered yet."""
    PASSING = "passing"
    """Somebody is between the two light beams."""
    FAULT = "fault"
    """Out of service until staff reset it."""
    RELEASED = "released"
    """Open for everybody until it is recalled: emergency release."""


class Event(StrEnum):
    """What can happen."""

    GRANT = "grant"
    """A durable tap permits one passage."""
    ENTERED = "entered"
    """The first light beam, on the side the rider comes from, was crossed."""
    LEFT = "left"
    """The second light beam, behind the leaves, was crossed."""
    TIMEOUT = "timeout"
    """The state's deadline passed; made by `Barrier.tick`."""
    INTRUSION = "intrusion"
    """Somebody came the wrong way, forced the leaves or climbed over them."""
    JAM = "jam"
    """The drive is blocked, or the turnstile no longer answers."""
    RESET = "reset"
    """Staff have looked and put the lane back into service."""
    RELEASE = "release"
    """The station's mode opens all barriers."""
    RECALL = "recall"
    """The station's mode no longer does."""


class Command(StrEnum):
    """What the lane must do, in order."""

    OPEN = "open"
    """Open the leaves."""
    CLOSE = "close"
    """Close the leaves; the drive itself waits until its beams are clear."""
    STOP = "stop"
    """Take the force off the drive at once: there may be a person in the leaves."""
    ALARM = "alarm"
    """Call staff."""


@dataclass(frozen=True, slots=True)
class Step:
    """One cell of the table."""

    state: State
    commands: tuple[Command, ...] = ()
    passed: bool = False
    """This step completes one passage."""


_SHUT = Step(State.CLOSED, (Command.CLOSE,))
_PASSED = Step(State.CLOSED, (Command.CLOSE,), passed=True)
_BROKEN = Step(State.FAULT, (Command.STOP, Command.ALARM))
_FREE = Step(State.RELEASED, (Command.OPEN,))
_WALKED = Step(State.RELEASED, passed=True)

TABLE: Mapping[tuple[State, Event], Step] = MappingProxyType(
    {
        (State.CLOSED, Event.GRANT): Step(State.OPEN, (Command.OPEN,)),
        # People who wait stand in the beams; only INTRUSION means force.
        (State.CLOSED, Event.ENTERED): Step(State.CLOSED),
        (State.CLOSED, Event.LEFT): Step(State.CLOSED),
        (State.CLOSED, Event.TIMEOUT): Step(State.CLOSED),
        (State.CLOSED, Event.INTRUSION): Step(State.CLOSED, (Command.ALARM,)),
        (State.CLOSED, Event.JAM): _BROKEN,
        (State.CLOSED, Event.RESET): _SHUT,
        (State.CLOSED, Event.RELEASE): _FREE,
        (State.CLOSED, Event.RECALL): Step(State.CLOSED),
        # Grants never add up: one opening lets one person through.
        (State.OPEN, Event.GRANT): Step(State.OPEN),
        (State.OPEN, Event.ENTERED): Step(State.PASSING),
        # The first beam was missed; whoever left has used the passage.
        (State.OPEN, Event.LEFT): _PASSED,
        (State.OPEN, Event.TIMEOUT): _SHUT,
        # The rider has not entered, so shutting harms nobody; the same tap opens again.
        (State.OPEN, Event.INTRUSION): Step(State.CLOSED, (Command.CLOSE, Command.ALARM)),
        (State.OPEN, Event.JAM): _BROKEN,
        (State.OPEN, Event.RESET): _SHUT,
        (State.OPEN, Event.RELEASE): _FREE,
        (State.OPEN, Event.RECALL): Step(State.OPEN),
        (State.PASSING, Event.GRANT): Step(State.PASSING),
        # A suitcase, a child by the hand or a second person: one beam cannot tell.
        (State.PASSING, Event.ENTERED): Step(State.PASSING),
        (State.PASSING, Event.LEFT): _PASSED,
        # Never close on a person: stop, and let staff look.
        (State.PASSING, Event.TIMEOUT): _BROKEN,
        (State.PASSING, Event.INTRUSION): Step(State.PASSING, (Command.ALARM,)),
        (State.PASSING, Event.JAM): _BROKEN,
        (State.PASSING, Event.RESET): _SHUT,
        (State.PASSING, Event.RELEASE): _FREE,
        (State.PASSING, Event.RECALL): Step(State.PASSING),
        (State.FAULT, Event.GRANT): Step(State.FAULT),
        (State.FAULT, Event.ENTERED): Step(State.FAULT),
        (State.FAULT, Event.LEFT): Step(State.FAULT),
        (State.FAULT, Event.TIMEOUT): Step(State.FAULT),
        (State.FAULT, Event.INTRUSION): Step(State.FAULT, (Command.ALARM,)),
        (State.FAULT, Event.JAM): Step(State.FAULT),
        (State.FAULT, Event.RESET): _SHUT,
        (State.FAULT, Event.RELEASE): _FREE,
        (State.FAULT, Event.RECALL): Step(State.FAULT),
        # No tap stands behind these passages; they are counted, whichever way people leave.
        (State.RELEASED, Event.GRANT): Step(State.RELEASED),
        (State.RELEASED, Event.ENTERED): Step(State.RELEASED),
        (State.RELEASED, Event.LEFT): _WALKED,
        (State.RELEASED, Event.TIMEOUT): Step(State.RELEASED),
        (State.RELEASED, Event.INTRUSION): _WALKED,
        # The lane asks for RELEASE again: leaves that stuck half open must not stay so.
        (State.RELEASED, Event.JAM): _BROKEN,
        (State.RELEASED, Event.RESET): Step(State.RELEASED),
        (State.RELEASED, Event.RELEASE): Step(State.RELEASED),
        (State.RELEASED, Event.RECALL): _SHUT,
    }
)


def step(state: State, event: Event) -> Step:
    """Return what an event does in a state; every pair has an answer."""
    return TABLE[state, event]


@dataclass(frozen=True, slots=True)
class BarrierConfig:
    """How long the barrier waits for people."""

    open_timeout_s: float = 5.0
    """Opened, but nobody entered: shut again after this, seconds, above 0 to 60."""
    pass_timeout_s: float = 10.0
    """Somebody entered, but did not leave: fault after this, seconds, above 0 to 120; longer
    than a wheelchair or a pram needs."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges.

        Raises:
            ValueError: A value is out of range.
        """
        if not (0 < self.open_timeout_s <= 60 and 0 < self.pass_timeout_s <= 120):
            raise ValueError(f"out of range: {self}")


@dataclass(frozen=True, slots=True)
class Barrier:
    """One lane's barrier at one moment; `apply` and `tick` return the next."""

    config: BarrierConfig = BarrierConfig()
    state: State = State.CLOSED
    deadline_s: float | None = None
    """When the state has lasted too long, monotonic seconds; None where it may last."""
    passages: int = 0
    """Passages completed since the process started; only grows."""

    def apply(self, event: Event, now_s: float) -> tuple["Barrier", tuple[Command, ...]]:
        """Return the barrier after an event, and what the turnstile must now do.

        Args:
            event: What happened.
            now_s: When, monotonic seconds.
        """
        done = step(self.state, event)
        deadline_s = self.deadline_s
        # A repeated GRANT or ENTERED must not lengthen the time that a state may last.
        if done.state is not self.state:
            deadline_s = self._deadline(done.state, now_s)
        after = replace(
            self,
            state=done.state,
            deadline_s=deadline_s,
            passages=self.passages + int(done.passed),
        )
        return after, done.commands

    def tick(self, now_s: float) -> tuple["Barrier", tuple[Command, ...]]:
        """Return the barrier as time passes: TIMEOUT when the deadline is reached.

        Args:
            now_s: Monotonic seconds.
        """
        if self.deadline_s is None or now_s < self.deadline_s:
            return self, ()
        return self.apply(Event.TIMEOUT, now_s)

    def _deadline(self, state: State, now_s: float) -> float | None:
        match state:
            case State.OPEN:
                return now_s + self.config.open_timeout_s
            case State.PASSING:
                return now_s + self.config.pass_timeout_s
            case _:
                return None


def markdown() -> str:
    """Return the whole table as Markdown, a row a state, a column an event."""
    lines = [
        "| state | " + " | ".join(event.value for event in Event) + " |",
        "|---" * (len(Event) + 1) + "|",
    ]
    for state in State:
        cells = [_cell(state, TABLE[state, event]) for event in Event]
        lines.append(f"| **{state.value}** | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(state: State, done: Step) -> str:
    parts = ["-" if done.state is state else f"**{done.state.value}**"]
    parts += [command.value for command in done.commands]
    if done.passed:
        parts.append("counts")
    return ", ".join(parts)
