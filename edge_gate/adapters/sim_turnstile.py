"""A simulated turnstile: whoever is let in walks through by script, beam by beam, or does not."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from edge_gate.barrier import Event


@dataclass(frozen=True, slots=True)
class Walk:
    """The next person walks through: beam one after `reach_s`, beam two `cross_s` later."""

    reach_s: float = 0.6
    """From the leaves' opening to the first beam, seconds: half a metre at walking speed."""
    cross_s: float = 0.9
    """From the first to the second beam, seconds: a metre and a bit at walking speed."""


@dataclass(frozen=True, slots=True)
class NoShow:
    """The next person turns away and never enters."""


@dataclass(frozen=True, slots=True)
class Jam:
    """The drive blocks `after_s` seconds after the leaves begin to open."""

    after_s: float = 0.3


Scene = Walk | NoShow | Jam


class SimTurnstile:
    """Implements `Turnstile`: each opening plays the next scene of its script, then the usual one.

    Beams are crossed only while the leaves are open; closing them before somebody enters sends
    that person away. Somebody already between the beams walks on, as the leaves of a real one
    wait for clear beams.
    """

    def __init__(self, script: Iterable[Scene] = (), *, usual: Scene | None = None) -> None:
        """Start closed.

        Args:
            script: What happens at the first, second, ... opening.
            usual: What happens at every later one; a walk of 1.5 seconds if not given.
        """
        self._script = deque(script)
        self._usual = usual or Walk()
        self._starting: Scene | None = None
        self._due: deque[tuple[float, Event]] = deque()
        self.is_open = False

    def open(self) -> None:
        """Open the leaves and let the next scene begin at the next poll."""
        if not self.is_open:
            self.is_open = True
            self._starting = self._script.popleft() if self._script else self._usual

    def close(self) -> None:
        """Close the leaves; who has not entered stays outside."""
        self.is_open = False
        self._starting = None
        if self._due and self._due[0][1] is Event.ENTERED:
            self._due.clear()

    def stop(self) -> None:
        """Take the force off the drive: the leaves stay where they are, and nobody moves on."""
        self._starting = None
        self._due.clear()

    def poll(self, now_s: float) -> tuple[Event, ...]:
        """Return the events that are due."""
        if self._starting is not None:
            self._due = deque(_events(self._starting, now_s))
            self._starting = None
        seen: list[Event] = []
        while self._due and self._due[0][0] <= now_s:
            seen.append(self._due.popleft()[1])
        return tuple(seen)


def _events(scene: Scene, now_s: float) -> list[tuple[float, Event]]:
    match scene:
        case Walk(reach_s, cross_s):
            reached_s = now_s + reach_s
            return [(reached_s, Event.ENTERED), (reached_s + cross_s, Event.LEFT)]
        case Jam(after_s):
            return [(now_s + after_s, Event.JAM)]
        case NoShow():
            return []
