"""What the cloud orders a station beside its gallery: deny list, mode, threshold, tariff.

Changes in, the next `Orders` out; swapped as a whole, so that a lane reads one state. Whoever was
recognised is held against it by `admitted`, the one place where the deny list and the mode act.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from uuid import UUID

from cloud_sync.content import SettingRefused
from cloud_sync.gallery import (
    Change,
    Denial,
    DenialReason,
    DropDenial,
    DropSetting,
    PutDenial,
    PutSetting,
    Setting,
    SettingName,
)
from cloud_sync.setting import Document, Mode, StationMode, TariffTable, ThresholdOverride, read
from edge_gate.reason import Deny, DenyReason
from fare.log import say
from fare.tap import Direction, TapFlag

_LOG = logging.getLogger(__name__)

_REASONS = MappingProxyType(
    {
        DenialReason.WITHDRAWN: DenyReason.DENIED_WITHDRAWN,
        DenialReason.DEBT: DenyReason.DENIED_DEBT,
        DenialReason.LOST: DenyReason.DENIED_LOST,
        DenialReason.FRAUD: DenyReason.DENIED_FRAUD,
    }
)
_FLAGS = MappingProxyType(
    {
        Mode.ORDER_EXEMPT: TapFlag.ORDER_EXEMPT,
        Mode.TIME_EXEMPT: TapFlag.TIME_EXEMPT,
        Mode.FARE_EXEMPT: TapFlag.FARE_EXEMPT,
    }
)


@dataclass(frozen=True, slots=True)
class Orders:
    """What the station goes by now."""

    denials: Mapping[UUID, Denial] = field(default_factory=dict, repr=False)
    """The deny list, by rider; never changed in place."""
    mode: StationMode = field(default_factory=StationMode)
    threshold: ThresholdOverride = field(default_factory=ThresholdOverride)
    tariff: TariffTable | None = None
    """None until one was sent."""
    refused: frozenset[SettingName] = frozenset()
    """Documents whose newest version was refused: the station goes by the one before."""

    def after(self, changes: Iterable[Change]) -> "Orders":
        """Return the orders after a run of changes; what is not about them changes nothing.

        A document that cannot be read is refused as a whole with an alarm, and the last good one
        stays in force.

        Args:
            changes: In the order of their revisions.
        """
        orders, denials = self, self.denials
        for change in changes:
            match change:
                case PutDenial(denial):
                    denials = _own(denials, self.denials)
                    denials[denial.rider_ref] = denial
                case DropDenial(rider_ref):
                    denials = _own(denials, self.denials)
                    denials.pop(rider_ref, None)
                case PutSetting(setting):
                    orders = _put(orders, setting)
                case DropSetting(name):
                    orders = _with(orders, name, _default(name))
        return orders if denials is self.denials else replace(orders, denials=denials)


def without_ended(orders: Orders, passed: datetime) -> Orders:
    """Return the orders without the denials that have ended; the very same where none has.

    Args:
        orders: The station's.
        passed: A time known to have passed, aware UTC. Not the wall clock: one that was fast for a
            moment would let go of whoever must still be refused.
    """
    left = {ref: one for ref, one in orders.denials.items() if _holds(one, passed)}
    return orders if len(left) == len(orders.denials) else replace(orders, denials=left)


def admitted(
    orders: Orders, rider_ref: UUID, direction: Direction, now: datetime
) -> frozenset[TapFlag] | Deny:
    """Return with which flags a recognised rider may pass, or why not.

    Whoever is on the deny list is refused at a way in. A way out opens for them and is flagged:
    nobody is locked in.

    Args:
        orders: The station's.
        rider_ref: Who was recognised, by whatever medium.
        direction: The lane's.
        now: Aware UTC.
    """
    flags = frozenset(_FLAGS[mode] for mode in orders.mode.modes if mode in _FLAGS)
    denial = orders.denials.get(rider_ref)
    if denial is None or not _holds(denial, now):
        return flags
    if direction is Direction.ENTRY:
        return Deny(_REASONS[denial.reason])
    return flags | {TapFlag.DENIED}


def _holds(denial: Denial, now: datetime) -> bool:
    # Its `since` is for people: a denial is in force as soon as it is here, also by a slow clock.
    return denial.until is None or now < denial.until


def _own(denials: Mapping[UUID, Denial], held: Mapping[UUID, Denial]) -> dict[UUID, Denial]:
    """Return a list that may be changed: a copy of the one that lanes are reading, once."""
    return denials if isinstance(denials, dict) and denials is not held else dict(denials)


def _default(name: SettingName) -> Document | None:
    match name:
        case SettingName.MODE:
            return StationMode()
        case SettingName.THRESHOLD:
            return ThresholdOverride()
        case SettingName.TARIFF:
            return None


def _put(orders: Orders, setting: Setting) -> Orders:
    try:
        return _with(orders, setting.name, read(setting))
    except SettingRefused as problem:
        say(_LOG, "setting_refused", level=logging.ERROR, name=setting.name, why=str(problem))
        return replace(orders, refused=orders.refused | {setting.name})


def _with(orders: Orders, name: SettingName, document: Document | None) -> Orders:
    refused = orders.refused - {name}
    match document:
        case StationMode():
            return replace(orders, mode=document, refused=refused)
        case ThresholdOverride():
            return replace(orders, threshold=document, refused=refused)
        case TariffTable() | None:
            return replace(orders, tariff=document, refused=refused)
