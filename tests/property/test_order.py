"""Any order, any doubling and any batching of the same taps end in the same money (invariant 4)."""

import contextlib
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from fare.account import BankCard
from fare.adapters import database
from fare.adapters.memory import MemoryStore
from fare.adapters.postgres import VERSIONS, PostgresStore
from fare.charge import Charge
from fare.city import City
from fare.decision import Outcome, Verdict, booking, judge, revise
from fare.feed import TapFeed
from fare.store import Store
from fare.tap import Tap
from fare.trip import fold
from fare.work import WorkRules, settle_rider, take_in
from tests.purse import Rig, TakeIn, rider, tap

STATIONS = ("houweizhai", "beidajie", "zhonglou", "xiaozhai", "fangzhicheng")
PAYERS = {
    "Ada": "tok_yes",
    "Bo": "tok_no",
    "Cy": "tok_charged_silent",
    "Dee": "",  # a wallet with less in it than the rides cost
    "Eli": "",  # nothing at all
}


@dataclass(frozen=True)
class Story:
    """Taps in two orders of arrival; a pause says where a batch ends and money moves."""

    first: tuple[Tap | None, ...]
    second: tuple[Tap | None, ...]


@st.composite
def taps(draw: st.DrawFn) -> list[Tap]:
    """Draw taps of a few riders, often but not always ways in and out in turn."""
    drawn = []
    for name in draw(
        st.lists(st.sampled_from(sorted(PAYERS)), min_size=1, max_size=2, unique=True)
    ):
        minutes = draw(st.lists(st.integers(0, 300), max_size=7, unique=True))
        for place, minute in enumerate(sorted(minutes)):
            expected = ("entry", "exit")[place % 2]
            way = draw(st.sampled_from([expected, expected, expected, "entry", "exit"]))
            station = draw(st.sampled_from(STATIONS))
            drawn.append(tap(rider(name), station, way, minute))
    return drawn


@st.composite
def stories(draw: st.DrawFn) -> Story:
    """Draw two deliveries of the same taps."""
    same = draw(taps())

    def delivery() -> tuple[Tap | None, ...]:
        doubled = draw(st.lists(st.sampled_from(same), max_size=4)) if same else []
        pauses: list[Tap | None] = [None] * draw(st.integers(0, 4))
        return tuple(draw(st.permutations([*same, *doubled, *pauses])))

    return Story(delivery(), delivery())


@dataclass(frozen=True)
class Ending:
    """What must not depend on the order; histories may differ, results not."""

    verdicts: frozenset[Verdict]
    taken: tuple[tuple[str, tuple[tuple[str, int], ...]], ...]
    """By rider: net charged per trip."""
    balances: tuple[tuple[str, int, int], ...]
    """By rider: owed, in the wallet."""
    at_the_bank: tuple[tuple[str, int], ...]
    clearing: int


def play(
    store: Store, delivery: Iterable[Tap | None], batch: int = 200, take: TakeIn = take_in
) -> Ending:
    """Deliver taps, work until nothing is left, and tell the ending."""
    rig = Rig(store, rules=WorkRules(batch=batch), take=take)
    for name, token in PAYERS.items():
        if token:
            rig.pays_by(rider(name), BankCard(token))
    rig.fills(rider("Dee"), 700)
    for each in delivery:
        if each is None:
            rig.rest()
        else:
            rig.hears(each)
    rig.rest()
    return ending(rig)


def ending(rig: Rig) -> Ending:
    """Read the ending off a rig."""
    verdicts: set[Verdict] = set()
    taken = []
    for name in sorted(PAYERS):
        with rig.store.transaction() as tx:
            in_force = [d.verdict for d in tx.decisions.in_force(rider(name))]
            charges = tx.charges.of_rider(rider(name))
        verdicts.update(v for v in in_force if v.outcome is not Outcome.VOID)
        taken.append((name, net_by_trip(charges)))
    with rig.store.transaction() as tx:
        booked = [p.amount.minor_units for e in tx.ledger.entries(limit=10_000) for p in e.postings]
    assert sum(booked) == 0
    return Ending(
        verdicts=frozenset(verdicts),
        taken=tuple(taken),
        balances=tuple((n, rig.owed(rider(n)), rig.purse(rider(n))) for n in sorted(PAYERS)),
        at_the_bank=tuple((token, rig.net(token)) for token in PAYERS.values() if token),
        clearing=rig.clearing(),
    )


