"""Who gets in and who does not: real gRPC servers and certificates (fault table, rows 22 and 23).

Handshakes are judged by the machine's clock, so certificates of another time are really issued
then; all else takes its clock as an argument.
"""

import asyncio
import functools
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
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
from gateline.sync.v1 import device_service_pb2_grpc, gallery_service_pb2_grpc

from cloud_sync import possession
from cloud_sync.adapters import grpc_guard
from cloud_sync.adapters.grpc_channel import dial_device
from cloud_sync.adapters.grpc_client import (
    Badge,
    CertificateKeeper,
    DeviceAway,
    DeviceRefused,
    GrpcTapSink,
    KeeperConfig,
    NoBadge,
    TapUplink,
    UplinkConfig,
    dial,
    fetched_ca,
    join,
)
from cloud_sync.adapters.grpc_device_client import GraceTapSink, renew_late
from cloud_sync.adapters.grpc_guard import Guard
from cloud_sync.adapters.grpc_server import Ports, ServerConfig, Stores, serve
from cloud_sync.adapters.memory_authority import MemoryAuthority
from cloud_sync.adapters.memory_outbox import MemoryOutbox
from cloud_sync.adapters.memory_registry import MemoryRegistry
from cloud_sync.adapters.memory_taps import MemoryTapLog
from cloud_sync.adapters.memory_view import MemoryViewLog
from cloud_sync.adapters.node_trust import NodeTrust
from cloud_sync.adapters.postgres import VERSIONS, PostgresViewLog
from cloud_sync.adapters.postgres_registry import PostgresRegistry
from cloud_sync.adapters.system_clock import SystemClock
from cloud_sync.adapters.wakes import Wakes, conninfo, listen
from cloud_sync.authority import bundle
from cloud_sync.backoff import Backoff
from cloud_sync.bootstrap import TOKEN_BYTES, VALIDITY_MAX, made, written
from cloud_sync.certificate import digest_of, key_to_pem, new_request
from cloud_sync.device import ALLOWED, CertificateState, Identity, Power
from cloud_sync.gallery import PutTemplate
from cloud_sync.generate import templates
from cloud_sync.messages import Hello
from cloud_sync.outbox import Outbox
from cloud_sync.registry import DeviceRegistry, What
from cloud_sync.signing import NodeKey
from cloud_sync.tap_log import Batch, Blemish
from cloud_sync.uplink import LinkDown, LinkRefused
from cloud_sync.view import EdgeNode, ViewLog
from cloud_sync.wire import request_to_proto
from fare.adapters import database
from tests.keys import SAFE
from tests.taps import tap
from tests.trust import badge, foreign, once, trust_of

BELL, DRUM = "bell-tower", "drum-tower"
KEY = NodeKey(bytes(range(32)))
QUICK = Backoff(base_s=0.02, cap_s=0.1)
DAY = timedelta(days=1)
EVERYBODY = templates(2, seed=3, model_id="model-a")
PATIENCE_S = 20.0


