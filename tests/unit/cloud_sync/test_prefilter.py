"""Who is in a view: the order, the budget, and the reason for every place."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_sync.prefilter.budget import FIRST, OUTSIDE, SECOND, Budget
from cloud_sync.prefilter.claim import (
    CHECK_IN,
    HABIT,
    HOME,
    LONG_SHOT,
    OPEN_TRIP,
    PRESENCE,
    SHIPPED,
    SPARE,
    Claim,
    by_name,
)
from cloud_sync.prefilter.ranking import desired, differences, priority_of
from tests.templates import rider

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
SMALL = Budget(first=2, first_max=3, second=2, spare_max=4)


def claim(name: str, source: str, weight: float = 0.5, *, minutes: int | None = 60) -> Claim:
    """Return a claim on the Bell Tower from noon on."""
    until = None if minutes is None else NOON + timedelta(minutes=minutes)
    return Claim("bell-tower", rider(name), source, weight, NOON, until)


def names(*known: str) -> dict[UUID, str]:
    """Return the names behind the references."""
    return {rider(name): name for name in known}


_CLAIMS = st.lists(
    st.builds(
        Claim,
        st.just("bell-tower"),
        st.integers(0, 30).map(lambda number: UUID(int=number)),
        st.sampled_from([source.name for source in SHIPPED]),
        st.floats(0, 0.99),
        st.just(NOON - timedelta(minutes=1)),
        st.sampled_from([None, NOON, NOON + timedelta(minutes=1)]),
    ),
    max_size=80,
)
_BUDGETS = st.builds(
    lambda first, more, second: Budget(first, first + more, second, 0),
    st.integers(1, 8),
    st.integers(0, 8),
    st.integers(0, 8),
)


class TestOrder:
    """One total order with a reason for every place."""

    def test_sources_in_order(self) -> None:
        """Seen comes before checked in, on the way, habit, home and spare, whatever the weight."""
        claims = [
            claim("Spare", SPARE.name, 0.0),
            claim("Home", HOME.name, 0.9),
            claim("Habit", HABIT.name, 0.8),
            claim("Way", OPEN_TRIP.name, 0.7),
            claim("Check", CHECK_IN.name, 0.6),
            claim("Seen", PRESENCE.name, 0.1),
        ]

        ranking = desired(claims, Budget(), NOON)

        who = names("Seen", "Check", "Way", "Habit", "Home", "Spare")
        assert [who[place.rider_ref] for place in ranking.places] == list(who.values())
        assert [place.rank for place in ranking.places] == [1, 2, 3, 4, 5, 6]

    def test_long_shot_ranks_behind_every_likely_claim(self) -> None:
        """A traveller who hardly ever leaves here does not push out one whose home it is."""
        ranking = desired(
            [claim("Far", OPEN_TRIP.name, 0.01), claim("Home", HOME.name, 0.1)], SMALL, NOON
        )

        assert [place.rider_ref for place in ranking.places] == [rider("Home"), rider("Far")]
        assert ranking.places[1].priority == LONG_SHOT

    def test_claims_add_up(self) -> None:
        """Two sources that agree weigh more than the better of them alone."""
        both = [claim("Ana", HABIT.name, 0.4), claim("Ana", HOME.name, 0.4)]

        ranking = desired([claim("Ben", HABIT.name, 0.45), *both], SMALL, NOON)

        assert ranking.places[0].rider_ref == rider("Ana")
        assert ranking.places[0].weight == pytest.approx(0.64)

    def test_equals_keep_their_places(self) -> None:
        """Of two riders of about one weight the one already in the view stays."""
        claims = [claim("Ana", HABIT.name, 0.50), claim("Ben", HABIT.name, 0.52)]
        one = Budget(1, 1, 0, 0)

        fresh = desired(claims, one, NOON)
        later = desired(claims, one, NOON, held={rider("Ana"): FIRST})

        assert list(fresh.desired) == [rider("Ben")]
        assert list(later.desired) == [rider("Ana")]

    def test_a_clearly_better_claim_evicts(self) -> None:
        """Being there already does not help against somebody twice as likely."""
        claims = [claim("Ana", HABIT.name, 0.2), claim("Ben", HABIT.name, 0.6)]

        ranking = desired(claims, Budget(1, 1, 0, 0), NOON, held={rider("Ana"): FIRST})

        assert list(ranking.desired) == [rider("Ben")]

    @given(_CLAIMS, _BUDGETS, st.randoms(use_true_random=False))
    @settings(max_examples=150, deadline=None)
    def test_total_and_stable(self, claims: list[Claim], budget: Budget, dice: object) -> None:
        """Any order of arrival gives the same ranks, and applying them changes nothing more."""
        shuffled = list(claims)
        dice.shuffle(shuffled)  # type: ignore[attr-defined]

        ranking = desired(claims, budget, NOON)
        again = desired(shuffled, budget, NOON)

        assert [(p.rider_ref, p.tier) for p in again.places] == [
            (p.rider_ref, p.tier) for p in ranking.places
        ]
        settled = desired(claims, budget, NOON, held=ranking.desired)
        assert differences(settled.desired, ranking.desired).drops == ()
        assert differences(settled.desired, ranking.desired).puts == ()


class TestBudget:
    """The view never outgrows its bounds."""

    @given(_CLAIMS, _BUDGETS)
    @settings(max_examples=150, deadline=None)
    def test_never_exceeded(self, claims: list[Claim], budget: Budget) -> None:
        """The first tier stretches for likely riders alone, and each tier keeps its bound."""
        ranking = desired(claims, budget, NOON)

        first = [place for place in ranking.places if place.tier == FIRST]
        second = [place for place in ranking.places if place.tier == SECOND]
        assert len(first) <= budget.first_max
        assert len(second) <= budget.second
        assert all(place.likely for place in first[budget.first :])
        assert [place.rank for place in ranking.places] == list(range(1, len(ranking.places) + 1))
        tiers = [place.tier or 3 for place in ranking.places]
        assert tiers == sorted(tiers)
        held = {claim.rider_ref for claim in claims if claim.holds(NOON)}
        assert {place.rider_ref for place in ranking.places} == held

    def test_stretches_for_who_is_likely(self) -> None:
        """A third rider fits into a first tier of two when likely to come, not by a long shot."""
        seen = [claim("Ana", PRESENCE.name), claim("Ben", PRESENCE.name)]

        likely = desired([*seen, claim("Cleo", HABIT.name)], SMALL, NOON)
        hardly = desired([*seen, claim("Cleo", HABIT.name, 0.01)], SMALL, NOON)

        assert likely.desired[rider("Cleo")] == FIRST
        assert hardly.desired[rider("Cleo")] == SECOND

    def test_whoever_does_not_fit_stays_outside(self) -> None:
        """The sixth of six at a view of two and two is outside, and in no desired view."""
        claims = [claim(f"rider {number}", HABIT.name, 0.01) for number in range(6)]

        ranking = desired(claims, SMALL, NOON)

        assert [place.tier for place in ranking.places] == [1, 1, 2, 2, OUTSIDE, OUTSIDE]
        assert len(ranking.desired) == 4

    @pytest.mark.parametrize(
        "fields",
        [
            {"first": 0},  # a station without anybody is no station
            {"first_max": 1},  # below the rule
            {"second": -1},
            {"spare_max": 200_000},  # more than the view can hold
        ],
    )
    def test_refuses_contradictions(self, fields: dict[str, int]) -> None:
        """Bounds that contradict each other are refused."""
        with pytest.raises(ValueError, match="out of range"):
            replace(Budget(), **fields)


class TestClaim:
    """When a claim counts."""

    def test_holds_from_since_to_until(self) -> None:
        """A claim counts from its first moment, and no longer at its last."""
        one = claim("Ana", CHECK_IN.name, minutes=30)

        assert not one.holds(NOON - timedelta(seconds=1))
        assert one.holds(NOON)
        assert not one.holds(NOON + timedelta(minutes=30))

    def test_switched_off_source_claims_nobody(self) -> None:
        """A source that the operator switched off counts as if it had said nothing."""
        without = by_name([source for source in SHIPPED if source is not PRESENCE])

        ranking = desired([claim("Ana", PRESENCE.name)], SMALL, NOON, sources=without)

        assert ranking.places == ()

    def test_spare_is_never_a_long_shot(self) -> None:
        """Whoever is there because the city fits stays behind the long shots."""
        assert priority_of(claim("Ana", SPARE.name, 0.0)) < LONG_SHOT

    def test_refuses_certainty(self) -> None:
        """A weight of 1 would make every other claim of the rider meaningless."""
        with pytest.raises(ValueError, match="weight"):
            claim("Ana", HABIT.name, 1.0)


class TestDifferences:
    """What turns one view into another."""

    def test_only_what_differs(self) -> None:
        """Whoever stays in the same tier is not sent; a moved one is put with the other tier."""
        claims = [claim(name, HABIT.name, 0.01) for name in ("Ana", "Ben", "Cleo")]
        held = {rider("Ana"): FIRST, rider("Ben"): SECOND, rider("Dora"): FIRST}

        found = differences(desired(claims, SMALL, NOON, held=held).desired, held)

        assert found.drops == (rider("Dora"),)
        assert found.puts == ((rider("Ben"), FIRST), (rider("Cleo"), SECOND))
