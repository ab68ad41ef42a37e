"""A cloud with both ports in a thread, in memory, and what a node with a badge gets from it."""

import asyncio
import contextlib
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from gateline.sync.v1 import gallery_service_pb2_grpc

from cloud_sync.adapters.grpc.channel import dial_device
from cloud_sync.adapters.grpc.client import (
    Badge,
    DeviceRefused,
    dial,
)
from cloud_sync.adapters.grpc.device_client import GraceTapSink, renew_late
from cloud_sync.adapters.grpc.node_trust import NodeTrust
from cloud_sync.adapters.grpc.server import Ports, ServerConfig, Stores, serve
from cloud_sync.adapters.memory.authority import MemoryAuthority
from cloud_sync.adapters.memory.outbox import MemoryOutbox
from cloud_sync.adapters.memory.registry import MemoryRegistry
from cloud_sync.adapters.memory.taps import MemoryTapLog
from cloud_sync.adapters.memory.view_log import MemoryViewLog
from cloud_sync.adapters.postgres.wakes import Wakes, listen
from cloud_sync.adapters.system_clock import SystemClock
from cloud_sync.gallery import PutTemplate
from cloud_sync.generate import templates
from cloud_sync.stream.backoff import Backoff
from cloud_sync.stream.messages import Hello
from cloud_sync.stream.view import EdgeNode, ViewLog
from cloud_sync.taps.signing import NodeKey
from cloud_sync.taps.tap_log import Batch, Blemish
from cloud_sync.taps.uplink import LinkRefused
from cloud_sync.trust.authority import bundle
from cloud_sync.trust.bootstrap import TOKEN_BYTES, VALIDITY_MAX, made, written
from cloud_sync.trust.device import Identity
from cloud_sync.trust.registry import DeviceRegistry, What
from cloud_sync.wire import request_to_proto
from tests.taps import tap
from tests.trust import badge, trust_of

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


@contextlib.contextmanager
def in_memory() -> Iterator[Cloud]:
    """Give a cloud in memory that serves."""
    views = MemoryViewLog(uuid4)
    made_cloud = Cloud(views, MemoryRegistry(views), MemoryAuthority(SystemClock()))
    made_cloud.registry = MemoryRegistry(views, on_revoked=made_cloud.look)
    made_cloud.start()
    try:
        yield made_cloud
    finally:
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


def foreign_authority() -> bytes:
    """Return an authority that has signed nothing here, PEM."""
    return bundle(MemoryAuthority(SystemClock()).authorities())


def key_of(shown: Badge) -> ec.EllipticCurvePrivateKey:
    """Return the private key of a badge."""
    from cloud_sync.trust.certificate import key_of_pem

    return key_of_pem(shown.key)


def now() -> datetime:
    """Return the machine's time."""
    return datetime.now(UTC)


def ca_of(cloud: Cloud) -> bytes:
    """Return what an operator carries to a new node."""
    return bundle(cloud.authority.authorities())


def until(fact: Callable[[], bool]) -> None:
    """Wait for a fact."""
    ends_s = time.monotonic() + PATIENCE_S
    while not fact():
        assert time.monotonic() < ends_s, "it never came true"
        time.sleep(0.01)
