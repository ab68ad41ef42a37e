"""A turnstile in memory: it keeps every command, and its beams are crossed by the test."""

from edge_gate.barrier import Command, Event
from edge_gate.turnstile import BarrierFault


class MemoryTurnstile:
    """Implements `Turnstile`; `sense` crosses a beam, `broken` makes every call fail."""

    def __init__(self) -> None:
        self.commands: list[Command] = []
        self.broken = False
        self._sensed: list[Event] = []

    @property
    def is_open(self) -> bool:
        """Whether the leaves are open."""
        moves = [c for c in self.commands if c in (Command.OPEN, Command.CLOSE)]
        return bool(moves) and moves[-1] is Command.OPEN

    def sense(self, *events: Event) -> None:
        """Let the sensors see something."""
        self._sensed.extend(events)

    def open(self) -> None:
        """Note the command."""
        self._take(Command.OPEN)

    def close(self) -> None:
        """Note the command."""
        self._take(Command.CLOSE)

    def stop(self) -> None:
        """Note the command."""
        self._take(Command.STOP)

    def poll(self, now_s: float) -> tuple[Event, ...]:  # noqa: ARG002  # no clock of its own
        """Return what was sensed since the last call."""
        if self.broken:
            raise BarrierFault("the turnstile does not answer")
        sensed, self._sensed = tuple(self._sensed), []
        return sensed

    def _take(self, command: Command) -> None:
        if self.broken:
            raise BarrierFault(f"the turnstile did not take {command}")
        self.commands.append(command)
