"""The bench of views measures a real station."""

import time
from dataclasses import replace

import sqlalchemy as sa

from cloud_sync.adapters.bench.views import views
from cloud_sync.adapters.postgres.membership import Membership
from cloud_sync.prefilter.budget import Budget
from tests.cloud_city import SOURCING
from tests.keys import SAFE


def test_figures_of_a_small_station(cloud: sa.Engine) -> None:
    """A glance takes a part of a look's time, and a station that takes too long misses the goal."""
    crowd = Membership(SOURCING, SAFE, Budget(first=50, first_max=200, second=2_000, spare_max=0))

    figures = views(cloud, crowd, claimed=1_000, stations=200, cpu_s=time.process_time)

    assert figures.within
    assert figures.changes > 0
    assert figures.likely < figures.claimed / 10
    assert figures.glance_s < figures.look_s
    enough_s = (15_000 + 60 * figures.claimed) / 1_000  # as the reconciler has it
    assert figures.busy_s >= figures.stations * figures.look_s * 60 / enough_s
    slow = replace(figures, glance_s=1.0)
    assert slow.lag_s > 200
    assert "missed" in str(slow)
