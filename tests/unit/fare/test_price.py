"""Complete trips priced, with their reasons, and trips that have no price."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import combinations_with_replacement
from uuid import UUID

import pytest

from fare.city import shipped
from fare.money import Money
from fare.network import Network, Station
from fare.price import PricedTrip, Unpriced, UnpricedReason, price
from fare.tap import Direction, Medium, Tap, TapFlag
from fare.tariff import Tariff
from fare.trip import CompleteTrip

_CITY = shipped()
_ENTRY = datetime(2026, 5, 4, 0, 30, tzinfo=UTC)


def _trip(from_id: str, to_id: str, *, entry: datetime = _ENTRY, minutes: int = 30) -> CompleteTrip:
    def tap(number: int, station: str, way: Direction, when: datetime) -> Tap:
        return Tap(UUID(int=number), UUID(int=7), station, f"{way}-1", way, Medium.FACE, when, 5)

    begin = tap(1, from_id, Direction.ENTRY, entry)
    end = tap(2, to_id, Direction.EXIT, entry + timedelta(minutes=minutes))
    return CompleteTrip(end.tap_id, end.rider_ref, begin, end, merged=(), overstayed=False)


def _priced(trip: CompleteTrip, tariff: Tariff = _CITY.tariff) -> PricedTrip:
    priced = price(trip, _CITY.network, tariff)
    assert isinstance(priced, PricedTrip)
    return priced


class TestPrice:
    """A trip on the shipped network."""

    def test_a_price_tells_everything_it_rests_on(self) -> None:
        """Amount, rule, version, way and metres are kept with the price."""
        assert _priced(_trip("zhonglou", "xiaozhai")) == PricedTrip(
            trip_id=UUID(int=2),
            amount=Money(200),
            rule_id="band:0-6000",
            tariff_version="xian-2011",
            path=("zhonglou", "yongningmen", "nanshaomen", "tiyuchang", "xiaozhai"),
            metres=1300 + 800 + 1010 + 1092,
        )

    @pytest.mark.parametrize("end", ["entry", "exit"])
    def test_a_fare_exempt_end_makes_the_trip_free(self, end: str) -> None:
        """A station that asked for no fare makes the trip free, and the rule says of what."""
        paid = _trip("zhonglou", "xiaozhai")
        flagged = replace(getattr(paid, end), flags=frozenset({TapFlag.FARE_EXEMPT}))

        free = _priced(replace(paid, **{end: flagged}))

        assert (free.amount, free.rule_id) == (Money(0), "fare-exempt:band:0-6000")
        assert replace(free, amount=Money(200), rule_id="band:0-6000") == _priced(paid)

    def test_every_pair_costs_the_same_both_ways(self) -> None:
        """There and back cost the same, and as much as a slow count over the bands says."""
        for a, b in combinations_with_replacement(list(_CITY.network.stations)[::2], 2):
            there, back = _priced(_trip(a, b)), _priced(_trip(b, a))
            edges = [6_000, 10_000, 14_000, 20_000, 26_000, 34_000, 42_000]
            yuan = 2 + sum(there.metres > edge for edge in edges)
            assert (yuan * 100, there.metres) == (there.amount.minor_units, back.metres)
            assert there.amount == back.amount

    def test_out_where_one_came_in_costs_the_lowest_fare(self) -> None:
        """Qin forgot her umbrella, turned round inside and pays two yuan."""
        priced = _priced(_trip("dayanta", "dayanta"))

        assert (priced.amount, priced.rule_id) == (Money(200), "same-station")

    def test_the_entry_chooses_the_tariff(self) -> None:
        """A ride over midnight is priced by the tariff of the evening on which it began."""
        old, *_ = _CITY.tariff.versions
        day = date(2026, 5, 5)
        dearer = replace(old, version="dearer", valid_from=day, same_station=Money(900))
        tariff = replace(_CITY.tariff, versions=(replace(old, valid_until=day), dearer))
        before = datetime(2026, 5, 4, 15, 59, tzinfo=UTC)  # 23:59 in Xi'an

        evening = _priced(_trip("dayanta", "dayanta", entry=before), tariff)
        night = _priced(_trip("dayanta", "dayanta", entry=before + timedelta(minutes=1)), tariff)

        assert (evening.amount, evening.tariff_version) == (Money(200), "xian-2011")
        assert (night.amount, night.tariff_version) == (Money(900), "dearer")


class TestUnpriced:
    """A price that is unknown is not a price of nothing."""

    @pytest.mark.parametrize(
        ("from_id", "to_id"), [("atlantis", "xiaozhai"), ("xiaozhai", "atlantis")]
    )
    def test_an_unknown_station(self, from_id: str, to_id: str) -> None:
        """A tap at a station that the network lacks leaves the trip unpriced, with the reason."""
        assert price(_trip(from_id, to_id), _CITY.network, _CITY.tariff) == Unpriced(
            UUID(int=2), UnpricedReason.STATION_UNKNOWN
        )

    def test_no_way(self) -> None:
        """Two stations that no track joins leave the trip unpriced."""
        apart = Network({"a": Station("a", "A", "a"), "b": Station("b", "B", "b")}, ())

        assert price(_trip("a", "b"), apart, _CITY.tariff) == Unpriced(
            UUID(int=2), UnpricedReason.NO_WAY
        )

    def test_no_tariff(self) -> None:
        """A ride before the first version is unpriced."""
        early = _trip("xiaozhai", "dayanta", entry=datetime(2011, 9, 15, 15, 59, tzinfo=UTC))

        assert price(early, _CITY.network, _CITY.tariff) == Unpriced(
            UUID(int=2), UnpricedReason.NO_TARIFF
        )
