"""What the rider reads."""

import pytest

from edge_gate.reason import DenyReason
from edge_gate.screen import GO, MESSAGES, READY, WAIT, Display, Sign, refusal


class TestMessages:
    """The table of reasons."""

    def test_every_reason_has_a_message(self) -> None:
        """No refusal leaves the rider without a word."""
        assert set(MESSAGES) == set(DenyReason)

    @pytest.mark.parametrize("reason", list(DenyReason))
    def test_headlines_are_readable_from_afar(self, reason: DenyReason) -> None:
        """A headline has at most 20 letters, and a sentence follows it."""
        screen = refusal(reason)

        assert 0 < len(screen.headline) <= 20
        assert screen.why.endswith(".")

    def test_a_face_that_fails_is_sent_to_the_code(self) -> None:
        """Every failure of the face path names the other way in."""
        faces = [r for r in DenyReason if r.value.startswith(("gallery", "model", "camera"))]

        assert {MESSAGES[reason][0] for reason in faces} == {Sign.CODE}


class TestDisplay:
    """One lane's screen over time."""

    def test_shows_ready_then_wait(self) -> None:
        """An idle lane invites; a busy one asks for a moment."""
        display = Display()

        assert display.show(0, is_open=False, busy=False, shut=None) == READY
        assert display.show(0, is_open=False, busy=True, shut=None) == WAIT

    def test_an_open_barrier_says_go_whatever_else(self) -> None:
        """Who may go is not told anything else."""
        display = Display()
        display.refuse(DenyReason.CODE_EXPIRED, 0.0)

        shown = display.show(0.1, is_open=True, busy=True, shut=DenyReason.CAMERA_LOST)

        assert shown == GO

    def test_a_refusal_stays_and_goes(self) -> None:
        """A refusal is shown for three seconds, then the lane invites again."""
        display = Display()
        display.refuse(DenyReason.NOT_RECOGNISED, 0.0)

        shown = [display.show(at, is_open=False, busy=False, shut=None) for at in (2.9, 3.0)]

        assert shown == [refusal(DenyReason.NOT_RECOGNISED), READY]

    def test_a_cleared_refusal_is_gone(self) -> None:
        """A grant wipes the refusal before it."""
        display = Display()
        display.refuse(DenyReason.NOT_RECOGNISED, 0.0)
        display.clear()

        assert display.show(0.1, is_open=False, busy=False, shut=None) == READY

    def test_a_lane_without_faces_says_why_all_the_time(self) -> None:
        """With the face path shut an idle lane asks for a code and says the reason."""
        shown = Display().show(0, is_open=False, busy=False, shut=DenyReason.GALLERY_STALE)

        assert (shown.sign, shown.reason) == (Sign.CODE, DenyReason.GALLERY_STALE)
