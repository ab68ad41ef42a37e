"""The worker's three steps: take taps in and book them, send what is due, ask what is unknown.

Each step is safe to kill at any point and to run in several processes at once: what it decides is
committed before anything outside is touched, under ids that a repetition finds again.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime

from fare.account import Account, BankCard
from fare.charge import (
    Charge,
    ChargeRules,
    Event,
    ImpossibleEvent,
    Kind,
    State,
    answer,
    ask,
    send,
)
from fare.city import City
from fare.decision import Decision, booking, judge, revise
from fare.feed import TapFeed
from fare.ledger import wallet
from fare.log import say
from fare.payment import Declined, NotFound, Paid, PaymentGateway, Unknown
from fare.replay import replayed
from fare.settle import receipt, settle
from fare.store import Store, Transaction
from fare.tap import Tap
from fare.trip import TripRules, fold

_LOG = logging.getLogger(__name__)

Clock = Callable[[], datetime]
"""Gives the present moment, aware UTC."""


@dataclass(frozen=True, slots=True)
class WorkRules:
    """How the worker folds, and how it deals with the bank."""

    batch: int = 200
    """Taps taken in by one transaction; 1 to 10,000."""
    trip: TripRules = field(default_factory=TripRules)
    charge: ChargeRules = field(default_factory=ChargeRules)

    def __post_init__(self) -> None:
        """Refuse batches outside the range.

        Raises:
            ValueError: The batch is empty or too large for one transaction.
        """
        if not 1 <= self.batch <= 10_000:
            raise ValueError("batch is 1 to 10,000")


def take_in(store: Store, feed: TapFeed, city: City, now: datetime, rules: WorkRules) -> int:
    """Read the next taps and book what they change; cursor and results commit together.

    Every rider with a new tap is folded from all of their taps again, so late, doubled and
    shuffled taps end in the same decisions; the ledger gets the differences.

    Args:
        store: Where results go.
        feed: The cloud's log.
        city: Network and tariff.
        now: Stamped on decisions.
        rules: How trips fold.

    Returns:
        How many taps were read; 0 means that the log is read to its end.
    """
    with store.transaction() as tx:
        position = tx.taps.lock_cursor()
        placed = feed.read_after(position, rules.batch)
        if not placed:
            return 0
        fresh = tuple(tx.taps.keep([place.tap for place in placed]))
        riders = {tap.rider_ref for tap in fresh}
        decisions = [
            decision
            for rider_ref in sorted(riders)
            for decision in _rate(tx, tx.accounts.lock(rider_ref), city, now, rules)
        ]
        replays = [
            used
            for rider_ref in sorted({tap.rider_ref for tap in fresh if tap.code_id})
            for used in replayed(tx.taps.of_rider(rider_ref))
            if not {tap.tap_id for tap in fresh}.isdisjoint(tap.tap_id for tap in used)
        ]
        tx.taps.move_cursor(placed[-1].position)
    _tell(decisions)
    _warn(replays)
    say(_LOG, "taps_taken_in", taps=len(placed), riders=len(riders), position=placed[-1].position)
    return len(placed)


def _rate(
    tx: Transaction, account: Account, city: City, now: datetime, rules: WorkRules
) -> tuple[Decision, ...]:
    """Fold and price a rider's taps, and book what differs from the decisions in force."""
    rider_ref = account.rider_ref
    trips = fold(tx.taps.of_rider(rider_ref), rules.trip)
    verdicts = [judge(trip, city.network, city.tariff) for trip in trips]
    before = {decision.verdict.trip_id: decision for decision in tx.decisions.in_force(rider_ref)}
    decisions = revise(verdicts, before.values(), now)
    for decision in decisions:
        tx.decisions.add(decision)
        entry = booking(decision, before.get(decision.verdict.trip_id))
        if entry is not None:
            tx.ledger.post(entry)
    settle_rider(tx, account, now)
    return decisions


def _tell(decisions: Iterable[Decision]) -> None:
    for decision in decisions:
        say(
            _LOG,
            "fare_decided",
            trip_id=decision.verdict.trip_id,
            number=decision.number,
            rider_ref=decision.verdict.rider_ref,
            outcome=decision.verdict.outcome.value,
            fare=str(decision.verdict.fare),
        )


def _warn(replays: Iterable[tuple[Tap, ...]]) -> None:
    for used in replays:
        say(
            _LOG,
            "code_used_twice",
            level=logging.WARNING,
            rider_ref=used[0].rider_ref,
            taps=[str(tap.tap_id) for tap in used],
            lanes=[f"{tap.station_id}/{tap.lane_id}" for tap in used],
        )


