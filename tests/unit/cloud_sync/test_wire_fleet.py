"""A node's report over the wire: nothing lost, nothing believed that cannot be."""

from datetime import UTC, datetime

import pytest
from gateline.sync.v1 import fleet_service_pb2 as pb
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_sync.fleet.health import EdgeHealth, LaneHealth
from cloud_sync.stream.view import EdgeNode
from cloud_sync.wire import WireBroken, health_from_proto, health_to_proto
from tests.fleet import NOON, health, lane

NODE = EdgeNode("edge-1", "bell-tower", bytes(32))

_times = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
_spans = st.none() | st.integers(0, 10**9).map(lambda ms: ms / 1000)
_counts = st.integers(0, 2**63 - 1)
_words = st.text(st.characters(exclude_characters="\x00", codec="utf-8"), max_size=30)
_lanes = st.builds(LaneHealth, _words, _words, _spans, _words, _counts, _counts, _counts)
_reports = st.builds(
    EdgeHealth,
    edge_id=st.just("edge-1"),
    station_id=st.just("bell-tower"),
    told_at=_times,
    started_at=_times,
    revision=_counts,
    lease_until=st.none() | _times,
    certificate_from=st.none() | _times,
    certificate_until=st.none() | _times,
    outbox_depth=_counts,
    outbox_age_s=_spans,
    first_tier=_counts,
    second_tier=_counts,
    model_digest=_words,
    protocol=st.integers(0, 2**32 - 1),
    software=_words,
    clock_error_ms=st.integers(0, 2**32 - 1),
    deny_list_age_s=_spans,
    disk_free_bytes=_counts,
    lanes=st.lists(_lanes, max_size=4).map(tuple),
)


@settings(max_examples=60)
@given(_reports)
def test_every_report_comes_back(report: EdgeHealth) -> None:
    """Serialized and parsed, a report is what it was, absent values too."""
    parsed = pb.ReportHealthRequest.FromString(health_to_proto(report).SerializeToString())

    assert health_from_proto(parsed, NODE) == report


def test_whose_it_is_is_not_in_the_message() -> None:
    """A report that names another node counts for the one that has sent it."""
    forged = health_to_proto(health("edge-9", "palace"))

    told = health_from_proto(forged, NODE)

    assert (told.edge_id, told.station_id) == ("edge-1", "bell-tower")


def test_a_clock_of_1970_can_be_told() -> None:
    """An error larger than the field is told as the largest."""
    assert health_to_proto(health(clock_error_ms=2**40)).health.clock_error_ms == 2**32 - 1


@pytest.mark.parametrize(
    "spoil",
    [
        lambda told: setattr(told.report_time, "seconds", -(10**12)),
        lambda told: setattr(told, "model_digest", "a\x00b"),
        lambda told: setattr(told.outbox_age, "seconds", -1),
        lambda told: setattr(told, "outbox_depth", 2**64 - 1),
        lambda told: setattr(told, "software_version", "x" * 201),
        lambda told: told.lanes.extend([pb.LaneHealth()] * 64),
        lambda told: setattr(told.lanes[0], "lane_id", "x" * 201),
    ],
)
def test_what_is_no_report_is_refused(spoil: object) -> None:
    """Impossible times, negative ages and words that are none do not reach the database."""
    request = health_to_proto(health(told_at=NOON, outbox_age_s=1.0, lanes=(lane(),)))
    assert health_from_proto(request, NODE)  # the control: it is good before
    spoil(request.health)  # type: ignore[operator]

    with pytest.raises(WireBroken):
        health_from_proto(request, NODE)
