"""The documents a station goes by, and the orders that make them."""

import contextlib
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_sync import order
from cloud_sync.content import SettingRefused
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
from cloud_sync.setting import (
    Document,
    Mode,
    StationMode,
    TariffTable,
    ThresholdOverride,
    read,
    written,
)
from fare.city import shipped

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
ANNA = UUID(int=1)


class TestDocuments:
    """Values and their canonical JSON."""

    @pytest.mark.parametrize(
        "document",
        [
            StationMode(),
            StationMode(frozenset(Mode)),
            ThresholdOverride(),
            ThresholdOverride(1e-3, 0.1),
            TariffTable("xian-2011", "CNY", ((6_000, 200), (10_000, 300))),
        ],
    )
    def test_come_back(self, document: Document) -> None:
        """What was written is read as it was."""
        assert read(written(document)) == document

    @pytest.mark.parametrize(
        ("name", "body"),
        [
            ("mode", b'{"modes":["fare_exempt","free_beer"]}'),  # an unknown mode
            ("mode", b'{"modes":["fare_exempt"],"until":1}'),  # an unknown key
            ("mode", b'{"modes":"fare_exempt"}'),  # a text is no list
            ("mode", b'{"modes":[true]}'),
            ("mode", b"{}"),
            ("mode", b'["fare_exempt"]'),
            ("mode", b'{"modes": []}'),  # a blank: not canonical
            ("mode", b'{"modes":["fare_exempt"],"modes":[]}'),  # twice the same key
            ("mode", b"\xff\xfe"),
            ("mode", b"[" * 60_000),  # deeper than any parser goes
            ("mode", b""),
            ("threshold", b'{"target_fpir":0.5}'),  # looser than the bounds
            ("threshold", b'{"target_fpir":1e-09}'),
            ("threshold", b'{"margin_min":0.01}'),
            ("threshold", b'{"margin_min":true}'),
            ("threshold", b'{"margin_min":NaN}'),
            ("threshold", b'{"target_fpir":"0.01"}'),
            ("tariff", b'{"bands":[],"currency":"CNY","version":"x"}'),
            ("tariff", b'{"bands":[[6000,200],[5000,300]],"currency":"CNY","version":"x"}'),
            ("tariff", b'{"bands":[[6000,-1]],"currency":"CNY","version":"x"}'),
            ("tariff", b'{"bands":[[6000,2.5]],"currency":"CNY","version":"x"}'),
            ("tariff", b'{"bands":[[6000]],"currency":"CNY","version":"x"}'),
            ("tariff", b'{"bands":[[6000,200]],"currency":"CNY"}'),
        ],
    )
    def test_anything_else_is_refused_as_a_whole(self, name: str, body: bytes) -> None:
        """A document that is not exactly one of ours is refused, whatever is wrong with it."""
        with pytest.raises(SettingRefused):
            read(Setting(SettingName(name), body))

    @given(st.sampled_from(SettingName), st.binary(max_size=60))
    def test_never_raises_anything_else(self, name: SettingName, body: bytes) -> None:
        """Whatever the bytes, they are a document or refused."""
        with contextlib.suppress(SettingRefused):
            assert read(Setting(name, body))


class TestOrders:
    """What an operator's command becomes."""

    def test_modes_by_their_names(self) -> None:
        """Names become a document, none become the end of it, a wrong one nothing at all."""
        assert order.mode(["fare_exempt", "time_exempt"]) == PutSetting(
            written(StationMode(frozenset({Mode.FARE_EXEMPT, Mode.TIME_EXEMPT})))
        )
        assert order.mode([]) == DropSetting(SettingName.MODE)
        with pytest.raises(ValueError, match="free_beer"):
            order.mode(["fare_exempt", "free_beer"])

    def test_thresholds_within_their_bounds(self) -> None:
        """An override is a document, an empty one the end of it."""
        assert order.threshold(1e-3, None) == PutSetting(written(ThresholdOverride(1e-3)))
        assert order.threshold(None, None) == DropSetting(SettingName.THRESHOLD)
        with pytest.raises(ValueError, match="target_fpir"):
            order.threshold(0.1, None)

    def test_denials_with_their_end(self) -> None:
        """A denial of some days ends; one without a reason is the end of it."""
        made = order.denial(ANNA, DenialReason.DEBT, now=NOON, days=2)

        assert made == PutDenial(Denial(ANNA, DenialReason.DEBT, NOON, NOON + timedelta(days=2)))
        assert order.denial(ANNA, None, now=NOON) == DropDenial(ANNA)
        with pytest.raises(ValueError, match="before it begins"):
            order.denial(ANNA, DenialReason.DEBT, now=NOON, days=0)

    def test_the_tariff_in_force(self) -> None:
        """The shipped city's tariff of the day becomes a table; before the first there is none."""
        made = order.tariff(shipped().tariff, NOON)

        assert isinstance(made, PutSetting)
        table = read(made.setting)
        assert isinstance(table, TariffTable)
        assert (table.version, table.bands[0]) == ("xian-2011", (6_000, 200))
        with pytest.raises(LookupError):
            order.tariff(shipped().tariff, datetime(2000, 1, 1, tzinfo=UTC))

    def test_are_told_in_words(self) -> None:
        """Every order has words for the operator's terminal."""
        orders = [
            order.mode(["fare_exempt"]),
            order.mode([]),
            order.denial(ANNA, DenialReason.LOST, now=NOON),
            order.denial(ANNA, None, now=NOON),
        ]

        assert [order.in_words(each) for each in orders] == [
            'mode {"modes":["fare_exempt"]}',
            "mode as the station has it by itself",
            f"{ANNA} is denied for lost",
            f"{ANNA} is off the deny list",
        ]
