"""Money in the rider's words."""

from datetime import datetime, timedelta
from uuid import UUID

import pytest

from enroll.purse import TOP_UP_MINOR_MAX, Purse, PurseRefused
from fare.account import BankCard, TopUp, Wallet
from fare.adapters.memory import MemoryStore
from fare.adapters.memory_statements import MemoryStatements
from fare.decision import Decision, Outcome, Stop, Verdict
from fare.money import Money
from fare.tap import Medium

ADA = UUID(int=1, version=4)


@pytest.fixture
def store() -> MemoryStore:
    """Give fare's store in memory."""
    return MemoryStore()


@pytest.fixture
def purse(store: MemoryStore) -> Purse:
    """Give the rider's side of it."""
    return Purse(store, MemoryStatements(store), {"S1": "North Gate", "S2": "Bell Tower"})


def verdict(noon: datetime, outcome: Outcome, fare: int) -> Verdict:
    """Give a ride from North Gate by face to Bell Tower by code."""
    way_in = Stop(UUID(int=11), "S1", Medium.FACE, noon)
    way_out = Stop(UUID(int=12), "S2", Medium.CODE, noon + timedelta(minutes=20))
    return Verdict(
        trip_id=UUID(int=12),
        rider_ref=ADA,
        outcome=outcome,
        fare=Money(fare),
        entry=way_in,
        exit=None if outcome is Outcome.INCOMPLETE_ENTRY else way_out,
        metres=7_500 if fare else 0,
        rule_id="band:6000-10000" if fare else "",
        tariff_version="2024" if fare else "",
    )


def decide(store: MemoryStore, noon: datetime, outcome: Outcome, fare: int = 0) -> None:
    """Put one decision into fare's store."""
    with store.transaction() as transaction:
        transaction.decisions.add(Decision(verdict(noon, outcome, fare), 1, noon))


class TestView:
    """Trips and balance."""

    def test_nothing_yet(self, purse: Purse) -> None:
        """A rider who never paid has an empty wallet and no trips."""
        view = purse.view(ADA)
        assert (view.means, view.wallet, view.owed, view.trips) == (
            "wallet",
            Money(0),
            Money(0),
            (),
        )

    def test_trip_says_where_how_and_why(
        self, purse: Purse, store: MemoryStore, noon: datetime
    ) -> None:
        """A priced trip names its stations, media, fare, distance band and tariff."""
        decide(store, noon, Outcome.PRICED, 300)

        (trip,) = purse.view(ADA).trips

        assert trip.way_in is not None
        assert trip.way_out is not None
        assert (trip.way_in.station, trip.way_in.medium) == ("North Gate", "face")
        assert (trip.way_out.station, trip.way_out.medium) == ("Bell Tower", "code")
        assert trip.fare == Money(300)
        assert "7.5 km" in trip.why
        assert "over 6 km, up to 10 km" in trip.why
        assert "tariff 2024" in trip.why
        assert (trip.status, trip.settled) == ("Still owed", False)

    @pytest.mark.parametrize(
        ("outcome", "status"),
        [
            (Outcome.OPEN, "On the way"),
            (Outcome.INCOMPLETE_ENTRY, "Nothing charged"),
            (Outcome.UNPRICED, "Nothing charged"),
        ],
    )
    def test_trips_without_a_price(
        self, outcome: Outcome, status: str, purse: Purse, store: MemoryStore, noon: datetime
    ) -> None:
        """What has no price is shown with its reason and without an amount."""
        decide(store, noon, outcome)

        (trip,) = purse.view(ADA).trips

        assert (trip.status, trip.fare) == (status, None)
        assert trip.why

    def test_what_came_to_nothing_is_not_listed(
        self, purse: Purse, store: MemoryStore, noon: datetime
    ) -> None:
        """A trip that was void before any money moved is no line of the rider's."""
        decide(store, noon, Outcome.VOID)

        assert purse.view(ADA).trips == ()


class TestMeans:
    """How to pay."""

    def test_card_and_back(self, purse: Purse) -> None:
        """A chosen card shows by its token, and the wallet can be chosen again."""
        purse.choose(ADA, BankCard("tok_ada"))
        assert (purse.view(ADA).means, purse.view(ADA).card_token) == ("card", "tok_ada")

        purse.choose(ADA, Wallet())
        assert (purse.view(ADA).means, purse.view(ADA).card_token) == ("wallet", "")


class TestTopUp:
    """Demo money."""

    def test_once_per_id(self, purse: Purse, noon: datetime) -> None:
        """A retry a minute later pays in nothing more; another id does."""
        first = TopUp(UUID(int=7), ADA, Money(5000), noon)
        retry = TopUp(UUID(int=7), ADA, Money(5000), noon + timedelta(minutes=1))
        second = TopUp(UUID(int=8), ADA, Money(1000), noon)
        for payment in (first, first, retry, second):
            purse.top_up(payment)

        assert purse.view(ADA).wallet == Money(6000)

    def test_same_id_other_amount(self, purse: Purse, noon: datetime) -> None:
        """An id that was used for another amount, or by another rider, is refused."""
        purse.top_up(TopUp(UUID(int=7), ADA, Money(5000), noon))
        for wrong in (
            TopUp(UUID(int=7), ADA, Money(5001), noon),
            TopUp(UUID(int=7), UUID(int=2), Money(5000), noon),
        ):
            with pytest.raises(PurseRefused):
                purse.top_up(wrong)

        assert purse.view(ADA).wallet == Money(5000)

    def test_limit(self, purse: Purse, noon: datetime) -> None:
        """The limit itself is paid in, one more is refused."""
        purse.top_up(TopUp(UUID(int=7), ADA, Money(TOP_UP_MINOR_MAX), noon))
        with pytest.raises(PurseRefused):
            purse.top_up(TopUp(UUID(int=8), ADA, Money(TOP_UP_MINOR_MAX + 1), noon))
