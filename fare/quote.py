"""Prices told to people: a fare asked for beforehand, and a fare explained afterwards."""

from datetime import date

from fare.network import Leg, Network, Path
from fare.price import EXEMPT, PricedTrip
from fare.tariff import Tariff


def describe(network: Network, tariff: Tariff, from_id: str, to_id: str, on: date) -> str:
    """Say what a ride costs and why, or why it cannot be said.

    Args:
        network: Stations and track.
        tariff: Every version.
        from_id: Where the ride begins.
        to_id: Where it ends.
        on: Local day on which it begins.

    Returns:
        A few lines of text without a final newline.
    """
    unknown = [each for each in (from_id, to_id) if each not in network.stations]
    if unknown:
        return f"No station has the id {unknown[0]!r}.{_similar(network, unknown[0])}"
    path = network.shortest(from_id, to_id)
    if path is None:
        return f"No track leads from {_named(network, from_id)} to {_named(network, to_id)}."
    version = tariff.on(on)
    if version is None:
        return f"No tariff is valid on {on.isoformat()}."
    rate = version.rate(path.metres)
    return "\n".join(
        [
            f"{_named(network, from_id)} to {_named(network, to_id)}: {rate.amount}",
            *_way(network, path),
            f"  {rule_in_words(rate.rule_id)}; tariff {version.version}, valid on {on.isoformat()}",
        ]
    )


def explain(network: Network, priced: PricedTrip) -> str:
    """Say why a trip cost what it cost, from the reasons that were kept with its price.

    Args:
        network: The network that the trip was priced on.
        priced: The price in force.

    Returns:
        A few lines of text without a final newline.

    Raises:
        KeyError: The path runs where this network has no track: it is another network.
    """
    path = Path(priced.path, priced.metres)
    return "\n".join(
        [
            f"Trip {priced.trip_id}: {priced.amount}",
            *_way(network, path),
            f"  {rule_in_words(priced.rule_id)}; tariff {priced.tariff_version}",
        ]
    )


def rule_in_words(rule_id: str) -> str:
    """Put a tariff's rule id into words.

    Args:
        rule_id: As in `fare.price.PricedTrip`.

    Raises:
        ValueError: No rule of a tariff is named so.
    """
    kind, _, rest = rule_id.partition(":")
    match kind:
        case "same-station":
            return "out at the station of the way in: the lowest fare"
        case "band":
            low, high = (int(edge) for edge in rest.split("-"))
            return f"over {_km(low)}, up to {_km(high)}" if low else f"up to {_km(high)}"
        case "beyond":
            last, steps = rest.split("+")
            step, count = steps.split("x")
            begun = "begun step" if count == "1" else "begun steps"
            return f"over {_km(int(last))}, plus {count} {begun} of {_km(int(step))}"
        case str(each) if each == EXEMPT:
            return (
                f"free: a station of this trip asked for no fare; otherwise {rule_in_words(rest)}"
            )
        case _:
            raise ValueError(f"{rule_id!r} is no rule of a tariff")


def _way(network: Network, path: Path) -> list[str]:
    if path.metres == 0:
        return []
    ride = [f"  {path.metres:,} m on the shortest way"]
    for leg in network.legs(path):
        ends = f"{_named(network, leg.stations[0])} to {_named(network, leg.stations[-1])}"
        ride.append(f"  {leg.line.name}: {ends}, {leg.metres:,} m, {_stops(leg)}")
    return ride


def _stops(leg: Leg) -> str:
    stops = len(leg.stations) - 1
    return f"{stops} stop" if stops == 1 else f"{stops} stops"


def _named(network: Network, station_id: str) -> str:
    station = network.stations[station_id]
    return f"{station.name} {station.local_name}"


def _km(metres: int) -> str:
    return f"{metres / 1000:g} km"


def _similar(network: Network, wrong: str) -> str:
    """Offer the stations whose id or name holds what was asked for."""
    asked = wrong.casefold()
    found = [
        station.station_id
        for station in network.stations.values()
        if asked and (asked in station.name.casefold() or asked in station.station_id)
    ]
    return f" Did you mean {', '.join(sorted(found)[:5])}?" if found else ""
