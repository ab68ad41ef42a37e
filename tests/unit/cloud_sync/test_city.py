"""The simulated city: its people, what is remembered of them, and what the views hold."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from cloud_sync.adapters.city.day import Options, SimulationRefused, run, simulate
from cloud_sync.calibration import from_table
from cloud_sync.city import people
from cloud_sync.city.config import CityDay, DayUnreadable, parse
from cloud_sync.city.day import SOURCES, Known, Seen, _first_tier, _ranked
from cloud_sync.city.memory import Past, remember
from cloud_sync.city.people import Trips
from cloud_sync.city.report import summed
from cloud_sync.prefilter import travel
from cloud_sync.prefilter.budget import Budget
from cloud_sync.prefilter.claim import HABIT, Claim
from cloud_sync.prefilter.habit import Visits, likelihood
from cloud_sync.prefilter.ranking import desired
from fare.city import shipped
from models import manifest
from tests.templates import rider

TOML = (Path("cloud_sync") / "data" / "city-day.toml").read_text(encoding="utf-8")
CALIBRATION = from_table(manifest.pack("open").calibration)


def small_day(*, presence: float = 0.0) -> CityDay:
    """Return a town of 4,000 riders on the shipped network."""
    day = parse(TOML)
    return replace(
        day,
        riding=replace(day.riding, riders=4_000, face_trips=900),
        means=replace(day.means, history_days=21, presence_share=presence),
        sizes=replace(day.sizes, first=20, first_max=60, second_max=600),
        step_min=60,
    )


@pytest.fixture(scope="module")
def seen() -> list[Seen]:
    """Give the town's day without entrance cameras."""
    return simulate(small_day(), CALIBRATION)


def share(seen: list[Seen], name: str, *, at_exit: bool) -> float:
    """Return the share of passages of one direction for which a flag is set."""
    flags = np.concatenate([getattr(each, name)[each.is_exit == at_exit] for each in seen])
    return float(flags.mean())


