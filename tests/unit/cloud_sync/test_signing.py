"""A run of taps proves itself, or says what is wrong with it."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_sync.taps.outbox import GENESIS, SealedTap
from cloud_sync.taps.signing import (
    Forged,
    Forked,
    Gap,
    Intact,
    NodeKey,
    Verdict,
    seal,
    verify_chain,
)
from tests.taps import tap

KEY, OTHER_KEY = NodeKey(bytes(range(32))), NodeKey(bytes(range(1, 33)))
OUTBOX = UUID(int=77)
NOTHING = Intact(0, GENESIS)


def _run(count: int, *, key: NodeKey = KEY, outbox_id: UUID = OUTBOX) -> list[SealedTap]:
    run: list[SealedTap] = []
    head = GENESIS
    for number in range(count):
        run.append(seal(key, outbox_id, number + 1, head, tap(number)))
        head = run[-1].digest()
    return run


def _verdict(taps: Sequence[SealedTap], after: Intact = NOTHING) -> Verdict:
    return verify_chain(taps, outbox_id=OUTBOX, after=after, public_key=KEY.public_key)


class TestVerifyChain:
    """The one check of cloud and edge."""

    def test_intact(self) -> None:
        """A whole run ends at its last tap's place and digest."""
        run = _run(4)

        assert _verdict(run) == Intact(4, run[-1].digest())

    def test_goes_on_from_the_middle(self) -> None:
        """A run is checked against the end of the one before it."""
        run = _run(4)

        assert _verdict(run[2:], _verdict_end(run[:2])) == Intact(4, run[-1].digest())

    def test_nothing_changes_nothing(self) -> None:
        """An empty batch leaves the end where it was."""
        assert _verdict([]) == NOTHING

    @given(st.integers(0, 4))
    def test_a_missing_tap_is_a_gap(self, missing: int) -> None:
        """Whichever of the earlier taps is left out, the gap is named."""
        run = _run(6)
        del run[missing]

        assert _verdict(run) == Gap(missing + 1, missing + 2)

    def test_a_repeated_tap_is_a_gap_backwards(self) -> None:
        """A tap that was there before does not continue the run."""
        run = _run(3)

        assert _verdict([*run, run[1]]) == Gap(4, 2)

    def test_two_histories_are_a_fork(self) -> None:
        """A tap of a restored old copy does not continue the history that went on."""
        run = _run(3)
        elsewhere = seal(KEY, OUTBOX, 3, run[0].digest(), tap(9))

        assert _verdict([*run[:2], elsewhere]) == Forked(3)

    def test_another_outbox_is_a_fork(self) -> None:
        """A tap of another outbox is not part of this one."""
        stray = _run(2, outbox_id=UUID(int=78))

        assert _verdict([_run(1)[0], stray[1]]) == Forked(2)

    def test_another_node_is_forged(self) -> None:
        """A perfect run under another node's key is forged from its first tap."""
        assert _verdict(_run(2, key=OTHER_KEY)) == Forged(1)

    def test_every_changed_field_is_forged(self) -> None:
        """Whatever field of a tap is changed on the way, its signature no longer fits."""
        (sealed,) = _run(1)
        other = tap(5)
        spoiled = [
            replace(sealed, tap=replace(sealed.tap, **{name: getattr(other, name)}))
            for name in type(other).__slots__
            if getattr(other, name) != getattr(sealed.tap, name)
        ]

        assert len(spoiled) >= 8
        assert {type(_verdict([each])) for each in spoiled} == {Forged}

    def test_every_flipped_bit_of_the_signature_is_forged(self) -> None:
        """None of the 512 bits of a signature may differ."""
        (sealed,) = _run(1)
        for bit in range(512):
            signature = bytearray(sealed.signature)
            signature[bit // 8] ^= 1 << bit % 8

            assert _verdict([replace(sealed, signature=bytes(signature))]) == Forged(1)

    def test_refuses_a_key_that_is_none(self) -> None:
        """A public key of another length is a programmer's error, not a verdict."""
        with pytest.raises(ValueError):
            verify_chain([], outbox_id=OUTBOX, after=NOTHING, public_key=b"short")


def _verdict_end(taps: Sequence[SealedTap]) -> Intact:
    end = _verdict(taps)
    assert isinstance(end, Intact)
    return end
