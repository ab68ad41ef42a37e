"""A station node, joined from its configuration: disk, models, gallery, lanes, cloud, pages.

The long half of `__main__`: the one place that joins adapters, and no rule stands here. What only
a process may have (clocks, randomness, the models' folder) comes in from there.
"""

import contextlib
import hashlib
import logging
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib import metadata
from pathlib import Path
from uuid import UUID

from cloud_sync.adapters.disk.node_key_file import load_or_make
from cloud_sync.adapters.disk.sqlite_outbox import SqliteOutbox
from cloud_sync.adapters.disk.sqlite_replica import SqliteReplica
from cloud_sync.adapters.disk.tmpfs_vault import TmpfsVault, default_folder
from cloud_sync.adapters.disk.vault_sweep import sweep_vaults
from cloud_sync.adapters.grpc.client import (
    Badge,
    CertificateKeeper,
    FollowerConfig,
    GalleryFollower,
    GrpcPresence,
    HealthReporter,
    KeeperConfig,
    NoBadge,
    PresenceConfig,
    ReporterConfig,
    TapUplink,
    UplinkConfig,
    fetched_ca,
    join,
)
from cloud_sync.adapters.grpc.node_trust import NodeTrust
from cloud_sync.adapters.memory.keys import MemoryVault
from cloud_sync.clock import Clock
from cloud_sync.fleet.health import EdgeHealth
from cloud_sync.gallery import Delta
from cloud_sync.secrecy.vault import Vault, VaultFailed
from cloud_sync.stream.lease import assumed
from cloud_sync.stream.messages import PROTOCOL
from cloud_sync.stream.replica import Holding
from cloud_sync.taps.signing import NodeKey
from cloud_sync.trust.device import Identity
from edge_gate.adapters import sight
from edge_gate.adapters.cameras import UnknownSource, open_camera
from edge_gate.adapters.capture import Capture
from edge_gate.adapters.faiss_gallery import FaissGallery
from edge_gate.adapters.opencv import encode
from edge_gate.adapters.push_camera import PushCamera
from edge_gate.adapters.qr import ZxingReader
from edge_gate.adapters.sim_turnstile import SimTurnstile
from edge_gate.answer import Answer
from edge_gate.camera import Camera, CameraLost
from edge_gate.config import ConfigWrong, LaneSpec, StationConfig
from edge_gate.entrance import EntrancePath
from edge_gate.health import Means, Tally, node_health
from edge_gate.holdings import Holdings
from edge_gate.lap import Laps
from edge_gate.loop import Chore, EntranceLoop, LaneLoop, NodeLoop, Service, make_turn
from edge_gate.moment import Moment, moment
from edge_gate.pipeline import LanePipeline, Organs
from edge_gate.status import (
    CertificateStatus,
    Journal,
    StationStatus,
    certificate_status,
    gallery_status,
    orders_status,
)
from edge_gate.tapping import Place, Tapper
from edge_gate.tiers import Tiers
from edge_gate.web import NodeDoors, make_app
from fare.adapters import serving
from fare.log import say

_LOG = logging.getLogger("edge_gate")


@dataclass(frozen=True, slots=True)
class Given:
    """What only the process has."""

    clock: Clock
    entropy: Callable[[int], bytes]
    """That many random bytes, fit for keys."""
    draw: Callable[[], float]
    """A random number in [0, 1), for back-off."""
    new_id: Callable[[], UUID]
    models: Path
    """The folder of all packs."""
    folder: Path
    """What relative camera paths start from."""
    give_up: Callable[[], None]
    """Ends the process at once: a lane hangs where no thread can be stopped."""


def node_key(config: StationConfig, entropy: Callable[[int], bytes]) -> NodeKey:
    """Return the node's own key, made if missing.

    Raises:
        KeyFileRefused: The file is not a key, or others can read it.
    """
    return load_or_make(config.data_dir / "node.key", entropy=entropy)


def node_trust(config: StationConfig) -> NodeTrust:
    """Return the folder of what the node is known by and whom it trusts."""
    return NodeTrust(config.data_dir / "trust")


