"""The worker dies at every step in turn, once or again and again; nobody is charged twice."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from fare.account import BankCard
from fare.adapters.memory import MemoryStore
from fare.adapters.postgres import PostgresStore
from fare.charge import ChargeRules, State
from fare.payment import Declined, NotFound, Paid, PaymentGateway, Unknown
from fare.store import Store, Transaction
from fare.work import Clock, resolve, send_one, take_in
from tests.purse import Rig, ride, rider, tap


class Killed(BaseException):
    """The process is gone; not an `Exception`, so that nothing catches it."""


@dataclass
class Fuse:
    """Burns at the given step."""

    at: int
    steps: int = 0

    def tick(self) -> None:
        """Count a step, and die at the one."""
        self.steps += 1
        if self.steps == self.at:
            raise Killed

    @property
    def blown(self) -> bool:
        """Tell whether the process died."""
        return self.steps >= self.at


class Frail:
    """Anything whose calls each may be the last, before or after they took effect."""

    def __init__(self, real: Any, fuse: Fuse) -> None:
        self._real = real
        self._fuse = fuse

    def __getattr__(self, name: str) -> Any:
        """Wrap a part of a transaction, or a call."""
        found = getattr(self._real, name)
        if not callable(found):
            return Frail(found, self._fuse)

        def call(*arguments: Any, **named: Any) -> Any:
            self._fuse.tick()
            result = found(*arguments, **named)
            self._fuse.tick()
            return result

        return call


class FrailStore:
    """A store whose process may die between any two calls, and on both sides of a commit."""

    def __init__(self, real: Store, fuse: Fuse) -> None:
        self._real = real
        self._fuse = fuse

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Open a transaction."""
        return self._frail()

    @contextmanager
    def _frail(self) -> Iterator[Transaction]:
        with self._real.transaction() as tx:
            frail: Any = Frail(tx, self._fuse)
            yield frail
            self._fuse.tick()
        self._fuse.tick()


Work = Callable[[Rig, Store, PaymentGateway], None]


def right(rig: Rig, store: Store, gateway: PaymentGateway) -> None:
    """Work as shipped."""
    rig.rest(store, gateway)


CARDS = ("tok_yes", "tok_charged_silent", "tok_slow", "tok_no")
PAYING = ("tok_yes", "tok_charged_silent", "tok_slow")


@dataclass
class Act:
    """A morning of four cards and a wallet; late in it Ada's second way in turns up."""

    rig: Rig
    name: str

    def who(self, token: str) -> UUID:
        """Give the rider of a card, or of the wallet."""
        return rider(token, act=self.name)

    def card(self, token: str) -> str:
        """Give the token of this act's rider."""
        return f"{token}-{self.name}"

    def begin(self) -> None:
        """Set means, and let the first taps arrive."""
        for token in CARDS:
            self.rig.pays_by(self.who(token), BankCard(self.card(token)))
        self.rig.fills(self.who("wallet"), 1_000)
        for token in (*CARDS, "wallet"):
            self.rig.hears(*ride(self.who(token), "houweizhai", "fangzhicheng"))

    def late_tap(self) -> None:
        """Let taps arrive that make Ada's ride, already charged, a shorter one."""
        self.rig.hears(tap(self.who("tok_yes"), "banpo", "entry", 12))

    def check(self, *, captures: int = 1) -> None:
        """Check that money at the bank, charges and ledger agree, and that it is not too much."""
        rig = self.rig
        for token in PAYING:
            who = self.who(token)
            assert rig.net(self.card(token)) == rig.fares(who) > 0, token
            assert rig.owed(who) == 0, token
            taken = [m for m in rig.moved(self.card(token)) if m.kind == "capture"]
            assert len(taken) == captures, token
        assert rig.net(self.card("tok_no")) == 0
        assert rig.owed(self.who("tok_no")) == rig.fares(self.who("tok_no")) > 0
        assert rig.owed(self.who("wallet")) == 0
        assert rig.purse(self.who("wallet")) == 1_000 - rig.fares(self.who("wallet"))
        self.check_clearing()

    def check_clearing(self) -> None:
        """Check that the ledger says of the bank what the bank says of itself."""
        cards = {m.token for m in self.rig.bank.statement()}
        assert self.rig.clearing() == sum(self.rig.net(card) for card in cards)


