"""The operator's commands of `python -m cloud_sync`, as they are typed."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cloud_sync.adapters.postgres.view_log import PostgresViewLog
from cloud_sync.stream.view import EdgeNode
from fare.adapters import database
from tests.keys import safe_in
from tests.leaks import keys_below, leaks


@pytest.fixture
def operator(database_url: str, tmp_path: Path) -> "Operator":
    """Give somebody who types commands."""
    return Operator(database_url, tmp_path)


class Operator:
    """Types commands against one database."""

    def __init__(self, database_url: str, folder: Path) -> None:
        """Sit down in an empty folder."""
        own = {"GATELINE_DATABASE_URL": database_url, "GATELINE_KEYS": str(folder / "keys")}
        self._environment = os.environ | own
        self._database_url = database_url
        self._folder = folder

    def lets_in(self, edge_id: str, station_id: str) -> None:
        """Admit an edge as its joining does, without a cloud that runs."""
        engine = database.connect(self._database_url)
        views = PostgresViewLog(engine, safe_in(self._folder / "keys"))
        views.admit(EdgeNode(edge_id, station_id, bytes(32)), datetime.now(UTC))
        engine.dispose()

    def types(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run one command to its end."""
        command = [sys.executable, "-m", "cloud_sync", *words]
        return subprocess.run(
            command,
            env=self._environment,
            cwd=self._folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def is_ended(self, *words: str, after: str) -> tuple[int, str]:
        """Run one command, end it by SIGTERM once it has logged a word; return status and log."""
        command = [sys.executable, "-m", "cloud_sync", *words]
        with subprocess.Popen(
            command, env=self._environment, cwd=self._folder, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stderr is not None
            log = []
            for line in process.stderr:
                log.append(line)
                if after in line:
                    process.terminate()
                    break
            log.append(process.stderr.read())
            return process.wait(), "".join(log)

    def is_cut(self, *words: str, after: str) -> None:
        """Run one command and kill it once it has printed a word."""
        command = [sys.executable, "-m", "cloud_sync", *words]
        with subprocess.Popen(
            command, env=self._environment, cwd=self._folder, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert any(after in line for line in process.stdout)
            process.kill()


class TestRekey:
    """New keys by command."""

    def test_cut_resumed_and_finished(self, operator: Operator, tmp_path: Path) -> None:
        """Killed in the middle, it goes on with the same keys; the old ones go at the end only."""
        operator.lets_in("edge-1", "bell-tower")
        operator.types("fill", "bell-tower", "--count", "1500", "--model-id", "m")

        operator.is_cut("rekey", after="root key")
        middle = operator.types("rekey", "--status")
        secrets = keys_below(tmp_path / "keys")
        assert len(secrets) == 5
        too_soon = operator.types("rekey", "--finish")
        again = operator.types("rekey")
        end = operator.types("rekey", "--finish")

        assert "cloud_sync.view_item.body: 1500 need the old keys" in middle.stdout
        assert "1 of 1 views need the old keys" in middle.stdout
        assert too_soon.returncode == 1
        assert again.returncode == 0, again.stderr
        assert "bell-tower: 1500 sealed anew" in again.stdout
        assert "`rekey --finish` destroys them" in again.stdout
        assert end.returncode == 0
        assert "the old keys are destroyed" in end.stdout
        said = "".join(done.stdout + done.stderr for done in (middle, too_soon, again, end))
        assert leaks(said, secrets | keys_below(tmp_path / "keys")) == set()


class TestCommands:
    """From an empty database to a filled station."""

    def test_fill_and_status(self, empty_url: str, tmp_path: Path) -> None:
        """A station is filled once, however often it is asked, and status says where it stands."""
        operator = Operator(empty_url, tmp_path)
        assert operator.types("migrate").returncode == 0
        early = operator.types("fill", "bell-tower", "--count", "10", "--model-id", "m")
        operator.lets_in("edge-1", "bell-tower")
        fill = ("fill", "bell-tower", "--count", "1500", "--seed", "3", "--model-id", "m")
        first, second = operator.types(*fill), operator.types(*fill)
        other = operator.types("fill", "bell-tower", "--count", "10", "--model-id", "other")
        status = operator.types("status")

        assert early.returncode == 1
        assert "no view of bell-tower" in early.stderr
        assert first.stdout.startswith("1500 of 1500 templates were new")
        assert second.stdout.startswith("0 of 1500 templates were new")
        assert other.returncode == 1  # one view, one model
        assert "bell-tower: revision 1500, model m" in status.stdout
        assert "edge-1: needs a snapshot, lease until none" in status.stdout

    def test_why_and_prefilter(self, operator: Operator) -> None:
        """The operator asks why a rider is not in a view, in words and JSON, and for hit rates."""
        nobody = "00000000-0000-4000-8000-000000000001"
        operator.lets_in("edge-1", "zhonglou")

        told = operator.types("why", nobody, "zhonglou", "--json")
        strange = operator.types("why", nobody, "atlantis")
        rates = operator.types("prefilter")

        assert told.returncode == 0, told.stderr
        assert json.loads(told.stdout)["absence"] == "unknown_rider"
        assert (strange.returncode, strange.stdout) == (1, "")
        assert "no station has the id atlantis" in strange.stderr
        assert "none yet" in rates.stdout

    def test_tend_ends_when_told(self, operator: Operator) -> None:
        """The keeping of views runs in a process of its own until a signal, and ends in order."""
        operator.lets_in("edge-1", "zhonglou")

        status, log = operator.is_ended("tend", after='"service": "prefilter"')

        assert status == 0
        assert "chore_failed" not in log
        assert '"event": "stopped"' in log

    def test_a_budget_of_its_own(self, operator: Operator) -> None:
        """A station is given a budget, shows it, refuses nonsense, and has the usual one again."""
        operator.lets_in("edge-1", "zhonglou")

        own = operator.types("budget", "zhonglou", "--first", "50", "--second", "900").stdout
        absurd = operator.types("budget", "zhonglou", "--first", "2000000")
        nowhere = operator.types("budget", "atlantis", "--first", "50")
        cleared = operator.types("budget", "zhonglou", "--clear").stdout

        assert "first tier 50, up to 10,000 at a rush; second tier 900 (its own)" in own
        assert (absurd.returncode, absurd.stdout) == (1, "")
        assert "1 to 20,000 riders, not 2,000,000" in absurd.stderr
        assert (nowhere.returncode, nowhere.stdout) == (1, "")
        usual = "first tier 1,000, up to 10,000 at a rush; second tier 100,000 (as everywhere)"
        assert usual in cleared
