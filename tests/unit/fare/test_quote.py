"""Prices told to people."""

from datetime import date
from itertools import product
from uuid import UUID

import pytest

from fare.city import shipped
from fare.money import Money
from fare.price import PricedTrip
from fare.quote import describe, explain, rule_in_words

_CITY = shipped()
_DAY = date(2026, 5, 4)


def _say(from_id: str, to_id: str, on: date = _DAY) -> str:
    return describe(_CITY.network, _CITY.tariff, from_id, to_id, on)


class TestDescribe:
    """A fare asked for beforehand."""

    def test_a_ride_with_changes(self) -> None:
        """The answer names the price, each leg, the band and the version."""
        assert _say("kaiyuanmen", "beichitou").splitlines() == [
            "Kaiyuanmen 开远门 to Beichitou 北池头: CNY 4.00",
            "  13,427 m on the shortest way",
            "  Line 1: Kaiyuanmen 开远门 to Wulukou 五路口, 6,763 m, 5 stops",
            "  Line 4: Wulukou 五路口 to Dayanta 大雁塔, 5,407 m, 5 stops",
            "  Line 3: Dayanta 大雁塔 to Beichitou 北池头, 1,257 m, 1 stop",
            "  over 10 km, up to 14 km; tariff xian-2011, valid on 2026-05-04",
        ]

    def test_an_unknown_station_is_met_with_similar_ones(self) -> None:
        """A part of a name is answered with the ids that hold it."""
        assert _say("Yanta", "xiaozhai") == "No station has the id 'Yanta'. Did you mean dayanta?"
        assert _say("xiaozhai", "atlantis") == "No station has the id 'atlantis'."

    def test_a_day_without_tariff(self) -> None:
        """Before the first version the answer says so and names no price."""
        assert _say("xiaozhai", "dayanta", date(2000, 1, 1)) == "No tariff is valid on 2000-01-01."


class TestExplain:
    """A fare explained afterwards."""

    def test_the_kept_reasons_are_told(self) -> None:
        """The explanation comes from what was kept with the price, not from today's tariff."""
        path = _CITY.network.shortest("zhonglou", "xiaozhai")
        assert path is not None
        kept = PricedTrip(
            UUID(int=2), Money(700), "beyond:26000+8000x1", "older", path.stations, path.metres
        )

        told = explain(_CITY.network, kept)

        assert "CNY 7.00" in told
        assert "Line 2: Zhonglou" in told
        assert "over 26 km, plus 1 begun step of 8 km; tariff older" in told

    def test_every_rule_of_the_shipped_tariff_has_words(self) -> None:
        """No price of the network has a rule that cannot be told."""
        version = _CITY.tariff.versions[-1]
        ids = list(_CITY.network.stations)[::4]
        paths = [_CITY.network.shortest(a, b) for a, b in product(ids, repeat=2)]
        rules = {version.rate(path.metres).rule_id for path in paths if path}

        assert len({rule_in_words(rule) for rule in rules}) == len(rules) >= 6

    def test_two_steps_are_two(self) -> None:
        """The number of begun steps is told with its right form."""
        assert rule_in_words("beyond:26000+8000x2") == "over 26 km, plus 2 begun steps of 8 km"

    def test_another_rule_is_a_mistake(self) -> None:
        """A rule that no tariff has is not put into words."""
        with pytest.raises(ValueError, match="free-for-all"):
            rule_in_words("free-for-all")

    def test_a_waived_rule_says_so_and_what_it_else_had_been(self) -> None:
        """A free trip's rule names the reason and the tariff's own rule behind it."""
        assert rule_in_words("fare-exempt:band:0-6000") == (
            "free: a station of this trip asked for no fare; otherwise up to 6 km"
        )
