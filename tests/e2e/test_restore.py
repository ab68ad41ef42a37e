"""A backup is restored after somebody has left: the face does not come back."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
import sqlalchemy as sa

from cloud_sync.adapters.postgres.erasures import PostgresErasureLedger
from cloud_sync.adapters.postgres.replay import leaving, replay
from cloud_sync.adapters.postgres.view_log import PostgresViewLog
from cloud_sync.fleet.erasure import Erasure
from cloud_sync.stream.view import EdgeNode
from enroll.adapters.postgres import PostgresRiderStore
from enroll.consent import Purpose
from enroll.rider import RiderEvent, RiderState
from fare.adapters import database
from tests.cloud_city import small_city
from tests.keys import SAFE, ledger_in
from tests.phone import held
from tests.riders import FACE_CONSENTS, MONDAY, Office, direction

HOUR = timedelta(hours=1)


class Operator:
    """A database with riders, and whoever backs it up and restores it."""

    def __init__(self, url: str, admin: sa.Engine, folder: Path) -> None:
        """Let two stations join."""
        self.url, self._admin = url, admin
        self.name = sa.make_url(url).database
        self.copy = ledger_in(folder)
        self.engine = database.connect(url)
        for station in ("S1", "S2"):
            self.views.admit(EdgeNode(f"edge-{station}", station, bytes(32)), MONDAY)
        self.office = Office(PostgresRiderStore(self.engine, small_city(), self.copy.append))

    @property
    def views(self) -> PostgresViewLog:
        """The stations' views."""
        return PostgresViewLog(self.engine, SAFE)

    @property
    def ledger(self) -> PostgresErasureLedger:
        """The proofs."""
        return PostgresErasureLedger(self.engine, copy=self.copy.append)

    def enrolls(self, name: str, seed: int) -> UUID:
        """Let a rider enroll with a photo."""
        ref = self.office.sign_up(name, *FACE_CONSENTS)
        self.office.photo(ref, direction(seed))
        return ref

    def backs_up(self) -> None:
        """Copy the database as it is now."""
        self._copies(f"{self.name}_backup", str(self.name))

    def restores(self) -> None:
        """Put the copy in the place of the database."""
        self.engine.dispose()
        with self._admin.connect() as connection:
            connection.execute(sa.text(f"DROP DATABASE {self.name} WITH (FORCE)"))
        self._copies(str(self.name), f"{self.name}_backup")

    def replays(self) -> int:
        """Do what `serve` does before it listens."""
        with self.engine.begin() as connection:
            return replay(connection, self.copy, leaving(SAFE), MONDAY + HOUR)

    def holders(self, ref: UUID) -> list[str]:
        """Return the stations whose view holds a rider."""
        return [station for station in ("S1", "S2") if str(ref) in held(self.engine, station)]

    def epochs(self) -> set[UUID]:
        """Return the epochs of both views."""
        heads = [self.views.head(station) for station in ("S1", "S2")]
        return {head.epoch for head in heads if head is not None}

    def _copies(self, new: str, old: str) -> None:
        self.engine.dispose()
        with self._admin.connect() as connection:
            connection.execute(sa.text(f"CREATE DATABASE {new} TEMPLATE {old}"))


@pytest.fixture
def operator(database_url: str, postgres_url: str) -> Iterator[Operator]:
    """Give an operator whose processes find database and ledger in the environment."""
    admin = database.connect(postgres_url).execution_options(isolation_level="AUTOCOMMIT")
    made = Operator(database_url, admin, Path(os.environ["GATELINE_LEDGER"]))
    yield made
    made.engine.dispose()
    with admin.connect() as connection:
        connection.execute(sa.text(f"DROP DATABASE IF EXISTS {made.name}_backup WITH (FORCE)"))
    admin.dispose()


def types(operator: Operator, *words: str) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return subprocess.run(
        [sys.executable, "-m", *words],
        env=dict(os.environ, GATELINE_DATABASE_URL=operator.url),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@contextmanager
def serving(operator: Operator) -> Iterator[list[str]]:
    """Run `cloud_sync serve`, from ready on, and give the events that it told before."""
    process = subprocess.Popen(
        [sys.executable, "-m", "cloud_sync", "serve", "--listen", "127.0.0.1:0"],
        env=dict(os.environ, GATELINE_DATABASE_URL=operator.url),
        stderr=subprocess.PIPE,
        text=True,
    )
    events: list[str] = []
    assert process.stderr is not None
    for line in process.stderr:
        events.append(json.loads(line)["event"])
        if events[-1] == "ready":
            break
    try:
        yield events
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)


