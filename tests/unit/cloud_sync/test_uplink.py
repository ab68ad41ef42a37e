"""The edge's end of the taps, step by step, and a model of it under loss."""

import contextlib
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from cloud_sync.adapters.memory.outbox import MemoryOutbox
from cloud_sync.adapters.memory.taps import MemoryTapLog
from cloud_sync.stream.view import EdgeNode
from cloud_sync.taps.signing import NodeKey
from cloud_sync.taps.tap_log import Batch, Receipt
from cloud_sync.taps.uplink import LinkDown, Outcome, Position, TapSink, ask, step
from tests.taps import START, tap

KEY = NodeKey(bytes(range(32)))
NODE = EdgeNode("edge-1", "bell-tower", KEY.public_key)


class Link:
    """A way to a tap log in memory that can lose a question or an answer."""

    def __init__(self, log: MemoryTapLog) -> None:
        """Lose nothing at first."""
        self.log = log
        self.loses: str = ""
        self.sent: list[list[int]] = []

    def send(self, batch: Batch) -> Receipt:
        """Send, unless something gets lost."""
        self.sent.append([sealed.seq for sealed in batch.taps])
        if self.loses == "question":
            raise LinkDown("no way")
        receipt = self.log.ingest(batch, START)
        if self.loses == "answer":
            raise LinkDown("no answer")
        return self.answer(batch, receipt)

    def answer(self, batch: Batch, receipt: Receipt) -> Receipt:
        """Return the cloud's answer as it is."""
        del batch
        return receipt


class Boastful(Link):
    """The control: acknowledges what was sent instead of what is held without a gap."""

    def answer(self, batch: Batch, receipt: Receipt) -> Receipt:
        """Claim the last tap."""
        del receipt
        return Receipt(batch.taps[-1].seq)


@pytest.fixture
def outbox() -> MemoryOutbox:
    """Give an empty outbox."""
    return MemoryOutbox(UUID(int=1), KEY)


@pytest.fixture
def link() -> Link:
    """Give a link to an empty log."""
    return Link(MemoryTapLog({"edge-1": NODE}))


def run(outbox: MemoryOutbox, link: TapSink, *, steps: int = 20, limit: int = 3) -> list[Outcome]:
    """Step until nothing waits; return the outcomes."""
    position, outcomes = Position(), []
    for _ in range(steps):
        position, outcome = step(outbox, link, "edge-1", position, limit=limit)
        outcomes.append(outcome)
        if outcome is Outcome.IDLE:
            break
    return outcomes


def stored(link: Link, outbox: MemoryOutbox) -> Sequence[int]:
    """Return the places the cloud holds."""
    return [sealed.seq for sealed in link.log.stored(outbox.outbox_id)]


class TestStep:
    """One step at a time."""

    def test_sends_in_order_and_acknowledges(self, outbox: MemoryOutbox, link: Link) -> None:
        """Batches go oldest first until nothing waits."""
        for number in range(7):
            outbox.append(tap(number))

        outcomes = run(outbox, link)

        assert link.sent == [[1, 2, 3], [4, 5, 6], [7]]
        assert outcomes == [Outcome.SENT] * 3 + [Outcome.IDLE]
        assert outbox.depth() == 0

    @pytest.mark.parametrize("loses", ["question", "answer"])
    def test_acknowledges_nothing_without_an_answer(
        self, outbox: MemoryOutbox, link: Link, loses: str
    ) -> None:
        """Whatever got lost, the tap still waits."""
        outbox.append(tap(0))
        link.loses = loses

        with pytest.raises(LinkDown):
            step(outbox, link, "edge-1", Position())

        assert outbox.depth() == 1

    def test_asks_and_offers_what_the_cloud_lost_without_another_tap(
        self, outbox: MemoryOutbox, link: Link
    ) -> None:
        """At night no tap comes that would show the loss; a question does."""
        for number in range(6):
            outbox.append(tap(number))
        run(outbox, link)
        link.log.lose_after(2)

        assert run(outbox, link) == [Outcome.IDLE]  # the control: nothing waits, as far as it knows
        position, outcome = ask(outbox, link, "edge-1")
        step(outbox, link, "edge-1", position)

        assert outcome is Outcome.SENT
        assert stored(link, outbox) == [1, 2, 3, 4, 5, 6]
        assert outbox.depth() == 0

    def test_a_question_renews_an_outbox_that_lost_its_end(
        self, outbox: MemoryOutbox, link: Link
    ) -> None:
        """The cloud holds more than this disk: no place may be given twice."""
        old = MemoryOutbox(outbox.outbox_id, KEY)
        for number in range(3):
            outbox.append(tap(number))
        run(outbox, link)

        position, outcome = ask(old, link, "edge-1")

        assert (position, outcome) == (Position(), Outcome.RENEWED)
        assert old.outbox_id != outbox.outbox_id

    def test_a_question_of_a_new_outbox_changes_nothing(
        self, outbox: MemoryOutbox, link: Link
    ) -> None:
        """The cloud holds nothing, and all that waits is sent."""
        outbox.append(tap(0))

        position, _ = ask(outbox, link, "edge-1")
        step(outbox, link, "edge-1", position)

        assert stored(link, outbox) == [1]

    def test_offers_again_what_the_cloud_lost(self, outbox: MemoryOutbox, link: Link) -> None:
        """A lost suffix comes back with the next tap, though it was acknowledged."""
        for number in range(6):
            outbox.append(tap(number))
        run(outbox, link)
        link.log.lose_after(2)

        outbox.append(tap(6))
        run(outbox, link)

        assert stored(link, outbox) == [1, 2, 3, 4, 5, 6, 7]
        assert outbox.depth() == 0

    def test_does_not_wait_for_what_is_gone(
        self, outbox: MemoryOutbox, link: Link, noon: datetime
    ) -> None:
        """Taps that were pruned here and lost there block nothing that follows."""
        for number in range(6):
            outbox.append(tap(number))
        run(outbox, link)
        outbox.prune(noon.replace(year=2100))
        link.log.lose_after(2)
        for number in range(6, 12):
            outbox.append(tap(number))

        outcomes = run(outbox, link)

        assert stored(link, outbox) == [1, 2, 7, 8, 9, 10, 11, 12]
        assert Outcome.STUCK in outcomes
        assert outcomes[-1] is Outcome.IDLE

    def test_begins_anew_when_the_cloud_holds_another_history(
        self, outbox: MemoryOutbox, link: Link
    ) -> None:
        """A node set back to an older state carries its taps over into a new outbox."""
        twin = MemoryOutbox(UUID(int=1), KEY)
        for number in range(3):
            twin.append(tap(number))
        run(twin, link)
        for number in range(50, 55):
            outbox.append(tap(number))

        outcomes = run(outbox, link)

        assert outcomes[0] is Outcome.RENEWED
        assert outbox.outbox_id != UUID(int=1)
        held = {sealed.tap.tap_id for sealed in link.log.stored(outbox.outbox_id)}
        assert held == {tap(number).tap_id for number in range(50, 55)}