class TestDay:
    """What a day's replay promises."""

    def test_same_seed_same_day(self, seen: list[Seen]) -> None:
        """One seed gives one day, to the last push."""
        again = simulate(small_day(), CALIBRATION)

        assert [(s.size, s.puts, s.drops) for s in again] == [
            (s.size, s.puts, s.drops) for s in seen
        ]

    def test_every_trip_has_two_passages(self, seen: list[Seen]) -> None:
        """Each trip is seen once where it begins and once where it ends."""
        exits = sum(int(each.is_exit.sum()) for each in seen)

        assert exits * 2 == sum(len(each.is_exit) for each in seen)
        assert exits > 500

    def test_budget_holds(self, seen: list[Seen]) -> None:
        """No first tier is ever larger than the most it may be, and no second tier either."""
        sizes = small_day().sizes

        assert max(each.size for each in seen) <= sizes.first_max
        assert max(each.known for each in seen) <= sizes.second_max

    def test_knows_who_is_on_the_way(self, seen: list[Seen]) -> None:
        """Whoever entered is expected at the exits, so nobody is unknown there."""
        found = share(seen, "in_first", at_exit=True) + share(seen, "in_second", at_exit=True)

        assert found > 0.99

    def test_whoever_is_home_again_takes_no_place(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """First tiers hold fewer; control: where exits at home count as elsewhere, they stretch."""
        day = small_day()
        day = replace(day, sizes=replace(day.sizes, first=1))
        few = simulate(day, CALIBRATION)
        monkeypatch.setattr(travel, "BACK_HOME", 1.0)
        many = simulate(day, CALIBRATION)

        assert sum(each.size for each in few) < 0.9 * sum(each.size for each in many)

    def test_presence_fills_the_first_tier(self, seen: list[Seen]) -> None:
        """Entrance cameras bring riders into the first tier whom nothing else expects."""
        watched = simulate(small_day(presence=1.0), CALIBRATION)

        before = share(seen, "in_first", at_exit=False)
        assert share(watched, "in_first", at_exit=False) > before + 0.05

    def test_without_memory_entries_are_missed(self, seen: list[Seen]) -> None:
        """Control: a city that remembers nothing and was told nothing misses its riders."""
        day = small_day()
        blank = simulate(
            replace(day, means=replace(day.means, home_share=0.0, known_days=0, history_days=1)),
            CALIBRATION,
        )

        assert _remembered(blank) < _remembered(seen) - 0.05


def _remembered(seen: list[Seen]) -> float:
    """Return the share of entries that habit, the last exit or the home station knew."""
    flags = [each.claimed[:, 3:].any(axis=1) & ~each.is_exit for each in seen]
    entries = sum(int((~each.is_exit).sum()) for each in seen)
    return float(np.concatenate(flags).sum() / entries)


class TestSameRules:
    """The arrays follow the shipped sources and the shipped ranking."""

    def test_likelihood(self) -> None:
        """A rider's habit is worth the same here as in `cloud_sync.prefilter.habit`."""
        eight, nine = np.float32(485), np.float32(545)
        one, other = np.array([0], np.int32), np.array([1], np.int32)

        def day(ago: int, minute: np.float32) -> Past:
            at = np.array([minute], np.float32)
            return Past(ago, ago % 7 < 5, ago % 7 == 0, Trips(one, one, other, at, at + 30))

        past = [day(14, eight), day(7, eight), day(3, nine), day(1, eight)]
        memory = remember(past, np.empty(0, np.int64), riders=3)

        fade = {ago: 0.5 ** (ago / 28) for ago in (14, 7, 3, 1)}
        visits = Visits(
            own=fade[14] + fade[7],
            kin=fade[14] + fade[7] + fade[1],
            near=fade[3],
            ever=sum(fade.values()),
        )
        got = memory.likelihood(one, 8, one)[0]
        assert got == pytest.approx(likelihood(visits, 5), rel=1e-5)
        assert memory.likelihood(one, 8, other)[0] == 0

    def test_ranking(self) -> None:
        """The first tier is the one that `cloud_sync.prefilter.ranking` cuts."""
        draw = np.random.default_rng(5)
        weights = np.round(draw.uniform(0, 0.9, 40) ** 4, 4)
        noon = datetime(2026, 5, 4, 12, tzinfo=UTC)
        claims = [
            Claim("bell-tower", rider(str(n)), HABIT.name, float(w), noon, noon + timedelta(1))
            for n, w in enumerate(weights)
        ]
        budget = Budget(first=5, first_max=30, second=100, spare_max=0)
        day = small_day()
        day = replace(day, sizes=replace(day.sizes, first=5, first_max=30))

        places = desired(claims, budget, noon).places
        known = Known(np.arange(40, dtype=np.int32), _ranked(HABIT, weights.astype(np.float32)))
        view, _ = _first_tier(known, day, 0)

        wanted = {p.rider_ref for p in places if p.tier == 1}
        # Among equal claims at the edge the shipped ranking has an order and the arrays take none.
        assert {rider(str(n)) for n in view} <= wanted
        assert len(wanted) - len(view) <= 1


class TestPeople:
    """Who travels."""

    def test_ways_are_shortest(self) -> None:
        """Travel times follow the shortest track of the network."""
        day, network = small_day(), shipped("xian").network
        between = people.ways(network, day.ground)
        place = {station: number for number, station in enumerate(between.station_ids)}
        path = network.shortest("houweizhai", "weiqunan")

        assert path is not None
        assert between.metres[place["houweizhai"], place["weiqunan"]] == path.metres

    def test_nobody_rides_in_a_circle(self) -> None:
        """Every trip ends at another station, later than it began, on the same day."""
        day = small_day()
        rng = np.random.default_rng(3)
        between = people.ways(shipped("xian").network, day.ground)
        living = people.settle(day, between, rng)

        trips = people.travel(living, day.riding, between, rng, is_working=True)

        assert (trips.origin != trips.target).all()
        assert (trips.exit_min > trips.entry_min).all()
        assert trips.exit_min.max() < 1_440


class TestReport:
    """What is said of a day."""

    def test_small_galleries_are_what_makes_it_work(self, seen: list[Seen]) -> None:
        """With the prefilter most riders are recognised; among all of a large city nobody is."""
        city = replace(small_day(), riding=replace(small_day().riding, riders=3_000_000))

        report = summed(seen, city, CALIBRATION, put_bytes=1_100, drop_bytes=60)

        assert report.tiers.fnir < 0.4
        assert report.whole.threshold is None
        assert report.whole.fnir == 1

    def test_sources_are_named(self, seen: list[Seen]) -> None:
        """Each shipped source has a line, the most telling first."""
        report = summed(seen, small_day(), CALIBRATION, put_bytes=1_100, drop_bytes=60)

        assert [each.name for each in report.sources] == [each.name for each in SOURCES]

    def test_command(self, tmp_path: Path) -> None:
        """The command prints its figures and writes four pictures."""
        said: list[str] = []
        path = tmp_path / "day.toml"
        path.write_text(TOML.replace("history_days = 84", "history_days = 2"), encoding="utf-8")

        run(Options(path, tmp_path / "out", "open", riders=1_000), said.append)

        assert any("in one of the tiers" in line for line in said)
        assert len(list((tmp_path / "out").glob("*.png"))) == 4


class TestRefusals:
    """What is no city's day."""

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ("seed = 1", "seed = [1"),  # no TOML
            ("home_share = 0.7", "home_share = 1.7"),  # no share
            ("home_share = 0.7\n", ""),  # missing
            ("first = 1_000", "first = 20_000"),  # above its most
            ("speed_m_min = 580.0", "speed_m_min = 0.0"),  # trains that stand
        ],
    )
    def test_is_told(self, old: str, new: str) -> None:
        """A figure that is missing or out of its range is refused, by name where there is one."""
        assert old in TOML
        with pytest.raises(DayUnreadable):
            parse(TOML.replace(old, new))

    def test_unknown_city(self, tmp_path: Path) -> None:
        """A city that is not shipped is refused with its name."""
        path = tmp_path / "day.toml"
        path.write_text(TOML.replace('city = "xian"', 'city = "atlantis"'), encoding="utf-8")

        with pytest.raises(SimulationRefused, match="atlantis"):
            run(Options(path, tmp_path, "open", riders=1_000), print)
