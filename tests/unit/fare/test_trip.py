"""Folding taps into trips: scripted riders, properties, an oracle, and folds that are wrong."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import combinations
from uuid import UUID

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from fare.tap import Direction, Medium, Tap, TapFlag
from fare.trip import (
    CompleteTrip,
    IncompleteEntry,
    IncompleteExit,
    OpenTrip,
    Trip,
    TripRules,
    fold,
)

_RIDER = UUID(int=7)
_MORNING = datetime(2026, 5, 4, 0, 30, tzinfo=UTC)  # 08:30 in Xi'an
Fold = Callable[[Iterable[Tap]], tuple[Trip, ...]]


def tap(
    number: int,
    way: str,
    seconds: float = 0,
    *,
    medium: Medium = Medium.FACE,
    station: str = "xiaozhai",
    lane: str = "1",
) -> Tap:
    """Make tap `number` with its time in seconds after the morning's start."""
    return Tap(
        tap_id=UUID(int=number),
        rider_ref=_RIDER,
        station_id=station,
        lane_id=f"{way}-{lane}",
        direction=Direction.ENTRY if way == "in" else Direction.EXIT,
        medium=medium,
        tap_time=_MORNING + timedelta(seconds=seconds),
        clock_error_ms=5,
    )


class TestScriptedRiders:
    """What the fold makes of people."""

    @pytest.mark.parametrize("way_out", list(Medium))
    @pytest.mark.parametrize("way_in", list(Medium))
    def test_media_mix_freely(self, way_in: Medium, way_out: Medium) -> None:
        """Mei rides in and out by any pair of media and has one complete trip."""
        entry = tap(1, "in", medium=way_in)
        leave = tap(2, "out", 1200, medium=way_out, station="beidajie")

        assert fold([entry, leave]) == (
            CompleteTrip(UUID(int=2), _RIDER, entry, leave, merged=(), overstayed=False),
        )

    def test_a_trip_is_named_after_its_exit_tap(self) -> None:
        """Jun's complete trip carries the id of the tap that ended it."""
        (trip,) = fold([tap(8, "in"), tap(3, "out", 900)])

        assert trip.trip_id == UUID(int=3)

    def test_no_taps_no_trips(self) -> None:
        """Who never tapped has no trip."""
        assert fold([]) == ()

    def test_an_entry_alone_is_open(self) -> None:
        """Li is inside: one open trip, named after the entry."""
        entry = tap(1, "in")

        assert fold([entry]) == (OpenTrip(UUID(int=1), _RIDER, entry, merged=()),)

    def test_an_entry_after_an_entry_leaves_the_first_incomplete(self) -> None:
        """Bo left by a side door and came in again: the first ride lacks its end."""
        first, second, leave = tap(1, "in"), tap(2, "in", 4000), tap(3, "out", 5000)

        assert fold([first, second, leave]) == (
            IncompleteEntry(UUID(int=1), _RIDER, first, merged=()),
            CompleteTrip(UUID(int=3), _RIDER, second, leave, merged=(), overstayed=False),
        )

    def test_an_exit_without_entry_is_incomplete(self) -> None:
        """Fang was let in by staff and leaves by face: the ride lacks its beginning."""
        leave = tap(4, "out")

        assert fold([leave]) == (IncompleteExit(UUID(int=4), _RIDER, leave, merged=()),)

    def test_a_second_exit_does_not_ride_on_the_first_entry(self) -> None:
        """An entry belongs to one exit; Hua's second exit an hour later is incomplete."""
        taps = [tap(1, "in"), tap(2, "out", 900), tap(3, "out", 4500)]

        assert [type(trip) for trip in fold(taps)] == [CompleteTrip, IncompleteExit]

    def test_face_and_code_at_one_lane_are_one_passage(self) -> None:
        """Yan shows her code as her face opens the gate, both ways: one trip, nothing lost."""
        taps = [
            tap(1, "in"),
            tap(2, "in", 3, medium=Medium.CODE),
            tap(3, "out", 900, medium=Medium.CODE),
            tap(4, "out", 904),
        ]

        assert fold(taps) == (
            CompleteTrip(
                UUID(int=3),
                _RIDER,
                taps[0],
                taps[2],
                merged=(UUID(int=2), UUID(int=4)),
                overstayed=False,
            ),
        )

    @pytest.mark.parametrize(("seconds", "passages"), [(9.999, 1), (10, 1), (10.001, 2)])
    def test_the_passage_ends_after_ten_seconds(self, seconds: float, passages: int) -> None:
        """A second tap at the lane counts as the same passage up to 10 s and no longer."""
        assert len(fold([tap(1, "in"), tap(2, "in", seconds)])) == passages

    def test_the_window_is_counted_from_the_first_tap(self) -> None:
        """A row of taps 8 s apart does not grow into one endless passage."""
        assert len(fold([tap(1, "in"), tap(2, "in", 8), tap(3, "in", 16)])) == 2

    @pytest.mark.parametrize(
        "second",
        [
            tap(2, "in", 2, lane="2"),  # the next lane
            tap(2, "in", 2, station="beidajie"),  # a lane of the same name elsewhere
        ],
    )
    def test_other_lanes_are_other_passages(self, second: Tap) -> None:
        """Only taps at one and the same lane are merged."""
        assert len(fold([tap(1, "in"), second])) == 2

    def test_in_and_out_at_once_is_a_ride(self) -> None:
        """Directions are never merged: in and out within 5 s is a trip within one station."""
        entry = tap(1, "in")
        leave = replace(tap(2, "out", 5), lane_id=entry.lane_id)

        (trip,) = fold([entry, leave])

        assert isinstance(trip, CompleteTrip)

    @pytest.mark.parametrize(("seconds", "overstayed"), [(12_600, False), (12_601, True)])
    def test_a_long_ride_is_flagged_not_broken(self, seconds: int, overstayed: bool) -> None:
        """Gao slept on the train: past 210 minutes the trip is complete and flagged."""
        (trip,) = fold([tap(1, "in"), tap(2, "out", seconds)])

        assert isinstance(trip, CompleteTrip)
        assert overstayed == trip.overstayed

    def test_two_riders_do_not_fold_together(self) -> None:
        """Taps of two riders are the caller's mistake."""
        with pytest.raises(ValueError, match="more than one rider"):
            fold([tap(1, "in"), replace(tap(2, "out", 9), rider_ref=UUID(int=8))])

    @pytest.mark.parametrize("wrong", [{"same_passage_s": -1}, {"ride_limit_min": 0}])
    def test_rules_out_of_range_are_refused(self, wrong: dict[str, int]) -> None:
        """A rule outside its documented range cannot be built."""
        with pytest.raises(ValueError, match="same_passage_s"):
            TripRules(**wrong)


