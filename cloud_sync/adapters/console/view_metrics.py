"""Views and sources for Prometheus: read from the database at each scrape, like the fleet.

Names and labels are those of docs/fleet.md; a test keeps the two equal. No label names a rider.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from cloud_sync.prefilter.store import ALL, HitRate, ViewSize

DAYS = 7
"""Passages of so many days make the hit ratios, as on the console's page."""


class ViewCollector(Collector):
    """Gives how well each source guesses, and each view against its budget."""

    def __init__(
        self,
        rates: Callable[[date], Sequence[HitRate]],
        sizes: Callable[[], Sequence[ViewSize]],
        *,
        clock: Callable[[], datetime],
    ) -> None:
        """Take what is read.

        Args:
            rates: Returns how well each source has guessed from a day on.
            sizes: Returns every view against its budget.
            clock: Returns now, aware UTC.
        """
        self._rates = rates
        self._sizes = sizes
        self._clock = clock

    def describe(self) -> Iterable[Metric]:
        """Return nothing: the registry need not ask the database to know the names."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Return all metrics of this moment.

        Raises:
            FleetLogFailed: Nothing can be read; the scrape fails, which Prometheus shows.
        """
        now = self._clock()
        yield from _of_sources(self._rates((now - timedelta(days=DAYS)).date()))
        yield from _of_views(self._sizes(), now)


def _of_sources(rates: Sequence[HitRate]) -> Iterator[Metric]:
    passages = GaugeMetricFamily(
        "gateline_passages_judged", f"Passages by face riders, {DAYS} days.", labels=("direction",)
    )
    ratio = GaugeMetricFamily(
        "gateline_source_hit_ratio",
        f"Share of them whose rider the source expected and the view held, {DAYS} days.",
        labels=("source", "direction", "tier"),
    )
    for rate in rates:
        if rate.source == ALL:
            passages.add_metric([rate.direction.value], rate.passages)
        name = rate.source or "all"
        for tier, held in (("1", rate.first), ("2", rate.second)):
            share = held / rate.passages if rate.passages else 0.0
            ratio.add_metric([name, rate.direction.value, tier], share)
    yield from (passages, ratio)


def _of_views(sizes: Sequence[ViewSize], now: datetime) -> Iterator[Metric]:
    riders = GaugeMetricFamily(
        "gateline_view_riders", "Riders in the view.", labels=("station", "tier")
    )
    bounds = GaugeMetricFamily(
        "gateline_view_bound", "Riders that the tier may hold now.", labels=("station", "tier")
    )
    age = GaugeMetricFamily(
        "gateline_view_glance_age_seconds",
        "Since the view was last brought in line with who is likely to come.",
        labels=("station",),
    )
    for size in sizes:
        for tier, held, bound in (
            ("1", size.first, size.first_bound),
            ("2", size.second, size.budget.second),
        ):
            riders.add_metric([size.station_id, tier], held)
            bounds.add_metric([size.station_id, tier], bound)
        if size.glanced_at is not None:
            age.add_metric([size.station_id], (now - size.glanced_at).total_seconds())
    yield from (riders, bounds, age)
