"""One run: a city of nodes and a cloud, its people, its faults, and time for all of them."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from cloud_sync.stream.follow import DIGEST_S
from cloud_sync.stream.serve_view import Tick
from cloud_sync.taps.tap_log import Batch
from tests.sim import checks, deeds
from tests.sim.books import Books, Broken
from tests.sim.cloud import Cloud
from tests.sim.node import ASK_S, Node
from tests.sim.options import EDGES, HOUR_S, Options, derive
from tests.sim.parts import Parts
from tests.sim.wire import Clockwork, Link, Wire

SETTLE_S = 20.0
"""Between a burst and the hours that are leapt over, seconds at most: lines at work come to rest.
Those that do not are broken."""
CALM_S = 400.0
"""After the last fault all must be in step within this, seconds: three back-offs of a minute at
most, a silence of 30 s, and snapshots one after the other."""


@dataclass(slots=True)
class Person:
    """A rider as the city knows them."""

    ref: UUID
    version: int = 0
    is_enrolled: bool = False


class World(Clockwork):
    """All of it. Everything random comes from one generator, so a seed is a run."""

    def __init__(
        self,
        options: Options,
        parts: Parts | None = None,
        *,
        node: type[Node] = Node,
        cloud: type[Cloud] = Cloud,
        trace: Callable[[str], None] | None = None,
    ) -> None:
        """Build the city; nothing is switched on yet.

        Args:
            options: What the seed has decided.
            parts: The shipped parts, or a control's.
            node: An edge node, or a control's.
            cloud: The cloud, or a control's.
            trace: Takes a line for each thing that happens.
        """
        super().__init__()
        self.options = options
        self.parts = parts or Parts()
        self.rng = random.Random(options.seed)
        self.trace = trace
        self.leapt_s = 0.0
        self.books = Books()
        self.wire = Wire(self, options, self.rng)
        self.wire.told = self.overheard if trace else None
        places = [f"station-{number % options.stations:02}" for number in range(EDGES)]
        self.nodes = [node(self, number, place) for number, place in enumerate(places)]
        self._by_id = {each.edge_id: each for each in self.nodes}
        self.cloud = cloud(self)
        self._refs = iter(range(1, 1 << 20))
        self.people = [Person(self.new_ref()) for _ in range(options.riders)]
        self.compares = "rot_gallery" in dict(options.weights)
        """Whether nodes take digests: only where something can rot, for they cost a tenth."""
        names, weights = zip(*options.weights, strict=True)
        self._names, self._weights = names, weights

    def new_ref(self) -> UUID:
        """Return a rider reference never given before."""
        return UUID(int=next(self._refs) * 0x9E3779B97F4A7C15F39CC0605CEDC835 % (1 << 128))

    def node(self, edge_id: str) -> Node:
        """Return a node."""
        return self._by_id[edge_id]

    def say(self, who: Node | None, what: str, more: Callable[[], object] | None = None) -> None:
        """Write a line of the trace."""
        if self.trace is not None:
            name = who.edge_id if who is not None else "-"
            self.trace(f"{self.now:10.2f}  {name:8} {what} {more() if more else ''}")

    def overheard(self, link: Link, message: object) -> None:
        """Write a message that arrives into the trace."""
        self.say(self.node(link.edge_id), "", lambda: message)

    # The network.

    def is_reachable(self, node: Node) -> bool:
        """Return whether a node's call would be answered."""
        return self.cloud.is_up and not node.is_apart

    def ask(self, node: Node, ticket: object, batch: Batch) -> None:
        """Carry a batch of taps to the cloud; a call may be lost, or arrive twice."""
        if not self.is_reachable(node):
            self.after(0.1, node.not_sent, ticket)
            return
        for _ in range(self.wire.copies()):
            self.after(self.wire.delay_s(), self.cloud.take_taps, node, ticket, batch)

    def answer(self, node: Node, ticket: object, hear: Callable[..., None], *args: Any) -> None:
        """Carry the answer back, unless it is lost."""
        if not node.is_apart and self.wire.copies():
            self.after(self.wire.delay_s(), hear, ticket, *args)

    # Time.

    def run_through(self) -> None:
        """Live through bursts of trouble and the hours between them, then through the calm.

        Raises:
            Broken: A promise was not kept.
        """
        for node in self.nodes:
            self.after(self.rng.random() * 2, node.start)
        self.run(self.now + 4)
        for number in range(self.options.bursts):
            if number:
                self.settle()
                self.pass_hours(self.rng.expovariate(1 / (self.options.leap_h * HOUR_S)))
            self.burst()
        self.calm()

    def burst(self) -> None:
        """Let people act and things fail."""
        drawn = self.rng.choices(self._names, self._weights, k=self.options.deeds)
        for name in drawn:
            self.after(self.rng.random() * self.options.burst_s, deeds.do, self, name)
        self.run(self.now + self.options.burst_s)
        self.look()

    def settle(self) -> None:
        """Let lines at work come to rest, for a while."""
        until_s = self.now + SETTLE_S
        while self.now < until_s and not all(
            self.at_rest(node) for node in self.nodes if node.link is not None
        ):
            self.run(self.now + 4)

    def pass_hours(self, seconds: float) -> None:
        """Leap over hours in which nothing happens.

        A line at rest stays as it is but for its bookmarks, and the last of them stands for all. A
        line at work would come to rest or break; here it breaks. A node that is off, or cut off,
        stays so.
        """
        self.say(None, "hours pass", lambda: f"{seconds / HOUR_S:.1f}")
        for node in self.nodes:
            if node.link is not None and not self.at_rest(node):
                self.cloud.lose_now(node.link)
        for session in list(self.cloud.sessions.values()):
            if self.node(session.link.edge_id).link is not session.link:
                self.cloud.lose_now(session.link)
        self.leap(seconds)
        self.leapt_s += seconds
        for node in self.nodes:
            if node.is_up:
                node.note_time()
                node.ask()  # as it did all the while
        for session in list(self.cloud.sessions.values()):
            node = self.node(session.link.edge_id)
            if node.state is None or self.cloud.sessions.get(session.link) is not session:
                continue  # the cloud has died over another's bookmark
            node.state = deeds.heard_now(node.state, self.now)
            session.state = deeds.due_now(session.state, self.now)
            self.cloud.takes(session, Tick())
        self.look()

    def at_rest(self, node: Node) -> bool:
        """Return whether nothing but bookmarks would go over a node's line."""
        link, head = node.link, self.cloud.views.head(node.station_id)
        session = self.cloud.sessions.get(link) if link is not None else None
        if link is None or session is None or head is None or session.is_waiting:
            return False
        is_quiet = not (link.is_dark or link.under_way or session.state.credit.unacked)
        return (
            is_quiet
            and session.state.plan is not None
            and (session.state.acked_rev == head.head_rev)
        )

    def look(self) -> None:
        """Check everybody, also those to whom nothing happened."""
        for node in self.nodes:
            checks.gone_means_gone(self, node)
            checks.no_divergence(self, node)
        checks.no_tap_lost(self)

    def calm(self) -> None:
        """End all trouble; all must be in step soon.

        Raises:
            Broken: Somebody was not.
        """
        self.say(None, "calm")
        self.wire.is_kind = True
        self.cloud.cut_after = None
        self.cloud.is_up = self.cloud.has_database = True
        for node in self.nodes:
            node.cut_after, node.is_apart, node.skew_s = None, False, 0.0
            node.outbox.full = False
            node.start()
        until_s = self.now + CALM_S
        self.run(self.now + 4)
        while checks.behind(self) and self.now < until_s:
            self.run(self.now + 4)
        self.pass_hours(max(ASK_S, DIGEST_S) + 1)
        until_s = self.now + CALM_S
        while (checks.stragglers(self) or checks.rotten(self)) and self.now < until_s:
            self.run(self.now + 1)
        checks.in_step(self)
        self.look()
        checks.rot_is_mended(self)
        checks.all_alarmed(self)
        checks.dense(self)
        checks.withdrawn_is_nowhere(self)


def simulate(
    options: Options | int,
    parts: Parts | None = None,
    *,
    node: type[Node] = Node,
    cloud: type[Cloud] = Cloud,
    trace: Callable[[str], None] | None = None,
) -> World:
    """Run a city from beginning to end; return the world as it ended.

    Args:
        options: What a seed has decided, or the seed.
        parts: The shipped parts, or a control's.
        node: An edge node, or a control's.
        cloud: The cloud, or a control's.
        trace: Takes a line for each thing that happens.

    Raises:
        Broken: A promise was not kept; the message names the seed.
    """
    options = derive(options) if isinstance(options, int) else options
    world = World(options, parts, node=node, cloud=cloud, trace=trace)
    try:
        world.run_through()
    except Broken as broken:
        world.say(None, f"BROKEN {broken}")
        detail = f"{broken.detail} (seed {options.seed}, second {world.now:.1f})"
        raise Broken(broken.promise, detail) from broken
    return world