def _taps(*, same_id_twice: bool = False) -> st.SearchStrategy[list[Tap]]:
    """Up to six taps of one rider, crowded round the edges of the rules."""
    numbers = st.integers(1, 4 if same_id_twice else 1000)
    around = st.sampled_from([0, 900, 12_600, 20_000])
    seconds = st.builds(int.__add__, around, st.sampled_from([0, 1, 4, 9, 10, 11, 14, 20]))
    one = st.builds(
        tap,
        numbers,
        st.sampled_from(["in", "out"]),
        seconds,
        medium=st.sampled_from(list(Medium)),
        station=st.sampled_from(["xiaozhai", "beidajie"]),
        lane=st.sampled_from(["1", "2"]),
    )
    key = None if same_id_twice else lambda t: t.tap_id
    return st.lists(one, max_size=6, unique_by=key)


@st.composite
def _delivered(draw: st.DrawFn) -> tuple[list[Tap], list[Tap]]:
    """Give some taps, and the same taps shuffled with some of them twice."""
    taps = draw(_taps(same_id_twice=draw(st.booleans())))
    again = draw(st.lists(st.sampled_from(taps), max_size=4)) if taps else []
    return taps, draw(st.permutations(taps + again))


def _oracle(taps: Iterable[Tap]) -> tuple[Trip, ...]:
    """Fold by definition: try every set of passages, then read trips off neighbouring ones."""
    by_id = {t.tap_id: t for t in sorted(taps, key=Tap.canonical, reverse=True)}
    ordered = sorted(by_id.values(), key=lambda t: (t.tap_time, t.tap_id))
    sets = [set(c) for n in range(len(ordered) + 1) for c in combinations(range(len(ordered)), n)]
    (heads,) = [
        heads
        for heads in sets
        if all((i in heads) != _repeats(i, heads, ordered) for i in range(len(ordered)))
    ]
    trips: list[tuple[int, Trip]] = []
    for i in sorted(heads):
        before = max((h for h in heads if h < i), default=None)
        after = min((h for h in heads if h > i), default=None)
        t, merged = ordered[i], _merged(i, heads, ordered)
        if t.direction is Direction.ENTRY:
            if after is None:
                trips.append((len(ordered), OpenTrip(t.tap_id, _RIDER, t, tuple(sorted(merged)))))
            elif ordered[after].direction is Direction.ENTRY:
                incomplete = IncompleteEntry(t.tap_id, _RIDER, t, tuple(sorted(merged)))
                trips.append((i, incomplete))
        elif before is None or ordered[before].direction is Direction.EXIT:
            trips.append((i, IncompleteExit(t.tap_id, _RIDER, t, tuple(sorted(merged)))))
        else:
            entry = ordered[before]
            both = tuple(sorted(merged + _merged(before, heads, ordered)))
            over = t.tap_time - entry.tap_time > timedelta(minutes=210)
            trips.append((i, CompleteTrip(t.tap_id, _RIDER, entry, t, both, over)))
    return tuple(trip for _, trip in sorted(trips, key=lambda pair: pair[0]))


