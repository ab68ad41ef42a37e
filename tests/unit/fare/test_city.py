"""The shipped city, documents that are none, and the public map that it was derived from."""

import re
from itertools import pairwise, product
from math import asin, cos, radians, sin, sqrt
from pathlib import Path

import pytest

from fare.city import CityUnreadable, parse, shipped
from fare.network import Line, Network, Station

_GOOD = """
[city]
name = "Twoville"
timezone = "Asia/Shanghai"
currency = "CNY"
[[tariff]]
version = "v1"
valid_from = 2026-01-01
bands = [{ up_to_m = 6000, minor_units = 200 }]
beyond = { step_m = 8000, minor_units = 100 }
same_station_minor_units = 200
[[line]]
id = "1"
name = "Line 1"
colour = "#000000"
stations = ["a", "b"]
metres = [1000]
[[station]]
id = "a"
name = "Ay"
local_name = "甲"
[[station]]
id = "b"
name = "Bee"
local_name = "乙"
"""


class TestShipped:
    """What comes with the package."""

    def test_four_lines_and_their_interchanges(self) -> None:
        """The network has lines 1 to 4, 88 stations, and the seven places where lines meet."""
        network = shipped().network
        served: dict[str, set[str]] = {}
        for line in network.lines:
            for station in line.stations:
                served.setdefault(station, set()).add(line.line_id)

        assert [line.line_id for line in network.lines] == ["1", "2", "3", "4"]
        assert served.keys() == network.stations.keys()
        assert len(served) == 88
        assert {station for station, lines in served.items() if len(lines) > 1} == {
            "beidajie",
            "dayanta",
            "tonghuamen",
            "wulukou",
            "xiaozhai",
            "xianbeizhan",
            "xingzhengzhongxin",
        }

    def test_every_station_has_both_names(self) -> None:
        """Each station is named in Latin letters and in Chinese characters."""
        for station in shipped().network.stations.values():
            assert station.name.isascii()
            assert re.search("[\u4e00-\u9fff]", station.local_name)

    def test_an_unknown_city_is_said(self) -> None:
        """A city that is not shipped is refused by name."""
        with pytest.raises(CityUnreadable, match="atlantis"):
            shipped("atlantis")


class TestParse:
    """Documents from outside."""

    def test_a_good_document(self) -> None:
        """Control: the document that the next test breaks is a city."""
        assert parse(_GOOD).network.shortest("a", "b") is not None

    @pytest.mark.parametrize(
        ("good", "bad"),
        [
            ('name = "Twoville"', ""),  # a part is missing
            ("[city]", "[city"),  # not TOML
            ("Asia/Shanghai", "Asia/Atlantis"),  # no such time zone
            ("metres = [1000]", "metres = [0]"),  # no distance
            ("metres = [1000]", "metres = 1000"),  # of a wrong kind
            ('stations = ["a", "b"]', 'stations = ["a", "c"]'),  # unknown station
            ('id = "b"', 'id = "a"'),  # one id twice
            ("up_to_m = 6000", "up_to_m = 0"),  # an empty band
            ("up_to_m = 6000", 'up_to_m = "far"'),  # of a wrong kind
            ("valid_from = 2026-01-01", "valid_from = 2026-01-01T00:00:00Z"),  # not a day
            ("minor_units = 200", "minor_units = 2.5"),  # money is an integer
            ("metres = [1000]", "metres = [1000.5]"),  # and so are metres
        ],
    )
    def test_a_broken_document_is_refused(self, good: str, bad: str) -> None:
        """Each broken part makes the document unreadable, with one kind of error."""
        assert good in _GOOD
        with pytest.raises(CityUnreadable):
            parse(_GOOD.replace(good, bad))


@pytest.fixture(scope="module")
def public_map() -> Network:
    """Build the whole public map with the same rule as the shipped file, or skip."""
    source = Path(__file__).parents[4] / "shared" / "data" / "metro" / "xian" / "xa.js"
    if not source.is_file():
        pytest.skip("needs the shared public map of Xi'an's metro (data/metro/xian/xa.js)")
    text = source.read_text(encoding="utf-8")
    row = r"id: (\d+), name: '([^']*)'.*?lat: '([\d.]+)', lng: '([\d.]+)'"
    at = {i: (name, float(lat), float(lng)) for i, name, lat, lng in re.findall(row, text)}
    lines = [
        (name, re.findall(r"\d+", stops))
        for name, stops in re.findall(r"name: '([^']*)', color: '[^']*', stations: \[(.*?)\]", text)
        if name != "西户线"  # a suburban railway with fares of its own
    ]
    return Network(
        {i: Station(i, name, name) for i, (name, _, _) in at.items()},
        tuple(
            Line(
                name,
                name,
                "#000000",
                tuple(ids),
                tuple(_track(at[a][1:], at[b][1:]) for a, b in pairwise(ids)),
            )
            for name, ids in lines
        ),
    )


def _track(a: tuple[float, ...], b: tuple[float, ...]) -> int:
    """Return metres of track: great circle on a sphere of 6,371 km, times 1.03."""
    lat_a, lng_a, lat_b, lng_b = map(radians, (*a, *b))
    half = sin((lat_b - lat_a) / 2) ** 2 + cos(lat_a) * cos(lat_b) * sin((lng_b - lng_a) / 2) ** 2
    return round(2 * 6_371_000 * asin(sqrt(half)) * 1.03)


class TestPublicMap:
    """Against the map of the whole metro."""

    def test_the_shipped_distances_are_derived_from_it(self, public_map: Network) -> None:
        """Each segment of the shipped network is the map's segment to the metre."""
        ids = {station.name: i for i, station in public_map.stations.items()}
        network = shipped().network
        for line in network.lines:
            for (a, b), metres in zip(pairwise(line.stations), line.metres, strict=True):
                on_map = [ids[network.stations[each].local_name] for each in (a, b)]
                path = public_map.shortest(on_map[0], on_map[1])
                assert path is not None
                assert metres == path.metres

    def test_the_whole_map_has_a_believable_price_table(self, public_map: Network) -> None:
        """The whole metro's prices run from 2 to 12 yuan, as the operator's published ones do."""
        version = shipped().tariff.versions[-1]
        ends = [line.stations[each] for line in public_map.lines for each in (0, -1)]
        paths = [public_map.shortest(a, b) for a, b in product(sorted(set(ends)), repeat=2)]
        yuan = {version.rate(path.metres).amount.minor_units // 100 for path in paths if path}

        assert (min(yuan), max(yuan)) == (2, 12)
