"""A small city for tests of who is in which view: real PostgreSQL, people with names."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

import sqlalchemy as sa

from cloud_sync.adapters.postgres.membership import ClaimOutcome, Membership
from cloud_sync.adapters.postgres.prefilter.reconcile import ReconcileConfig, Reconciled, Reconciler
from cloud_sync.adapters.postgres.view_log import PostgresViewLog
from cloud_sync.gallery import PutDenial, PutTemplate
from cloud_sync.master.gallery import Activate, MasterChange, PutMaster
from cloud_sync.prefilter.budget import Budget
from cloud_sync.prefilter.claim import CHECK_IN
from cloud_sync.prefilter.sourcing import Sourcing
from cloud_sync.stream.view import EdgeNode
from fare.city import shipped
from tests.keys import SAFE
from tests.templates import SPACE, rider, template

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
BELL, DRUM, NORTH = "zhonglou", "beidajie", "xianbeizhan"
CITY = shipped("xian")
SOURCING = Sourcing(CITY.network, CITY.tariff.timezone)
SMALL = Budget(first=2, first_max=4, second=3, spare_max=0)
"""Full with five, and nobody is there because the city fits."""
ROOMY = Budget()


def small_city() -> Membership:
    """Return who is in which view of a city that fits: everybody, everywhere."""
    return Membership(SOURCING, SAFE)


@dataclass
class City:
    """Three stations, and what an operator does with them."""

    engine: sa.Engine
    budget: Budget = SMALL
    config: ReconcileConfig = field(default_factory=ReconcileConfig)

    def __post_init__(self) -> None:
        """Let three stations join."""
        for station in (BELL, DRUM, NORTH):
            node = EdgeNode(f"edge-{station}", station, bytes(32))
            PostgresViewLog(self.engine, SAFE, dimension=SPACE.dimension).admit(node, NOON)

    @property
    def membership(self) -> Membership:
        """Who is in which view."""
        return Membership(SOURCING, SAFE, self.budget, dimension=SPACE.dimension)

    @property
    def reconciler(self) -> Reconciler:
        """What brings views in line."""
        return Reconciler(self.engine, self.membership, self.config)

    def settle(self, *changes: MasterChange, now: datetime = NOON) -> None:
        """Change the master gallery in a transaction of its own."""
        with self.engine.begin() as connection:
            self.membership.settle(connection, changes, now)

    def enroll(self, *names: str, version: int = 1) -> None:
        """Give people a template and switch their faces on."""
        for name in names:
            self.settle(PutMaster(template(name, version=version)), Activate(rider(name)))

    def claim(
        self, name: str, station: str = BELL, *, until: datetime, source: str = CHECK_IN.name
    ) -> ClaimOutcome:
        """Make an urgent claim at noon."""
        with self.engine.begin() as connection:
            return self.membership.claim_now(
                connection, station, rider(name), source, until, now=NOON
            )

    def look(self, station: str = BELL, now: datetime = NOON) -> Reconciled:
        """Bring one view in line."""
        return self.reconciler.look(station, now)

    def view(self, station: str = BELL) -> dict[UUID, int]:
        """Return whom a view holds, and in which tier."""
        whole = PostgresViewLog(self.engine, SAFE, dimension=SPACE.dimension).whole(station)
        return {
            change.template.rider_ref: change.template.tier
            for change in whole.changes
            if isinstance(change, PutTemplate)
        }

    def denied(self, station: str = BELL) -> dict[UUID, datetime | None]:
        """Return whom a view denies, and until when."""
        whole = PostgresViewLog(self.engine, SAFE, dimension=SPACE.dimension).whole(station)
        return {
            change.denial.rider_ref: change.denial.until
            for change in whole.changes
            if isinstance(change, PutDenial)
        }


def tiers(**of: int) -> dict[UUID, int]:
    """Return tiers by reference from tiers by name."""
    return {rider(name): tier for name, tier in of.items()}


def refs(names: Sequence[str]) -> set[UUID]:
    """Return people's references."""
    return {rider(name) for name in names}
