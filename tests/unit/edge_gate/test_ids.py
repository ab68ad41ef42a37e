"""Ids from injected time and randomness."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_gate.ids import uuid7

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)


class TestUuid7:
    """RFC 9562, 5.7."""

    def test_the_standards_example(self) -> None:
        """The example of RFC 9562, appendix A.6, comes out bit for bit."""
        moment = datetime(2022, 2, 22, 19, 22, 22, tzinfo=UTC)
        entropy = bytes.fromhex("0cc318c4dc0c0c07398f")

        assert str(uuid7(moment, entropy)) == "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"

    @given(st.binary(min_size=10, max_size=10), st.integers(0, 10**9))
    def test_is_a_uuid_of_version_7(self, entropy: bytes, seconds: int) -> None:
        """Version and variant are right for any time and randomness."""
        made = uuid7(NOW + timedelta(seconds=seconds), entropy)

        assert (made.version, made.variant) == (7, "specified in RFC 4122")

    @given(st.binary(min_size=10, max_size=10), st.binary(min_size=10, max_size=10))
    def test_later_sorts_later(self, one: bytes, other: bytes) -> None:
        """An id of a later millisecond is greater, whatever the randomness."""
        assert uuid7(NOW, one) < uuid7(NOW + timedelta(milliseconds=1), other)

    def test_a_clock_before_1970_counts_as_1970(self) -> None:
        """A node that boots with a lost clock still makes ids."""
        early = uuid7(datetime(1960, 1, 1, tzinfo=UTC), bytes(10))

        assert early.int >> 80 == 0

    def test_refuses_short_randomness(self) -> None:
        """Fewer than ten bytes would make ids that repeat."""
        with pytest.raises(ValueError):
            uuid7(NOW, bytes(9))