class Cloud:
    """A cloud in a thread, with both ports."""

    def __init__(
        self, views: ViewLog, registry: DeviceRegistry, authority: MemoryAuthority, db: str = ""
    ) -> None:
        """Admit two edges at two stations; each station has one template."""
        self.views, self.registry, self.authority, self._db = views, registry, authority, db
        now = datetime.now(UTC)
        self.nodes = {
            edge: EdgeNode(edge, station, KEY.public_key)
            for edge, station in (("edge-1", BELL), ("edge-2", DRUM))
        }
        for node, person in zip(self.nodes.values(), EVERYBODY, strict=True):
            views.admit(node, now)
            views.publish([node.station_id], [PutTemplate(person)])
        self.taps = MemoryTapLog(self.nodes)
        self.wakes = Wakes()
        self.ports = Ports(0, 0)
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        """Serve; return when it does."""
        self._thread.start()
        assert self._ready.wait(PATIENCE_S)

    def stop(self) -> None:
        """Stop serving."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    @property
    def main(self) -> str:
        """The main port's address."""
        return f"127.0.0.1:{self.ports.main}"

    @property
    def device(self) -> str:
        """The device port's address."""
        return f"127.0.0.1:{self.ports.device}"

    def badge(self, *names: str, **more: Any) -> Badge:
        """Return a badge of this cloud's own authority, noted as issued."""
        given = badge(*names, authority=self.authority, **more)
        self.registry.issued(given.certified, datetime.now(UTC) - DAY * 60)
        return given

    def token(self, identity: Identity, *, validity: timedelta = VALIDITY_MAX) -> str:
        """Make a token as the operator does."""
        secret = os.urandom(TOKEN_BYTES)
        self.registry.offer(made(secret, identity, datetime.now(UTC), validity=validity))
        return written(secret)

    def told(self, what: What) -> list[str]:
        """Return the details of the audit's lines of a kind, newest first."""
        return [line.detail for line in self.registry.audited(99) if line.what is what]

    def look(self, edge_id: str) -> None:
        """Tell the streams of an edge, as PostgreSQL would."""
        self._loop.call_soon_threadsafe(self.wakes.look_at, edge_id)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        chores = [asyncio.create_task(listen(self.wakes, self._db))] if self._db else []
        local = "127.0.0.1:0"
        await serve(
            Stores(self.views, self.taps, trust_of(self.registry, self.authority)),
            ServerConfig(local, device_listen=local, grace_s=0.1),
            wakes=self.wakes,
            clock=SystemClock(),
            stop=self._stop,
            on_ready=self._served,
        )
        for chore in chores:
            chore.cancel()
        await asyncio.gather(*chores, return_exceptions=True)

    def _served(self, ports: Ports) -> None:
        self.ports = ports
        self._ready.set()


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    """Give a cloud in memory that serves."""
    views = MemoryViewLog(uuid4)
    made_cloud = Cloud(views, MemoryRegistry(views), MemoryAuthority(SystemClock()))
    made_cloud.registry = MemoryRegistry(views, on_revoked=made_cloud.look)
    made_cloud.start()
    yield made_cloud
    made_cloud.stop()


class Stream:
    """A gallery stream held open by hand."""

    def __init__(self, channel: grpc.Channel, edge_id: str, station_id: str) -> None:
        """Say hello."""
        hello = Hello(edge_id, station_id, None, 0, "model-a", "plain", 0, datetime.now(UTC))
        self._said: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._said.put(request_to_proto(hello))
        stub = gallery_service_pb2_grpc.GalleryServiceStub(channel)  # type: ignore[no-untyped-call]
        self.call = stub.Follow(iter(self._said.get, None), timeout=PATIENCE_S)

    def riders(self) -> set[UUID]:
        """Return whom the first chunk brings."""
        for response in self.call:
            if response.WhichOneof("event") == "chunk":
                found = {each.put_template.rider_ref for each in response.chunk.changes}
                return {UUID(bytes=ref) for ref in found if ref}
        raise AssertionError("no chunk came")

    def ends(self) -> grpc.StatusCode:
        """Wait for the end; return its status."""
        with pytest.raises(grpc.RpcError) as ended:
            for _ in self.call:
                pass
        code: grpc.StatusCode = ended.value.code()
        return code

    def leave(self) -> None:
        """Hang up."""
        self._said.put(None)
        self.call.cancel()


def gets_gallery(cloud: Cloud, shown: Badge, names: tuple[str, str] = ("", "")) -> set[UUID] | str:
    """Return whom a badge is sent by the main port, or the status that it is refused with."""
    with dial(cloud.main, shown) as channel:
        stream = Stream(channel, *names)
        try:
            return stream.riders()
        except grpc.RpcError as refused:
            return str(refused.code().name)
        finally:
            stream.leave()


def outbox_of(count: int) -> MemoryOutbox:
    """Return an outbox of the edge's with some taps."""
    made_outbox = MemoryOutbox(uuid4(), KEY)
    for number in range(count):
        made_outbox.append(tap(number))
    return made_outbox


def brings_taps(cloud: Cloud, shown: Badge) -> str:
    """Return what becomes of taps that a badge brings to the device port."""
    outbox = outbox_of(3)
    batch = Batch(shown.certified.identity.edge_id, outbox.outbox_id, tuple(outbox.pending(9)))
    with dial_device(cloud.device, shown.trusted) as channel:
        try:
            receipt = GraceTapSink(channel, shown).send(batch)
        except LinkRefused:
            return "no"
    assert receipt.durable_seq == 3  # so the node need not bring them again
    aside = cloud.taps.quarantined(outbox.outbox_id)
    if cloud.taps.stored(outbox.outbox_id):
        assert not aside
        return "yes"
    assert {each.blemish for each in aside} == {Blemish.REVOKED}
    return "into quarantine"


