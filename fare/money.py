"""Money as integer minor units of one currency; no float anywhere."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Money:
    """An amount, e.g. `Money(200)` is two yuan."""

    minor_units: int
    """Hundredths of the currency's unit (fen for CNY); may be negative."""
    currency: str = "CNY"
    """ISO 4217 code."""

    def __add__(self, other: "Money") -> "Money":
        """Add two amounts of one currency."""
        self._same(other)
        return Money(self.minor_units + other.minor_units, self.currency)

    def __sub__(self, other: "Money") -> "Money":
        """Subtract an amount of the same currency."""
        self._same(other)
        return Money(self.minor_units - other.minor_units, self.currency)

    def __neg__(self) -> "Money":
        """Return the amount with its sign turned."""
        return Money(-self.minor_units, self.currency)

    def __str__(self) -> str:
        """Return the amount for people, e.g. `CNY 2.00`."""
        sign = "-" if self.minor_units < 0 else ""
        major, minor = divmod(abs(self.minor_units), 100)
        return f"{self.currency} {sign}{major}.{minor:02d}"

    def _same(self, other: "Money") -> None:
        if self.currency != other.currency:
            raise ValueError(f"{self.currency} and {other.currency} do not add up")
