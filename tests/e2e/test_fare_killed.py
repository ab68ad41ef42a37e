"""Real worker, real bank process, real PostgreSQL, real SIGKILL: nobody is charged twice."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import sqlalchemy as sa

from fare.account import BankCard, TopUp, set_means, top_up
from fare.adapters.postgres import PostgresStore
from fare.adapters.statements import PostgresStatements
from fare.ledger import BANK_CLEARING
from fare.money import Money
from fare.statement import Payment, RiderStatement, sum_of
from fare.tap import Tap
from tests.purse import MORNING, ride, rider
from tests.served import free_port

CARDS = ("tok_yes", "tok_charged_silent", "tok_slow", "tok_no")
WALLET = ""
HURRY = ("--timeout-s", "0.4", "--stale-s", "0.8", "--query-after-s", "0.2", "--senders", "3")
"""A worker that gives a slow card 0.4 s, where the bank takes 0.2 s."""


@dataclass
class Town:
    """Processes, the cloud's tap log, and who rides."""

    engine: sa.Engine
    url: str
    folder: Path
    stack: ExitStack
    bank_port: int
    riders: dict[UUID, str] = field(default_factory=dict)
    """Their cards' tokens; empty for a wallet."""
    position: int = 0

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a command of fare and return when it says that it is ready."""
        log = self.folder / f"{arguments[0]}-{uuid4().hex}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "fare", *arguments],
                env={**os.environ, "GATELINE_DATABASE_URL": self.url},
                stderr=out,
            )
        self.stack.callback(process.wait)
        self.stack.callback(process.kill)
        until = time.monotonic() + 30
        while '"event": "ready"' not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, "not ready within 30 s"
            time.sleep(0.02)
        return process

    def bank(self) -> subprocess.Popen[bytes]:
        """Start the bank."""
        listen = f"127.0.0.1:{self.bank_port}"
        book = str(self.folder / "bank.sqlite")
        return self.start(
            "bank", "--listen", listen, "--db", book, "--silence-s", "2", "--slow-s", "0.2"
        )

    def worker(self) -> subprocess.Popen[bytes]:
        """Start a worker."""
        return self.start("work", "--bank", f"http://127.0.0.1:{self.bank_port}", *HURRY)

    def people_ride(self, act: str) -> None:
        """Let one rider of each kind ride once; their taps are in the cloud's log."""
        store = PostgresStore(self.engine)
        for card in (*CARDS, WALLET):
            who = rider(card, act=act)
            self.riders[who] = f"{card}-{act}" if card else WALLET
            with store.transaction() as tx:
                if card:
                    set_means(tx.accounts, who, BankCard(self.riders[who]))
                else:
                    paid = TopUp(uuid4(), who, Money(1_000), MORNING)
                    top_up(tx.accounts, tx.ledger, paid)
            self.log(ride(who, "houweizhai", "fangzhicheng"))

    def log(self, taps: Sequence[Tap]) -> None:
        """Write taps to the cloud's log and announce them."""
        columns = (
            "position, tap_id, edge_id, outbox_id, seq, prev_hash, hash, signature, rider_ref,"
            " station_id, lane_id, direction, medium, tap_time, clock_error_ms, model_id,"
            " score_e4, code_id, received_at"
        )
        names = ", ".join(f":{name.strip()}" for name in columns.split(","))
        insert = sa.text(f"INSERT INTO cloud_sync.tap ({columns}) VALUES ({names})")
        with self.engine.begin() as connection:
            for each in taps:
                self.position += 1
                connection.execute(insert, _logged(self.position, each))
            connection.exec_driver_sql("NOTIFY gateline_tap")

    def statements(self) -> dict[UUID, RiderStatement]:
        """Return each rider's statement."""
        reader = PostgresStatements(self.engine)
        return {who: reader.rider(who) for who in self.riders}

    def wait_until_quiet(self, timeout_s: float = 60) -> None:
        """Wait until every tap is read and no charge is under way."""
        reader = PostgresStatements(self.engine)
        until = time.monotonic() + timeout_s
        while True:
            told = reader.overview()
            under_way = {state for state, _, _ in told.charges} & {"new", "sent", "unknown"}
            if told.cursor == self.position and not under_way:
                return
            assert time.monotonic() < until, told.charges
            time.sleep(0.1)

    def bank_statement(self) -> list[dict[str, Any]]:
        """Return what the bank really moved."""
        answer = httpx.get(f"http://127.0.0.1:{self.bank_port}/statement", timeout=10)
        return [line for line in answer.json() if line["paid"]]


def _logged(position: int, tap: Tap) -> dict[str, object]:
    return {
        "position": position,
        "edge_id": "edge-1",
        "outbox_id": UUID(int=1),
        "seq": position,
        "prev_hash": bytes(32),
        "hash": bytes(32),
        "signature": bytes(64),
        "received_at": datetime.now(UTC),
        **{name: getattr(tap, name) for name in Tap.__slots__},
    }


@pytest.fixture
def town(engine: sa.Engine, database_url: str, tmp_path: Path) -> Iterator[Town]:
    """Give an empty town; its processes end with the test."""
    with ExitStack() as stack:
        yield Town(engine, database_url, tmp_path, stack, free_port())


def check(town: Town) -> None:
    """Check that the bank took each paying card's fare once and that the books agree with it."""
    moved = town.bank_statement()
    for who, told in town.statements().items():
        token = town.riders[who]
        (line,) = told.trips
        fare = line.decision.verdict.fare
        taken = [m["minor_units"] for m in moved if m["token"] == token and token]
        assert fare == Money(600), token
        if token.startswith("tok_no"):
            assert (taken, told.owed, line.payment) == ([], fare, Payment.OWED)
        elif token:
            assert (taken, told.owed, line.payment) == ([600], Money(0), Payment.PAID), token
        else:
            assert (told.wallet, told.owed, line.payment) == (Money(400), Money(0), Payment.PAID)
    overview = PostgresStatements(town.engine).overview()
    assert overview.in_balance
    assert sum_of(overview.balances, BANK_CLEARING) == Money(sum(m["minor_units"] for m in moved))


class TestKilled:
    """SIGKILL at moments that nobody chose."""

    @pytest.mark.timeout(600)
    @pytest.mark.parametrize(
        "rounds", [4, pytest.param(60, marks=pytest.mark.chaos)], ids=["short", "long"]
    )
    def test_worker_and_bank(self, town: Town, rounds: int) -> None:
        """However worker and bank are killed, every trip is captured once."""
        dice = random.Random(20_260_504)
        bank = town.bank()
        for number in range(rounds):
            town.people_ride(f"{number}")
            worker = town.worker()
            time.sleep(dice.uniform(0, 0.7))
            worker.send_signal(signal.SIGKILL)
            worker.wait()
            if number % 3 == 2:
                bank.send_signal(signal.SIGKILL)
                bank.wait()
                bank = town.bank()

        town.worker()
        town.wait_until_quiet()

        check(town)

    def test_two_workers_share(self, town: Town) -> None:
        """Two workers on the same charges capture each trip once."""
        town.bank()
        for number in range(4):
            town.people_ride(f"{number}")
        town.worker()
        town.worker()

        town.wait_until_quiet()

        check(town)


class TestOrderlyEnd:
    """What an operator does every day."""

    def test_sigterm(self, town: Town) -> None:
        """SIGTERM ends worker and bank with status 0."""
        processes = [town.bank(), town.worker()]

        for process in processes:
            process.send_signal(signal.SIGTERM)

        assert [process.wait(timeout=20) for process in processes] == [0, 0]