def net_by_trip(charges: Sequence[Charge]) -> tuple[tuple[str, int], ...]:
    """Sum what was taken and given back by trip, leaving out trips where that is nothing."""
    net: dict[str, int] = {}
    for charge in charges:
        if charge.state == "paid":
            sign = 1 if charge.kind == "capture" else -1
            trip = str(charge.trip_id)
            net[trip] = net.get(trip, 0) + sign * charge.amount.minor_units
    return tuple(sorted((trip, amount) for trip, amount in net.items() if amount))


class TestOrder:
    """The strongest promise of the money path."""

    @settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(stories(), st.integers(1, 5))
    def test_does_not_matter(self, story: Story, batch: int) -> None:
        """Two deliveries of the same taps end in the same decisions, charges and balances."""
        first = play(MemoryStore(), story.first)
        second = play(MemoryStore(), story.second, batch)

        assert first == second

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(stories())
    def test_money_adds_up(self, story: Story) -> None:
        """Fares in force are what was taken plus what is owed, and the ledger knows the bank."""
        told = play(MemoryStore(), story.first)

        fares = sum(verdict.fare.minor_units for verdict in told.verdicts)
        taken = sum(amount for _, trips in told.taken for _, amount in trips)
        assert fares == taken + sum(owed for _, owed, _ in told.balances)
        assert told.clearing == sum(amount for _, amount in told.at_the_bank)
        assert all(purse >= 0 for _, _, purse in told.balances)


class TestOrderOnPostgresql:
    """The same on the real store."""

    def test_does_not_matter(self, engine: sa.Engine) -> None:
        """Five shuffled, doubled and paused deliveries of one morning end alike."""
        database.migrate(engine, "fare", VERSIONS)
        morning = _morning()
        expected = play(MemoryStore(), morning)
        for seed in range(5):
            with engine.begin() as connection:
                connection.exec_driver_sql("DROP SCHEMA fare CASCADE")
            database.migrate(engine, "fare", VERSIONS)

            assert play(PostgresStore(engine), _shuffled(morning, seed), seed + 1) == expected


def _morning() -> list[Tap]:
    rides = []
    for name in PAYERS:
        who = rider(name)
        rides += [
            tap(who, "houweizhai", "entry", 0),
            tap(who, "fangzhicheng", "exit", 40),
            tap(who, "fangzhicheng", "entry", 60),
            tap(who, "zhonglou", "exit", 80),
            tap(who, "zhonglou", "exit", 81),  # out twice: the second has no way in
            tap(who, "xiaozhai", "entry", 100),
        ]
    return rides


def _shuffled(same: Sequence[Tap], seed: int) -> list[Tap | None]:
    dice = random.Random(seed)
    delivery: list[Tap | None] = [*same, *dice.choices(same, k=5), None, None, None]
    dice.shuffle(delivery)
    return delivery


def _new_taps_alone(
    store: Store, feed: TapFeed, city: City, now: datetime, rules: WorkRules
) -> int:
    """Wrong on purpose: fold what has just come, instead of all that is known of the rider."""
    with store.transaction() as tx:
        placed = feed.read_after(tx.taps.lock_cursor(), rules.batch)
        new = tx.taps.keep([place.tap for place in placed])
        for who in sorted({each.rider_ref for each in new}):
            trips = fold([each for each in new if each.rider_ref == who], rules.trip)
            before = {d.verdict.trip_id: d for d in tx.decisions.in_force(who)}
            for trip in trips:
                verdict = judge(trip, city.network, city.tariff)
                known = before.get(verdict.trip_id)
                for decision in revise([verdict], [known] if known else [], now):
                    tx.decisions.add(decision)
                    entry = booking(decision, known)
                    if entry is not None:
                        tx.ledger.post(entry)
            settle_rider(tx, tx.accounts.lock(who), now)
        if placed:
            tx.taps.move_cursor(placed[-1].position)
    return len(placed)


class TestControls:
    """A worker that looks only forward is caught by the same comparison."""

    def test_folding_new_taps_alone_depends_on_order(self) -> None:
        """Without the fold of the rider's whole history a story ends in two ways."""
        with contextlib.suppress(NoSuchExample):
            story = find(
                stories(),
                lambda story: _naive(story.first) != _naive(story.second),
                settings=settings(max_examples=500, deadline=None, phases=[Phase.generate]),
            )
            assert play(MemoryStore(), story.first) == play(MemoryStore(), story.second)
            return
        pytest.fail("the wrong worker was not told apart")


def _naive(delivery: Iterable[Tap | None]) -> Ending:
    return play(MemoryStore(), delivery, take=_new_taps_alone)
