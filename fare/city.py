"""A city's stations, lines and tariff versions, read from one TOML document.

`fare/data/xian.toml` shows the format.
"""

import tomllib
from dataclasses import dataclass
from datetime import date, datetime
from importlib.resources import files
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fare.money import Money
from fare.network import Line, Network, Station
from fare.tariff import Band, Tariff, TariffVersion


class CityUnreadable(ValueError):
    """The document is not a city; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class City:
    """Where riders go and what it costs."""

    name: str
    network: Network
    tariff: Tariff


def shipped(name: str = "xian") -> City:
    """Read a city that comes with this package.

    Args:
        name: A file in `fare/data` without its ending.

    Raises:
        CityUnreadable: There is no such file.
    """
    document = files("fare") / "data" / f"{name}.toml"
    if not document.is_file():
        raise CityUnreadable(f"no city named {name} is shipped")
    return parse(document.read_text(encoding="utf-8"))


def parse(text: str) -> City:
    """Read a city.

    Args:
        text: TOML as in `fare/data/xian.toml`.

    Raises:
        CityUnreadable: It is not TOML, a part is missing, or parts contradict each other.
    """
    try:
        document = tomllib.loads(text)
        return City(
            name=str(document["city"]["name"]),
            network=Network(
                stations=_stations(document["station"]),
                lines=tuple(_line(line) for line in document["line"]),
            ),
            tariff=_tariff(document),
        )
    except ZoneInfoNotFoundError as error:
        raise CityUnreadable(f"unknown time zone: {error}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise CityUnreadable(f"missing or of a wrong kind: {error}") from error
    except ValueError as error:
        raise CityUnreadable(str(error)) from error


def _stations(rows: list[dict[str, Any]]) -> dict[str, Station]:
    stations = {row["id"]: Station(row["id"], row["name"], row["local_name"]) for row in rows}
    if len(stations) != len(rows):
        raise ValueError("two stations of one id")
    return stations


def _line(row: dict[str, Any]) -> Line:
    metres = tuple(_whole(each) for each in row["metres"])
    return Line(row["id"], row["name"], row["colour"], tuple(row["stations"]), metres)


def _tariff(document: dict[str, Any]) -> Tariff:
    currency = document["city"]["currency"]
    return Tariff(
        timezone=ZoneInfo(document["city"]["timezone"]),
        versions=tuple(_version(row, currency) for row in document["tariff"]),
    )


def _version(row: dict[str, Any], currency: str) -> TariffVersion:
    until = row.get("valid_until")
    return TariffVersion(
        version=row["version"],
        valid_from=_day(row["valid_from"]),
        valid_until=None if until is None else _day(until),
        bands=tuple(
            Band(_whole(band["up_to_m"]), _money(band, "minor_units", currency))
            for band in row["bands"]
        ),
        step_m=_whole(row["beyond"]["step_m"]),
        step_amount=_money(row["beyond"], "minor_units", currency),
        same_station=_money(row, "same_station_minor_units", currency),
    )


def _money(row: dict[str, Any], key: str, currency: str) -> Money:
    return Money(_whole(row[key]), currency)


def _whole(value: object) -> int:
    """Let no float into metres or money: TOML tells 200 from 200.0, and so do the books."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{value!r} is no whole number")
    return value


def _day(value: object) -> date:
    """Take a day only: Python counts moments among the days, and they have zones of their own."""
    if not isinstance(value, date) or isinstance(value, datetime):
        raise TypeError(f"{value!r} is no day")
    return value