def die_at(rig: Rig, step: int, work: Work = right) -> bool:
    """Work until done or dead at a step, and tell whether it died."""
    fuse = Fuse(step)
    frail_bank: Any = Frail(rig.bank, fuse)
    try:
        work(rig, FrailStore(rig.store, fuse), frail_bank)
    except Killed:
        return True
    return False


def act_on(rig: Rig) -> Act:
    """Give an act with riders of its own."""
    return Act(rig, uuid4().hex[:8])


@pytest.fixture
def postgres_store(engine: sa.Engine) -> PostgresStore:
    """Give a store without a row."""
    return PostgresStore(engine)


class TestKilledOnce:
    """Each step of a morning is the last one of a process."""

    def test_in_memory(self) -> None:
        """Killed at any step and restarted, the worker ends with one capture a trip."""
        steps = 0
        dead = True
        while dead:
            steps += 1
            act = act_on(Rig(MemoryStore()))
            act.begin()
            dead = die_at(act.rig, steps)
            act.rig.rest()
            act.check()
        assert steps > 200, "the sweep reached every call of the worker"

    @pytest.mark.parametrize(
        "first", [7, *(pytest.param(n, marks=pytest.mark.chaos) for n in (1, 2, 3, 4, 5, 6, 8, 9))]
    )
    def test_on_postgresql(self, postgres_store: PostgresStore, first: int) -> None:
        """The same holds in real transactions; the long version leaves no step out."""
        step = first
        rig = Rig(postgres_store)
        dead = True
        while dead:
            act = act_on(rig)
            act.begin()
            dead = die_at(rig, step)
            rig.rest()
            act.check()
            step += 9
        assert step > 200

    def test_when_a_late_tap_changes_a_fare(self) -> None:
        """Killed at any step before a late tap lowers the fare, the net taken is the new fare."""
        step = 0
        dead = True
        while dead:
            step += 1
            act = act_on(Rig(MemoryStore()))
            act.begin()
            dead = die_at(act.rig, step)
            act.late_tap()
            act.rig.rest()
            card = act.card("tok_yes")
            assert act.rig.net(card) == act.rig.fares(act.who("tok_yes")) == 200
            assert act.rig.owed(act.who("tok_yes")) == 0
            act.check_clearing()


class TestKilledAgainAndAgain:
    """A process that hardly comes up dies again."""

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.integers(1, 120), max_size=8))
    def test_many_deaths(self, deaths: list[int]) -> None:
        """However often and wherever it dies, each trip is captured once."""
        act = act_on(Rig(MemoryStore()))
        act.begin()

        for step in deaths:
            die_at(act.rig, step)
            act.rig.clock.pass_by(60)
        act.rig.rest()

        act.check()


class TestTwoWorkers:
    """Two processes at the same charges, one of them asleep with an answer in its hand."""

    def test_sleeper_brings_old_news(self) -> None:
        """A worker that wakes after its lease neither resends nor undoes what happened since."""
        rig = Rig(MemoryStore())
        ada = rider("Ada")
        rig.pays_by(ada, BankCard("tok_yes-ada"))
        rig.hears(*ride(ada, "houweizhai", "fangzhicheng"))
        rig.read()
        with rig.store.transaction() as tx:
            (charge,) = tx.charges.of_rider(ada)
        sleeper = _Sleeper(rig)

        send_one(rig.store, sleeper, rig.clock, rig.rules.charge)

        assert sleeper.other_worked
        assert rig.net("tok_yes-ada") == rig.fares(ada)
        assert len(rig.moved("tok_yes-ada")) == 1
        with rig.store.transaction() as tx:
            assert tx.charges.get(charge.charge_id).state is State.PAID

    @pytest.mark.parametrize("meanwhile", [State.SENT, State.UNKNOWN])
    def test_sleeping_query_is_ignored(self, meanwhile: State) -> None:
        """A query's "never seen" from before another worker's sending does not send it again."""
        rig = Rig(MemoryStore())
        ada = rider("Ada")
        rig.pays_by(ada, BankCard("tok_yes-ada"))
        rig.hears(*ride(ada, "houweizhai", "fangzhicheng"))
        rig.read()
        with rig.store.transaction() as tx:
            (charge,) = tx.charges.of_rider(ada)
            claimed = replace(charge, state=State.UNKNOWN, sends=1, queries=1)
            tx.charges.save(replace(claimed, state=meanwhile, sends=2))

        with rig.store.transaction() as tx:
            resolve(tx, claimed, NotFound(), rig.clock(), rig.rules.charge)

        with rig.store.transaction() as tx:
            assert tx.charges.get(charge.charge_id).state is meanwhile


