"""A complete trip and a tariff in, its price with every reason for it out.

The price is a pure function of its arguments: whoever holds the trip, the network and the tariff
version can compute it again to the last digit.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from uuid import UUID

from fare.money import Money
from fare.network import Network, Path
from fare.tap import TapFlag
from fare.tariff import Tariff
from fare.trip import CompleteTrip


class UnpricedReason(StrEnum):
    """Why a trip has no price; its fare is unknown, which is not nothing."""

    STATION_UNKNOWN = "station_unknown"
    """An end of the trip is no station of the network."""
    NO_WAY = "no_way"
    """No track joins the two stations."""
    NO_TARIFF = "no_tariff"
    """No version of the tariff is valid on the local day of the entry."""


EXEMPT = "fare-exempt"
"""Begins the rule id of a trip that a station's mode made free; the tariff's own rule follows."""


@dataclass(frozen=True, slots=True)
class PricedTrip:
    """What a trip costs and why."""

    trip_id: UUID
    amount: Money
    rule_id: str
    """The tariff's rule, e.g. `band:6000-10000`;
    `fare-exempt:` stands before it where it was waived."""
    tariff_version: str
    path: tuple[str, ...]
    """Station ids of the shortest way, both ends included."""
    metres: int
    """Length of that way."""


@dataclass(frozen=True, slots=True)
class Unpriced:
    """A trip that the tariff cannot price: kept for staff, never charged as 0."""

    trip_id: UUID
    reason: UnpricedReason


def price(trip: CompleteTrip, network: Network, tariff: Tariff) -> PricedTrip | Unpriced:
    """Price a trip by the shortest way and the tariff of the local day of its entry.

    A trip with an end that was fare exempt costs nothing, and its rule says what it else had cost;
    an exemption that is doubted makes nothing free.

    Args:
        trip: A trip with both ends.
        network: Stations and track.
        tariff: Every version.
    """
    way = _way(trip, network)
    if isinstance(way, UnpricedReason):
        return Unpriced(trip.trip_id, way)
    version = tariff.at(trip.entry.tap_time)
    if version is None:
        return Unpriced(trip.trip_id, UnpricedReason.NO_TARIFF)
    rate = version.rate(way.metres)
    priced = PricedTrip(
        trip_id=trip.trip_id,
        amount=rate.amount,
        rule_id=rate.rule_id,
        tariff_version=version.version,
        path=way.stations,
        metres=way.metres,
    )
    if TapFlag.FARE_EXEMPT in trip.entry.exemptions | trip.exit.exemptions:
        free = Money(0, rate.amount.currency)
        return replace(priced, amount=free, rule_id=f"{EXEMPT}:{rate.rule_id}")
    return priced


def _way(trip: CompleteTrip, network: Network) -> Path | UnpricedReason:
    ends = trip.entry.station_id, trip.exit.station_id
    if any(end not in network.stations for end in ends):
        return UnpricedReason.STATION_UNKNOWN
    return network.shortest(*ends) or UnpricedReason.NO_WAY
