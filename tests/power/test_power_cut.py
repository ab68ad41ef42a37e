"""The power is cut at every operation of the disk, and no rider who passed is forgotten."""

from pathlib import Path

import pytest

from cloud_sync.adapters.disk.outbox_file import Synchronous
from tests.power.power_cut import (
    SHIPPED,
    Run,
    aftermath,
    cuts,
    run_again,
    run_gate,
    run_on_damage,
    run_taps,
)


def _survives(run: Run, image: Path, *, torn: int) -> int:
    """Cut one run everywhere; return the number of cuts."""
    tried = 0
    for cut in cuts(run, torn=torn):
        found = aftermath(run, cut, image)
        assert (found.lost, found.strange) == ((), ()), cut
        tried += 1
    return tried


def _taps(folder: Path, count: int, *, synchronous: Synchronous = SHIPPED) -> Run:
    (folder / "run").mkdir()
    return run_taps(folder / "run", count, synchronous=synchronous)


class TestPowerCut:
    """Cuts during making, taps, acknowledgements, checkpoints and pruning."""

    def test_no_durable_tap_is_lost(self, tmp_path: Path) -> None:
        """After a cut at any operation the outbox is whole, dense and has every durable tap."""
        run = _taps(tmp_path, 24)

        tried = _survives(run, tmp_path / "image", torn=3)

        assert tried > 5 * 150

    def test_normal_loses_durable_taps(self, tmp_path: Path) -> None:
        """Control: with `synchronous=NORMAL` the same cuts lose taps, so the test can see it."""
        run = _taps(tmp_path, 24, synchronous="NORMAL")

        found = [aftermath(run, cut, tmp_path / "image") for cut in cuts(run, torn=0)]

        assert sum(1 for each in found if each.lost) > len(found) // 4

    def test_a_second_cut_during_recovery(self, tmp_path: Path) -> None:
        """The power fails again while the outbox recovers: still nothing is lost."""
        first = _taps(tmp_path, 8)
        places = [cut for cut in cuts(first, torn=1) if cut.fate == "torn"]

        for cut in places[:: len(places) // 8]:
            again = run_again(tmp_path / "again", first, cut, 2)
            _survives(again, tmp_path / "image", torn=1)

    def test_cuts_while_a_damaged_file_is_replaced(self, tmp_path: Path) -> None:
        """The readable pending taps of a damaged file reach the new one, wherever it is cut."""
        (tmp_path / "run").mkdir()
        run = run_on_damage(tmp_path / "run")

        _survives(run, tmp_path / "image", torn=4)


class TestTapBeforeBarrier:
    """Invariant 1 with the real tapper on the real file."""

    def test_no_barrier_opened_without_a_tap_that_stays(self, tmp_path: Path) -> None:
        """At every cut, each rider who had permission to pass is in the outbox."""
        run = run_gate(tmp_path, 6)

        _survives(run, tmp_path / "image", torn=1)

    def test_control_normal_lets_riders_through_for_nothing(self, tmp_path: Path) -> None:
        """Control: without waiting for the disk, riders who passed are forgotten."""
        run = run_gate(tmp_path, 6, synchronous="NORMAL")

        found = [aftermath(run, cut, tmp_path / "image") for cut in cuts(run, torn=0)]

        assert any(each.lost for each in found)


@pytest.mark.power
@pytest.mark.timeout(3_600)
class TestPowerCutLong:
    """The same with more of everything: `pytest -m power`."""

    def test_no_durable_tap_is_lost(self, tmp_path: Path) -> None:
        """Sixty taps, twenty ways to tear at each operation."""
        print("cuts:", _survives(_taps(tmp_path, 60), tmp_path / "image", torn=20))

    def test_a_second_cut_during_recovery(self, tmp_path: Path) -> None:
        """Every operation of the first run, then every operation of the recovery from it."""
        first = _taps(tmp_path, 12)
        tried = 0
        for cut in cuts(first, torn=1):
            again = run_again(tmp_path / "again", first, cut, 2)
            tried += _survives(again, tmp_path / "image", torn=1)
        print("double cuts:", tried)

    def test_cuts_while_a_damaged_file_is_replaced(self, tmp_path: Path) -> None:
        """A hundred ways to tear at each operation of the replacement."""
        (tmp_path / "run").mkdir()
        run = run_on_damage(tmp_path / "run")

        print("cuts:", _survives(run, tmp_path / "image", torn=100))
