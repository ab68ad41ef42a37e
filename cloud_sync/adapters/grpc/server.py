"""The cloud's gRPC server: gallery streams, tap batches and the nodes' reports.

Everything here is asynchronous in one loop; the database is asked in threads. What an edge is
told is decided in `serve_view`, what becomes of taps in `ingest`.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import grpc
from gateline.sync.v1 import (
    fleet_service_pb2,
    fleet_service_pb2_grpc,
    gallery_service_pb2_grpc,
    presence_service_pb2,
    presence_service_pb2_grpc,
    tap_service_pb2,
    tap_service_pb2_grpc,
)

from cloud_sync.adapters.grpc.channel import DEVICE_SERVER_OPTIONS, SERVER_OPTIONS
from cloud_sync.adapters.grpc.counts import Counts
from cloud_sync.adapters.grpc.device import DevicePort, Renewal
from cloud_sync.adapters.grpc.device_trust import DeviceTrust
from cloud_sync.adapters.grpc.guard import Guard
from cloud_sync.adapters.grpc.listener import Listener
from cloud_sync.adapters.grpc.outgoing import Sealing
from cloud_sync.adapters.grpc.session import Session, SessionEnded, Tools, first
from cloud_sync.adapters.grpc.shelf import Shelf
from cloud_sync.adapters.index.presence_desk import PresenceDesk, PresenceFailed
from cloud_sync.adapters.postgres.wakes import Wakes
from cloud_sync.clock import Clock
from cloud_sync.fleet.health import FleetLog, FleetLogFailed
from cloud_sync.master.presence import Outcome
from cloud_sync.stream.serve_view import ServeConfig
from cloud_sync.stream.view import ViewLog, ViewLogFailed
from cloud_sync.taps.tap_log import EdgeUnknown, TapLog, TapLogFailed
from cloud_sync.wire import (
    WireBroken,
    batch_from_proto,
    health_from_proto,
    look_from_proto,
    outcome_to_proto,
    receipt_to_proto,
)
from fare.log import say

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Where and how the cloud serves."""

    listen: str
    """`host:port`; port 0 takes a free one."""
    serve: ServeConfig = field(default_factory=ServeConfig)
    """How patiently each stream is served."""
    snapshots_max: int = 2
    """Snapshots sent at once, from 1: each holds a whole view in memory, 100 MB at 50,000."""
    streams_max: int = 1_000
    """Calls served at once, from 1; past it the edge is told to come back."""
    device_listen: str = ""
    """`host:port` of the device port; port 0 takes a free one, empty opens none."""
    strangers_max: int = 64
    """Calls served at once on the device port, from 1: nobody there has shown who they are."""
    grace_s: float = 2.0
    """How long calls may finish when the server stops, seconds, 0 or more."""


@dataclass(frozen=True, slots=True)
class Stores:
    """What the cloud serves from."""

    views: ViewLog
    taps: TapLog
    trust: DeviceTrust
    """By what nodes are known."""
    fleet: FleetLog | None = None
    """Where the nodes' reports are kept; None takes none."""
    sealing: Sealing | None = None
    """How templates leave the cloud; None sends them in plain, and serves edges that bring no key:
    for tests, and while nodes of the version before are upgraded."""
    presence: PresenceDesk | None = None
    """Searches looks from entrances; None where the operator has not switched it on."""
    counts: Counts = field(default_factory=Counts)
    """What the streams have seen, for whoever serves metrics."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where it serves."""

    main: int
    device: int
    """0 where none is open."""


