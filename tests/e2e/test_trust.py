"""Who gets in and who does not: real gRPC servers and certificates (fault table, rows 22 and 23).

Handshakes are judged by the machine's clock, so certificates of another time are really issued
then; all else takes its clock as an argument.
"""

import functools
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import grpc
import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric import ec
from gateline.sync.v1 import device_service_pb2 as pb
from gateline.sync.v1 import device_service_pb2_grpc

from cloud_sync.adapters.grpc import guard as grpc_guard
from cloud_sync.adapters.grpc.channel import dial_device
from cloud_sync.adapters.grpc.client import (
    Badge,
    GrpcTapSink,
    dial,
    fetched_ca,
)
from cloud_sync.adapters.grpc.device_client import GraceTapSink, renew_late
from cloud_sync.adapters.grpc.guard import Guard
from cloud_sync.adapters.memory.authority import MemoryAuthority
from cloud_sync.adapters.postgres.registry import PostgresRegistry
from cloud_sync.adapters.postgres.view_log import PostgresViewLog
from cloud_sync.adapters.postgres.wakes import conninfo
from cloud_sync.adapters.system_clock import SystemClock
from cloud_sync.taps.tap_log import Batch
from cloud_sync.taps.uplink import LinkDown, LinkRefused
from cloud_sync.trust import possession
from cloud_sync.trust.authority import bundle
from cloud_sync.trust.certificate import digest_of, new_request
from cloud_sync.trust.device import ALLOWED, CertificateState, Identity, Power
from cloud_sync.trust.registry import What
from tests.guarded import (
    BELL,
    DAY,
    DRUM,
    EVERYBODY,
    Cloud,
    Stream,
    brings_taps,
    foreign_authority,
    gets_gallery,
    in_memory,
    kept,
    key_of,
    now,
    outbox_of,
    renews,
)
from tests.keys import SAFE
from tests.trust import foreign


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    """Give a cloud in memory that serves."""
    with in_memory() as made_cloud:
        yield made_cloud


def shown_as(state: CertificateState, cloud: Cloud) -> Badge:
    """Return a badge that is in a state by this cloud."""
    ages = {
        CertificateState.NOT_YET_VALID: -DAY,
        CertificateState.EXPIRED: 8 * DAY,
        CertificateState.LAPSED: 38 * DAY,
    }
    names = {
        CertificateState.WRONG_STATION: ("edge-1", DRUM),
        CertificateState.UNENROLLED: ("mallory", BELL),
    }
    if state is CertificateState.FOREIGN:
        return replace(foreign(), trusted=cloud.badge().trusted)
    key = ec.generate_private_key(ec.SECP256R1())
    if state is CertificateState.KEY_REUSED:
        cloud.registry.bind_key(digest_of(key.public_key()), "edge-2")
    shown = cloud.badge(
        *names.get(state, ("edge-1", BELL)), age=ages.get(state, timedelta(0)), key=key
    )
    if state is CertificateState.REVOKED:
        assert cloud.registry.revoke(shown.certified.serial, datetime.now(UTC))
    return shown


