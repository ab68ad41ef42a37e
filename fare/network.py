"""Stations joined by lines, and the shortest way between two of them in metres.

This file does not know what a metre costs.
"""

import heapq
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Station:
    """A place where riders enter and leave."""

    station_id: str
    name: str
    """Romanised name, for people."""
    local_name: str
    """Name on the spot, e.g. in Chinese."""


@dataclass(frozen=True, slots=True)
class Line:
    """Stations in order with the track between neighbours."""

    line_id: str
    name: str
    colour: str
    """As on the operator's map, `#rrggbb`."""
    stations: tuple[str, ...]
    """Station ids from one end to the other; a ring names its first station again at its end."""
    metres: tuple[int, ...]
    """Track between each station and the next, > 0; one fewer than the stations."""

    def __post_init__(self) -> None:
        """Refuse a line whose distances do not fit its stations.

        Raises:
            ValueError: A distance is missing, in excess, or not positive.
        """
        if len(self.metres) != len(self.stations) - 1 or min(self.metres, default=1) <= 0:
            raise ValueError(f"line {self.line_id}: one positive distance between neighbours")


@dataclass(frozen=True, slots=True)
class Path:
    """The shortest way between two stations."""

    stations: tuple[str, ...]
    """Every station on the way, both ends included."""
    metres: int


@dataclass(frozen=True, slots=True)
class Leg:
    """A part of a path on one line."""

    line: Line
    stations: tuple[str, ...]
    metres: int


@dataclass(frozen=True)
class Network:
    """All stations and lines of one city."""

    stations: Mapping[str, Station]
    """By station id."""
    lines: tuple[Line, ...]

    def __post_init__(self) -> None:
        """Refuse a line through a station that does not exist.

        Raises:
            ValueError: A line names an unknown station.
        """
        unknown = {s for line in self.lines for s in line.stations} - set(self.stations)
        if unknown:
            raise ValueError(f"lines through unknown stations: {sorted(unknown)}")

    def shortest(self, from_id: str, to_id: str) -> Path | None:
        """Return the shortest way by track, or None where no track leads.

        Of two ways of one length the one whose station ids sort first is taken, so that a fare
        can be explained again later in the same words.

        Args:
            from_id: A station's id.
            to_id: A station's id; the same one gives a path of 0 metres.

        Raises:
            KeyError: A station is unknown.
        """
        self.stations[from_id], self.stations[to_id]
        reached: set[str] = set()
        frontier: list[tuple[int, tuple[str, ...]]] = [(0, (from_id,))]
        while frontier:
            metres, stations = heapq.heappop(frontier)
            here = stations[-1]
            if here == to_id:
                return Path(stations, metres)
            if here in reached:
                continue
            reached.add(here)
            for onward, step in self._neighbours[here].items():
                if onward not in reached:
                    heapq.heappush(frontier, (metres + step, (*stations, onward)))
        return None

    def legs(self, path: Path) -> tuple[Leg, ...]:
        """Split a path into rides on one line each, staying on a line while it leads on.

        Args:
            path: What `shortest` of this network returned.
        """
        legs: list[Leg] = []
        for pair in pairwise(path.stations):
            metres, lines = self._tracks[pair]
            if legs and legs[-1].line in lines:
                last = legs[-1]
                legs[-1] = Leg(last.line, (*last.stations, pair[1]), last.metres + metres)
            else:
                legs.append(Leg(lines[0], pair, metres))
        return tuple(legs)

    @cached_property
    def _tracks(self) -> dict[tuple[str, str], tuple[int, tuple[Line, ...]]]:
        """Between two neighbours: the shortest track and the lines that have it."""
        tracks: dict[tuple[str, str], tuple[int, tuple[Line, ...]]] = {}
        for line in self.lines:
            for (a, b), metres in zip(pairwise(line.stations), line.metres, strict=True):
                for pair in ((a, b), (b, a)):
                    known, lines = tracks.get(pair, (metres, ()))
                    if metres <= known:
                        tracks[pair] = metres, (*lines, line) if metres == known else (line,)
        return tracks

    @cached_property
    def _neighbours(self) -> Mapping[str, dict[str, int]]:
        neighbours: defaultdict[str, dict[str, int]] = defaultdict(dict)
        for (a, b), (metres, _lines) in self._tracks.items():
            neighbours[a][b] = metres
        return neighbours
