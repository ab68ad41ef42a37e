"""One person's frames, attempts and final answer."""

from uuid import UUID

import numpy as np
import pytest

from edge_gate.approach import Approach, ApproachConfig, Sighting
from edge_gate.decide import Grant
from edge_gate.face import Embedding
from edge_gate.reason import Deny, DenyReason

CONFIG = ApproachConfig(frames_first=2, frames_final=4, frames_best=2, deadline_s=4.0)
YES = Grant(UUID(int=1), 0.8, 0.5)
NO = Deny(DenyReason.NOT_RECOGNISED)


def _axis(index: int) -> Embedding:
    axis: Embedding = np.eye(4, dtype=np.float32)[index]
    return axis


def _after(count: int, *, quality: float = 1.0) -> Approach:
    approach = Approach(track_id=1, began_s=0.0)
    for _ in range(count):
        approach = approach.seen(Sighting(_axis(0), quality, 0.9))
    return approach


class TestAttempts:
    """When a person is searched for."""

    def test_first_attempt_waits_for_its_frames(self) -> None:
        """One frame is not enough, two are."""
        assert [_after(n).due(CONFIG) for n in (0, 1, 2)] == [False, False, True]

    def test_a_grant_is_final_at_once(self) -> None:
        """Whoever is granted is not looked at again."""
        approach = _after(2).answered(YES, CONFIG)

        assert approach.verdict == YES
        assert not approach.seen(Sighting(_axis(0), 1, 1)).due(CONFIG)

    def test_a_refusal_allows_a_second_attempt(self) -> None:
        """The first refusal is no answer; the second, with more frames, is."""
        first = _after(2).answered(NO, CONFIG)
        assert first.verdict is None
        assert not first.due(CONFIG)

        for _ in range(2):
            first = first.seen(Sighting(_axis(0), 1, 1))
        assert first.due(CONFIG)

        second = first.answered(NO, CONFIG)
        assert second.verdict == NO
        assert second.attempts == 2
        assert not second.due(CONFIG)


class TestProbe:
    """What is searched for."""

    def test_takes_the_best_frames_only(self) -> None:
        """Two sharp frames outvote three blurred ones of somebody else's look."""
        approach = Approach(1, 0.0)
        for axis, quality in ((0, 0.9), (1, 0.2), (1, 0.2), (1, 0.2), (0, 0.8)):
            approach = approach.seen(Sighting(_axis(axis), quality, 0.9))

        assert approach.probe(CONFIG) == pytest.approx(_axis(0))

    def test_weighs_frames_by_quality(self) -> None:
        """The better of two frames counts for more."""
        approach = Approach(1, 0.0)
        approach = approach.seen(Sighting(_axis(0), 0.9, 0.9)).seen(Sighting(_axis(1), 0.3, 0.9))

        probe = approach.probe(CONFIG)

        assert probe[0] == pytest.approx(3 * probe[1])

    def test_fuses_liveness_over_all_frames(self) -> None:
        """One frame that looks like paper does not outvote three that look alive."""
        approach = _after(3).seen(Sighting(_axis(0), 1, 0.2))

        assert 0.5 < approach.live() < 0.9


class TestDeadline:
    """Nobody waits for ever."""

    def test_without_a_usable_frame_there_was_no_usable_face(self) -> None:
        """Who was never seen well is told to show a code."""
        approach = Approach(1, began_s=10.0)

        assert [approach.late(at, CONFIG) for at in (13.9, 14.0)] == [False, True]
        assert approach.gave_up().verdict == Deny(DenyReason.NO_USABLE_FACE)

    def test_after_an_attempt_its_refusal_stands(self) -> None:
        """Who was refused once and then looked away keeps the refusal's reason."""
        assert _after(2).answered(NO, CONFIG).gave_up().verdict == NO

    def test_a_final_answer_is_never_late(self) -> None:
        """The deadline does not change an answer."""
        assert not _after(2).answered(YES, CONFIG).late(99.0, CONFIG)

    def test_first_usable_frame_is_noted_once(self) -> None:
        """The clock of the rider's wait starts at the first usable frame."""
        approach = Approach(1, 0.0).usable_from(1.0).usable_from(2.0)

        assert approach.first_usable_s == 1.0


@pytest.mark.parametrize(
    "bad",
    [{"frames_first": 0}, {"frames_first": 5, "frames_final": 4}, {"deadline_s": 0.0}],
)
def test_config_refuses_what_is_out_of_range(bad: dict[str, float]) -> None:
    """No frames, a second attempt before the first, or no time at all is refused."""
    with pytest.raises(ValueError, match="out of range"):
        ApproachConfig(**bad)  # type: ignore[arg-type]