def join_cloud(
    config: StationConfig, token: str, *, target: str, ca: str, entropy: Callable[[int], bytes]
) -> Badge:
    """Let the node be enrolled at the cloud; return what it is known by from now on.

    Args:
        config: The station's.
        token: As the operator typed it.
        target: `host:port` of the cloud's device port; empty for the configuration's.
        ca: File with the authority's certificate, or its SHA-256 in hex.
        entropy: For a node without its key of taps yet.

    Raises:
        ConfigWrong: There is no cloud to join, or no such file.
        DeviceAway: No answer.
        DeviceRefused: The cloud said no.
        NoBadge: The trust folder cannot be used.
        KeyFileRefused: The node's key cannot be used.
    """
    target = target or config.device_port
    if not target:
        raise ConfigWrong("the station's file names no cloud; give --cloud HOST:PORT")
    try:
        is_print = re.fullmatch(r"(?:[0-9A-Fa-f]{2}:?){32}", ca)
        authority = fetched_ca(target, ca) if is_print else Path(ca).read_bytes()
    except OSError as problem:
        raise ConfigWrong(f"{ca}: {problem.strerror}") from problem
    return join(
        node_trust(config),
        Identity(config.station_id, config.edge_id),
        node_key(config, entropy),
        token,
        target=target,
        ca=authority,
    )