class TestRestore:
    """Backup, withdrawal, restore, start."""

    def test_control_a_backup_brings_the_face_back(self, operator: Operator) -> None:
        """Without the replay the restored views hold whoever has left: the danger is real."""
        robin = operator.enrolls("Robin", 1)
        operator.backs_up()
        operator.office.enrollment.move(robin, RiderEvent.WITHDRAW, now=MONDAY)
        assert operator.holders(robin) == []

        operator.restores()

        assert operator.holders(robin) == ["S1", "S2"]
        assert operator.office.dossier(robin).template is not None

    def test_real_processes_bring_nobody_back(self, operator: Operator) -> None:
        """`serve` and `enroll` carry out what was lost before they do anything else, once."""
        robin, ana = operator.enrolls("Robin", 1), operator.enrolls("Ana", 2)
        operator.backs_up()
        operator.office.enrollment.move(robin, RiderEvent.WITHDRAW, now=MONDAY)
        operator.restores()
        before = operator.epochs()

        with serving(operator) as first:
            on_first = operator.holders(robin)
        again = operator.replays()
        told = types(operator, "enroll", "migrate")

        assert first.index("erasures_replayed") < first.index("ready")
        assert again == 0
        assert (on_first, operator.holders(ana)) == ([], ["S1", "S2"])
        assert not operator.epochs() & before
        assert told.returncode == 0
        dossier = operator.office.dossier(robin)
        assert dossier.rider.state is RiderState.WITHDRAWN
        assert (dossier.rider.display_name, dossier.photos, dossier.template) == ("", (), None)
        assert [one.at for one in dossier.erasures] == [MONDAY]
        assert operator.office.dossier(ana).template is not None

    def test_the_proof_starts_anew(self, operator: Operator) -> None:
        """After the replay each node has to say again that it is rid of the face."""
        robin = operator.enrolls("Robin", 1)
        for station in ("S1", "S2"):
            operator.views.offer_lease(f"edge-{station}", MONDAY + 24 * HOUR)
        operator.backs_up()
        operator.office.enrollment.move(robin, RiderEvent.WITHDRAW, now=MONDAY)
        operator.restores()

        assert operator.replays() == 1
        head = operator.views.head("S1")
        assert head is not None
        operator.views.acknowledge("edge-S1", head.epoch, head.head_rev, MONDAY + 2 * HOUR)

        (proof,) = operator.ledger.proofs(robin)
        assert [node.edge_id for node in proof.missing(MONDAY + 3 * HOUR)] == ["edge-S2"]
        printed = types(operator, "cloud_sync", "erasure", str(robin))
        assert "gone from 2 of 2 nodes, 24 h" in printed.stdout  # the lease is long over today
        assert printed.returncode == 0

    def test_whoever_enrolled_again_stays(self, operator: Operator) -> None:
        """A backup from after the new enrollment has both the erasure and the new face."""
        robin = operator.enrolls("Robin", 1)
        choose = operator.office.enrollment.choose
        choose(robin, Purpose.STORE, given=False, now=MONDAY)
        choose(robin, Purpose.STORE, given=True, now=MONDAY + HOUR)
        operator.office.photo(robin, direction(1))
        operator.backs_up()
        operator.restores()

        assert operator.replays() == 0
        assert operator.holders(robin) == ["S1", "S2"]

    def test_a_consent_taken_back_is_taken_back_again(self, operator: Operator) -> None:
        """The restored consent to keep the face does not stand, so no photo makes it again."""
        robin = operator.enrolls("Robin", 1)
        operator.backs_up()
        operator.office.enrollment.choose(robin, Purpose.STORE, given=False, now=MONDAY + HOUR)
        operator.restores()

        assert operator.replays() == 1
        lost = operator.office.store.forgotten(operator.copy.read())
        assert all(operator.office.enrollment.replay(erasure) for erasure in lost)

        dossier = operator.office.dossier(robin)
        assert (dossier.photos, dossier.template) == ((), None)
        assert dossier.consents[-1].purpose is Purpose.STORE
        assert (dossier.consents[-1].given, dossier.consents[-1].at) == (False, MONDAY + HOUR)
        assert operator.holders(robin) == []

    def test_a_line_whose_transaction_failed_takes_no_newer_face(self, operator: Operator) -> None:
        """The rider asked again and has enrolled anew since: the old line is only noted."""
        robin = operator.enrolls("Robin", 1)
        failed = Erasure(robin, MONDAY, "consent_store", is_final=False)
        operator.copy.append(failed)
        choose = operator.office.enrollment.choose
        choose(robin, Purpose.STORE, given=False, now=MONDAY + HOUR)
        choose(robin, Purpose.STORE, given=True, now=MONDAY + 2 * HOUR)
        operator.office.photo(robin, direction(1))

        assert operator.replays() == 1
        assert not operator.office.enrollment.replay(failed)

        assert operator.holders(robin) == ["S1", "S2"]
        assert operator.office.dossier(robin).template is not None

    def test_a_line_whose_transaction_failed_is_carried_out(self, operator: Operator) -> None:
        """A crash after the copy and before the commit fails towards what the rider asked for."""
        robin = operator.enrolls("Robin", 1)
        operator.copy.append(Erasure(robin, MONDAY, "withdraw", is_final=True))

        assert operator.replays() == 1
        assert operator.holders(robin) == []

    def test_a_broken_ledger_is_served_by_nobody(self, operator: Operator) -> None:
        """Whoever has changed the copy stops both processes until a person has looked."""
        robin = operator.enrolls("Robin", 1)
        operator.office.enrollment.move(robin, RiderEvent.WITHDRAW, now=MONDAY)
        (path,) = Path(os.environ["GATELINE_LEDGER"]).glob("*.jsonl")
        path.write_bytes(path.read_bytes().replace(b"withdraw", b"sickness"))

        serve = types(operator, "cloud_sync", "serve", "--listen", "127.0.0.1:0")
        enroll = types(operator, "enroll", "serve", "--listen", "127.0.0.1:0")

        assert (serve.returncode, enroll.returncode) == (1, 1)
        assert "ledger_failed" in serve.stderr
        assert "ready" not in serve.stderr + enroll.stderr

    def test_a_copy_that_was_cut_is_mended(self, operator: Operator) -> None:
        """What the database knows and the copy has lost is written into it again."""
        robin = operator.enrolls("Robin", 1)
        operator.office.enrollment.move(robin, RiderEvent.WITHDRAW, now=MONDAY)
        (path,) = Path(os.environ["GATELINE_LEDGER"]).glob("*.jsonl")
        path.write_bytes(b"")

        assert operator.replays() == 0

        assert [one.rider_ref for one in operator.copy.read()] == [robin]

    def test_a_promotion_is_followed_before_anything_is_served(self, operator: Operator) -> None:
        """The view log itself finds the lost history while it runs, replays, and then answers."""
        robin = operator.enrolls("Robin", 1)
        operator.backs_up()
        operator.office.enrollment.move(robin, RiderEvent.WITHDRAW, now=MONDAY)
        operator.restores()
        done: list[datetime] = []

        def replayed(connection: sa.Connection) -> None:
            done.append(MONDAY)
            replay(connection, operator.copy, leaving(SAFE), MONDAY + HOUR)

        views = PostgresViewLog(operator.engine, SAFE, on_new_history=replayed)
        views.head("S1")
        views.head("S2")

        assert len(done) == 1  # a copied database is another history, once
        assert operator.holders(robin) == []


