"""A hundred nodes of one station in this process, against a cloud in its own."""

import os
import random
import threading
import time
from pathlib import Path
from uuid import UUID

from cloud_sync.adapters.grpc.device_client import join
from cloud_sync.adapters.grpc.follower import FollowerConfig, GalleryFollower
from cloud_sync.adapters.grpc.node_trust import NodeTrust
from cloud_sync.adapters.memory.keys import MemoryVault
from cloud_sync.adapters.memory.replica import MemoryReplica
from cloud_sync.adapters.system_clock import SystemClock
from cloud_sync.content import Space
from cloud_sync.gallery import Delta, DropTemplate, PutTemplate
from cloud_sync.stream.lease import Anchor, Lease
from cloud_sync.stream.replica import Holding
from cloud_sync.taps.signing import NodeKey
from cloud_sync.trust.device import Identity


class Follower:
    """One simulated node: it keeps its gallery in memory and says how many it holds."""

    def __init__(self, identity: Identity, token: str, *, folder: Path, ca: bytes) -> None:
        """Take who it is; `join` proves it to the cloud.

        Args:
            identity: Edge and station.
            token: As the operator typed it.
            folder: For its trust.
            ca: The authority, PEM.
        """
        self._identity = identity
        self._token = token
        self._trust = NodeTrust(folder)
        self._ca = ca
        self._held: set[UUID] = set()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def held(self) -> int:
        """Templates in force."""
        return len(self._held)

    def join(self, target: str) -> None:
        """Let the cloud enroll it.

        Args:
            target: `host:port` of the device port.
        """
        key = NodeKey(os.urandom(32))
        join(self._trust, self._identity, key, self._token, target=target, ca=self._ca)

    def follow(self, target: str, space: Space) -> None:
        """Follow the station's view from now on.

        Args:
            target: `host:port` of the main port.
            space: What it can compare.
        """
        edge = self._identity
        config = FollowerConfig(
            target,
            edge.edge_id,
            edge.station_id,
            space,
            self._trust.badge,
            vault=MemoryVault(),
            takes_plain=False,
        )
        follower = GalleryFollower(
            MemoryReplica(),
            self._take,
            _ignore_lease,
            config=config,
            clock=SystemClock(),
            draw=random.random,
        )
        self._thread = threading.Thread(target=follower.run, args=(self._stop,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End; `join_thread` waits for it."""
        self._stop.set()

    def wait(self) -> None:
        """Wait until it has ended."""
        if self._thread is not None:
            self._thread.join(20)

    def _take(self, news: Delta | Holding) -> None:
        if isinstance(news, Holding):
            self._held = {one.rider_ref for one in news.templates}
            return
        for change in news.changes:
            match change:
                case PutTemplate(template):
                    self._held.add(template.rider_ref)
                case DropTemplate(rider_ref):
                    self._held.discard(rider_ref)


def all_hold(followers: list[Follower], count: int, *, patience_s: float) -> float:
    """Wait until every follower holds so many; return when, monotonic seconds.

    Raises:
        TimeoutError: Some did not.
    """
    ends_s = time.monotonic() + patience_s
    while time.monotonic() < ends_s:
        if all(one.held == count for one in followers):
            return time.monotonic()
        time.sleep(0.05)
    behind = [one.held for one in followers if one.held != count]
    raise TimeoutError(f"{len(behind)} of {len(followers)} do not hold {count}: {behind[:5]}")


def _ignore_lease(lease: Lease, anchor: Anchor | None) -> None:
    del lease, anchor
