"""A rig for the money half of fare: taps by name, a clock turned by hand, a way to rest."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

from fare.account import Means, TopUp, set_means, top_up
from fare.adapters.memory import MemoryTapFeed
from fare.adapters.memory_bank import MemoryBank
from fare.adapters.script import Movement
from fare.charge import Kind
from fare.city import City, shipped
from fare.feed import TapFeed
from fare.ledger import BANK_CLEARING, receivable, wallet
from fare.money import Money
from fare.payment import PaymentGateway
from fare.store import Store
from fare.tap import Direction, Medium, Tap
from fare.work import WorkRules, ask_one, send_one, settle_flagged, take_in

_IDS = UUID("9d0b0a5e-5a0a-5b6f-8f7e-2f6f2a1c0d11")
MORNING = datetime(2026, 5, 4, 0, 0, tzinfo=UTC)
"""08:00 in Xi'an, a Monday."""
XIAN = shipped()


def rider(name: str, *, act: str = "") -> UUID:
    """Give the pseudonym of a scripted rider, another one in each act."""
    return uuid5(_IDS, f"{name}/{act}")


def tap(who: UUID, station: str, way: str, minute: float, *, medium: str = "face") -> Tap:
    """Give the tap of a rider at a station, `minute` minutes after 08:00."""
    return Tap(
        tap_id=uuid5(who, f"{station}/{way}/{minute}/{medium}"),
        rider_ref=who,
        station_id=station,
        lane_id=f"{station}-{way}-1",
        direction=Direction(way),
        medium=Medium(medium),
        tap_time=MORNING + timedelta(minutes=minute),
        clock_error_ms=20,
    )


def ride(who: UUID, start: str, end: str, minute: float = 0) -> tuple[Tap, Tap]:
    """Give the two taps of a ride of 25 minutes."""
    return tap(who, start, "entry", minute), tap(who, end, "exit", minute + 25)


@dataclass
class Hands:
    """A clock turned by hand."""

    now: datetime = MORNING + timedelta(hours=2)

    def __call__(self) -> datetime:
        """Tell the time."""
        return self.now

    def pass_by(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)


TakeIn = Callable[[Store, TapFeed, City, datetime, WorkRules], int]
"""`fare.work.take_in`, or a wrong one."""


@dataclass
class Rig:
    """A worker with its store, bank and feed."""

    store: Store
    bank: MemoryBank = field(default_factory=MemoryBank)
    feed: MemoryTapFeed = field(default_factory=MemoryTapFeed)
    clock: Hands = field(default_factory=Hands)
    city: City = XIAN
    rules: WorkRules = field(default_factory=WorkRules)
    take: TakeIn = take_in

    def pays_by(self, who: UUID, means: Means) -> None:
        """Set a rider's means."""
        with self.store.transaction() as tx:
            set_means(tx.accounts, who, means)

    def fills(self, who: UUID, minor_units: int) -> None:
        """Put money into a rider's wallet."""
        payment = TopUp(uuid5(who, "top-up"), who, Money(minor_units), MORNING)
        with self.store.transaction() as tx:
            top_up(tx.accounts, tx.ledger, payment)

    def hears(self, *taps: Tap) -> None:
        """Let taps arrive in the cloud's log."""
        for each in taps:
            self.feed.append(each)

    def read(self) -> None:
        """Take all taps in."""
        while self.take(self.store, self.feed, self.city, self.clock(), self.rules):
            pass

    def once(self, store: Store | None = None, gateway: PaymentGateway | None = None) -> int:
        """Do every step once and tell how many had something to do."""
        store, gateway = store or self.store, gateway or self.bank
        return (
            bool(self.take(store, self.feed, self.city, self.clock(), self.rules))
            + bool(settle_flagged(store, self.clock()))
            + send_one(store, gateway, self.clock, self.rules.charge)
            + ask_one(store, gateway, self.clock, self.rules.charge)
        )

    def rest(self, store: Store | None = None, gateway: PaymentGateway | None = None) -> None:
        """Work until nothing is left to do, however long the clock must run for it."""
        idle = 0
        for _ in range(40):  # a card that stays silent is asked about for ever
            worked = False
            while self.once(store, gateway):
                worked = True
            idle = 0 if worked else idle + 1
            if idle == 2:
                break
            self.clock.pass_by(86_400)

    def moved(self, token: str) -> list[Movement]:
        """Return what the bank really moved for a card."""
        return [m for m in self.bank.statement() if m.token == token and m.paid]

    def net(self, token: str) -> int:
        """Return what the bank took from a card less what it gave back, minor units."""
        signs = {Kind.CAPTURE: 1, Kind.REFUND: -1}
        return sum(signs[m.kind] * m.amount.minor_units for m in self.moved(token))

    def fares(self, who: UUID) -> int:
        """Return the sum of a rider's fares in force, minor units."""
        with self.store.transaction() as tx:
            return sum(d.verdict.fare.minor_units for d in tx.decisions.in_force(who))

    def owed(self, who: UUID) -> int:
        """Return what a rider owes, minor units."""
        return self._balance(receivable(who))

    def purse(self, who: UUID) -> int:
        """Return what is in a rider's wallet, minor units."""
        return -self._balance(wallet(who))

    def clearing(self) -> int:
        """Return what we hold the bank to have taken for us, minor units."""
        return self._balance(BANK_CLEARING)

    def _balance(self, account: str) -> int:
        with self.store.transaction() as tx:
            return tx.ledger.balance(account).minor_units
