"""kill -9 of every process in turn while people ride: nothing is lost, nothing is paid twice."""

import contextlib
import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import apsw
import pytest
import sqlalchemy as sa

from fare.adapters import database
from fare.adapters.statements import PostgresStatements
from fare.city import shipped
from tests.story.play import Play
from tests.story.script import PASSENGERS, STATIONS
from tests.story.setting import Setting

_RIDERS = tuple(person for person in PASSENGERS if person.fare_minor is not None)
_PRINTED = {"Robin"}
"""Whose portrait somebody else holds up, and may get in by."""
Booked = dict[str, tuple[int, int]]
"""Of each rider, the trips that have a fare and what was taken for them, in fen."""
_PAUSE_S = 3.0
"""Between two kills at least; the next one also waits until the process killed last is back."""
_MORE = 2
"""Rounds at most beyond those wanted, until every process was killed."""
_BACK_S = 60.0
"""How long a killed process may need to be back."""


class Killer:
    """Kills one process after the other until told to stop."""

    def __init__(self, setting: Setting) -> None:
        """Take the victims in the order in which they are killed."""
        self._setting = setting
        self._enough = threading.Event()
        self._victims = itertools.cycle((*setting.stage.actors, "postgres"))
        self.killed: list[str] = []
        self.gone: list[str] = []
        """What did not come back in time."""
        self._thread = threading.Thread(target=self._work, name="killer", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, and return when no more kills will come."""
        self._enough.set()
        self._thread.join()

    def _work(self) -> None:
        for victim in self._victims:
            if self._enough.wait(_PAUSE_S):
                return
            if victim == "postgres":
                self._setting.kill_database()
            else:
                self._setting.stage.actors[victim].kill()
            self.killed.append(victim)
            self._wait_back(victim)

    def _wait_back(self, victim: str) -> None:
        """Wait until the process is back: kills alone must not keep a slow machine down."""
        deadline = time.monotonic() + _BACK_S
        while not self._enough.wait(0.1) and not self._setting.is_up(victim):
            if time.monotonic() > deadline:
                self.gone.append(victim)
                return


@pytest.fixture
def setting(open_folder: Path) -> Iterator[Setting]:
    """Set a stage with a small gallery, so that a killed node is back within seconds."""
    setting = Setting(open_folder, shipped(), generated=2_000)
    yield setting
    setting.stop()


def _ride_under_fire(setting: Setting, rounds: int) -> None:
    """Let everybody ride so often, and on until each process was killed once.

    Args:
        setting: Nothing runs yet.
        rounds: From 1.
    """
    setting.start(print)
    with contextlib.closing(Play(setting, print, patience_s=12.0, tries=25)) as play:
        booked = _rides(setting, play, rounds)
    _no_tap_lost(setting)
    _nothing_paid_twice(setting, booked)


def _rides(setting: Setting, play: Play, rounds: int) -> Booked:
    play.enroll(rides=rounds + _MORE)
    play.wait_for_galleries(patience_s=60)
    killer = Killer(setting)
    killer.start()
    victims = {*setting.stage.actors, "postgres"}
    while play.rides < rounds or (play.rides < rounds + _MORE and set(killer.killed) < victims):
        play.ride()
        print(f"{play.rides} rounds of {rounds}, {len(killer.killed)} kills so far")
    killer.stop()

    assert killer.gone == []
    assert set(killer.killed) == victims
    assert play.faults == {}
    return _everybody_rode_and_paid(setting, play, play.rides)


def _everybody_rode_and_paid(setting: Setting, play: Play, rounds: int) -> Booked:
    """Each rider has one priced and paid trip a round, whatever the books hold besides.

    The books are read, not the app: people who walk again after a kill leave incomplete trips,
    and the app lists only the newest fifty. Whom a print lets in for may come to a trip more a
    round: an exit that is walked again completes the entry by the print. It costs what it costs.
    """
    engine = database.connect(setting.database_url)
    statements = PostgresStatements(engine)
    fares = {person.name: person.fare_minor or 0 for person in _RIDERS}

    def wrong(booked: Booked) -> Booked:
        most = {name: rounds * (2 if name in _PRINTED else 1) for name in fares}
        return {
            name: (trips, taken)
            for name, (trips, taken) in booked.items()
            if not rounds <= trips <= most[name] or taken != trips * fares[name]
        }

    deadline = time.monotonic() + 90
    while True:
        booked = {
            name: _priced_and_taken(statements, UUID(phone.ref))
            for name, phone in play.phones.items()
        }
        if not wrong(booked) or time.monotonic() > deadline:
            break
        time.sleep(0.5)
    engine.dispose()

    assert wrong(booked) == {}
    assert booked.keys() == fares.keys()
    return booked


def _priced_and_taken(statements: PostgresStatements, rider_ref: UUID) -> tuple[int, int]:
    """Return how many of a rider's trips have a fare, and what was taken for them, in fen."""
    trips = statements.rider(rider_ref, limit=10_000).trips
    priced = [trip for trip in trips if trip.decision.verdict.fare.minor_units]
    return len(priced), sum(trip.taken.minor_units for trip in trips)


def _no_tap_lost(setting: Setting) -> None:
    """Every tap on an edge node's disk is in the cloud, in its place, once."""
    deadline = time.monotonic() + 60
    while waiting := {each for each in STATIONS if setting.waiting_taps(each)}:
        assert time.monotonic() < deadline, f"taps stay at {waiting}"
        time.sleep(0.2)
    engine = database.connect(setting.database_url)
    with engine.connect() as connection:
        in_cloud = {
            (row.outbox_id.bytes, row.seq)
            for row in connection.execute(sa.text("SELECT outbox_id, seq FROM cloud_sync.tap"))
        }
    engine.dispose()
    setting.stage.stop()
    at_edges = set()
    for station in STATIONS:
        book = apsw.Connection(
            str(setting.folder / station / "outbox.db"), flags=apsw.SQLITE_OPEN_READONLY
        )
        at_edges |= {(bytes(row[0]), row[1]) for row in book.execute(_TAPS)}
        book.close()

    assert at_edges == in_cloud
    assert len(at_edges) >= 2 * len(_RIDERS)


_TAPS = "SELECT outbox_id, seq FROM tap"


def _nothing_paid_twice(setting: Setting, booked: Booked) -> None:
    """The bank took each card's fares once, however often it was asked."""
    book = apsw.Connection(str(setting.folder / "bank.sqlite"), flags=apsw.SQLITE_OPEN_READONLY)
    taken = book.execute(_TAKEN).get
    book.close()
    by_card = {person.name for person in _RIDERS if person.means != "wallet"}

    assert taken == sum(fares for name, (_, fares) in booked.items() if name in by_card)


_TAKEN = """
SELECT coalesce(sum(CASE kind WHEN 'refund' THEN -minor_units ELSE minor_units END), 0)
FROM movement WHERE paid
"""


class TestChaos:
    """The story with crashes."""

    @pytest.mark.timeout(400)
    def test_one_round_with_every_process_killed(self, setting: Setting) -> None:
        """Everybody still rides and pays once while each process is killed in turn."""
        _ride_under_fire(setting, rounds=1)

    @pytest.mark.chaos
    @pytest.mark.timeout(3600)
    def test_twenty_rounds(self, setting: Setting) -> None:
        """Twenty rounds of the same."""
        _ride_under_fire(setting, rounds=20)
