"""What is told of a station node, case by case."""

import typing
from datetime import timedelta

import pytest

from cloud_sync.fleet.findings import (
    Finding,
    FleetConfig,
    Found,
    Norm,
    Severity,
    findings,
    norm,
    span,
    worst,
)
from cloud_sync.fleet.health import Answers, EdgeHealth, FleetNode, Report, lately
from tests.fleet import NOON, health, lane, node

CRITICAL, WARNING, NOTE = Severity.CRITICAL, Severity.WARNING, Severity.NOTE
USUAL = Norm("face@0123456789ab", "0.1.0")


def said(one: FleetNode) -> set[tuple[Finding, Severity]]:
    """Return what is found, without the words."""
    return {(each.finding, each.severity) for each in findings(one, NOON, usual=USUAL)}


CASES: dict[str, tuple[FleetNode, Finding, Severity]] = {
    "never heard of": (node(None), Finding.NEVER_REPORTED, WARNING),
    "silent": (node(health(), heard_s_ago=36), Finding.SILENT, WARNING),
    "gone": (node(health(), heard_s_ago=301), Finding.SILENT, CRITICAL),
    "lags": (node(health(), acked_rev=700), Finding.VIEW_LAGS, WARNING),
    "far behind": (node(health(), head_rev=20_000), Finding.VIEW_LAGS, CRITICAL),
    "half a lease": (
        node(health(), lease_until=NOON + timedelta(hours=11)),
        Finding.LEASE_SHORT,
        WARNING,
    ),
    "no lease": (node(health(), lease_until=None), Finding.LEASE_OUT, CRITICAL),
    "lease out": (node(health(), lease_until=NOON), Finding.LEASE_OUT, CRITICAL),
    "not renewed": (
        node(health(certificate_from=NOON - timedelta(days=3))),
        Finding.CERTIFICATE_OLD,
        WARNING,
    ),
    "certificate out": (node(health(certificate_until=NOON)), Finding.CERTIFICATE_OUT, CRITICAL),
    "taps wait": (node(health(outbox_depth=3, outbox_age_s=61.0)), Finding.TAPS_WAIT, WARNING),
    "taps stuck": (node(health(outbox_depth=3, outbox_age_s=3_600.0)), Finding.TAPS_WAIT, CRITICAL),
    "doubted": (node(health(), doubted_taps=2), Finding.TAPS_DOUBTED, CRITICAL),
    "black": (node(health(lanes=(lane(camera="black"),))), Finding.CAMERA_FAULT, CRITICAL),
    "shut": (node(health(lanes=(lane(shut="gallery_stale"),))), Finding.FACES_SHUT, CRITICAL),
    "codes": (node(health(lanes=(lane(by_face=40, by_code=60),))), Finding.FEW_BY_FACE, NOTE),
    "a second off": (node(health(clock_error_ms=1_000)), Finding.CLOCK_OFF, WARNING),
    "1970": (node(health(clock_error_ms=10**9)), Finding.CLOCK_OFF, CRITICAL),
    "no model": (node(health(model_digest="")), Finding.MODEL_REFUSED, CRITICAL),
    "other model": (node(health(model_digest="face@ff")), Finding.MODEL_DIFFERS, WARNING),
    "other version": (node(health(software="0.0.9")), Finding.SOFTWARE_DIFFERS, NOTE),
    "old protocol": (node(health(protocol=0)), Finding.PROTOCOL_OLD, WARNING),
    "old deny list": (node(health(deny_list_age_s=61.0)), Finding.DENY_LIST_OLD, WARNING),
    "disk": (node(health(disk_free_bytes=10**9)), Finding.DISK_LOW, WARNING),
    "disk full": (node(health(disk_free_bytes=10**6)), Finding.DISK_LOW, CRITICAL),
}