def renews(cloud: Cloud, shown: Badge, folder: Path) -> str:
    """Return whether a badge gets a new certificate at the device port."""
    trust = kept(shown, folder)
    try:
        fresh = renew_late(trust, target=cloud.device)
    except DeviceRefused:
        return "no"
    assert fresh.certified.identity == shown.certified.identity
    assert gets_gallery(cloud, fresh) == {EVERYBODY[0].rider_ref}
    return "yes"


def kept(shown: Badge, folder: Path) -> NodeTrust:
    """Return a node's folder with a badge in it."""
    folder.mkdir(mode=0o700, parents=True)
    (folder / "tls.key").write_bytes(shown.key)
    (folder / "tls.key").chmod(0o600)
    trust = NodeTrust(folder)
    trust.save(shown.certificate, shown.trusted, shown.cloud_key)
    return trust


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


def foreign_authority() -> bytes:
    """Return an authority that has signed nothing here, PEM."""
    return bundle(MemoryAuthority(SystemClock()).authorities())


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


def key_of(shown: Badge) -> ec.EllipticCurvePrivateKey:
    """Return the private key of a badge."""
    from cloud_sync.certificate import key_of_pem

    return key_of_pem(shown.key)


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
        database.migrate(engine, "cloud_sync", VERSIONS)
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


def now() -> datetime:
    """Return the machine's time."""
    return datetime.now(UTC)


class TestJoin:
    """A new node."""

    def test_gets_what_it_needs(self, cloud: Cloud, tmp_path: Path) -> None:
        """With a token and the authority it gets a certificate, and with that its gallery."""
        me = Identity("south-gate", "edge-7")
        trust, token = NodeTrust(tmp_path / "trust"), cloud.token(me)

        given = join(trust, me, KEY, token, target=cloud.device, ca=ca_of(cloud))

        assert given.certified.identity == me
        assert given.cloud_key == SAFE.ring.cloud_key.public_key
        node = cloud.views.edge("edge-7")
        assert node == EdgeNode("edge-7", "south-gate", KEY.public_key)
        cloud.views.publish(["south-gate"], [PutTemplate(EVERYBODY[0])])
        assert gets_gallery(cloud, trust.badge()) == {EVERYBODY[0].rider_ref}
        assert cloud.told(What.ENROLLED) == ["at south-gate"]
        assert [path.stat().st_mode & 0o777 for path in (tmp_path / "trust").iterdir()] == [
            0o600
        ] * 4
        # The answer was lost: the same node may ask once more, another may not.
        join(trust, me, KEY, token, target=cloud.device, ca=ca_of(cloud))
        with pytest.raises(DeviceRefused, match="PERMISSION_DENIED"):
            join(NodeTrust(tmp_path / "b"), me, KEY, token, target=cloud.device, ca=ca_of(cloud))

    @pytest.mark.parametrize("fault", ["unknown", "wrong_node", "expired"])
    def test_a_bad_token_lets_nobody_in(self, cloud: Cloud, tmp_path: Path, fault: str) -> None:
        """The stranger hears one word for all of them, the audit the right one."""
        me = Identity("south-gate", "edge-7")
        token = cloud.token(me)
        if fault == "unknown":
            token = token[:-1] + ("a" if token[-1] != "a" else "b")
        if fault == "wrong_node":
            me = Identity(BELL, "edge-7")
        if fault == "expired":
            token = cloud.token(me, validity=timedelta(microseconds=1))

        with pytest.raises(DeviceRefused, match="lets nobody in"):
            join(NodeTrust(tmp_path / "t"), me, KEY, token, target=cloud.device, ca=ca_of(cloud))

        [line] = cloud.told(What.TOKEN_REFUSED)
        assert line.startswith(fault)
        assert token not in line
        assert cloud.views.edge("edge-7") is None

    def test_a_copied_disk_is_noticed(self, cloud: Cloud, tmp_path: Path) -> None:
        """A second node with the key of the first is not let in under a name of its own."""
        first, second = Identity("south-gate", "edge-7"), Identity("south-gate", "edge-8")
        trust = NodeTrust(tmp_path / "trust")
        join(trust, first, KEY, cloud.token(first), target=cloud.device, ca=ca_of(cloud))

        with pytest.raises(DeviceRefused, match="another edge's"):
            join(trust, second, KEY, cloud.token(second), target=cloud.device, ca=ca_of(cloud))

        assert cloud.told(What.TOKEN_REFUSED)[0].startswith("key_reused")

    def test_somebody_elses_tap_key_is_not_enrolled(self, cloud: Cloud, tmp_path: Path) -> None:
        """Who cannot sign with a tap key cannot have it taken for theirs."""

        class Thief(NodeKey):
            """Shows one public key and signs with another."""

            @property
            def public_key(self) -> bytes:
                """Return another node's."""
                return NodeKey(bytes(32)).public_key

        me = Identity("south-gate", "edge-7")
        with pytest.raises(DeviceRefused, match="tap key is not proven"):
            join(
                NodeTrust(tmp_path / "t"), me, Thief(bytes(range(32))), cloud.token(me),
                target=cloud.device, ca=ca_of(cloud),
            )  # fmt: skip

    def test_to_an_impostor_tells_no_token(self, cloud: Cloud, tmp_path: Path) -> None:
        """A node that is given the right authority does not tell its token to anybody else."""
        me = Identity("south-gate", "edge-7")

        with pytest.raises(DeviceAway):
            join(
                NodeTrust(tmp_path / "t"), me, KEY, cloud.token(me),
                target=cloud.device, ca=foreign_authority(),
            )  # fmt: skip

        assert cloud.told(What.ENROLLED) == []

    def test_by_fingerprint(self, cloud: Cloud) -> None:
        """The authority is fetched by its fingerprint, and by no other."""
        [authority] = cloud.authority.authorities()

        assert fetched_ca(cloud.device, authority.fingerprint.upper()) == authority.pem
        with pytest.raises(DeviceAway, match="fingerprint"):
            fetched_ca(cloud.device, "00" * 32)


