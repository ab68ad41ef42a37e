"""What the console reads and changes, given to it by whoever starts it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from uuid import UUID

from cloud_sync.fleet.erasure import ErasureLedger
from cloud_sync.fleet.health import FleetLog
from cloud_sync.gallery import Change, Denial
from cloud_sync.order import StationOrders
from cloud_sync.prefilter.explain import Explanation
from cloud_sync.prefilter.store import HitRate, ViewSize
from cloud_sync.trust.registry import AuditLine
from fare.network import Network


@dataclass(frozen=True, slots=True)
class Exposition:
    """What `/metrics` answers."""

    content: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class CityDoors:
    """What is asked of views, claims and orders; each raises `FleetLogFailed`."""

    why: Callable[[UUID, str, datetime], Explanation | None]
    """Rider, station and now to the explanation; None when there is no such station."""
    rates: Callable[[date], tuple[HitRate, ...]]
    """How well each source has guessed from a day on."""
    sizes: Callable[[], tuple[ViewSize, ...]]
    orders: Callable[[], tuple[StationOrders, ...]]
    denials: Callable[[str, int], tuple[Denial, ...]]
    """The newest lines of a station's deny list."""
    order: Callable[[str, Change], None]
    """Gives one station an order; raises `LookupError` where there is no such station."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Everything behind the console."""

    fleet: FleetLog
    erasures: ErasureLedger
    city: CityDoors
    audited: Callable[[int], tuple[AuditLine, ...]]
    """The newest lines of the audit; raises `RegistryFailed`."""
    metrics: Callable[[], Exposition]
    """Raises `FleetLogFailed` when the database does not answer."""
    clock: Callable[[], datetime]
    """Now, aware UTC."""
    network: Network
    """Names of stations."""
    zone: tzinfo
    """Of all times shown."""
