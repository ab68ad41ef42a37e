"""The bootstrap token: once, for an hour at most, for one node at one station."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from cloud_sync.trust.bootstrap import (
    TOKEN_BYTES,
    VALIDITY_MAX,
    Applicant,
    TokenFlaw,
    digest_of,
    flaw_of,
    made,
    written,
)
from cloud_sync.trust.device import Identity

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
EDGE = Identity("bell-tower", "edge-1")
SECRET = bytes(range(TOKEN_BYTES))
TOKEN = made(SECRET, EDGE, NOON, validity=VALIDITY_MAX)
NODE = Applicant(EDGE, b"k" * 32, b"t" * 32)


class TestToken:
    """What lets a node in."""

    def test_lets_in_whom_it_was_made_for(self) -> None:
        """The node it names, until the last moment of its hour."""
        assert flaw_of(TOKEN, NODE, NOON + VALIDITY_MAX - timedelta(seconds=1)) is None

    @pytest.mark.parametrize(
        ("token", "applicant", "late", "expected"),
        [
            (None, NODE, timedelta(0), TokenFlaw.UNKNOWN),
            (TOKEN, NODE, VALIDITY_MAX, TokenFlaw.EXPIRED),
            (replace(TOKEN, used_by=b"o" * 32), NODE, timedelta(0), TokenFlaw.USED),
            # Its answer was lost: the same key may ask again, but not for ever.
            (replace(TOKEN, used_by=b"k" * 32), NODE, timedelta(0), None),
            (replace(TOKEN, used_by=b"k" * 32), NODE, VALIDITY_MAX, TokenFlaw.EXPIRED),
            (TOKEN, replace(NODE, identity=Identity("drum-tower", "edge-1")), timedelta(0),
             TokenFlaw.WRONG_NODE),
            (TOKEN, replace(NODE, identity=Identity("bell-tower", "edge-2")), timedelta(0),
             TokenFlaw.WRONG_NODE),
        ],
    )  # fmt: skip
    def test_lets_in_nobody_else(
        self,
        token: object,
        applicant: Applicant,
        late: timedelta,
        expected: TokenFlaw | None,
    ) -> None:
        """Unknown, late, used by another key, or typed at another node: each has its word."""
        assert flaw_of(token, applicant, NOON + late) is expected  # type: ignore[arg-type]

    def test_is_never_stored(self) -> None:
        """What is kept is a hash; the text finds it again, however it is typed."""
        text = written(SECRET)

        assert digest_of(f"  {text.upper()}\n") == TOKEN.digest
        assert text.encode() not in TOKEN.digest
        assert text not in repr(TOKEN)
        assert text.isalnum()

    @pytest.mark.parametrize("validity", [timedelta(0), VALIDITY_MAX + timedelta(seconds=1)])
    def test_is_not_made_for_longer(self, validity: timedelta) -> None:
        """More than an hour, or no time at all, is refused when it is made."""
        with pytest.raises(ValueError, match="an hour at most"):
            made(SECRET, EDGE, NOON, validity=validity)

    def test_is_not_made_of_less(self) -> None:
        """A secret that could be guessed is refused."""
        with pytest.raises(ValueError, match="random bytes"):
            made(SECRET[1:], EDGE, NOON, validity=VALIDITY_MAX)