async def serve(
    stores: Stores,
    config: ServerConfig,
    *,
    wakes: Wakes,
    clock: Clock,
    stop: asyncio.Event,
    on_ready: Callable[[Ports], None],
) -> None:
    """Serve until `stop` is set.

    Args:
        stores: Views and taps, and by what nodes are known.
        config: Where and how.
        wakes: Tells which views changed and which edges were revoked; listening is its owner's
            business.
        clock: The time.
        stop: Ends the server, streams first.
        on_ready: Called with the ports once it serves.

    Raises:
        RuntimeError: An address is taken.
        AuthorityFailed: There is nobody to sign the cloud's own certificate.
    """
    trust = stores.trust
    listener = Listener(trust.authority, trust.names, clock=clock, entropy=trust.entropy)
    guard = Guard(trust, wakes, clock)
    main = _main_server(stores, config, guard, wakes, clock)
    servers = [main]
    ports = Ports(main.add_secure_port(config.listen, listener.main_port()), 0)
    if config.device_listen:
        device = _server(DEVICE_SERVER_OPTIONS, config.strangers_max)
        DevicePort(trust, guard, stores.views, stores.taps, clock).join(device)
        bound = device.add_secure_port(config.device_listen, listener.device_port())
        ports = replace(ports, device=bound)
        servers.append(device)
    for server in servers:
        await server.start()
    on_ready(ports)
    try:
        await stop.wait()
    finally:
        wakes.end()
        await asyncio.gather(*(server.stop(config.grace_s) for server in servers))


def _main_server(
    stores: Stores, config: ServerConfig, guard: Guard, wakes: Wakes, clock: Clock
) -> grpc.aio.Server:
    server = _server(SERVER_OPTIONS, config.streams_max)
    shelf = Shelf(config.snapshots_max)
    counts = stores.counts
    tools = Tools(stores.views, config.serve, shelf, wakes, clock, stores.sealing, counts=counts)
    _Gallery(tools, guard).join(server)
    _Taps(stores.taps, guard, clock).join(server)
    Renewal(stores.trust, guard, clock).join(server)
    if stores.fleet is not None:
        _Fleet(stores.fleet, stores.views, guard, clock).join(server)
    _Presence(stores.presence, stores.views, guard, clock).join(server)
    return server


def _server(options: Sequence[tuple[str, int]], calls_max: int) -> grpc.aio.Server:
    return grpc.aio.server(
        options=options,
        compression=grpc.Compression.NoCompression,
        maximum_concurrent_rpcs=calls_max,
    )


class _Gallery(gallery_service_pb2_grpc.GalleryServiceServicer):
    """Follow streams."""

    def __init__(self, tools: Tools, guard: Guard) -> None:
        self._tools = tools
        self._guard = guard

    def join(self, server: grpc.aio.Server) -> None:
        """Be served by this server."""
        add = gallery_service_pb2_grpc.add_GalleryServiceServicer_to_server
        add(self, server)  # type: ignore[no-untyped-call]  # generated

    async def Follow(self, requests: Any, context: grpc.aio.ServicerContext) -> None:  # noqa: N802
        """Serve one edge until either side hangs up."""
        certified = await self._guard.caller(context)
        me = certified.identity
        try:
            said = await first(requests)
            await self._guard.check_names(context, certified, said.edge_id, said.station_id)
            hello = replace(said, edge_id=me.edge_id, station_id=me.station_id)
            session = Session(hello, me.edge_id, self._tools, write=context.write)
            await self._guard.watch(context, certified, session.run(requests))
        except SessionEnded as ended:
            await context.abort(ended.code, ended.detail)


class _Taps(tap_service_pb2_grpc.TapServiceServicer):
    """Tap batches."""

    def __init__(self, taps: TapLog, guard: Guard, clock: Clock) -> None:
        self._taps = taps
        self._guard = guard
        self._clock = clock

    def join(self, server: grpc.aio.Server) -> None:
        """Be served by this server."""
        add = tap_service_pb2_grpc.add_TapServiceServicer_to_server
        add(self, server)  # type: ignore[no-untyped-call]  # generated

    async def BatchCreateTaps(  # noqa: N802
        self,
        request: tap_service_pb2.BatchCreateTapsRequest,
        context: grpc.aio.ServicerContext,
    ) -> tap_service_pb2.BatchCreateTapsResponse:
        """Store a batch; answer after the commit."""
        certified = await self._guard.caller(context)
        await self._guard.check_names(context, certified, request.edge_id)
        request.edge_id = certified.identity.edge_id
        try:
            batch = batch_from_proto(request)
            receipt = await asyncio.to_thread(self._taps.ingest, batch, self._clock.wall())
        except WireBroken as problem:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(problem))
        except EdgeUnknown as problem:
            say(_LOG, "taps_refused", level=logging.ERROR, edge_id=request.edge_id)
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, str(problem))
        except TapLogFailed as problem:
            say(_LOG, "tap_log_failed", level=logging.ERROR, detail=str(problem))
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the tap log is not available")
        return receipt_to_proto(receipt)


