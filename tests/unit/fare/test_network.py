"""Shortest ways, against a computation that works otherwise."""

from itertools import pairwise, product

import pytest

from fare.city import shipped
from fare.network import Line, Network, Path, Station

_XIAN = shipped().network


def _net(*lines: Line, alone: tuple[str, ...] = ()) -> Network:
    ids = sorted({s for line in lines for s in line.stations} | set(alone))
    return Network({i: Station(i, i.upper(), i) for i in ids}, lines)


def _line(name: str, stations: str, *metres: int) -> Line:
    return Line(name, f"Line {name}", "#000000", tuple(stations), metres)


def _all_distances(network: Network) -> dict[tuple[str, str], float]:
    """Compute all pairs by Floyd and Warshall's triple loop."""
    ids = list(network.stations)
    far = {(a, b): 0.0 if a == b else float("inf") for a, b in product(ids, ids)}
    for line in network.lines:
        for (a, b), metres in zip(pairwise(line.stations), line.metres, strict=True):
            far[a, b] = far[b, a] = min(far[a, b], metres)
    for k in ids:
        for a in ids:
            through = far[a, k]
            for b in ids:
                far[a, b] = min(far[a, b], through + far[k, b])
    return far


def _mismatches(network: Network, far: dict[tuple[str, str], float]) -> int:
    wrong = 0
    for (a, b), metres in far.items():
        path = network.shortest(a, b)
        wrong += path is None or path.metres != metres
    return wrong


class TestShortest:
    """The way with the fewest metres."""

    def test_every_pair_of_the_shipped_network(self) -> None:
        """All 7,744 ordered pairs agree with an independent all-pairs computation."""
        far = _all_distances(_XIAN)

        assert len(far) == 88 * 88
        assert _mismatches(_XIAN, far) == 0

    def test_a_wrong_metre_is_noticed(self) -> None:
        """Control: one segment a metre longer makes pairs disagree."""
        far = _all_distances(_XIAN)
        first, *rest = _XIAN.lines
        longer = Line(
            first.line_id,
            first.name,
            first.colour,
            first.stations,
            (first.metres[0] + 1, *first.metres[1:]),
        )

        assert _mismatches(Network(_XIAN.stations, (longer, *rest)), far) > 0

    def test_metres_decide_not_stops(self) -> None:
        """Three short hops beat one long one."""
        network = _net(_line("1", "abcd", 100, 100, 100), _line("2", "ad", 301))

        assert network.shortest("a", "d") == Path(("a", "b", "c", "d"), 300)

    def test_of_two_equal_ways_one_is_always_taken(self) -> None:
        """Whatever the order of the lines, ways of equal length give one and the same path."""
        lines = _line("1", "abd", 100, 100), _line("2", "acd", 100, 100)

        assert _net(*lines).shortest("a", "d") == Path(("a", "b", "d"), 200)
        assert _net(*reversed(lines)).shortest("a", "d") == Path(("a", "b", "d"), 200)

    def test_out_where_one_came_in(self) -> None:
        """A station is 0 m from itself."""
        assert _XIAN.shortest("zhonglou", "zhonglou") == Path(("zhonglou",), 0)

    def test_no_track_no_way(self) -> None:
        """A station that no line serves is reached by no way, which is not 0 m."""
        assert _net(_line("1", "ab", 100), alone=("z",)).shortest("a", "z") is None

    def test_an_unknown_station_is_a_mistake(self) -> None:
        """Asking for a station that does not exist raises, in either place."""
        with pytest.raises(KeyError):
            _XIAN.shortest("zhonglou", "atlantis")
        with pytest.raises(KeyError):
            _XIAN.shortest("atlantis", "zhonglou")

    def test_a_ring_is_ridden_the_short_way_round(self) -> None:
        """A line that ends where it began is used in both directions."""
        ring = _net(_line("8", "abcda", 100, 100, 100, 50))

        assert ring.shortest("a", "c") == Path(("a", "d", "c"), 150)


class TestLegs:
    """A path told line by line."""

    def test_legs_add_up_to_their_path(self) -> None:
        """For every pair the legs join end to end and their metres are the path's."""
        for a, b in product(list(_XIAN.stations)[::3], _XIAN.stations):
            path = _XIAN.shortest(a, b)
            assert path is not None
            legs = _XIAN.legs(path)
            assert path.metres == sum(leg.metres for leg in legs)
            stations = (a, *(s for leg in legs for s in leg.stations[1:]))
            assert path.stations == stations

    def test_a_change_of_line_is_a_new_leg(self) -> None:
        """From the west of line 1 to the south of line 2 one changes at Bei Dajie."""
        path = _XIAN.shortest("kaiyuanmen", "xiaozhai")

        assert path is not None
        assert [(leg.line.line_id, leg.stations[-1]) for leg in _XIAN.legs(path)] == [
            ("1", "beidajie"),
            ("2", "xiaozhai"),
        ]

    def test_one_stays_seated_on_shared_track(self) -> None:
        """Where two lines share track the rider stays on the line that was boarded."""
        network = _net(_line("1", "bc", 100), _line("2", "abcd", 100, 100, 100))
        path = network.shortest("a", "d")

        assert path is not None
        assert [leg.line.line_id for leg in network.legs(path)] == ["2"]


class TestConstruction:
    """Networks that cannot be."""

    @pytest.mark.parametrize("metres", [(100,), (100, 100, 100), (100, 0), (100, -1)])
    def test_distances_fit_their_stations(self, metres: tuple[int, ...]) -> None:
        """A line has one positive distance between each two neighbours."""
        with pytest.raises(ValueError, match="line 1"):
            _line("1", "abc", *metres)

    def test_lines_run_through_known_stations(self) -> None:
        """A line through a station that is not listed is refused."""
        with pytest.raises(ValueError, match="unknown stations"):
            Network({}, (_line("1", "ab", 100),))
