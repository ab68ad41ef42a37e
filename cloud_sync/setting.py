"""The documents a station goes by: mode, tariff and threshold, as values and as canonical JSON.

Both ends read with the same functions: the cloud before it publishes, the edge before it stores. A
document that is not exactly one of these is refused as a whole, and the last good one stays.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Any

from cloud_sync.content import SettingRefused, check_setting
from cloud_sync.gallery import Setting, SettingName

TARGET_FPIR_MIN, TARGET_FPIR_MAX = 1e-6, 2e-2
"""What an operator may set a station's target FPIR to. The lower end is the project's goal for
wrongly charged rides, the upper one twice the shipped default: a station may be made stricter by
any amount, but not open to strangers."""
MARGIN_MIN, MARGIN_MAX = 0.04, 0.5
"""What an operator may set a station's margin to: not below half the shipped 0.08, which is what
stops twins, and not above what no two frames of one rider could keep."""


class Mode(StrEnum):
    """One thing that a station leaves out for a while."""

    ORDER_EXEMPT = "order_exempt"
    """A missing way in or way out is no fault: the line was opened, or gates failed."""
    TIME_EXEMPT = "time_exempt"
    """No limit to the time of a ride: trains stood still."""
    FARE_EXEMPT = "fare_exempt"
    """Rides from and to here cost nothing."""
    EMERGENCY_RELEASE = "emergency_release"
    """All barriers open and stay open; passages are counted, nobody is looked at."""


@dataclass(frozen=True, slots=True)
class StationMode:
    """What a station leaves out now; nothing, as a rule."""

    modes: frozenset[Mode] = frozenset()

    @property
    def released(self) -> bool:
        """Whether all barriers stand open."""
        return Mode.EMERGENCY_RELEASE in self.modes


@dataclass(frozen=True, slots=True)
class ThresholdOverride:
    """Where the operator wants another target or margin than the node's own configuration."""

    target_fpir: float | None = None
    """`TARGET_FPIR_MIN` to `TARGET_FPIR_MAX`; None leaves it to the node."""
    margin_min: float | None = None
    """`MARGIN_MIN` to `MARGIN_MAX`; None leaves it to the node."""

    def __post_init__(self) -> None:
        """Check the bounds.

        Raises:
            ValueError: One is outside.
        """
        target, margin = self.target_fpir, self.margin_min
        if target is not None and not TARGET_FPIR_MIN <= target <= TARGET_FPIR_MAX:
            raise ValueError(f"target_fpir is {TARGET_FPIR_MIN} to {TARGET_FPIR_MAX}")
        if margin is not None and not MARGIN_MIN <= margin <= MARGIN_MAX:
            raise ValueError(f"margin_min is {MARGIN_MIN} to {MARGIN_MAX}")


@dataclass(frozen=True, slots=True)
class TariffTable:
    """The prices as a station shows them; the charge is the cloud's."""

    version: str
    """As in the tariff, e.g. `xian-2011`; not empty."""
    currency: str
    """ISO 4217."""
    bands: tuple[tuple[int, int], ...]
    """Up to so many metres, and the price in minor units; at least one, both rising."""

    def __post_init__(self) -> None:
        """Check the form.

        Raises:
            ValueError: It is no table of prices.
        """
        bands = ((0, 0), *self.bands)
        rising = all(a[0] < b[0] and a[1] <= b[1] for a, b in pairwise(bands))
        if not self.version or len(self.currency) != 3 or not self.bands or not rising:
            raise ValueError("a tariff needs a version, a currency and rising bands")


Document = StationMode | ThresholdOverride | TariffTable


def written(document: Document) -> Setting:
    """Return a document as it travels."""
    match document:
        case StationMode(modes):
            return Setting(SettingName.MODE, _canonical({"modes": sorted(modes)}))
        case ThresholdOverride(target_fpir, margin_min):
            given = {"target_fpir": target_fpir, "margin_min": margin_min}
            told = {key: value for key, value in given.items() if value is not None}
            return Setting(SettingName.THRESHOLD, _canonical(told))
        case TariffTable(version, currency, bands):
            table = {"version": version, "currency": currency, "bands": [list(b) for b in bands]}
            return Setting(SettingName.TARIFF, _canonical(table))


def read(setting: Setting) -> Document:
    """Return the document of a setting.

    Raises:
        SettingRefused: Too long, not canonical JSON, an unknown key, or a value out of its bounds.
    """
    check_setting(setting)
    table = _table(setting)
    try:
        match setting.name:
            case SettingName.MODE:
                return StationMode(frozenset(Mode(_text(word)) for word in _list(table, "modes")))
            case SettingName.THRESHOLD:
                _only(table, ("target_fpir", "margin_min"))
                return ThresholdOverride(**{key: _number(table[key]) for key in table})
            case SettingName.TARIFF:
                return _tariff(table)
    except (ValueError, KeyError, TypeError) as problem:
        raise SettingRefused(f"{setting.name}: {problem}") from problem


def _tariff(table: Mapping[str, Any]) -> TariffTable:
    _only(table, ("version", "currency", "bands"))
    bands = []
    for row in _list(table, "bands", alone=False):
        up_to_m, minor_units = row
        bands.append((_whole(up_to_m), _whole(minor_units)))
    return TariffTable(_text(table["version"]), _text(table["currency"]), tuple(bands))


def _canonical(table: Mapping[str, object]) -> bytes:
    text = json.dumps(table, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def _table(setting: Setting) -> Mapping[str, Any]:
    try:
        found = json.loads(setting.body)
        if not isinstance(found, dict) or _canonical(found) != setting.body:
            raise SettingRefused(f"{setting.name}: not a document in canonical JSON")
    except (ValueError, RecursionError) as problem:
        if isinstance(problem, SettingRefused):
            raise
        raise SettingRefused(f"{setting.name}: not JSON") from problem
    return found


def _only(table: Mapping[str, Any], known: Iterable[str]) -> None:
    unknown = set(table) - set(known)
    if unknown:
        raise ValueError(f"unknown key {min(unknown)}")


def _list(table: Mapping[str, Any], key: str, *, alone: bool = True) -> list[Any]:
    if alone:
        _only(table, (key,))
    found = table[key]
    if not isinstance(found, list):
        raise TypeError(f"{key} is no list")
    return found


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("a text is needed")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("a number is needed")
    return float(value)


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError("a whole number is needed")
    return value