def _repeats(i: int, heads: set[int], ordered: list[Tap]) -> bool:
    before = max((h for h in heads if h < i), default=None)
    if before is None:
        return False
    a, b = ordered[before], ordered[i]
    at_once = b.tap_time - a.tap_time <= timedelta(seconds=10)
    same = (a.station_id, a.lane_id, a.direction) == (b.station_id, b.lane_id, b.direction)
    return same and at_once


def _merged(head: int, heads: set[int], ordered: list[Tap]) -> list[UUID]:
    nxt = min((h for h in heads if h > head), default=len(ordered))
    return [t.tap_id for t in ordered[head + 1 : nxt]]


def _same_for_any_delivery(folded: Fold, taps: list[Tap], delivered: list[Tap]) -> bool:
    return folded(taps) == folded(delivered)


def _every_tap_once(folded: Fold, taps: list[Tap], delivered: list[Tap]) -> bool:
    told: list[UUID] = []
    for trip in folded(delivered):
        told += trip.merged
        told += [end.tap_id for end in _ends(trip)]
    return sorted(told) == sorted({t.tap_id for t in taps})


def _as_the_oracle(folded: Fold, taps: list[Tap], delivered: list[Tap]) -> bool:
    return folded(delivered) == _oracle(taps)


def _ends(trip: Trip) -> tuple[Tap, ...]:
    match trip:
        case CompleteTrip():
            return trip.entry, trip.exit
        case OpenTrip() | IncompleteEntry():
            return (trip.entry,)
        case IncompleteExit():
            return (trip.exit,)


Property = Callable[[Fold, list[Tap], list[Tap]], bool]
_PROPERTIES: tuple[Property, ...] = (_same_for_any_delivery, _every_tap_once, _as_the_oracle)


class TestProperties:
    """What holds for all taps."""

    @settings(max_examples=200, deadline=None)
    @given(_delivered())
    def test_any_delivery_gives_the_same_trips(
        self, delivered: tuple[list[Tap], list[Tap]]
    ) -> None:
        """Shuffled and repeated taps give the same trips, whatever an id repeats (invariant 4)."""
        assert _same_for_any_delivery(fold, *delivered)

    @settings(max_examples=200, deadline=None)
    @given(_delivered())
    def test_every_tap_is_in_one_trip_once(self, delivered: tuple[list[Tap], list[Tap]]) -> None:
        """No tap is lost and none is used twice (invariant 3)."""
        assert _every_tap_once(fold, *delivered)

    @settings(max_examples=200, deadline=None)
    @given(_delivered())
    def test_trips_are_those_of_the_oracle(self, delivered: tuple[list[Tap], list[Tap]]) -> None:
        """A search through all sets of passages finds one that fits, and it gives these trips."""
        taps, shuffled = delivered

        assert _oracle(taps) == fold(shuffled)

    @settings(max_examples=200, deadline=None)
    @given(_taps())
    def test_trip_ids_are_unique(self, taps: list[Tap]) -> None:
        """No two trips share an id, so an id can stand for a charge."""
        ids = [trip.trip_id for trip in fold(taps)]

        assert len(ids) == len(set(ids))


def _as_delivered(taps: Iterable[Tap]) -> tuple[Trip, ...]:
    """Fold wrongly: the order of arrival taken for the order of time."""
    shifted = [
        replace(t, tap_time=_MORNING + timedelta(hours=i))
        for i, t in enumerate(dict.fromkeys(taps))
    ]
    return fold(shifted)


def _copies_are_taps(taps: Iterable[Tap]) -> tuple[Trip, ...]:
    """Fold wrongly: each delivery counted as a passage of its own."""
    copies = [replace(t, tap_id=UUID(int=t.tap_id.int + 10**6 * i)) for i, t in enumerate(taps)]
    return fold(copies)


