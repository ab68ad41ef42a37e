"""Every device registry keeps the promises of the port."""

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import pytest
import sqlalchemy as sa

from cloud_sync.adapters.memory.registry import MemoryRegistry
from cloud_sync.adapters.memory.view_log import MemoryViewLog
from cloud_sync.adapters.postgres.registry import PostgresRegistry
from cloud_sync.adapters.postgres.view_log import PostgresViewLog
from cloud_sync.stream.view import EdgeNode, ViewLog
from cloud_sync.trust.bootstrap import VALIDITY_MAX, Applicant, Token, TokenFlaw, made
from cloud_sync.trust.device import (
    BACKDATED,
    GRACE,
    LIFETIME,
    CertificateState,
    Certified,
    Identity,
    Known,
)
from cloud_sync.trust.registry import (
    AUDIT_KEPT,
    AuditLine,
    Device,
    DeviceRegistry,
    RegistryFailed,
    What,
)
from tests.keys import SAFE

BELL = Identity("bell-tower", "edge-1")
DRUM = Identity("drum-tower", "edge-2")
TAP_KEY = bytes(range(32))
KEY, OTHER_KEY = b"k" * 32, b"o" * 32


class Cloud:
    """A registry and the views that its edges follow."""

    def __init__(self, registry: DeviceRegistry, views: ViewLog) -> None:
        """Join them."""
        self.registry = registry
        self.views = views

    def enrolled(self, identity: Identity, now: datetime, *, serial: str = "a1") -> Certified:
        """Let an edge in as the service does, and note a certificate."""
        self.views.admit(EdgeNode(identity.edge_id, identity.station_id, TAP_KEY), now)
        self.registry.bind_key(serial.encode() * 16, identity.edge_id)
        certified = certificate(identity, now, serial=serial)
        self.registry.issued(certified, now)
        return certified

    def known(self, certified: Certified) -> Known:
        """Ask for a certificate."""
        whose = certified.identity.edge_id
        return self.registry.known(whose, certified.serial, certified.key_digest)


def certificate(identity: Identity, now: datetime, *, serial: str = "a1") -> Certified:
    """Return what a certificate of two letters says."""
    return Certified(identity, serial, serial.encode() * 16, now - BACKDATED, now + LIFETIME)


@pytest.fixture(params=["memory", "postgres"])
def cloud(request: pytest.FixtureRequest) -> Cloud:
    """Give each adapter in turn."""
    if request.param == "memory":
        views = MemoryViewLog(new_epoch=lambda: UUID(int=1))
        return Cloud(MemoryRegistry(views), views)
    engine: sa.Engine = request.getfixturevalue("engine")
    return Cloud(PostgresRegistry(engine), PostgresViewLog(engine, SAFE))


def fresh(identity: Identity, now: datetime, *, secret: int = 1) -> Token:
    """Return a token that is good for an hour."""
    return made(bytes([secret]) * 24, identity, now, validity=VALIDITY_MAX)


class TestTokens:
    """A way in, once."""

    def test_lets_one_key_in_once(self, cloud: Cloud, noon: datetime) -> None:
        """The first key is let in, asks again if it must, and nobody else uses the token."""
        token = fresh(BELL, noon)
        cloud.registry.offer(token)
        node = Applicant(BELL, KEY, TAP_KEY)
        other = replace(node, key_digest=OTHER_KEY)

        assert cloud.registry.redeem(token.digest, node, noon) == BELL
        assert cloud.registry.redeem(token.digest, node, noon) == BELL
        assert cloud.registry.redeem(token.digest, other, noon) is TokenFlaw.USED

    def test_a_refusal_uses_nothing_up(self, cloud: Cloud, noon: datetime) -> None:
        """After a wrong node, and a wrong token, the right one is still let in."""
        token = fresh(BELL, noon)
        cloud.registry.offer(token)
        node = Applicant(BELL, KEY, TAP_KEY)
        wrong = replace(node, identity=DRUM)

        assert cloud.registry.redeem(token.digest, wrong, noon) is TokenFlaw.WRONG_NODE
        assert cloud.registry.redeem(bytes(32), node, noon) is TokenFlaw.UNKNOWN
        late = noon + VALIDITY_MAX
        assert cloud.registry.redeem(token.digest, node, late) is TokenFlaw.EXPIRED
        assert cloud.registry.redeem(token.digest, node, noon) == BELL

    def test_a_copied_key_is_not_let_in(self, cloud: Cloud, noon: datetime) -> None:
        """A key belongs to the edge that brought it first, and the token stays fresh."""
        first, second = fresh(BELL, noon), fresh(DRUM, noon, secret=2)
        cloud.registry.offer(first)
        cloud.registry.offer(second)
        assert cloud.registry.redeem(first.digest, Applicant(BELL, KEY, TAP_KEY), noon) == BELL

        copied = cloud.registry.redeem(second.digest, Applicant(DRUM, KEY, TAP_KEY), noon)
        own = cloud.registry.redeem(second.digest, Applicant(DRUM, OTHER_KEY, TAP_KEY), noon)

        assert (copied, own) == (CertificateState.KEY_REUSED, DRUM)
        assert cloud.registry.bind_key(KEY, "edge-1")
        assert not cloud.registry.bind_key(KEY, "edge-2")


