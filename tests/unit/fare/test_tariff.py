"""What a distance costs, at each edge, and which version counts on which day."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fare.city import shipped
from fare.money import Money
from fare.tariff import Band, Tariff, TariffVersion

_XIAN = shipped().tariff.versions[-1]
# Both sides of every edge up to 50 km, in yuan, written out from the published bands.
_EDGES = [
    (0, 2),  # out where one came in
    (1, 2),
    (5_999, 2),
    (6_000, 2),
    (6_001, 3),
    (9_999, 3),
    (10_000, 3),
    (10_001, 4),
    (13_999, 4),
    (14_000, 4),
    (14_001, 5),
    (19_999, 5),
    (20_000, 5),
    (20_001, 6),
    (25_999, 6),
    (26_000, 6),
    (26_001, 7),  # the first metre of the first 8 km
    (33_999, 7),
    (34_000, 7),
    (34_001, 8),
    (41_999, 8),
    (42_000, 8),
    (42_001, 9),
    (49_999, 9),
    (50_000, 9),
    (50_001, 10),
]


def _version(name: str, start: date, end: date | None, fen: int) -> TariffVersion:
    return TariffVersion(
        version=name,
        valid_from=start,
        valid_until=end,
        bands=(Band(6_000, Money(fen)),),
        step_m=8_000,
        step_amount=Money(100),
        same_station=Money(fen),
    )


_OLD = _version("old", date(2025, 1, 1), date(2026, 5, 4), 200)
_NEW = _version("new", date(2026, 5, 4), None, 300)
_TARIFF = Tariff(ZoneInfo("Asia/Shanghai"), (_OLD, _NEW))


class TestRate:
    """The shipped tariff against the published bands."""

    @pytest.mark.parametrize(("metres", "yuan"), _EDGES)
    def test_each_edge_is_exact(self, metres: int, yuan: int) -> None:
        """A metre before, on and after each edge of the published bands costs what it should."""
        assert Money(yuan * 100) == _XIAN.rate(metres).amount

    @given(st.integers(1, 300_000))
    def test_any_distance_counts_up_step_by_step(self, metres: int) -> None:
        """A slow count, one band and one step after the other, gives the same price."""
        edges = [6_000, 10_000, 14_000, 20_000, 26_000]
        while edges[-1] < metres:
            edges.append(edges[-1] + 8_000)
        yuan = 2 + sum(metres > edge for edge in edges)

        assert Money(yuan * 100) == _XIAN.rate(metres).amount

    @pytest.mark.parametrize(
        ("metres", "rule_id"),
        [
            (0, "same-station"),
            (6_000, "band:0-6000"),
            (6_001, "band:6000-10000"),
            (26_001, "beyond:26000+8000x1"),
            (34_001, "beyond:26000+8000x2"),
        ],
    )
    def test_the_rule_is_named(self, metres: int, rule_id: str) -> None:
        """Each price says which rule gave it."""
        assert rule_id == _XIAN.rate(metres).rule_id

    def test_a_negative_distance_is_a_mistake(self) -> None:
        """No ride is shorter than nothing."""
        with pytest.raises(ValueError, match="negative"):
            _XIAN.rate(-1)

    @pytest.mark.parametrize(
        "wrong",
        [
            lambda m: 2 if m <= 6_000 else 7 + (m - 26_000) // 8_000,  # floors past its edge
            lambda m: 6 + (m - 26_000) // 8_000,  # the copied calculator: a step costs when over
            lambda m: 2 + sum(m >= e for e in (6_000, 10_000, 14_000, 20_000, 26_000)),
        ],
    )
    def test_the_edges_catch_wrong_rounding(self, wrong: Callable[[int], int]) -> None:
        """Control: each usual mistake at an edge gives another price in the table above."""
        assert any(wrong(metres) != yuan for metres, yuan in _EDGES if metres > 20_000)


class TestVersions:
    """Which version prices a ride."""

    @pytest.mark.parametrize(
        ("entry", "version"),
        [
            (datetime(2026, 5, 3, 15, 59, 59, 999_999, tzinfo=UTC), "old"),  # 23:59:59.999999
            (datetime(2026, 5, 3, 16, 0, tzinfo=UTC), "new"),  # midnight in Xi'an
            (datetime(2026, 5, 4, 0, 0, tzinfo=UTC), "new"),  # midnight in Greenwich is 08:00
            (datetime(2026, 5, 4, 0, 0, tzinfo=ZoneInfo("Asia/Tokyo")), "old"),  # 23:00 in Xi'an
        ],
    )
    def test_the_day_turns_at_local_midnight(self, entry: datetime, version: str) -> None:
        """The new version counts from midnight of the city, not of Greenwich or of the clock."""
        found = _TARIFF.at(entry)

        assert found is not None
        assert version == found.version

    def test_a_day_before_all_versions_has_none(self) -> None:
        """Before the first version there is no tariff."""
        assert _TARIFF.on(date(2024, 12, 31)) is None

    def test_a_gap_has_none(self) -> None:
        """Between two versions that do not meet there is no tariff either."""
        gap = Tariff(_TARIFF.timezone, (replace(_OLD, valid_until=date(2026, 5, 1)), _NEW))

        assert gap.on(date(2026, 5, 2)) is None

    @pytest.mark.parametrize(
        "versions",
        [
            (replace(_OLD, valid_until=None), _NEW),  # the first never ends
            (replace(_OLD, valid_until=date(2026, 5, 5)), _NEW),  # a day too long
            (_NEW, _OLD),  # out of order
            (_OLD, replace(_NEW, version="old")),  # one name
        ],
    )
    def test_ambiguous_versions_are_refused(self, versions: tuple[TariffVersion, ...]) -> None:
        """Two versions for one day, or of one name, do not make a tariff."""
        with pytest.raises(ValueError, match=r"overlap|one name"):
            Tariff(_TARIFF.timezone, versions)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"bands": ()},
            {"bands": (Band(6_000, Money(200)), Band(6_000, Money(300)))},
            {"bands": (Band(0, Money(200)),)},
            {"step_m": 0},
            {"valid_until": date(2025, 1, 1)},
        ],
    )
    def test_a_version_that_contradicts_itself_is_refused(self, wrong: dict[str, object]) -> None:
        """Bands that do not rise, a step of nothing and an end before the start are refused."""
        with pytest.raises(ValueError, match="old"):
            replace(_OLD, **wrong)  # type: ignore[arg-type]  # each row is one wrong field