def _nothing_merged(taps: Iterable[Tap]) -> tuple[Trip, ...]:
    """Fold wrongly: the second tap of a passage is another passage."""
    return fold(taps, TripRules(same_passage_s=0))


def _half_the_window(taps: Iterable[Tap]) -> tuple[Trip, ...]:
    """Fold wrongly: the passage ends before its tenth second."""
    return fold(taps, TripRules(same_passage_s=9.9))


def _first_delivery_wins(taps: Iterable[Tap]) -> tuple[Trip, ...]:
    """Fold wrongly: of two contents of one id the one that came first is taken."""
    first: dict[UUID, Tap] = {}
    for t in taps:
        first.setdefault(t.tap_id, t)
    return fold(first.values())


def _loses_lone_exits(taps: Iterable[Tap]) -> tuple[Trip, ...]:
    """Fold wrongly: an exit without entry is thrown away."""
    return tuple(trip for trip in fold(taps) if not isinstance(trip, IncompleteExit))


def _limit_in_hours(taps: Iterable[Tap]) -> tuple[Trip, ...]:
    """Fold wrongly: the limit is not reached by the second after it."""
    return fold(taps, TripRules(ride_limit_min=211))


def _search(examples: int) -> settings:
    """Look for a counter-example only: making it small takes most of the time and tells nobody."""
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
    )


class TestControls:
    """The properties can fail: each wrong fold breaks one of them."""

    @pytest.mark.parametrize(
        ("wrong", "broken"),
        [
            (_as_delivered, _same_for_any_delivery),
            (_as_delivered, _as_the_oracle),
            (_copies_are_taps, _same_for_any_delivery),
            (_copies_are_taps, _every_tap_once),
            (_nothing_merged, _as_the_oracle),
            (_half_the_window, _as_the_oracle),
            (_first_delivery_wins, _same_for_any_delivery),
            (_loses_lone_exits, _every_tap_once),
            (_limit_in_hours, _as_the_oracle),
        ],
    )
    def test_a_wrong_fold_is_caught(self, wrong: Fold, broken: Property) -> None:
        """A counter-example against the wrong fold is found."""
        taps, delivered = find(
            _delivered(),
            lambda case: not broken(wrong, *case),
            settings=_search(3000),
        )

        assert all(holds(fold, taps, delivered) for holds in _PROPERTIES)

    def test_the_right_fold_is_not_caught(self) -> None:
        """The same search finds nothing against the fold itself."""
        with pytest.raises(NoSuchExample):
            find(
                _delivered(),
                lambda case: not all(holds(fold, *case) for holds in _PROPERTIES),
                settings=_search(300),
            )


class TestFlags:
    """Taps of a station that left something out."""

    @pytest.mark.parametrize("flagged", [0, 1])
    def test_time_exempt_at_either_end_is_no_overstay(self, flagged: int) -> None:
        """Six hours inside count as overstayed, unless one end was time exempt."""
        taps = [tap(1, "in"), tap(2, "out", 6 * 3_600)]
        (control,) = fold(taps)
        taps[flagged] = replace(taps[flagged], flags=frozenset({TapFlag.TIME_EXEMPT}))

        (trip,) = fold(taps)

        assert isinstance(control, CompleteTrip)
        assert isinstance(trip, CompleteTrip)
        assert (control.overstayed, trip.overstayed) == (True, False)

    def test_an_order_exempt_way_out_needs_no_way_in(self) -> None:
        """A lone way out is excused where the station asked for no order, and only there."""
        out = tap(1, "out")
        (control,) = fold([out])

        (trip,) = fold([replace(out, flags=frozenset({TapFlag.ORDER_EXEMPT}))])

        assert isinstance(control, IncompleteExit)
        assert isinstance(trip, IncompleteExit)
        assert (control.excused, trip.excused) == (False, True)

    @pytest.mark.parametrize("flagged", [0, 1, None])
    def test_a_way_in_twice_is_excused_by_either(self, flagged: int | None) -> None:
        """A missing way out is excused by the way in before it or the one after it."""
        taps = [tap(1, "in"), tap(2, "in", 3_600)]
        if flagged is not None:
            taps[flagged] = replace(taps[flagged], flags=frozenset({TapFlag.ORDER_EXEMPT}))

        first, _ = fold(taps)

        assert isinstance(first, IncompleteEntry)
        assert first.excused is (flagged is not None)
