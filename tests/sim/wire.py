"""The lines between edges and cloud, with all that lines do to messages."""

import heapq
import random
from collections.abc import Callable
from typing import Any

from tests.sim.options import Options


class Clockwork:
    """Virtual time: what is to happen, in its order."""

    def __init__(self) -> None:
        """Begin at second 0 with nothing to come."""
        self.now = 0.0
        self._order = 0
        self._queue: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []

    def after(self, delay_s: float, what: Callable[..., None], *args: Any) -> None:
        """Let something happen later; equal times keep the order in which they were asked for."""
        self._order += 1
        heapq.heappush(self._queue, (self.now + delay_s, self._order, what, args))

    def run(self, until_s: float) -> None:
        """Let everything happen up to a moment."""
        queue = self._queue
        while queue and queue[0][0] <= until_s:
            self.now, _, what, args = heapq.heappop(queue)
            what(*args)
        self.now = until_s

    def leap(self, seconds: float) -> None:
        """Let time pass in which nothing of what waits comes any nearer."""
        self.now += seconds
        self._queue = [(at + seconds, order, what, args) for at, order, what, args in self._queue]


class Link:
    """One stream between a node and the cloud."""

    __slots__ = ("edge_id", "is_dark", "is_open", "latest", "under_way")

    def __init__(self, edge_id: str) -> None:
        """Open it."""
        self.edge_id = edge_id
        self.is_open = True
        self.is_dark = False
        """Whether it swallows everything and neither end has been told."""
        self.under_way = 0
        self.latest = {"up": 0.0, "down": 0.0}


class Wire:
    """Carries messages; loses, repeats, delays and reorders them as the seed has it."""

    def __init__(self, clock: Clockwork, options: Options, rng: random.Random) -> None:
        """Carry from now on."""
        self._clock = clock
        self._options = options
        self._rng = rng
        self.is_kind = False
        """Whether nothing is lost, repeated or spoilt any more."""
        self.told: Callable[[Link, object], None] | None = None
        """Hears of every message that arrives, for the trace."""

    def carry(
        self, link: Link, way: str, arrive: Callable[[Link, Any], None], message: object
    ) -> None:
        """Take a message in at one end of a stream."""
        for _ in range(self.copies()):
            if link.is_dark or not link.is_open:
                return
            at = self._clock.now + self.delay_s()
            if self._options.is_orderly or self.is_kind:
                at = link.latest[way] = max(at, link.latest[way])
            link.under_way += 1
            self._clock.after(at - self._clock.now, self._arrived, link, arrive, message)

    def copies(self) -> int:
        """Return how often the next message arrives."""
        if self.is_kind:
            return 1
        luck = self._rng.random()
        if luck < self._options.loss:
            return 0
        return 2 if luck > 1 - self._options.twice else 1

    def delay_s(self) -> float:
        """Return how long the next message is on its way."""
        return self._rng.random() * self._options.delay_s

    def spoils(self) -> bool:
        """Return whether the next chunk is damaged on its way."""
        return not self.is_kind and self._rng.random() < self._options.spoilt

    def _arrived(self, link: Link, arrive: Callable[[Link, Any], None], message: object) -> None:
        link.under_way -= 1
        if link.is_open and not link.is_dark:
            if self.told is not None:
                self.told(link, message)
            arrive(link, message)
