"""How long each stage of the newest frame took; the bench and the staff page read it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager


class Laps:
    """A stopwatch with named laps; the clock is given."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._laps: dict[str, float] = {}

    def now_s(self) -> float:
        """Return the clock's seconds."""
        return self._clock()

    def begin(self) -> None:
        """Forget the laps of the frame before."""
        self._laps = {}

    @contextmanager
    def of(self, stage: str) -> Iterator[None]:
        """Time what happens inside under the name of a stage; repeated stages add up."""
        began = self._clock()
        try:
            yield
        finally:
            spent_ms = 1000 * (self._clock() - began)
            self._laps[stage] = self._laps.get(stage, 0.0) + spent_ms

    @property
    def newest(self) -> Mapping[str, float]:
        """Stage to milliseconds, of the newest frame."""
        return self._laps