class TestConfirmed:
    """What a rider was told stands outside the database first."""

    def test_every_withdrawal_is_in_the_copy(self, operator: Operator) -> None:
        """One with a face and one without, and the last photo too; a pause is none."""
        robin, ana = operator.enrolls("Robin", 1), operator.office.sign_up("Ana")
        ben = operator.enrolls("Ben", 3)
        move = operator.office.enrollment.move
        move(robin, RiderEvent.PAUSE, now=MONDAY)
        move(robin, RiderEvent.WITHDRAW, now=MONDAY + HOUR)
        move(ana, RiderEvent.WITHDRAW, now=MONDAY + HOUR)
        photo = operator.office.dossier(ben).photos[0].photo_id
        operator.office.enrollment.drop_photo(ben, photo, now=MONDAY + HOUR)

        told = {one.rider_ref: (one.cause, one.is_final) for one in operator.copy.read()}

        assert told == {
            robin: ("withdraw", True),
            ana: ("withdraw", True),
            ben: ("last_photo", False),
        }

    def test_without_the_copy_nothing_is_confirmed(
        self, operator: Operator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A withdrawal that could be undone by a backup fails as a whole, and can be repeated."""
        from enroll.store import StoreFailed

        robin = operator.enrolls("Robin", 1)
        monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "full")))
        with pytest.raises(StoreFailed, match="proven"):
            operator.office.enrollment.move(robin, RiderEvent.WITHDRAW, now=MONDAY)
        monkeypatch.undo()

        assert operator.office.dossier(robin).template is not None
        operator.office.enrollment.move(robin, RiderEvent.WITHDRAW, now=MONDAY + HOUR)
        assert operator.office.dossier(robin).template is None