class _Fleet(fleet_service_pb2_grpc.FleetServiceServicer):
    """Reports of the nodes' health."""

    def __init__(self, fleet: FleetLog, views: ViewLog, guard: Guard, clock: Clock) -> None:
        self._fleet = fleet
        self._views = views
        self._guard = guard
        self._clock = clock

    def join(self, server: grpc.aio.Server) -> None:
        """Be served by this server."""
        add = fleet_service_pb2_grpc.add_FleetServiceServicer_to_server
        add(self, server)  # type: ignore[no-untyped-call]  # generated

    async def ReportHealth(  # noqa: N802
        self,
        request: fleet_service_pb2.ReportHealthRequest,
        context: grpc.aio.ServicerContext,
    ) -> fleet_service_pb2.ReportHealthResponse:
        """Keep a report under the caller's own name."""
        certified = await self._guard.caller(context)
        await self._guard.check_names(context, certified, request.edge_id)
        edge_id = certified.identity.edge_id
        try:
            await asyncio.to_thread(self._keep, request, edge_id)
        except EdgeUnknown as problem:
            say(_LOG, "report_refused", level=logging.ERROR, edge_id=edge_id)
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, str(problem))
        except WireBroken as problem:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(problem))
        except (FleetLogFailed, ViewLogFailed) as problem:
            say(_LOG, "report_lost", level=logging.ERROR, edge_id=edge_id, detail=str(problem))
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the report was not kept")
        return fleet_service_pb2.ReportHealthResponse()

    def _keep(self, request: fleet_service_pb2.ReportHealthRequest, edge_id: str) -> None:
        node = self._views.edge(edge_id)
        if node is None:
            raise EdgeUnknown(f"{edge_id} is not admitted")
        self._fleet.report(node, health_from_proto(request, node), self._clock.wall())


class _Presence(presence_service_pb2_grpc.PresenceServiceServicer):
    """Looks from entrances."""

    def __init__(
        self, desk: PresenceDesk | None, views: ViewLog, guard: Guard, clock: Clock
    ) -> None:
        self._desk = desk
        self._views = views
        self._guard = guard
        self._clock = clock

    def join(self, server: grpc.aio.Server) -> None:
        """Be served by this server."""
        add = presence_service_pb2_grpc.add_PresenceServiceServicer_to_server
        add(self, server)  # type: ignore[no-untyped-call]  # generated

    async def Identify(  # noqa: N802
        self,
        request: presence_service_pb2.IdentifyRequest,
        context: grpc.aio.ServicerContext,
    ) -> presence_service_pb2.IdentifyResponse:
        """Search a look; answer when the station's view holds whoever it means."""
        certified = await self._guard.caller(context)
        await self._guard.check_names(context, certified, request.edge_id)
        edge_id = certified.identity.edge_id
        if self._desk is None:
            return outcome_to_proto(Outcome.OFF)
        try:
            outcome = await asyncio.to_thread(self._identify, self._desk, request, edge_id)
        except EdgeUnknown as problem:
            say(_LOG, "look_refused", level=logging.ERROR, edge_id=edge_id)
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, str(problem))
        except (PresenceFailed, ViewLogFailed) as problem:
            say(_LOG, "look_lost", level=logging.ERROR, edge_id=edge_id, detail=str(problem))
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the look was not searched")
        return outcome_to_proto(outcome)

    def _identify(
        self, desk: PresenceDesk, request: presence_service_pb2.IdentifyRequest, edge_id: str
    ) -> Outcome:
        node = self._views.edge(edge_id)
        if node is None:
            raise EdgeUnknown(f"{edge_id} is not admitted")
        look = look_from_proto(request, dimension=desk.dimension)
        if look is None:
            return Outcome.MALFORMED
        return desk.identify(node, look, self._clock.wall(), self._clock.monotonic_s())
