"""How long to wait before the next attempt: full jitter, so that a city does not dial at once."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Grows by the power of two of the failed attempts, drawn evenly from zero up."""

    base_s: float = 1.0
    """The longest first wait, seconds, above 0."""
    cap_s: float = 60.0
    """The longest wait of all, seconds, at least `base_s`."""
    stable_s: float = 60.0
    """A connection must have held this long, seconds, before the count starts anew."""

    def __post_init__(self) -> None:
        """Refuse figures that would dial without a pause.

        Raises:
            ValueError: A figure is out of its range.
        """
        if not 0 < self.base_s <= self.cap_s or self.stable_s < 0:
            raise ValueError(f"not a back-off: {self}")

    def delay_s(self, failures: int, draw: float) -> float:
        """Return the wait before the next attempt, seconds.

        Args:
            failures: Failed attempts in a row, from 1.
            draw: A random number in [0, 1).
        """
        doublings = min(max(failures, 1) - 1, 32)  # 2**32 is past every cap
        return draw * min(self.cap_s, self.base_s * float(1 << doublings))

    def failures_after(self, failures: int, held_s: float) -> int:
        """Return the count of failures after a connection that held for a while and broke.

        Args:
            failures: The count before it.
            held_s: How long it held, seconds.
        """
        return 1 if held_s >= self.stable_s else failures + 1