def ca_of(cloud: Cloud) -> bytes:
    """Return what an operator carries to a new node."""
    return bundle(cloud.authority.authorities())


class TurnedClock(SystemClock):
    """A node's clock that is off."""

    def __init__(self, off: timedelta) -> None:
        """Be off by so much."""
        self.off = off

    def wall(self) -> datetime:
        """Return the wrong time."""
        return super().wall() + self.off


class TestKeeper:
    """A node that keeps its certificate."""

    def keeper(self, cloud: Cloud, trust: NodeTrust, clock: SystemClock) -> CertificateKeeper:
        """Return the loop of a node."""
        config = KeeperConfig(cloud.main, cloud.device, backoff=QUICK)
        return CertificateKeeper(trust, config=config, clock=clock, draw=lambda: 0.0)

    @pytest.mark.parametrize(
        ("age", "off"),
        [
            (2 * DAY, timedelta(0)),  # by the main port
            (8 * DAY, timedelta(0)),  # by the device port
            (8 * DAY, -5 * DAY),  # its clock is slow: the main port's handshake tells it
            (2 * DAY, 30 * DAY),  # its clock is fast: the device port takes good ones too
        ],
    )
    def test_renews(self, cloud: Cloud, tmp_path: Path, age: timedelta, off: timedelta) -> None:
        """A day old or out, whatever its own clock says, and the new one opens the main port."""
        trust = kept(cloud.badge(age=age), tmp_path / "trust")

        self.keeper(cloud, trust, TurnedClock(off)).look()

        fresh = trust.badge()
        assert now() - fresh.certified.issued < timedelta(minutes=1)
        assert gets_gallery(cloud, fresh) == {EVERYBODY[0].rider_ref}

    def test_lets_a_young_one_be(self, cloud: Cloud, tmp_path: Path) -> None:
        """In its first day a certificate is not renewed."""
        shown = cloud.badge(age=DAY - timedelta(minutes=5))
        trust = kept(shown, tmp_path / "trust")

        self.keeper(cloud, trust, SystemClock()).look()

        assert trust.badge() == shown

    def test_goes_on_when_refused(
        self, cloud: Cloud, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A revoked node keeps asking and says why, once; its old certificate stays."""
        shown = cloud.badge(age=2 * DAY)
        trust = kept(shown, tmp_path / "trust")
        cloud.registry.revoke("edge-1", now())
        loop = self.keeper(cloud, trust, SystemClock())

        for _ in range(3):
            loop.look()

        assert trust.badge() == shown
        told = [each for each in caplog.records if each.msg == "certificate_not_renewed"]
        assert len(told) == 1
        assert len(cloud.told(What.REFUSED)) == 3

    def test_a_node_without_one_says_what_to_do(
        self, cloud: Cloud, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Before it has joined nothing is asked of the cloud, and the log has the command."""
        trust = NodeTrust(tmp_path / "trust")

        self.keeper(cloud, trust, SystemClock()).look()

        assert "edge_gate join" in str(caplog.records[-1].__dict__)
        with pytest.raises(NoBadge, match="cloud_sync token"):
            trust.badge()


class TestUplink:
    """Taps of a node whose certificate is not good."""

    def test_expired_taps_go_past_the_main_port_and_back(
        self, cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Taps of an expired node arrive, its gallery is denied; renewed, it is as before."""
        from cloud_sync.adapters import grpc_uplink

        monkeypatch.setattr(grpc_uplink, "_PAST_MAIN_S", 0.3)
        trust = kept(cloud.badge(age=8 * DAY), tmp_path / "trust")
        outbox = outbox_of(5)
        with uplinked(cloud, trust.badge, outbox):
            until(lambda: outbox.depth() == 0)
            assert gets_gallery(cloud, trust.badge()) == "UNAVAILABLE"
            assert cloud.told(What.GRACE_TAPS)[-1] == "5 taps, certificate expired"
            past = len(cloud.told(What.GRACE_TAPS))

            renew_late(trust, target=cloud.device)
            time.sleep(0.4)
            outbox.append(tap(5))
            until(lambda: outbox.depth() == 0)

        assert len(cloud.told(What.GRACE_TAPS)) == past
        assert len(cloud.taps.stored(outbox.outbox_id)) == 6
        assert gets_gallery(cloud, trust.badge()) == {EVERYBODY[0].rider_ref}

    def test_of_a_node_that_was_moved(self, cloud: Cloud) -> None:
        """Refused at the main port, a node in time brings its taps to the device port."""
        outbox = outbox_of(2)
        with uplinked(cloud, once(shown_as(CertificateState.KEY_REUSED, cloud)), outbox):
            until(lambda: outbox.depth() == 0)

        assert cloud.told(What.GRACE_TAPS)[-1] == "2 taps, certificate key_reused"

    def test_nothing_is_lost_of_a_lapsed_node(self, cloud: Cloud, tmp_path: Path) -> None:
        """Past its grace the taps wait; when the node has joined anew they all arrive."""
        me = Identity(BELL, "edge-1")
        trust = kept(cloud.badge(age=40 * DAY), tmp_path / "trust")
        outbox = outbox_of(3)
        with uplinked(cloud, trust.badge, outbox):
            time.sleep(0.5)  # some attempts
            assert outbox.depth() == 3
            join(trust, me, KEY, cloud.token(me), target=cloud.device, ca=ca_of(cloud))
            until(lambda: outbox.depth() == 0)

        assert len(cloud.taps.stored(outbox.outbox_id)) == 3


class uplinked:  # noqa: N801  # a context, as `contextlib.suppress` is
    """A node's loop that sends taps, for as long as the block runs."""

    def __init__(self, cloud: Cloud, source: Callable[[], Badge], outbox: Outbox) -> None:
        """Prepare it."""
        config = UplinkConfig(
            cloud.main, "edge-1", source, device_target=cloud.device, backoff=QUICK
        )
        loop = TapUplink(outbox, config=config, clock=SystemClock(), draw=lambda: 0.5)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=loop.run, args=(self._stop,))

    def __enter__(self) -> None:
        """Start."""
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._stop.set()
        self._thread.join()


def until(fact: Callable[[], bool]) -> None:
    """Wait for a fact."""
    ends_s = time.monotonic() + PATIENCE_S
    while not fact():
        assert time.monotonic() < ends_s, "it never came true"
        time.sleep(0.01)


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


class TestFolder:
    """A node's own folder of trust."""

    def test_keeps_its_key(self, tmp_path: Path) -> None:
        """The key is made once, for the owner alone, and is in no text."""
        trust = NodeTrust(tmp_path / "trust")

        assert key_to_pem(trust.key()) == key_to_pem(trust.key())
        shown = badge(key=trust.key())
        trust.save(shown.certificate, shown.trusted, shown.cloud_key)
        assert "PRIVATE" not in repr(trust.badge())

    def test_refuses_what_others_can_read(self, tmp_path: Path) -> None:
        """A key that is not private is not used."""
        trust = NodeTrust(tmp_path / "trust")
        trust.key()
        (tmp_path / "trust" / "tls.key").chmod(0o644)

        with pytest.raises(NoBadge, match="mode 644"):
            trust.key()

    def test_refuses_a_certificate_for_another_key(self, tmp_path: Path) -> None:
        """What the cloud sends must be for this node's own key, or nothing is kept."""
        trust = NodeTrust(tmp_path / "trust")
        shown = badge()

        with pytest.raises(NoBadge, match="another key"):
            trust.save(shown.certificate, shown.trusted, shown.cloud_key)
        with pytest.raises(NoBadge, match="join"):
            trust.badge()
