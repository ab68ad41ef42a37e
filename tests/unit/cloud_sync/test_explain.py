"""Every place in a view, and every absence, has a reason that can be told."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from cloud_sync.master.gallery import Standing
from cloud_sync.prefilter.budget import Budget
from cloud_sync.prefilter.claim import HABIT, HOME, PRESENCE, Claim
from cloud_sync.prefilter.explain import Absence, Subject, as_json, explain, in_words
from cloud_sync.prefilter.ranking import desired
from tests.templates import rider

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
ONE = Budget(first=1, first_max=1, second=1, spare_max=0)


def _claim(name: str, source: str, weight: float) -> Claim:
    until = None if source == HOME.name else NOON + timedelta(minutes=9)
    return Claim("bell-tower", rider(name), source, weight, NOON, until)


def _subject(name: str, standing: Standing = Standing.ACTIVE, held: int = 0) -> Subject:
    return Subject(rider(name), "bell-tower", NOON, standing, held)


class TestExplain:
    """In the view, and why."""

    def test_tells_rank_tier_and_claims(self) -> None:
        """The best claim comes first, with the rank, the tier and what would end it."""
        claims = [_claim("Ana", HABIT.name, 0.4), _claim("Ana", PRESENCE.name, 0.9)]
        claims.append(_claim("Ben", HABIT.name, 0.3))

        told = explain(_subject("Ana"), desired(claims, ONE, NOON))

        assert (told.rank, told.ranked, told.tier, told.absence) == (1, 2, 1, None)
        assert [reason.source for reason in told.reasons] == ["presence", "habit"]
        assert (told.room, told.ends) == (1, None)
        words = "\n".join(in_words(told))
        assert "is likely to come: the first tier ends at rank 1" in words
        assert "weighed anew every hour" in words

    def test_a_home_does_not_end_by_itself(self) -> None:
        """A claim without an end is not said to run out."""
        told = explain(_subject("Ana"), desired([_claim("Ana", HOME.name, 0.1)], ONE, NOON))

        assert told.ends is None
        assert "last claim ends" not in "\n".join(in_words(told))

    def test_long_shot_is_named(self) -> None:
        """A claim below its source's least weight is told as a long shot."""
        told = explain(_subject("Ana"), desired([_claim("Ana", HABIT.name, 0.01)], ONE, NOON))

        assert told.reasons[0].long_shot
        assert "long shot" in "\n".join(in_words(told))

    @pytest.mark.parametrize(
        ("standing", "claimed", "absence"),
        [
            (Standing.UNKNOWN, False, Absence.UNKNOWN_RIDER),
            (Standing.GONE, True, Absence.GONE),  # even with a claim left over
            (Standing.INACTIVE, True, Absence.INACTIVE),
            (Standing.ACTIVE, False, Absence.NO_CLAIM),
            (Standing.ACTIVE, True, None),
        ],
    )
    def test_absence(self, standing: Standing, claimed: bool, absence: Absence | None) -> None:
        """The first thing that keeps a rider out is named, and then no tier is promised."""
        claims = [_claim("Ana", PRESENCE.name, 0.9)] if claimed else []

        told = explain(_subject("Ana", standing), desired(claims, ONE, NOON))

        assert told.absence is absence
        assert (told.tier == 0) == (absence is not None)
        assert (told.room == 0) == (absence is not None)

    def test_outranked(self) -> None:
        """Whoever stands behind the last place is told so, with the rank."""
        claims = [_claim(name, PRESENCE.name, 0.9) for name in ("Ben", "Cleo")]

        told = explain(
            _subject("Ana"), desired([*claims, _claim("Ana", HABIT.name, 0.3)], ONE, NOON)
        )

        assert (told.absence, told.rank, told.ranked) == (Absence.OUTRANKED, 3, 3)

    def test_other_space(self) -> None:
        """A rider without a template of the station's model is told that."""
        subject = Subject(
            rider("Ana"), "bell-tower", NOON, Standing.ACTIVE, held=0, comparable=False
        )

        told = explain(subject, desired([_claim("Ana", HOME.name, 0.1)], ONE, NOON))

        assert told.absence is Absence.OTHER_SPACE

    def test_goes_out_as_json(self) -> None:
        """The same explanation is plain JSON, for the console's page."""
        told = explain(_subject("Ana", held=2), desired([_claim("Ana", HOME.name, 0.1)], ONE, NOON))

        plain = json.loads(json.dumps(as_json(told)))

        assert (plain["tier"], plain["held_tier"], plain["reasons"][0]["source"]) == (1, 2, "home")
        assert "the next reconcile" in "\n".join(in_words(told))
