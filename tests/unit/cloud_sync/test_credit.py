"""How much may be on its way to an edge."""

from cloud_sync.stream.credit import (
    FIRST_BYTES,
    LEAST_BYTES,
    PACE_S,
    WINDOW,
    WINDOW_BYTES,
    Credit,
    Sent,
)


def over_a_line(bytes_s: float, *, seconds: float) -> tuple[Credit, float]:
    """Send all that may be sent over a line; return the credit and the longest wait at the end."""
    credit, now_s, free_s, nonce = Credit(), 0.0, 0.0, 0
    done: list[tuple[float, int]] = []
    wait_s = 0.0
    while now_s < seconds:
        while credit.fits(1_100):
            size = max(1_100, min(280_000, credit.room))
            nonce += 1
            free_s = max(free_s, now_s) + size / bytes_s
            credit = credit.sent(Sent(nonce, 0, size, now_s))
            done.append((free_s, nonce))
            wait_s = free_s - now_s
        now_s, acked = done.pop(0)
        credit = credit.acked(acked, now_s)
    return credit, wait_s


class TestCredit:
    """Chunks, bytes and pace."""

    def test_ends_at_eight_chunks(self) -> None:
        """However small they are, no more than eight chunks travel."""
        credit = Credit(allowance=WINDOW_BYTES)
        for nonce in range(WINDOW):
            assert credit.fits(10)
            credit = credit.sent(Sent(nonce, 0, 10, 0.0))

        assert not credit.fits(10)
        assert credit.room == 0

    def test_ends_at_its_bytes(self) -> None:
        """What does not fit waits, unless nothing at all is on its way."""
        credit = Credit(allowance=1_000)

        assert credit.fits(5_000)
        credit = credit.sent(Sent(1, 0, 600, 0.0))
        assert credit.fits(400)
        assert not credit.fits(401)

    def test_opens_up_on_a_fast_line(self) -> None:
        """At 100 Mbit/s the window is at its 4 MiB within a second."""
        credit, _ = over_a_line(12_500_000, seconds=1.0)

        assert credit.allowance == WINDOW_BYTES

    def test_keeps_a_slow_line_short(self) -> None:
        """At 64 kbit/s what is sent now arrives within the pace, so a deletion can overtake."""
        credit, wait_s = over_a_line(8_000, seconds=60.0)

        assert LEAST_BYTES <= credit.allowance <= 2 * FIRST_BYTES
        assert wait_s <= 2 * PACE_S

    def test_does_not_grow_on_what_was_not_tried(self) -> None:
        """A quick answer to a small message says nothing about a large one."""
        credit = Credit().sent(Sent(1, 0, 60, 0.0)).acked(1, 0.01)

        assert credit == Credit()

    def test_an_acknowledgement_covers_what_went_before(self) -> None:
        """Acknowledging the second message frees the first one too; repeating it frees nothing."""
        credit = Credit().sent(Sent(1, 0, 60, 0.0)).sent(Sent(2, 0, 60, 0.0))
        credit = credit.sent(Sent(3, 0, 60, 5.0)).acked(2, 0.1)

        assert [sent.nonce for sent in credit.unacked] == [3]
        assert credit.acked(2, 0.2) == credit
        assert credit.waits_s(7.0) == 2.0
