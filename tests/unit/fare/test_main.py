"""The clerk's commands, on a real database."""

import logging
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import sqlalchemy as sa

from fare.__main__ import main
from fare.account import BankCard
from fare.adapters.postgres import PostgresStore
from tests.purse import Rig, ride, rider, tap

ADA = rider("Ada")


@pytest.fixture
def rig(
    engine: sa.Engine, database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Rig:
    """Give a rig on the database that the commands are told of."""
    monkeypatch.setenv("GATELINE_DATABASE_URL", database_url)
    monkeypatch.chdir(tmp_path)
    return Rig(PostgresStore(engine))


@pytest.fixture(autouse=True)
def quiet_again() -> Iterator[None]:
    """Put the root logger back as it was: `main` makes it write to this test's stream."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


class TestTopup:
    """`fare topup`."""

    def test_fills_once_per_id(self, rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
        """A top-up told twice with one id fills the wallet once, and says so."""
        arguments = ["topup", str(ADA), "5000", "--id", str(uuid4())]

        assert [main(arguments), main(arguments)] == [0, 0]

        assert rig.purse(ADA) == 5_000
        first, second = capsys.readouterr().out.splitlines()
        assert "CNY 50.00 paid in" in first
        assert "was paid in before" in second


class TestExplain:
    """`fare explain`."""

    def test_tells_each_decision_and_its_money(
        self, rig: Rig, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A ride that was re-rated is told with both fares, both reasons and both movements."""
        rig.pays_by(ADA, BankCard("tok_yes"))
        entry, out = ride(ADA, "houweizhai", "fangzhicheng")
        rig.hears(entry, out)
        rig.rest()
        rig.hears(tap(ADA, "banpo", "entry", 20))
        rig.rest()

        assert main(["explain", str(out.tap_id)]) == 0

        told = capsys.readouterr().out
        assert "Decision 1: priced, CNY 6.00" in told
        assert "Decision 2: priced, CNY 2.00" in told
        assert "capture CNY 6.00 by card: paid" in told
        assert "refund CNY 4.00 by card: paid" in told
        assert "over 20 km, up to 26 km; tariff xian-2011" in told

    def test_unknown_trip(self, rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
        """An id that is no trip is said to be none, with status 1."""
        assert main(["explain", str(uuid4())]) == 1
        assert "No trip" in capsys.readouterr().out
        assert rig.fares(ADA) == 0


class TestPrice:
    """`fare price`."""

    def test_tells_fare_and_way(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A ride between two stations is told with its fare, without any database."""
        assert main(["price", "houweizhai", "fangzhicheng", "--on", "2026-05-04"]) == 0
        assert "CNY 6.00" in capsys.readouterr().out

    def test_unknown_station(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A station that does not exist ends with status 1."""
        assert main(["price", "atlantis", "zhonglou"]) == 1
        assert "atlantis" in capsys.readouterr().out

    def test_unknown_city(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A city that is not shipped is a wrong argument, told without a traceback."""
        with pytest.raises(SystemExit) as ended:
            main(["--city", "atlantis", "price", "a", "b"])

        assert ended.value.code == 2
        assert "no city named atlantis is shipped" in capsys.readouterr().err