class TestTable:
    """Row 22: each state of a certificate gets exactly what docs/trust.md says."""

    @pytest.mark.parametrize("state", CertificateState)
    def test_each_state_gets_its_row(
        self, cloud: Cloud, tmp_path: Path, state: CertificateState
    ) -> None:
        """Gallery at the main port, taps and renewal at the device port: the table, no more."""
        shown = shown_as(state, cloud)
        allowed = ALLOWED[state]

        gallery = gets_gallery(cloud, shown)
        taps = brings_taps(cloud, shown)
        renewal = renews(cloud, shown, tmp_path / "trust")

        mine = {EVERYBODY[0].rider_ref}
        if Power.GALLERY in allowed:
            assert gallery == mine
        else:
            assert gallery in ("PERMISSION_DENIED", "UNAVAILABLE")  # the call, or the handshake
        yes = "yes" if Power.TAPS in allowed else "no"
        assert taps == ("into quarantine" if Power.TAPS_ASIDE in allowed else yes)
        assert renewal == ("yes" if Power.RENEW in allowed else "no")

    def test_control_without_the_look_up_the_revoked_get_in(
        self, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Were all certificates good, a revoked node would get the gallery: the rule refuses it."""
        shown = shown_as(CertificateState.REVOKED, cloud)
        monkeypatch.setattr(grpc_guard, "state_of", lambda *_: CertificateState.VALID)

        assert gets_gallery(cloud, shown) == {EVERYBODY[0].rider_ref}

    def test_no_certificate_at_all(self, cloud: Cloud) -> None:
        """Without a certificate the main port does not even begin to talk."""
        with dial_device(cloud.main, cloud.badge().trusted) as channel:
            assert Stream(channel, "edge-1", BELL).ends() is grpc.StatusCode.UNAVAILABLE

    def test_the_device_port_offers_nothing_else(self, cloud: Cloud) -> None:
        """Neither galleries nor taps without a proof: what is not offered is not there."""
        shown = cloud.badge()
        batch = Batch("edge-1", uuid4(), tuple(outbox_of(1).pending(1)))
        with dial_device(cloud.device, shown.trusted) as channel:
            assert Stream(channel, "edge-1", BELL).ends() is grpc.StatusCode.UNIMPLEMENTED
            with pytest.raises(LinkRefused, match="UNIMPLEMENTED"):
                GrpcTapSink(channel).send(batch)

    def test_an_impostor_cloud_gets_nothing(self, cloud: Cloud) -> None:
        """A node does not talk to who shows a certificate of another authority."""
        elsewhere = replace(cloud.badge(), trusted=foreign_authority())

        assert gets_gallery(cloud, elsewhere) == "UNAVAILABLE"
        with dial_device(cloud.device, elsewhere.trusted) as channel, pytest.raises(LinkDown):
            GraceTapSink(channel, elsewhere).send(Batch("edge-1", uuid4(), ()))


class TestProof:
    """What the device port takes for a proof."""

    @pytest.mark.parametrize(
        "fault", ["none", "other key", "no challenge", "old challenge", "other purpose", "other"]
    )
    def test_only_the_holder_of_the_key_is_believed(self, cloud: Cloud, fault: str) -> None:
        """A certificate is no secret: without its key, or with an old signature, it is nothing."""
        shown = cloud.badge(age=8 * DAY)
        other = cloud.badge(age=8 * DAY)
        with dial_device(cloud.device, shown.trusted) as channel:
            stub = device_service_pb2_grpc.DeviceServiceStub(channel)  # type: ignore[no-untyped-call]
            challenge = stub.GetChallenge(pb.GetChallengeRequest(), timeout=5).challenge
            if fault == "no challenge":
                challenge = bytes(40)
            if fault == "old challenge":
                challenge = bytes(8) + challenge[8:]
            by = other if fault == "other key" else shown
            purpose = possession.TAPS if fault == "other purpose" else possession.RENEW
            request = new_request(key_of(by), shown.certified.identity)
            signed = b"something else" if fault == "other" else request
            signature = possession.prove(key_of(by), purpose, challenge, signed)
            proof = pb.Proof(
                certificate=shown.certificate, challenge=challenge, signature=signature
            )
            asked = pb.RenewRequest(certificate_request=request, proof=proof)
            if fault == "none":
                assert stub.Renew(asked, timeout=5).badge.certificate
                return
            with pytest.raises(grpc.RpcError) as refused:
                stub.Renew(asked, timeout=5)
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


class TestImpersonation:
    """Row 23: edge A speaks as B."""

    @pytest.mark.parametrize(
        "names", [("edge-2", DRUM), ("edge-1", DRUM), ("edge-2", BELL), ("", DRUM)]
    )
    def test_of_a_station_is_refused_and_audited(
        self, cloud: Cloud, names: tuple[str, str]
    ) -> None:
        """Edge 1 asking for the view of edge 2's station gets nothing but a line in the audit."""
        assert gets_gallery(cloud, cloud.badge(), names) == "PERMISSION_DENIED"
        [detail] = cloud.told(What.IMPERSONATION)
        assert DRUM in detail or "edge-2" in detail

    def test_control_believing_the_message_gives_it_away(
        self, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Were the message believed, edge 1 would hold the drum tower's riders."""
        caller = Guard.caller

        async def credulous(self: Guard, context: grpc.aio.ServicerContext) -> Any:
            found = await caller(self, context)
            return replace(found, identity=Identity(DRUM, "edge-2"))

        monkeypatch.setattr(Guard, "caller", credulous)

        assert gets_gallery(cloud, cloud.badge(), ("edge-2", DRUM)) == {EVERYBODY[1].rider_ref}

    def test_of_an_edge_that_brings_taps(self, cloud: Cloud) -> None:
        """Taps in another edge's name are refused at both ports."""
        shown, outbox = cloud.badge(), outbox_of(1)
        batch = Batch("edge-2", outbox.outbox_id, tuple(outbox.pending(9)))

        with dial(cloud.main, shown) as channel, pytest.raises(LinkRefused, match="PERMISSION"):
            GrpcTapSink(channel).send(batch)
        with dial_device(cloud.device, shown.trusted) as channel, pytest.raises(LinkRefused):
            GraceTapSink(channel, shown).send(batch)

        assert len(cloud.told(What.IMPERSONATION)) == 2
        assert cloud.taps.stored(outbox.outbox_id) == ()

    def test_names_nobody_needs_are_not_needed(self, cloud: Cloud) -> None:
        """A message without names is its certificate's."""
        assert gets_gallery(cloud, cloud.badge("edge-2", DRUM)) == {EVERYBODY[1].rider_ref}
        assert cloud.told(What.IMPERSONATION) == []


class TestRevocation:
    """A stream that runs when its node is revoked."""

    @pytest.mark.parametrize("by", ["edge", "serial"])
    def test_ends_within_seconds(self, engine: sa.Engine, by: str) -> None:
        """Over PostgreSQL's notification, also for the one certificate; nobody else is hurt."""
        registry = PostgresRegistry(engine)
        views = PostgresViewLog(engine, SAFE)
        cloud = Cloud(views, registry, MemoryAuthority(SystemClock()), conninfo(engine))
        cloud.start()
        try:
            mine, other = cloud.badge(), cloud.badge("edge-2", DRUM)
            with dial(cloud.main, mine) as channel, dial(cloud.main, other) as quiet:
                stream, bystander = Stream(channel, "", ""), Stream(quiet, "", "")
                assert stream.riders()
                assert bystander.riders()
                began_s = time.monotonic()
                registry.revoke("edge-1" if by == "edge" else mine.certified.serial, now())
                code = stream.ends()
                seconds = time.monotonic() - began_s
                assert bystander.call.is_active()
                bystander.leave()
            print(f"a revoked node's stream ended after {seconds * 1e3:.0f} ms")
            assert (code, seconds < 3) == (grpc.StatusCode.PERMISSION_DENIED, True)
            assert gets_gallery(cloud, mine) == "PERMISSION_DENIED"
            assert cloud.told(What.STREAM_ENDED) == ["revoked"]
        finally:
            cloud.stop()

    def test_a_lost_notice_is_made_up_for(
        self, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Without any notification the stream is looked at again and again."""
        monkeypatch.setattr(grpc_guard, "_LOOK_S", 0.1)
        monkeypatch.setattr(cloud.registry, "_on_revoked", lambda _: None)
        with dial(cloud.main, cloud.badge()) as channel:
            stream = Stream(channel, "", "")
            assert stream.riders()
            cloud.registry.revoke("edge-1", now())

            assert stream.ends() is grpc.StatusCode.PERMISSION_DENIED

    def test_a_certificate_that_runs_out_ends_its_stream(
        self, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A connection does not outlive the certificate that it was made with."""
        monkeypatch.setattr(grpc_guard, "_LOOK_S", 0.1)
        with dial(cloud.main, cloud.badge(age=7 * DAY - timedelta(seconds=4))) as channel:
            stream = Stream(channel, "", "")
            assert stream.riders()

            assert stream.ends() is grpc.StatusCode.PERMISSION_DENIED
        assert cloud.told(What.STREAM_ENDED) == ["expired"]


class TestRotation:
    """A new authority, beside the old one, without a restart."""

    def test_with_overlap_nobody_is_locked_out(self, cloud: Cloud, tmp_path: Path) -> None:
        """Old and new certificates open while both are trusted; then only those of the new one."""
        [old] = cloud.authority.authorities()
        sleeper, awake = cloud.badge(), kept(cloud.badge(age=2 * DAY), tmp_path / "awake")
        mine = {EVERYBODY[0].rider_ref}

        new = cloud.authority.rotate()
        assert gets_gallery(cloud, sleeper) == mine
        # The cloud still shows the old authority: a node that knows no other believes it.
        assert fetched_ca(cloud.device, old.fingerprint) == old.pem
        fresh = renew_late(awake, target=cloud.device)
        assert fresh.trusted == bundle((old, new))
        assert gets_gallery(cloud, fresh) == mine

        cloud.authority.retire(old.authority_id)
        assert gets_gallery(cloud, fresh) == mine
        assert gets_gallery(cloud, sleeper) == "UNAVAILABLE"
        # Control: it is the authority; with the cloud's new one believed, the node is refused.
        assert gets_gallery(cloud, replace(sleeper, trusted=new.pem)) == "UNAVAILABLE"
        with dial_device(cloud.device, new.pem) as channel, pytest.raises(LinkRefused):
            GraceTapSink(channel, sleeper).send(Batch("edge-1", uuid4(), ()))


class TestCrowd:
    """Many at once."""

    def test_a_hundred_nodes_connect_at_once(self, cloud: Cloud) -> None:
        """A hundred handshakes with certificates at the same moment all succeed."""
        shown = [cloud.badge() for _ in range(10)]
        answers: list[set[UUID] | str] = []
        ask = functools.partial(gets_gallery, cloud)
        threads = [
            threading.Thread(target=lambda one: answers.append(ask(one)), args=(shown[n % 10],))
            for n in range(100)
        ]
        began_s = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        print(f"100 nodes connected and served in {time.monotonic() - began_s:.2f} s")
        assert answers == [{EVERYBODY[0].rider_ref}] * 100
