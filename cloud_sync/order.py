"""What an operator orders stations to do, as changes of their views and in words.

Connected stations have an order within seconds; the others when they come back.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from cloud_sync.gallery import (
    Change,
    Denial,
    DenialReason,
    DropDenial,
    DropSetting,
    PutDenial,
    PutSetting,
    SettingName,
)
from cloud_sync.setting import Mode, StationMode, TariffTable, ThresholdOverride, written
from fare.tariff import Tariff


@dataclass(frozen=True, slots=True)
class StationOrders:
    """What one station is ordered to do now."""

    station_id: str
    modes: frozenset[Mode]
    """What it leaves out; nothing, as a rule."""
    threshold: str
    """The override as it travels, JSON; empty when the node's own holds."""
    denials: int
    """Riders on its deny list."""


def mode(words: Iterable[str]) -> Change:
    """Return the order for what a station leaves out; no words take it back to normal.

    Args:
        words: Names of modes.

    Raises:
        ValueError: A word is no mode.
    """
    wanted = set(words)
    unknown = sorted(wanted - set(Mode))
    if unknown:
        raise ValueError(f"{unknown[0]!r} is none of {', '.join(Mode)}")
    if not wanted:
        return DropSetting(SettingName.MODE)
    return PutSetting(written(StationMode(frozenset(map(Mode, wanted)))))


def threshold(target_fpir: float | None, margin_min: float | None) -> Change:
    """Return the order for another target or margin; nothing given is the node's own again.

    Args:
        target_fpir: See `cloud_sync.setting` for the bounds of both.
        margin_min: The least distance to the second candidate.

    Raises:
        ValueError: One is out of bounds.
    """
    override = ThresholdOverride(target_fpir, margin_min)
    if override == ThresholdOverride():
        return DropSetting(SettingName.THRESHOLD)
    return PutSetting(written(override))


def denial(
    rider_ref: UUID, reason: DenialReason | None, *, now: datetime, days: float | None = None
) -> Change:
    """Return the order that puts a rider on the deny list, or takes them off it.

    Args:
        rider_ref: Whom.
        reason: Why; None takes them off.
        now: Aware UTC.
        days: For how long; None is until they are taken off.

    Raises:
        ValueError: The time is not positive.
    """
    if reason is None:
        return DropDenial(rider_ref)
    if days is not None and days <= 0:
        raise ValueError("a denial that is over before it begins is none")
    until = None if days is None else now + timedelta(days=days)
    return PutDenial(Denial(rider_ref, reason, now, until))


def tariff(known: Tariff, now: datetime) -> Change:
    """Return the order that gives stations the tariff in force, for their pages.

    Args:
        known: Every version.
        now: Aware UTC.

    Raises:
        LookupError: None is in force.
    """
    version = known.at(now)
    if version is None:
        raise LookupError("no tariff is in force")
    bands = tuple((band.up_to_m, band.amount.minor_units) for band in version.bands)
    table = TariffTable(version.version, version.same_station.currency, bands)
    return PutSetting(written(table))


def in_words(change: Change) -> str:
    """Return what an order says.

    Raises:
        ValueError: It is no order.
    """
    match change:
        case PutSetting(setting):
            return f"{setting.name} {setting.body.decode()}"
        case DropSetting(name):
            return f"{name} as the station has it by itself"
        case PutDenial(Denial(rider_ref, reason, _, until)):
            ends = "" if until is None else f" until {until.isoformat(timespec='minutes')}"
            return f"{rider_ref} is denied for {reason.value}{ends}"
        case DropDenial(rider_ref):
            return f"{rider_ref} is off the deny list"
        case _:
            raise ValueError("a template or key is no order")
