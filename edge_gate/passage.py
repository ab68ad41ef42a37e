"""One lane's way through: credentials in, durable tap, barrier, turnstile; in that order.

Everything that opens leaves goes through `Passage.present`, and it opens only on `MayPass`, which
the tapper gives only with a durable tap (invariant 1).
"""

import logging
from collections.abc import Sequence

from edge_gate.barrier import Barrier, BarrierConfig, Command, Event, State
from edge_gate.moment import Moment
from edge_gate.tapping import Credential, MayPass, Outcome, Place, Tapper
from edge_gate.turnstile import BarrierFault, Turnstile
from fare.log import say

_LOG = logging.getLogger(__name__)

RELEASE_AGAIN_S = 1.0
"""Between two attempts to release a lane that is out of service, seconds."""


class Passage:
    """A lane's barrier, its turnstile and the node's tapper; one thread."""

    def __init__(
        self, place: Place, tapper: Tapper, turnstile: Turnstile, config: BarrierConfig
    ) -> None:
        self._place = place
        self._tapper = tapper
        self._turnstile = turnstile
        self._barrier = Barrier(config)
        self._released_s = float("-inf")

    @property
    def place(self) -> Place:
        """The lane."""
        return self._place

    @property
    def state(self) -> State:
        """Where the barrier is."""
        return self._barrier.state

    @property
    def passages(self) -> int:
        """Passages completed since the start."""
        return self._barrier.passages

    def present(self, credential: Credential, now: Moment) -> Outcome:
        """Tap and open, or say why not."""
        outcome = self._tapper.present(
            self._place,
            credential,
            barrier=self._barrier,
            now=now.wall,
            clock_error_ms=now.clock_error_ms,
            mono_s=now.mono_s,
        )
        if isinstance(outcome, MayPass):
            self._apply(Event.GRANT, now.mono_s)
        return outcome

    def tick(self, now: Moment) -> None:
        """Take what the sensors saw, and let time pass."""
        try:
            sensed = self._turnstile.poll(now.mono_s)
        except BarrierFault as fault:
            sensed = ()
            if self._barrier.state is not State.FAULT:
                self._fail(str(fault), now.mono_s)
        for event in sensed:
            self._apply(event, now.mono_s)
        self._barrier, commands = self._barrier.tick(now.mono_s)
        self._obey(commands, now.mono_s)

    def release(self, now: Moment) -> None:
        """Open for everybody, as often as needed; a lane out of service is asked again."""
        due = now.mono_s - self._released_s >= RELEASE_AGAIN_S
        if self._barrier.state is not State.RELEASED and due:
            self._released_s = now.mono_s
            say(_LOG, "released", level=logging.WARNING, lane=self._place.lane_id)
            self._apply(Event.RELEASE, now.mono_s)

    def recall(self, now: Moment) -> None:
        """Close again if the lane was released; else nothing happens."""
        if self._barrier.state is State.RELEASED:
            say(_LOG, "recalled", level=logging.WARNING, lane=self._place.lane_id)
            self._apply(Event.RECALL, now.mono_s)
            self._released_s = float("-inf")

    def reset(self, now: Moment) -> None:
        """Put the lane back into service: staff have looked."""
        self._apply(Event.RESET, now.mono_s)

    def _apply(self, event: Event, now_s: float) -> None:
        before = self._barrier.state
        self._barrier, commands = self._barrier.apply(event, now_s)
        self._obey(commands, now_s)
        if self._barrier.state is not before and self._barrier.state is State.FAULT:
            say(_LOG, "barrier_fault", level=logging.ERROR, lane=self._place.lane_id, by=event)

    def _obey(self, commands: Sequence[Command], now_s: float) -> None:
        for command in commands:
            try:
                self._give(command)
            except BarrierFault as fault:
                if self._barrier.state is not State.FAULT:
                    self._fail(str(fault), now_s)
                    return
                # Already out of service: a drive that will not even stop is the staff's case.
                say(_LOG, "turnstile_silent", level=logging.ERROR, lane=self._place.lane_id)

    def _give(self, command: Command) -> None:
        match command:
            case Command.OPEN:
                self._turnstile.open()
            case Command.CLOSE:
                self._turnstile.close()
            case Command.STOP:
                self._turnstile.stop()
            case Command.ALARM:
                say(_LOG, "alarm", level=logging.WARNING, lane=self._place.lane_id)

    def _fail(self, why: str, now_s: float) -> None:
        say(_LOG, "turnstile_lost", level=logging.ERROR, lane=self._place.lane_id, why=why)
        self._apply(Event.JAM, now_s)