class TestKnown:
    """What is known of a certificate."""

    def test_of_nobody(self, cloud: Cloud, noon: datetime) -> None:
        """A stranger has no station, no deny and no key."""
        assert cloud.known(certificate(BELL, noon)) == Known()

    def test_of_an_edge(self, cloud: Cloud, noon: datetime) -> None:
        """An enrolled edge has its station and its key, and a move counts at once."""
        certified = cloud.enrolled(BELL, noon)
        assert cloud.known(certified) == Known("bell-tower", False, "edge-1")

        cloud.views.admit(EdgeNode("edge-1", "drum-tower", TAP_KEY), noon)

        assert cloud.known(certified).station_id == "drum-tower"

    def test_revoked_by_edge(self, cloud: Cloud, noon: datetime) -> None:
        """All certificates of a revoked edge are denied, and those of nobody else."""
        first = cloud.enrolled(BELL, noon, serial="a1")
        second = cloud.enrolled(BELL, noon, serial="a2")
        other = cloud.enrolled(DRUM, noon, serial="b1")

        assert cloud.registry.revoke("edge-1", noon) == ("edge-1",)
        assert [cloud.known(each).is_revoked for each in (first, second, other)] == [1, 1, 0]
        assert cloud.known(certificate(BELL, noon, serial="a3")).is_revoked  # not noted yet

    def test_revoked_by_serial(self, cloud: Cloud, noon: datetime) -> None:
        """One certificate is denied, its edge is not."""
        first = cloud.enrolled(BELL, noon, serial="a1")
        second = cloud.enrolled(BELL, noon, serial="a2")

        assert cloud.registry.revoke("a1", noon) == ("edge-1",)
        assert [cloud.known(each).is_revoked for each in (first, second)] == [True, False]
        assert cloud.registry.revoke("a1", noon) == ("edge-1",)  # twice is once

    def test_revoking_nobody_is_told(self, cloud: Cloud, noon: datetime) -> None:
        """A mistyped name denies nothing, and the operator hears it."""
        certified = cloud.enrolled(BELL, noon)

        assert cloud.registry.revoke("edge-9", noon) == ()
        assert not cloud.known(certified).is_revoked

    def test_let_in_again(self, cloud: Cloud, noon: datetime) -> None:
        """A new token takes the edge out of the deny set, its old certificate stays in it."""
        old = cloud.enrolled(BELL, noon, serial="a1")
        cloud.registry.revoke("edge-1", noon)
        token = fresh(BELL, noon)
        cloud.registry.offer(token)

        assert cloud.registry.redeem(token.digest, Applicant(BELL, KEY, TAP_KEY), noon) == BELL
        new = cloud.enrolled(BELL, noon, serial="a2")
        assert cloud.known(old).is_revoked
        assert not cloud.known(new).is_revoked


class TestDevices:
    """The operator's list."""

    def test_shows_the_newest_certificate(self, cloud: Cloud, noon: datetime) -> None:
        """By station and edge, with what was issued last; long past ones are forgotten."""
        cloud.enrolled(DRUM, noon, serial="b1")
        cloud.enrolled(BELL, noon - timedelta(days=1), serial="a1")
        newest = cloud.enrolled(BELL, noon, serial="a2")
        cloud.registry.revoke("edge-2", noon)

        first, second = cloud.registry.devices()

        assert first == Device(BELL, is_revoked=False, certificate=newest)
        assert (second.identity, second.is_revoked) == (DRUM, True)

        later = noon + LIFETIME + GRACE + timedelta(days=2)
        cloud.registry.issued(certificate(BELL, later, serial="a3"), later)
        assert cloud.registry.devices()[1].certificate is None


class TestAudit:
    """What happened, bounded."""

    def test_newest_first(self, cloud: Cloud, noon: datetime) -> None:
        """Lines come back as they were written, long details cut."""
        lines = [
            AuditLine(noon, "edge-1", "a1", What.IMPERSONATION, "asked for drum-tower"),
            AuditLine(noon, "", "", What.TOKEN_REFUSED, "unknown"),
        ]
        for line in lines:
            cloud.registry.note(line)

        assert cloud.registry.audited(9) == tuple(reversed(lines))
        assert cloud.registry.audited(1) == (lines[1],)

    def test_a_flood_drives_out_no_other_kind(
        self, cloud: Cloud, noon: datetime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """However many refused tokens there are, the table stays small and the rest is there."""
        from cloud_sync.adapters.memory import registry as memory_registry
        from cloud_sync.adapters.postgres import registry as postgres_registry

        monkeypatch.setattr(postgres_registry, "AUDIT_KEPT", 50)
        monkeypatch.setattr(memory_registry, "AUDIT_KEPT", 50)
        cloud.registry.note(AuditLine(noon, "edge-1", "a1", What.IMPERSONATION, "asked"))
        for number in range(320):
            cloud.registry.note(AuditLine(noon, "", "", What.TOKEN_REFUSED, str(number)))

        lines = cloud.registry.audited(1_000)

        assert AUDIT_KEPT > 50
        assert len(lines) <= 50 + 1 + 100
        assert lines[0].detail == "319"
        assert lines[-1].what is What.IMPERSONATION


class TestPostgres:
    """What only the database can do."""

    def test_says_when_it_is_away(self, empty: sa.Engine, noon: datetime) -> None:
        """Without its tables nothing is known, and that is an error, not an answer."""
        registry = PostgresRegistry(empty)

        with pytest.raises(RegistryFailed):
            registry.known("edge-1", "a1", KEY)
        with pytest.raises(RegistryFailed):
            registry.revoke("edge-1", noon)

    def test_two_keys_race_for_one_token(self, engine: sa.Engine, noon: datetime) -> None:
        """Of many that come at once with one token, one key is let in."""
        from concurrent.futures import ThreadPoolExecutor

        registry = PostgresRegistry(engine)
        token = fresh(BELL, noon)
        registry.offer(token)
        applicants = [Applicant(BELL, bytes([number]) * 32, TAP_KEY) for number in range(8)]

        with ThreadPoolExecutor(8) as pool:
            found = list(
                pool.map(lambda each: registry.redeem(token.digest, each, noon), applicants)
            )

        assert found.count(BELL) == 1
        assert found.count(TokenFlaw.USED) == 7
