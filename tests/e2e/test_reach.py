"""How soon a rider reaches every gate and leaves it again: the bench in small."""

import numpy as np
import pytest
import sqlalchemy as sa

from cloud_sync.adapters.bench import reach as bench_reach
from cloud_sync.adapters.bench.reach import ENROLL_P95_S, WITHDRAW_P99_S, ReachFigures, reach
from cloud_sync.adapters.postgres.view_log import PostgresViewLog
from cloud_sync.adapters.system_clock import SystemClock
from tests.cloud_city import small_city


def test_every_gate_learns_and_forgets_in_time(engine: sa.Engine) -> None:
    """Six edges over mTLS with real disks: both goals hold, and every edge is in every proof."""
    told = reach(engine, small_city(), edges=6, riders=5, clock=SystemClock())

    assert (len(told.enroll_s), len(told.withdraw_s), len(told.proof_s)) == (30, 30, 5)
    assert np.quantile(told.enroll_s, 0.95) <= ENROLL_P95_S
    assert np.quantile(told.withdraw_s, 0.99) <= WITHDRAW_P99_S
    assert "goal 10: met" in str(told)


def test_a_node_whose_word_is_lost_proves_nothing(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: a cloud that does not note acknowledgements never has its proof."""
    monkeypatch.setattr(bench_reach, "_WAIT_S", 8.0)
    monkeypatch.setattr(PostgresViewLog, "acknowledge", lambda *_: None)

    with pytest.raises(TimeoutError, match="no proof"):
        reach(engine, small_city(), edges=1, riders=1, clock=SystemClock())


def test_a_missed_goal_is_told() -> None:
    """The figures say it themselves when they are too slow."""
    slow = ReachFigures(2, [0.1, 2.5], [0.1, 10.5], [11.0])

    assert str(slow).count("MISSED") == 2
