"""Whom a look means, how many looks may be sent, and where the law allows any."""

import math
from dataclasses import dataclass
from uuid import UUID

import numpy as np
import pytest

from cloud_sync.calibration import from_table
from cloud_sync.content import pack
from cloud_sync.master.presence import Allowance, Look, Outcome, PresenceConfig, meant, threshold
from cloud_sync.profile import PROFILES, STRICTEST
from cloud_sync.wire.presence import (
    look_from_proto,
    look_to_proto,
    outcome_from_proto,
    outcome_to_proto,
)
from models.manifest import pack as models_of

OPEN = from_table(models_of("open").calibration)
RULES = PresenceConfig()
ANA, BEN = UUID(int=1), UUID(int=2)


@dataclass(frozen=True)
class Alike:
    """A rider who was found."""

    rider_ref: UUID
    score: float
    is_active: bool = True


class TestMeant:
    """Whom a look means."""

    @pytest.mark.parametrize(
        ("found", "who"),
        [
            ([], None),  # an empty gallery
            ([Alike(ANA, 0.70)], ANA),
            ([Alike(ANA, 0.70), Alike(BEN, 0.61)], ANA),
            ([Alike(ANA, 0.59)], None),  # below the threshold
            ([Alike(ANA, 0.70), Alike(BEN, 0.63)], None),  # fits two
            ([Alike(ANA, 0.70, is_active=False)], None),  # paused, or without the consent
            ([Alike(ANA, 0.70, is_active=False), Alike(BEN, 0.61)], None),  # never the second
            ([Alike(ANA, 0.70), Alike(BEN, 0.63, is_active=False)], None),  # a twin who paused
        ],
    )
    def test_means_one_active_rider_or_nobody(self, found: list[Alike], who: UUID | None) -> None:
        """At least the threshold, clear of the second, and active."""
        assert meant(found, 0.60, RULES) == who


class TestThreshold:
    """What the model supports."""

    def test_grows_with_the_gallery_until_the_model_supports_no_more(self) -> None:
        """The shipped model supports presence among 250,000 riders and not among 3 million."""
        scores = [threshold(OPEN, size, RULES) for size in (1_000, 50_000, 250_000)]

        assert scores == sorted(score for score in scores if score is not None)
        assert scores[-1] == pytest.approx(0.677, abs=0.005)
        assert threshold(OPEN, 3_000_000, RULES) is None
        assert threshold(None, 10, RULES) is None


class TestAllowance:
    """How many looks may be sent."""

    def test_a_burst_and_then_so_many_a_second(self) -> None:
        """Twenty go at once, the next wait for the refill; a clock set back gives nothing."""
        left, sent = Allowance(), []
        for now_s in [100.0] * 25 + [100.35] * 5 + [50.0]:
            left, may = left.take(now_s)
            sent.append(may)

        assert sent == [True] * 20 + [False] * 5 + [True] * 3 + [False] * 3


class TestWire:
    """A look on the wire."""

    def test_a_look_comes_back_and_never_shows_in_a_repr(self) -> None:
        """The vector travels in float16 and is of unit length again; its `repr` has no numbers."""
        vector = np.full(8, math.sqrt(1 / 8), np.float32)
        look = Look(vector, "model-a", "plain")

        back = look_from_proto(look_to_proto(look, "edge-1"), dimension=8)

        assert back is not None
        assert float(back.vector @ vector) == pytest.approx(1, abs=1e-6)
        assert "0.35" not in repr(look)

    @pytest.mark.parametrize(
        "embedding",
        [
            b"",
            b"\0",
            b"\0" * 16,
            pack(np.full(8, np.nan, np.float32)),
            pack(np.ones(8, np.float32)),
            pack(np.full(4, 0.5, np.float32)),
        ],
    )
    def test_what_is_no_look_is_none(self, embedding: bytes) -> None:
        """Empty, half a value, not a number, too long, zero, of another dimension."""
        request = look_to_proto(Look(np.ones(8, np.float32), "model-a", "plain"), "edge-1")
        request.embedding = embedding

        assert look_from_proto(request, dimension=8) is None

    @pytest.mark.parametrize("outcome", Outcome)
    def test_outcomes_come_back(self, outcome: Outcome) -> None:
        """Each has its own number."""
        assert outcome_from_proto(outcome_to_proto(outcome)) is outcome


class TestProfile:
    """Where the law allows it."""

    def test_presence_is_allowed_in_one_place_and_never_by_default(self) -> None:
        """`cn` allows it, `eu` and `us-il` do not, and who says nothing is in the strictest."""
        assert {each.name for each in PROFILES.values() if each.presence_allowed} == {"cn"}
        assert set(PROFILES) == {"cn", "eu", "us-il"}
        assert not PROFILES[STRICTEST].presence_allowed
