"""A city in virtual time keeps its promises for every seed, and breaks them without protection."""

import os
import subprocess
import sys

import pytest

from tests.sim import checks
from tests.sim.books import Broken
from tests.sim.controls import CONTROLS
from tests.sim.options import DEEDS, FAULTS, dense, derive
from tests.sim.runs import run
from tests.sim.world import simulate

SEEDS = 1_000
STRETCH = 125
TRIES = 40
"""Seeds within which each control must be found out."""


def trace_of(seed: int) -> list[str]:
    """Return all that happened."""
    lines: list[str] = []
    simulate(seed, trace=lines.append)
    return lines


class TestSeeds:
    """Many cities."""

    @pytest.mark.parametrize("first", range(0, SEEDS, STRETCH))
    def test_keep_all_promises(self, first: int) -> None:
        """Whatever a seed does to its city, nothing forbidden happens and all ends in step.

        `python -m tests.sim SEED` replays one that fails.
        """
        covered = run(range(first, first + STRETCH))
        print(covered.summary())

        assert covered.broken == []
        assert covered.virtual_s > STRETCH * 0.8 * 86_400
        assert covered.counts.keys() >= {name for name, _ in DEEDS + FAULTS}

    @pytest.mark.soak
    @pytest.mark.timeout(0)
    def test_keep_all_promises_for_long(self) -> None:
        """So do a hundred times as many."""
        assert run(range(SEEDS, 100 * SEEDS)).broken == []


class TestReplay:
    """A seed is a run."""

    def test_again(self) -> None:
        """The same seed does the same, to the message."""
        assert trace_of(7) == trace_of(7)
        assert trace_of(7) != trace_of(8)

    def test_in_another_process(self) -> None:
        """It does so elsewhere too, whatever strings hash to there."""
        ran = subprocess.run(
            [sys.executable, "-m", "tests.sim", "7"],
            env=os.environ | {"PYTHONHASHSEED": "99"},
            capture_output=True,
            text=True,
            check=True,
        )

        assert ran.stdout.splitlines()[1:-1] == trace_of(7)


class TestControls:
    """Each promise can be broken, and is seen to be."""

    @pytest.mark.parametrize("name", CONTROLS)
    def test_finds_what_a_missing_protection_allows(self, name: str) -> None:
        """With one protection taken away, one of the first cities shows the harm."""
        control = CONTROLS[name]
        for seed in range(TRIES):
            city = dense(derive(seed), control.needs)
            try:
                simulate(city, control.parts, node=control.node, cloud=control.cloud)
            except Broken as broken:
                if broken.promise in control.finds:
                    return
        pytest.fail(f"{TRIES} seeds did not show it")

    def test_every_promise_has_one(self) -> None:
        """No checker is there that has never found anything."""
        found = {name for control in CONTROLS.values() for name in control.finds}

        assert found == {check.__name__ for check in checks.SAFETY + checks.LIVENESS}
