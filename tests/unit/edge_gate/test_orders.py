"""Deny list and mode: who may pass, and with which flags."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from cloud_sync.gallery import (
    Denial,
    DenialReason,
    DropDenial,
    DropSetting,
    PutDenial,
    PutSetting,
    Setting,
    SettingName,
)
from cloud_sync.setting import Mode, StationMode, TariffTable, written
from edge_gate.orders import Orders, admitted
from edge_gate.reason import Deny, DenyReason
from edge_gate.screen import MESSAGES
from fare.tap import Direction, TapFlag

ANNA, BELA = UUID(int=1), UUID(int=2)
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


def _denied(reason: DenialReason = DenialReason.DEBT, until: datetime | None = None) -> Orders:
    return Orders().after([PutDenial(Denial(ANNA, reason, NOON, until))])


class TestDenyList:
    """Who is on it."""

    @pytest.mark.parametrize("reason", list(DenialReason))
    def test_every_reason_is_refused_at_a_way_in(self, reason: DenialReason) -> None:
        """Each reason of a denial has its own refusal, and nobody else is refused."""
        orders = _denied(reason)

        refusal = admitted(orders, ANNA, Direction.ENTRY, NOON)

        assert refusal == Deny(DenyReason(f"denied_{reason.value}"))
        assert admitted(orders, BELA, Direction.ENTRY, NOON) == frozenset()

    def test_nobody_is_locked_in(self) -> None:
        """A way out opens for a denied rider, with a flag for staff."""
        assert admitted(_denied(), ANNA, Direction.EXIT, NOON) == frozenset({TapFlag.DENIED})

    def test_holds_until_its_end(self) -> None:
        """A denial with an end is over at that moment; one without never is."""
        until = NOON + timedelta(days=1)
        for orders, after in ((_denied(until=until), frozenset()), (_denied(), None)):
            just_before = admitted(orders, ANNA, Direction.ENTRY, until - timedelta(seconds=1))
            at_the_end = admitted(orders, ANNA, Direction.ENTRY, until)

            assert isinstance(just_before, Deny)
            assert at_the_end == (after if after is not None else Deny(DenyReason.DENIED_DEBT))

    def test_holds_at_once_by_a_slow_clock(self) -> None:
        """A gate whose clock is behind does not wait until the denial was made."""
        assert isinstance(
            admitted(_denied(), ANNA, Direction.ENTRY, NOON - timedelta(hours=1)), Deny
        )

    def test_a_rider_taken_off_passes(self) -> None:
        """A dropped denial leaves nothing, and what lanes are reading is not changed in place."""
        before = _denied()

        after = before.after([DropDenial(ANNA)])

        assert admitted(after, ANNA, Direction.ENTRY, NOON) == frozenset()
        assert set(before.denials) == {ANNA}

    def test_the_screen_shames_nobody(self) -> None:
        """Whatever the reason, the words are the same and name none."""
        told = {MESSAGES[r] for r in DenyReason if r.value.startswith("denied_")}

        ((_, headline, sentence),) = told
        words = (headline + sentence).lower()
        assert not any(
            word in words for word in ("debt", "paid", "fraud", "deny", "denied", "list")
        )

    def test_is_not_in_a_log_line(self) -> None:
        """The orders' repr, which a log line may hold, names no rider."""
        assert str(ANNA) not in repr(_denied())


class TestMode:
    """What the station leaves out."""

    def test_passages_carry_the_exemptions(self) -> None:
        """Each exemption stands in the tap as a flag; an emergency makes no taps."""
        orders = replace(Orders(), mode=StationMode(frozenset(Mode)))

        exempt = frozenset({TapFlag.ORDER_EXEMPT, TapFlag.TIME_EXEMPT, TapFlag.FARE_EXEMPT})
        assert admitted(orders, ANNA, Direction.ENTRY, NOON) == exempt

    def test_documents_come_and_go(self) -> None:
        """A document holds until the next one or until it is dropped."""
        mode = PutSetting(written(StationMode(frozenset({Mode.FARE_EXEMPT}))))
        tariff = PutSetting(written(TariffTable("xian-2011", "CNY", ((6_000, 200),))))

        orders = Orders().after([mode, tariff])
        assert orders.mode.modes == {Mode.FARE_EXEMPT}
        assert orders.tariff is not None

        orders = orders.after([DropSetting(SettingName.MODE), DropSetting(SettingName.TARIFF)])
        assert orders == Orders()

    def test_a_bad_document_leaves_the_others_alone(self) -> None:
        """A tariff that cannot be read is refused, and a mode beside it is not."""
        mode = PutSetting(written(StationMode(frozenset({Mode.FARE_EXEMPT}))))

        orders = Orders().after([PutSetting(Setting(SettingName.TARIFF, b"{}")), mode])

        assert orders.refused == {SettingName.TARIFF}
        assert orders.mode.modes == {Mode.FARE_EXEMPT}
