"""What a distance costs, in versions with days of validity.

This file does not know about stations or trips.
"""

from dataclasses import dataclass
from datetime import date, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

from fare.money import Money


@dataclass(frozen=True, slots=True)
class Band:
    """One step of the price."""

    up_to_m: int
    """Last metre that costs this much, itself included; > 0."""
    amount: Money


@dataclass(frozen=True, slots=True)
class Rate:
    """A price and the rule that gave it."""

    amount: Money
    rule_id: str
    """E.g. `band:6000-10000` (more than 6,000 m, up to 10,000 m) or `beyond:26000+8000x2`."""


@dataclass(frozen=True, slots=True)
class TariffVersion:
    """The prices of one period."""

    version: str
    """Unique name, kept with every price."""
    valid_from: date
    """First local day on which a ride may begin under it."""
    valid_until: date | None
    """First local day on which it is over; None while no end is known."""
    bands: tuple[Band, ...]
    """At least one, by rising distance."""
    step_m: int
    """Beyond the last band each begun step of so many metres adds `step_amount`; > 0."""
    step_amount: Money
    same_station: Money
    """Out where one came in."""

    def __post_init__(self) -> None:
        """Refuse bands that do not rise and periods that end before they begin.

        Raises:
            ValueError: The version contradicts itself.
        """
        edges = [0, *(band.up_to_m for band in self.bands)]
        if not self.bands or any(low >= high for low, high in pairwise(edges)):
            raise ValueError(f"{self.version}: bands must rise")
        if self.step_m <= 0:
            raise ValueError(f"{self.version}: step_m must be positive")
        if self.valid_until is not None and self.valid_until <= self.valid_from:
            raise ValueError(f"{self.version}: ends before it begins")

    def rate(self, metres: int) -> Rate:
        """Return the price of a distance.

        Args:
            metres: Length of the ride, >= 0; 0 means out where one came in.

        Raises:
            ValueError: The distance is negative.
        """
        if metres < 0:
            raise ValueError("a distance is not negative")
        if metres == 0:
            return Rate(self.same_station, "same-station")
        low = 0
        for band in self.bands:
            if metres <= band.up_to_m:
                return Rate(band.amount, f"band:{low}-{band.up_to_m}")
            low = band.up_to_m
        # Rounded up: a step costs from its first metre. Rounding the other way undercharges every
        # distance but the edges, the mistake of a widely copied calculator of Xi'an's fares.
        steps = -((low - metres) // self.step_m)
        more = Money(steps * self.step_amount.minor_units, self.step_amount.currency)
        return Rate(self.bands[-1].amount + more, f"beyond:{low}+{self.step_m}x{steps}")

    def valid_on(self, day: date) -> bool:
        """Tell whether a ride that begins on this local day is priced by this version."""
        return self.valid_from <= day and (self.valid_until is None or day < self.valid_until)


@dataclass(frozen=True, slots=True)
class Tariff:
    """All versions of one city's tariff."""

    timezone: ZoneInfo
    """Where its days begin."""
    versions: tuple[TariffVersion, ...]
    """By `valid_from`; they never overlap, and may leave gaps."""

    def __post_init__(self) -> None:
        """Refuse two versions for one day, or two of one name.

        Raises:
            ValueError: Versions overlap, are out of order, or share a name.
        """
        if len({version.version for version in self.versions}) != len(self.versions):
            raise ValueError("two versions of one name")
        for earlier, later in pairwise(self.versions):
            if earlier.valid_until is None or earlier.valid_until > later.valid_from:
                raise ValueError(f"{earlier.version} and {later.version} overlap")

    def at(self, moment: datetime) -> TariffVersion | None:
        """Return the version for a ride that begins at this aware moment, or None."""
        return self.on(moment.astimezone(self.timezone).date())

    def on(self, day: date) -> TariffVersion | None:
        """Return the version for a ride that begins on this local day, or None."""
        return next((version for version in self.versions if version.valid_on(day)), None)
