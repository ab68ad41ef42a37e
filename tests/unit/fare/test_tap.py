"""The tap's one byte string, which hash chain and signature cover."""

import hashlib
from datetime import UTC, datetime
from uuid import UUID

import pytest

from fare.tap import Direction, Medium, Tap, TapFlag, flags_of, flags_text

_TAP = Tap(
    UUID(int=1),
    UUID(int=2),
    "zhonglou",
    "entry-1",
    Direction.ENTRY,
    Medium.FACE,
    datetime(2026, 5, 4, 0, 30, tzinfo=UTC),
    5,
    model_id="open",
    score_e4=6_213,
)
GOLDEN = "e4e80a73a3bebe053436b7794e281153f10aa5ae9d2689c0cfd4d26e77df5f3d"
"""The SHA-256 of `_TAP` by the code of the release before flags."""


class TestCanonical:
    """What is hashed."""

    def test_a_tap_without_flags_hashes_as_before_there_were_any(self) -> None:
        """The hash of a tap made by an earlier release is the same to the last bit."""
        assert hashlib.sha256(_TAP.canonical()).hexdigest() == GOLDEN

    def test_each_flag_is_covered(self) -> None:
        """Whoever takes a flag off a tap, or puts one on, breaks the chain."""
        forms = {
            Tap(
                **{name: getattr(_TAP, name) for name in Tap.__slots__ if name != "flags"}, flags=f
            ).canonical()
            for f in ([frozenset(), *(frozenset({flag}) for flag in TapFlag), frozenset(TapFlag)])
        }

        assert len(forms) == 2 + len(TapFlag)


class TestFlagsText:
    """Flags as one text."""

    @pytest.mark.parametrize(
        "flags", [frozenset(), frozenset(TapFlag), frozenset({TapFlag.DENIED})]
    )
    def test_comes_back(self, flags: frozenset[TapFlag]) -> None:
        """Text and flags are two forms of one thing."""
        assert flags_of(flags_text(flags)) == flags

    def test_unknown_flags_are_refused(self) -> None:
        """A flag that nobody knows is not dropped in silence."""
        with pytest.raises(ValueError, match="no_such_flag"):
            flags_of("denied,no_such_flag")