class Node:
    """One station's process."""

    def __init__(self, config: StationConfig, given: Given) -> None:
        """Open everything that must be there; models may be refused, then codes alone open.

        Args:
            config: The station's.
            given: What the process has.

        Raises:
            KeyFileRefused: The node's key cannot be used.
            OutboxFailed: The outbox cannot be opened.
            ReplicaFailed: The gallery file cannot be opened.
            ConfigWrong: A camera cannot be what the file says.
        """
        self._config, self._given = config, given
        key = node_key(config, given.entropy)
        self._trust = node_trust(config)
        self._outbox = SqliteOutbox(config.data_dir / "outbox.db", key, new_id=given.new_id)
        self._replica = SqliteReplica(config.data_dir / "gallery.db")
        self._sight = sight.open_sight(config, given.models)
        self._holdings = Holdings(
            Tiers(FaissGallery(self._sight.space), FaissGallery(self._sight.space)),
            sight.threshold_for(config),
            config=config.tiers,
            turn=make_turn(),
        )
        self._tapper = Tapper(
            self._outbox, entropy=given.entropy, now=given.clock.wall(), turn=make_turn()
        )
        self._journal = Journal()
        self._tally = Tally(given.clock.wall())
        self._uplink: TapUplink | None = None
        self._captures: list[Capture] = []
        self._pushed: dict[str, PushCamera] = {}
        self._lanes = {lane.id: self._lane(lane) for lane in config.gates}
        self._entrances = self._look_out()

    def serve(self) -> None:
        """Run until SIGTERM or SIGINT."""
        with (
            contextlib.closing(self._outbox),
            contextlib.closing(self._replica),
            contextlib.ExitStack() as cameras,
        ):
            for capture in self._captures:
                cameras.enter_context(capture)  # they find their exposure while galleries are read
            loop = NodeLoop(
                tuple(self._lanes.values()),
                self._chores(),
                self._services(),
                moment=self.moment,
                on_stuck=self._given.give_up,
            )
            loop.start()
            try:
                serving.serve(make_app(self._doors()), self._config.listen)
            finally:
                cameras.close()
                hanging = loop.stop()
                say(_LOG, "stopped", station=self._config.station_id, hanging=hanging)

    def moment(self) -> Moment:
        """Return now; the wall clock's error is its distance from the cloud's, where known."""
        clock = self._given.clock
        anchor = self._holdings.standing.anchor
        return moment(anchor, wall=clock.wall(), mono_s=clock.monotonic_s())

    def _lane(self, lane: LaneSpec) -> LaneLoop:
        place = Place(self._config.station_id, lane.id, lane.direction)
        # The turnstile is simulated; hardware comes behind the same port.
        organs = Organs(
            self._sight.eye, ZxingReader(), self._holdings, self._tapper, SimTurnstile()
        )
        laps = Laps(self._given.clock.monotonic_s)
        own = self._capture(f"{lane.id}-code", lane.code_camera) if lane.code_camera else None
        return LaneLoop(
            LanePipeline(place, organs, self._config.lane_config(lane), laps),
            self._capture(lane.id, lane.camera),
            code_source=own,
            moment=self.moment,
            heard=self._heard,
            keep_picture=self._config.show_pictures,
        )

    def _look_out(self) -> tuple[EntranceLoop, ...]:
        """Return the entrance cameras; they share one way to the cloud."""
        config, clock = self._config, self._given.clock
        if not config.entrances:
            return ()
        cloud = GrpcPresence(PresenceConfig(config.cloud, config.edge_id, self._trust.badge), clock)
        return tuple(
            EntranceLoop(
                lane.id,
                EntrancePath(
                    self._sight.eye, config.entrance_config(lane), Laps(clock.monotonic_s)
                ),
                self._capture(lane.id, lane.camera),
                cloud,
                moment=self.moment,
            )
            for lane in config.entrances
        )

    def _capture(self, name: str, source: str) -> Capture:
        capture = Capture(self._camera(name, source), name=name)
        self._captures.append(capture)
        return capture

    def _camera(self, name: str, source: str) -> Camera:
        if source == "push":
            self._pushed[name] = PushCamera()
            return self._pushed[name]
        eye = self._sight.eye
        try:
            return open_camera(
                source, folder=self._given.folder, detector=eye.detector if eye else None
            )
        except (UnknownSource, CameraLost) as problem:
            raise ConfigWrong(f"camera of lane {name}: {problem}") from problem

    def _heard(self, place: Place, now: Moment, answer: Answer) -> None:
        say(
            _LOG,
            "decision",
            level=logging.INFO,
            station=place.station_id,
            lane=place.lane_id,
            direction=place.direction,
            monotonic_s=round(now.mono_s, 3),
            **answer.fields(),
        )
        self._journal.note(place, now.wall, answer)
        self._tally.note(place, answer)
        if answer.reason is None and self._uplink is not None:
            self._uplink.nudge()

    def _chores(self) -> tuple[Chore, ...]:
        def seal(_: Moment) -> None:
            if self._holdings.gallery.seal():
                say(_LOG, "gallery_sealed", templates=self._holdings.gallery.size)
                self._holdings.examine()

        def sweep(now: Moment) -> None:
            gone = self._holdings.sweep(now.wall)
            if gone:
                say(_LOG, "templates_expired", count=gone)
            ended = self._holdings.end_denials()
            if ended:
                say(_LOG, "denials_ended", count=ended)

        def prune(now: Moment) -> None:
            gone = self._outbox.prune(now.wall - timedelta(days=self._config.keep_taps_days))
            if gone:
                say(_LOG, "taps_pruned", count=gone)

        def examine(_: Moment) -> None:
            self._holdings.examine()

        return (
            Chore("canary", 10.0, examine),
            Chore("seal", 2.0, seal),
            Chore("sweep", 10.0, sweep),
            Chore("prune", 60.0, prune),
        )

    def _services(self) -> tuple[Service, ...]:
        """Return what talks with the cloud; without a cloud the replica is read once."""
        config, given = self._config, self._given
        if not config.cloud:
            self._take(self._replica.load())
            lease, clock = self._replica.standing().lease, given.clock
            began = assumed(lease, wall=clock.wall(), monotonic_s=clock.monotonic_s())
            self._holdings.renew(lease, began)
            return ()
        follower = GalleryFollower(
            self._replica,
            self._take,
            self._holdings.renew,
            config=FollowerConfig(
                config.cloud,
                config.edge_id,
                config.station_id,
                self._sight.space,
                self._trust.badge,
                outbox_depth=self._outbox.depth,
                vault=_vault(config, given.clock.wall()),
                takes_plain=False,
                entropy=given.entropy,
            ),
            clock=given.clock,
            draw=given.draw,
        )
        self._uplink = TapUplink(
            self._outbox,
            config=UplinkConfig(
                config.cloud, config.edge_id, self._trust.badge, device_target=config.device_port
            ),
            clock=given.clock,
            draw=given.draw,
        )
        reporter = HealthReporter(
            self._health,
            config=ReporterConfig(config.cloud, config.edge_id, self._trust.badge),
            clock=given.clock,
        )
        keeper = CertificateKeeper(
            self._trust,
            config=KeeperConfig(config.cloud, config.device_port),
            clock=given.clock,
            draw=given.draw,
        )
        health = Service("health", reporter.run)
        certificate = Service("certificate", keeper.run)
        ahead = tuple(Service(f"entrance-{e.status.id}", e.run) for e in self._entrances)
        if not config.gates:
            # Without a gate there is nobody to match: no template comes to such a node.
            return health, certificate, *ahead
        try:
            follower.wake()
        except Exception:  # noqa: BLE001  # codes must pass; the follower tries again
            _LOG.exception("gallery_unread")
        return (
            Service("gallery", follower.run),
            Service("uplink", self._uplink.run),
            health,
            certificate,
            *ahead,
        )

    def _health(self) -> EdgeHealth:
        """Return what the cloud is told of this node."""
        now = self.moment()
        oldest = self._outbox.pending(1)
        means = Means(
            model_digest=self._sight.space.model_id if self._sight.eye else "",
            software=metadata.version("gateline"),
            protocol=PROTOCOL,
            disk_free_bytes=shutil.disk_usage(self._config.data_dir).free,
            oldest_tap=oldest[0].tap.tap_time if oldest else None,
            frame_ages_s={
                name: lane.frame_age_s(now.mono_s)
                for name, lane in self._lanes.items()
                if name not in self._pushed
            },
        )
        return node_health(self._status(), self._tally, means, now)

    def _take(self, news: Delta | Holding) -> None:
        """Bring the gallery to what the replica holds; counted from the next decision on."""
        self._holdings.follow(news)
        if isinstance(news, Holding):
            say(_LOG, "gallery_loaded", templates=len(news.templates), revision=news.rev)

    def _doors(self) -> NodeDoors:
        return NodeDoors(
            status=self._status,
            reset=lambda lane_id: self._lanes[lane_id].ask_reset(),
            pictures=self._pictures() if self._config.show_pictures else {},
            offers={name: camera.offer for name, camera in self._pushed.items()}
            if self._config.accept_push
            else {},
            names=frozenset(name.lower() for name in self._config.listen_names),
        )

    def _pictures(self) -> Mapping[str, Callable[[], bytes | None]]:
        def newest(lane: LaneLoop) -> Callable[[], bytes | None]:
            return lambda: None if lane.picture is None else encode(lane.picture)

        return {name: newest(lane) for name, lane in self._lanes.items()}

    def _status(self) -> StationStatus:
        now = self.moment()
        config = self._config
        return StationStatus(
            config.station_id,
            config.name or config.station_id,
            config.edge_id,
            now.wall,
            self._sight.words,
            gallery_status(self._holdings, now),
            self._outbox.depth(),
            tuple(lane.status for lane in self._lanes.values()),
            self._journal.newest(),
            orders_status(self._holdings, now),
            self._certificate(now),
            tuple(entrance.status for entrance in self._entrances),
        )

    def _certificate(self, now: Moment) -> CertificateStatus:
        if not self._config.cloud:
            return CertificateStatus("none needed without a cloud")
        try:
            return certificate_status(self._trust.badge().certified, now.wall)
        except NoBadge as problem:
            return CertificateStatus(str(problem))


def _vault(config: StationConfig, now: datetime) -> Vault:
    """Return where the node's keys are kept: in memory that outlives the process, if there is any.

    The folder is told apart by the data beside it: two nodes of one name may run on one machine.
    Vaults of nodes whose data is gone are removed.
    """
    home = config.data_dir.resolve()
    place = hashlib.sha256(str(home).encode()).hexdigest()[:8]
    try:
        for name in sweep_vaults(now):
            say(_LOG, "vault_removed", name=name)
    except OSError as problem:
        say(_LOG, "vaults_not_swept", level=logging.WARNING, detail=str(problem))
    try:
        return TmpfsVault(default_folder(f"{config.edge_id}-{place}"), home=home)
    except VaultFailed as problem:
        say(_LOG, "vault_failed", level=logging.WARNING, detail=str(problem))
        return MemoryVault()
