"""Taps for tests: the n-th of them is always the same."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from fare.tap import Direction, Medium, Tap, TapFlag

START = datetime(2026, 5, 4, 6, tzinfo=UTC)
"""The tap time of number 0; each further one is a second later."""


def tap(number: int, *, station_id: str = "bell-tower") -> Tap:
    """Return the n-th tap: even ones by face, odd ones by code, each fifth with two flags."""
    by_code = number % 2 == 1
    return Tap(
        tap_id=UUID(int=0x7000_0000 << 96 | number),
        rider_ref=UUID(int=1_000 + number % 7),
        station_id=station_id,
        lane_id=f"lane-{number % 3}",
        direction=Direction.ENTRY if number % 4 < 2 else Direction.EXIT,
        medium=Medium.CODE if by_code else Medium.FACE,
        tap_time=START + timedelta(seconds=number),
        clock_error_ms=3,
        model_id="" if by_code else "open-512",
        score_e4=0 if by_code else 6_213,
        code_id=number.to_bytes(18, "big") if by_code else b"",
        flags=frozenset((TapFlag.TIME_EXEMPT, TapFlag.FARE_EXEMPT) if number % 5 == 4 else ()),
    )
