"""Searches looks from entrances in the master gallery and makes stations ready.

One transaction a look: the index reads on, proposes, the database decides, and the claim puts the
template into the view of that station, whose stream sends it on. Nothing of a look outlives the
call, and no log line says who was found.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from threading import BoundedSemaphore, Lock

import sqlalchemy as sa

from cloud_sync.adapters.postgres.master_follower import MasterSearch, models_held
from cloud_sync.adapters.postgres.membership import Membership
from cloud_sync.calibration import Calibration
from cloud_sync.content import Space
from cloud_sync.master.candidate import CandidateIndex, IndexFailed
from cloud_sync.master.presence import Allowance, Look, Outcome, PresenceConfig, meant, threshold
from cloud_sync.prefilter.claim import PRESENCE
from cloud_sync.secrecy.key_store import KeysFailed
from cloud_sync.secrecy.rotation import PLAIN
from cloud_sync.secrecy.safe import UnknownTransform
from cloud_sync.stream.view import EdgeNode, NodeRole
from fare.log import say

_LOG = logging.getLogger(__name__)
_ATTEND_S = 10.0
"""Between two looks after the indexes, seconds."""
_FAILURES = (sa.exc.SQLAlchemyError, KeysFailed, IndexFailed)


class PresenceFailed(Exception):
    """The database, the keys or the index did not answer; the look is gone."""


@dataclass(frozen=True, slots=True)
class DeskConfig:
    """How much a cloud searches."""

    rules: PresenceConfig = field(default_factory=PresenceConfig)
    """When a look means a rider."""
    allowance: Allowance = field(default_factory=Allowance)
    """Of each entrance."""
    at_once: int = 2
    """Looks searched at the same time, from 1: each takes a core for up to 20 ms."""


class PresenceDesk:
    """Presence of one cloud; may be used by several threads."""

    def __init__(
        self,
        engine: sa.Engine,
        membership: Membership,
        calibrations: Mapping[str, Calibration],
        *,
        make_index: Callable[[Space], CandidateIndex],
        config: DeskConfig | None = None,
    ) -> None:
        """Take what it needs; `attend` must be called before the first look is searched.

        Args:
            engine: The database.
            membership: Puts riders into views.
            calibrations: By model id.
            make_index: Makes an empty index of a space.
            config: How much.
        """
        self._engine = engine
        self._membership = membership
        self._calibrations = calibrations
        self._search_in = MasterSearch(membership.safe, make_index, dimension=membership.dimension)
        self._config = config or DeskConfig()
        self._models: frozenset[str] | None = None
        self._places = BoundedSemaphore(self._config.at_once)
        self._left: dict[str, Allowance] = {}
        self._counting = Lock()

    @property
    def dimension(self) -> int:
        """Values in a vector."""
        return self._membership.dimension

    def attend(self) -> None:
        """Read the gallery of each model that stations hold, and keep the indexes in order.

        Slow the first time, at three million some minutes; call it again and again, from one thread
        that serves nobody.

        Raises:
            PresenceFailed: Something did not answer; call it again.
        """
        try:
            with self._engine.connect() as connection:
                self._search_in.read(connection)
                self._models = frozenset(models_held(connection))
        except _FAILURES as problem:
            raise PresenceFailed(type(problem).__name__) from problem

    async def attend_for_ever(self) -> None:
        """Call `attend` again and again in a thread, until cancelled; what fails is told."""
        while True:
            try:
                await asyncio.to_thread(self.attend)
            except PresenceFailed as problem:
                say(_LOG, "gallery_not_read", level=logging.ERROR, detail=str(problem))
            await asyncio.sleep(_ATTEND_S)

    def identify(self, node: EdgeNode, look: Look, now: datetime, now_s: float) -> Outcome:
        """Search a look; put whoever it means into the view of the node's station.

        Args:
            node: Who asks, proven.
            look: What it saw.
            now: Aware UTC.
            now_s: A monotonic clock, seconds.

        Raises:
            PresenceFailed: Nothing was searched, or nothing was put.
        """
        if node.role is not NodeRole.ENTRANCE:
            return Outcome.NO_ENTRANCE
        if look.model_id not in self._calibrations:
            return Outcome.NOT_SUPPORTED
        models = self._models
        if models is not None and look.model_id not in models:
            return Outcome.WRONG_SPACE
        may = models is not None and self._may(node.edge_id, now_s)
        if not may or not self._places.acquire(blocking=False):
            return Outcome.BUSY
        try:
            return self._search(node.station_id, look, now)
        except UnknownTransform:
            return Outcome.WRONG_SPACE
        except _FAILURES as problem:
            # The driver's words can quote a row, hence a face: only the kind is told.
            raise PresenceFailed(type(problem).__name__) from None
        finally:
            self._places.release()

    def _search(self, station_id: str, look: Look, now: datetime) -> Outcome:
        rules, follower = self._config.rules, self._search_in.of(look.model_id)
        source = look.transform_id
        vector = self._membership.safe.turn(look.vector, source=source, target=PLAIN)
        with self._engine.begin() as connection:
            follower.refresh(connection)
            size = max(1, follower.index.size)
            score_min = threshold(self._calibrations[look.model_id], size, rules)
            if score_min is None:
                return Outcome.NOT_SUPPORTED
            rider_ref = meant(follower.nearest(connection, vector, 3), score_min, rules)
            if rider_ref is not None:
                assert PRESENCE.ttl is not None
                until = now + PRESENCE.ttl
                self._membership.claim_now(
                    connection, station_id, rider_ref, PRESENCE.name, until, now=now
                )
        return Outcome.ACCEPTED

    def _may(self, edge_id: str, now_s: float) -> bool:
        with self._counting:
            full = self._config.allowance
            left, may = self._left.get(edge_id, full).take(now_s)
            self._left[edge_id] = left
            return may