class TestFindings:
    """The rules."""

    def test_a_well_node_has_none(self) -> None:
        """Nothing is told of a node in order, so that what is told is read."""
        assert findings(node(health()), NOON, usual=USUAL) == ()

    @pytest.mark.parametrize("case", CASES)
    def test_each_fault_is_told_alone(self, case: str) -> None:
        """One thing wrong is one finding, with its severity."""
        one, finding, severity = CASES[case]

        assert said(one) == {(finding, severity)}

    def test_every_word_has_a_case(self) -> None:
        """No finding exists that these tests have not seen."""
        assert {finding for _, finding, _ in CASES.values()} == set(Finding)

    @pytest.mark.parametrize(
        "told",
        [
            health(outbox_depth=500, outbox_age_s=59.0),
            health(lanes=(lane(by_face=10, by_code=39, refused=0),)),
            health(clock_error_ms=999),
            health(certificate_from=None, certificate_until=None, deny_list_age_s=None),
            health(outbox_age_s=-3.0),
        ],
    )
    def test_just_below_a_threshold_is_silence(self, told: EdgeHealth) -> None:
        """What comes and goes in a day's work is not told."""
        assert said(node(told)) == set()

    def test_a_broken_camera_is_told_once(self) -> None:
        """That its lane opens for no face follows from it and is not told again."""
        broken = node(health(lanes=(lane(camera="lost", shut="camera_lost"),)))

        assert said(broken) == {(Finding.CAMERA_FAULT, CRITICAL)}

    def test_the_worst_comes_first(self) -> None:
        """A page that is read from the top begins with what cannot wait."""
        bad = node(health(software="0.0.9", clock_error_ms=1_500, model_digest=""))

        told = findings(bad, NOON, usual=USUAL)

        assert [each.severity for each in told] == [CRITICAL, WARNING, NOTE]
        assert worst(told) is CRITICAL
        assert worst(()) is Severity.OK

    def test_the_words_hold_no_rider(self) -> None:
        """A detail has a figure, and nothing longer than a line."""
        for one, _, _ in CASES.values():
            for each in findings(one, NOON, usual=USUAL):
                assert 0 < len(each.detail) < 60

    def test_thresholds_of_ones_own(self) -> None:
        """An operator's limits are used, and refused where they contradict each other."""
        strict = FleetConfig(silent_s=1.0)

        assert findings(node(health()), NOON, strict)[0].finding is Finding.SILENT
        for wrong in ({"silent_s": 900.0}, {"lease_left_min": 1.5}, {"disk_critical_bytes": 2**40}):
            with pytest.raises(ValueError, match=r"out of order|share"):
                FleetConfig(**typing.cast("dict[str, typing.Any]", wrong))

    def test_the_norm_is_what_most_run(self) -> None:
        """Two of three decide; nodes without a model do not vote for none."""
        fleet = [
            node(health("a", software="1", model_digest="")),
            node(health("b", software="2", model_digest="face@1")),
            node(health("c", software="2", model_digest="")),
            node(None),
        ]

        assert norm(fleet) == Norm("face@1", "2")
        assert norm([]) == Norm()

    @pytest.mark.parametrize(
        ("seconds", "words"),
        [(3.84, "3.8 s"), (90, "2 min"), (7_200, "2 h"), (172_800, "2 d"), (0.0404, "40 ms")],
    )
    def test_lengths_of_time_have_one_unit(self, seconds: float, words: str) -> None:
        """Nobody adds hours to minutes while something burns."""
        assert span(seconds) == words

    def test_found_is_plain(self) -> None:
        """Two findings of the same words are the same."""
        assert Found(Finding.SILENT, WARNING, "x") == Found(Finding.SILENT, WARNING, "x")


class TestLately:
    """How a node has answered over its kept reports."""

    def _report(self, minute: int, face: int, *, start: int = -60) -> Report:
        at = NOON + timedelta(minutes=minute)
        lanes = (lane(by_face=face, by_code=10, refused=0),)
        return Report(health(started_at=NOON + timedelta(minutes=start), lanes=lanes), at)

    def test_only_what_came_since_counts(self) -> None:
        """A node that runs for weeks is judged by the last two hours."""
        assert lately([self._report(0, 100), self._report(1, 130)]) == Answers(30, 0, 0)

    def test_a_restart_begins_anew(self) -> None:
        """Counts start from nothing with the process, and never go below it."""
        history = [self._report(0, 100), self._report(5, 3, start=4)]

        assert lately(history) == Answers(3, 10, 0)
        assert lately([]) == Answers()
        assert Answers().share(0) is None