class _Sleeper:
    """A bank whose answer reaches this worker only after another one finished the charge."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self.other_worked = False

    def charge(self, charge_id: UUID, token: str, amount: Any) -> Paid | Declined | Unknown:
        said = self._rig.bank.charge(charge_id, token, amount)
        self._rig.clock.pass_by(3_600)
        while self._rig.once():
            self.other_worked = True
        return said

    def refund(self, refund_id: UUID, charge_id: UUID, amount: Any) -> Paid | Declined | Unknown:
        raise NotImplementedError

    def query(self, movement_id: UUID) -> Paid | Declined | NotFound | Unknown:
        raise NotImplementedError


class TestControls:
    """Workers that are wrong in one place are caught by the same checks."""

    def test_new_id_for_a_retry_charges_twice(self) -> None:
        """A worker that meets silence by sending under a new id is found out."""
        act = act_on(Rig(MemoryStore()))
        act.begin()

        _with(act.rig, ask=_resend_under_new_id)

        with pytest.raises(AssertionError, match="tok_charged_silent"):
            act.check()

    def test_sending_before_commit_loses_money(self) -> None:
        """A worker that calls the bank before SENT is on record is found out by some death."""
        caught = 0
        step = 0
        dead = True
        while dead:
            step += 1
            act = act_on(Rig(MemoryStore()))
            act.begin()
            dead = die_at(act.rig, step, _sending_first)
            act.late_tap()
            act.rig.rest()
            try:
                assert act.rig.net(act.card("tok_yes")) == act.rig.fares(act.who("tok_yes"))
                act.check_clearing()
            except AssertionError:
                caught += 1
        assert caught > 0

    def test_cursor_before_results_loses_taps(self) -> None:
        """A worker that moves its cursor in a transaction of its own is found out."""
        rig = Rig(MemoryStore())
        act = act_on(rig)
        act.begin()
        with rig.store.transaction() as tx:  # and then it died
            tx.taps.move_cursor(rig.feed.read_after(0, 100)[-1].position)

        rig.rest()

        with pytest.raises(AssertionError):
            act.check()


def _with(rig: Rig, *, ask: Callable[[Store, PaymentGateway, Clock, ChargeRules], bool]) -> None:
    for _ in range(20):
        rig.read()
        while send_one(rig.store, rig.bank, rig.clock, rig.rules.charge):
            pass
        ask(rig.store, rig.bank, rig.clock, rig.rules.charge)
        rig.clock.pass_by(60)


def _resend_under_new_id(
    store: Store, gateway: PaymentGateway, clock: Clock, rules: ChargeRules
) -> bool:
    """Wrong on purpose: silence is answered by another sending under another id."""
    with store.transaction() as tx:
        for charge in tx.charges.claim({State.UNKNOWN}, clock(), 9):
            assert isinstance(charge.means, BankCard)
            gateway.charge(uuid4(), charge.means.token, charge.amount)
            tx.charges.save(replace(charge, due_time=clock() + timedelta(seconds=5)))
    return False


def _sending_first(rig: Rig, store: Store, gateway: PaymentGateway) -> None:
    """Wrong on purpose: the bank hears of a charge in the transaction that marks it."""
    take_in(store, rig.feed, rig.city, rig.clock(), rig.rules)
    while _send_uncommitted(rig, store, gateway):
        pass


def _send_uncommitted(rig: Rig, store: Store, gateway: PaymentGateway) -> bool:
    with store.transaction() as tx:
        due = tx.charges.claim({State.NEW}, rig.clock(), 1)
        for charge in due:
            assert isinstance(charge.means, BankCard)
            gateway.charge(charge.charge_id, charge.means.token, charge.amount)
            tx.charges.save(replace(charge, state=State.SENT, sends=1))
    return bool(due)