def settle_rider(tx: Transaction, account: Account, now: datetime) -> None:
    """Make the charges that a rider's decisions ask for, and book those on the wallet.

    Args:
        tx: A transaction that has locked the account.
        account: The account.
        now: Stamped on charges and entries.
    """
    rider_ref = account.rider_ref
    purse = -tx.ledger.balance(wallet(rider_ref))
    changes = settle(
        account, tx.decisions.in_force(rider_ref), tx.charges.of_rider(rider_ref), purse, now
    )
    for charge in changes:
        tx.charges.save(charge)
        if charge.state is State.PAID:
            tx.ledger.post(receipt(charge, now))
    if account.unsettled:
        tx.accounts.save(replace(account, unsettled=False))


def settle_flagged(store: Store, now: datetime, *, limit: int = 100) -> int:
    """Settle riders whose means or wallet changed.

    Args:
        store: Where everything is.
        now: Stamped on charges and entries.
        limit: Riders in one transaction.

    Returns:
        How many riders were settled.
    """
    with store.transaction() as tx:
        flagged = tx.accounts.claim_unsettled(limit)
        for account in flagged:
            settle_rider(tx, account, now)
        return len(flagged)


def send_one(store: Store, gateway: PaymentGateway, clock: Clock, rules: ChargeRules) -> bool:
    """Send the charge that is due longest, which is SENT on record before the bank hears of it.

    Args:
        store: Where charges are.
        gateway: The bank.
        clock: Read before and after the bank's answer.
        rules: Patience.

    Returns:
        Whether there was one to send.
    """
    with store.transaction() as tx:
        due = tx.charges.claim({State.NEW}, clock(), 1)
        sent = [send(charge, clock(), rules) for charge in due]
        for charge in sent:
            tx.charges.save(charge)
    for charge in sent:
        said = _call(gateway, charge)
        with store.transaction() as tx:
            resolve(tx, charge, said, clock(), rules)
    return bool(sent)


def _call(gateway: PaymentGateway, charge: Charge) -> Paid | Declined | Unknown:
    if charge.kind is Kind.REFUND:
        assert charge.of is not None, "a refund names its capture"
        return gateway.refund(charge.charge_id, charge.of, charge.amount)
    assert isinstance(charge.means, BankCard), "a wallet is never sent"
    return gateway.charge(charge.charge_id, charge.means.token, charge.amount)


def ask_one(store: Store, gateway: PaymentGateway, clock: Clock, rules: ChargeRules) -> bool:
    """Ask the bank about the charge that is UNKNOWN, or orphaned in SENT, and due longest.

    Args:
        store: Where charges are.
        gateway: The bank.
        clock: Read before and after the bank's answer.
        rules: Patience.

    Returns:
        Whether there was one to ask about.
    """
    with store.transaction() as tx:
        due = tx.charges.claim({State.SENT, State.UNKNOWN}, clock(), 1)
        asked = [ask(charge, clock(), rules) for charge in due]
        for charge in asked:
            tx.charges.save(charge)
    for charge in asked:
        said = gateway.query(charge.charge_id)
        with store.transaction() as tx:
            resolve(tx, charge, said, clock(), rules)
    return bool(asked)


def resolve(
    tx: Transaction,
    claimed: Charge,
    said: Paid | Declined | NotFound | Unknown,
    now: datetime,
    rules: ChargeRules,
) -> None:
    """Store what the bank said of a charge, book money that moved, and settle what follows.

    An answer that says nothing final counts only if nobody worked on the charge meanwhile: a
    worker that slept through its lease brings old news.

    Args:
        tx: A new transaction.
        claimed: The charge as this worker stored it before it called the bank.
        said: The bank's answer.
        now: The moment of the answer.
        rules: Patience.
    """
    account = tx.accounts.lock(claimed.rider_ref)
    charge = tx.charges.get(claimed.charge_id)
    event, reason = _event(said)
    final = event in {Event.PAID, Event.DECLINED}
    if not final and charge != claimed:
        return
    try:
        after = answer(charge, event, now, rules, reason)
    except ImpossibleEvent as error:
        say(_LOG, "bank_contradicts", level=logging.ERROR, charge_id=charge.charge_id, what=error)
        return
    if after.state is charge.state and final:
        return
    tx.charges.save(after)
    say(_LOG, "charge", charge_id=after.charge_id, state=after.state.value, reason=after.reason)
    if final:
        if after.state is State.PAID:
            tx.ledger.post(receipt(after, now))
        settle_rider(tx, account, now)


def _event(said: Paid | Declined | NotFound | Unknown) -> tuple[Event, str]:
    match said:
        case Paid():
            return Event.PAID, ""
        case Declined(reason):
            return Event.DECLINED, reason
        case NotFound():
            return Event.NOT_FOUND, "the bank never saw it"
        case Unknown(reason):
            return Event.SILENCE, reason