class Taps(RuleBasedStateMachine):
    """An edge that makes taps, a link that loses, a cloud that fails over."""

    link_type = Link

    def __init__(self) -> None:
        """Start with nothing."""
        super().__init__()
        self.outbox = MemoryOutbox(UUID(int=1), KEY)
        self.link = self.link_type(MemoryTapLog({"edge-1": NODE}))
        self.position = Position()
        self.made = 0

    @rule()
    def ride(self) -> None:
        """Somebody passes."""
        self.outbox.append(tap(self.made))
        self.made += 1

    @rule(loses=st.sampled_from(["", "", "question", "answer"]), limit=st.integers(1, 4))
    def send(self, loses: str, limit: int) -> None:
        """The uplink takes a step."""
        self.link.loses = loses
        with contextlib.suppress(LinkDown):
            self.position, _ = step(self.outbox, self.link, "edge-1", self.position, limit=limit)

    @rule()
    def restart(self) -> None:
        """The node starts anew and knows only its disk."""
        self.position = Position()

    @rule(count=st.integers(0, 6))
    def fail_over(self, count: int) -> None:
        """A standby that lagged behind takes over."""
        self.link.log.lose_after(count)

    @invariant()
    def nothing_is_stored_twice_or_set_aside(self) -> None:
        """Each place is held once, and honest taps are never quarantined."""
        held = [sealed.seq for sealed in self.link.log.stored(self.outbox.outbox_id)]
        assert len(held) == len(set(held))
        assert self.link.log.quarantined(self.outbox.outbox_id) == ()

    def teardown(self) -> None:
        """After one more passage over a good line the cloud holds every tap."""
        self.ride()
        for _ in range(4 * self.made + 10):
            self.send("", 4)
        held = [sealed.tap.tap_id for sealed in self.link.log.stored(self.outbox.outbox_id)]
        assert held == [tap(number).tap_id for number in range(self.made)], "lost"
        assert self.outbox.depth() == 0


class BoastfulTaps(Taps):
    """The control: the model with a cloud that claims too much."""

    link_type = Boastful


def _settings(examples: int, *phases: Phase) -> settings:
    return settings(
        phases=(Phase.generate, *phases),
        max_examples=examples,
        stateful_step_count=30,
        deadline=None,
        database=None,
        derandomize=True,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
    )


class TestModel:
    """No tap lost."""

    def test_keeps_its_promise(self) -> None:
        """Whatever is lost on the way or in the cloud, every tap is there at the end, once."""
        run_state_machine_as_test(Taps, settings=_settings(80, Phase.shrink))

    def test_finds_a_cloud_that_claims_too_much(self) -> None:
        """Were the last tap sent acknowledged, a lost suffix would be lost for good."""
        with pytest.raises(AssertionError, match="lost"):
            run_state_machine_as_test(BoastfulTaps, settings=_settings(300))
