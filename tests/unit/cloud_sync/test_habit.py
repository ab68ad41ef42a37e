"""Habits fade, do not mind the order of telling, and say how likely a rider comes."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest

from cloud_sync.prefilter.claim import HABIT
from cloud_sync.prefilter.habit import (
    HALF_LIFE,
    STEADY,
    Habit,
    add_up,
    bucket_of,
    claim_of,
    kind_of,
    likelihood,
    visited,
)
from tests.templates import rider

ANA = rider("Ana")
MONDAY_8 = datetime(2026, 5, 4, 8, 30, tzinfo=UTC)


def commute(weeks: int, *, days: int = 5) -> tuple[Habit, ...]:
    """Return the habits of somebody who came at half past eight on workdays."""
    kept: dict[int, Habit] = {}
    for week, day in itertools.product(range(weeks), range(days)):
        local = MONDAY_8 - timedelta(weeks=weeks - week) + timedelta(days=day)
        bucket = bucket_of(local)
        kept[bucket] = visited(kept.get(bucket), ANA, "bell-tower", local)
    return tuple(kept.values())


def likely(habits: tuple[Habit, ...], local: datetime) -> float:
    """Return how likely a rider comes within that hour."""
    kind = kind_of(bucket_of(local))
    return likelihood(add_up(habits, kind, local), kind.days)


class TestHabit:
    """One number a rider, station and hour."""

    def test_halves_in_four_weeks(self) -> None:
        """A visit counts half after the half-life, and once at the time."""
        habit = visited(None, ANA, "bell-tower", MONDAY_8)

        assert habit.faded(MONDAY_8) == 1
        assert habit.faded(MONDAY_8 + HALF_LIFE) == pytest.approx(0.5)

    def test_order_of_telling_does_not_matter(self) -> None:
        """Three visits give one number, however late each of them is told."""
        visits = [MONDAY_8 - timedelta(weeks=week) for week in (0, 3, 7)]
        sums = set()
        for order in itertools.permutations(visits):
            habit: Habit | None = None
            for local in order:
                habit = visited(habit, ANA, "bell-tower", local)
            assert habit is not None
            sums.add((round(habit.weight, 9), habit.at))

        assert len(sums) == 1

    def test_steady(self) -> None:
        """Weekly visits add up to the documented sum."""
        (habit,) = commute(120, days=1)

        assert habit.faded(MONDAY_8 - timedelta(weeks=1)) == pytest.approx(STEADY, rel=1e-3)

    def test_buckets(self) -> None:
        """The week begins on Monday at midnight and ends with bucket 167."""
        assert bucket_of(MONDAY_8.replace(hour=0)) == 0
        assert bucket_of(datetime(2026, 5, 10, 23, tzinfo=UTC)) == 167

    def test_kinds_of_days(self) -> None:
        """Monday morning is like the other workdays' and unlike the weekend's."""
        assert kind_of(8).kin == {8, 32, 56, 80, 104}
        assert kind_of(5 * 24 + 8).days == 2
        assert kind_of(0).near == {167, 1, 23, 25, 47, 49, 71, 73, 95, 97}


class TestLikelihood:
    """What a habit is worth."""

    def test_grows_with_the_weeks(self) -> None:
        """After two weeks of a new job the station expects the rider; after months it is sure."""
        two, many = likely(commute(2), MONDAY_8), likely(commute(52), MONDAY_8)

        assert HABIT.likely_min < two < many
        assert many > 0.6

    def test_other_hours_and_days_count_less(self) -> None:
        """The hour beside, the weekend and the night are less likely, in that order."""
        habits = commute(52)
        weekend = MONDAY_8 + timedelta(days=5)

        own = likely(habits, MONDAY_8)
        beside = likely(habits, MONDAY_8 + timedelta(hours=1))

        assert own > beside > HABIT.likely_min > likely(habits, weekend) > 0

    def test_one_visit_ever_is_a_long_shot(self) -> None:
        """Somebody who came once, at another hour, is no more than a long shot."""
        once = (visited(None, ANA, "bell-tower", MONDAY_8),)

        assert 0 < likely(once, MONDAY_8 + timedelta(hours=9)) < HABIT.likely_min

    def test_never_certain(self) -> None:
        """Ten visits in one hour do not make more than the largest weight."""
        habit = Habit(ANA, "bell-tower", 8, 500.0, MONDAY_8)

        made = claim_of(ANA, "bell-tower", add_up([habit], kind_of(8), MONDAY_8), 5, MONDAY_8)

        assert made is not None
        assert made.weight == 0.99
        assert made.until == MONDAY_8 + timedelta(hours=1)

    def test_nothing_known_claims_nothing(self) -> None:
        """Without a visit there is no claim."""
        assert claim_of(ANA, "x", add_up([], kind_of(8), MONDAY_8), 5, MONDAY_8) is None
