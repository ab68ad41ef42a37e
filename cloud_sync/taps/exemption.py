"""Whether an operator's order stands behind what a tap says was left out at its gate.

A gate writes the modes of its station into each tap, and fares go by them; whoever has stolen a
node's keys could write what he likes, and ride free. So the cloud keeps every mode it has ever
published, and looks for the one that a tap claims. A claim without an order is doubted: the tap is
a fact all the same and is never refused, but nothing is left out for it, and staff are told.
This file does not know about SQL.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cloud_sync.setting import Mode
from fare.tap import Tap, TapFlag

CLAIMS = {
    TapFlag.ORDER_EXEMPT: Mode.ORDER_EXEMPT,
    TapFlag.TIME_EXEMPT: Mode.TIME_EXEMPT,
    TapFlag.FARE_EXEMPT: Mode.FARE_EXEMPT,
}
"""The flags that claim an order, and the mode it must have set."""


@dataclass(frozen=True, slots=True)
class ModeOrder:
    """A station's mode as it was published once."""

    at: datetime
    """When, by the database's clock, aware UTC."""
    modes: frozenset[Mode]
    """All that the station left out from then on."""
    heard: datetime | None = None
    """When the node that is judged had it on its disk; None as long as that is not known."""


@dataclass(frozen=True, slots=True)
class ExemptionRules:
    """How far a tap may be from the order it claims."""

    slack: timedelta = timedelta(seconds=60)
    """For a gate's clock, and for the way of an order: clocks are within a few seconds, and orders
    reach connected gates in seconds."""
    clock_error_max: timedelta = timedelta(minutes=10)
    """How much of the clock error that a tap admits is believed on top: a gate knows its own
    error, but a thief may say any."""

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ValueError: One is below zero.
        """
        if min(self.slack, self.clock_error_max) < timedelta(0):
            raise ValueError(f"out of range: {self}")


def doubted(
    tap: Tap,
    orders: Sequence[ModeOrder],
    lease: timedelta,
    rules: ExemptionRules | None = None,
) -> frozenset[TapFlag]:
    """Return the flags of a tap that no order explains.

    An order holds at a node until it has heard of a later one, which may be long after when the
    station is offline, but never longer than its lease: else a thief would just never hear of it.

    Args:
        tap: As its gate has signed it.
        orders: Those for its station, in the order of their publication.
        lease: For how long a node may go by what it has without hearing from the cloud.
        rules: How far apart they may be.
    """
    rules = rules or ExemptionRules()
    claimed = tap.flags & CLAIMS.keys()
    if not claimed:
        return frozenset()
    error = timedelta(milliseconds=tap.clock_error_ms)
    slack = rules.slack + min(error, rules.clock_error_max)
    earliest, latest = tap.tap_time - slack, tap.tap_time + slack
    known: set[Mode] = set()
    for place, order in enumerate(orders):
        ends = [
            min(later.heard or later.at + lease, later.at + lease) for later in orders[place + 1 :]
        ]
        if order.at <= latest and (not ends or earliest <= min(ends)):
            known |= order.modes
    return frozenset(flag for flag in claimed if CLAIMS[flag] not in known)
