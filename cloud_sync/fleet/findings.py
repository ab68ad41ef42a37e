"""What is wrong with a station node, by the words that page, metric and docs share.

Pure, and the only place with thresholds. The console shows `Finding` and `Severity` as they stand
here, the metric `gateline_finding` carries them as labels, docs/operations.md lists them.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from cloud_sync.fleet.health import CAMERA_OK, EdgeHealth, FleetNode, LaneHealth, answered
from cloud_sync.stream.messages import PROTOCOL


class Severity(StrEnum):
    """How soon somebody must look; the order of the members is that of the page."""

    CRITICAL = "critical"
    """Riders are held up, money or a withdrawal is at stake: now."""
    WARNING = "warning"
    """It will be critical if nobody does anything: today."""
    NOTE = "note"
    """Worth knowing."""
    OK = "ok"
    """Nothing to do."""


class Finding(StrEnum):
    """What can be wrong with a node."""

    NEVER_REPORTED = "never_reported"
    """The node was admitted and has never told how it is."""
    SILENT = "silent"
    """No report for a while: power, network or process."""
    VIEW_LAGS = "view_lags"
    """The node holds an older revision of its station's view than the cloud does."""
    LEASE_SHORT = "lease_short"
    """The lease is far into its length: the node has not been caught up for long."""
    LEASE_OUT = "lease_out"
    """The lease has run out: no face opens there."""
    CERTIFICATE_OLD = "certificate_old"
    """The certificate was not renewed as it should have been."""
    CERTIFICATE_OUT = "certificate_out"
    """The certificate has run out: taps still come, galleries do not."""
    TAPS_WAIT = "taps_wait"
    """The oldest tap on the node's disk has waited for long: it is money that is not here."""
    TAPS_DOUBTED = "taps_doubted"
    """Taps of the node claim exemptions that nobody ordered: its clock, its modes or its keys."""
    CAMERA_FAULT = "camera_fault"
    """A lane's camera is lost, black, overexposed or frozen."""
    FACES_SHUT = "faces_shut"
    """No face can open a lane, for a reason that is not its camera."""
    FEW_BY_FACE = "few_by_face"
    """Of those who pass a lane, few are let in by their face."""
    CLOCK_OFF = "clock_off"
    """The node's clock is wrong: codes are refused, and the times of taps with it."""
    MODEL_REFUSED = "model_refused"
    """The node has no model: codes alone open."""
    MODEL_DIFFERS = "model_differs"
    """The node runs another model than most nodes."""
    SOFTWARE_DIFFERS = "software_differs"
    """The node runs another version than most nodes."""
    PROTOCOL_OLD = "protocol_old"
    """The node speaks an older protocol than the cloud; the one before that is refused."""
    DENY_LIST_OLD = "deny_list_old"
    """The node has not heard of the deny list for a while."""
    DISK_LOW = "disk_low"
    """The node's disk fills up: without room for a tap no barrier opens."""


@dataclass(frozen=True, slots=True)
class Found:
    """One finding about one node."""

    finding: Finding
    severity: Severity
    detail: str
    """A few words with the figure; no rider, no key."""


@dataclass(frozen=True, slots=True)
class FleetConfig:
    """From where on something is a finding."""

    silent_s: float = 35.0
    """Without a report, seconds, a warning: three of the reports that come every 10 s."""
    gone_s: float = 300.0
    """The same, critical, seconds, above `silent_s`."""
    lag_warning: int = 256
    """Revisions, a warning, from 1: more than one chunk."""
    lag_critical: int = 10_000
    """Revisions, critical, from `lag_warning`: past what a log keeps, hence a snapshot."""
    lease_left_min: float = 0.5
    """Share of a lease that should be left, 0 to 1: a caught-up node renews it with each
    bookmark, every 5 s, so half of a day means half a day without the cloud."""
    certificate_age_max_s: float = 2 * 86_400.0
    """Age of a certificate, seconds, a warning: it is renewed daily, and one day may fail."""
    tap_age_warning_s: float = 60.0
    """Age of the oldest waiting tap, seconds, a warning: a tap goes up within a second."""
    tap_age_critical_s: float = 3_600.0
    """The same, critical, seconds, above the warning."""
    face_share_min: float = 0.5
    """Share of answers by face below which a lane gets a note, 0 to 1."""
    face_share_of: int = 50
    """Answers of a lane before its share says anything, from 1."""
    clock_warning_ms: int = 1_000
    """Clock error, a warning, milliseconds: NTP keeps a node within a few."""
    clock_critical_ms: int = 5_000
    """The same, critical: the skew that a ride code is allowed (`edge_gate.ride_code`)."""
    protocol: int = PROTOCOL
    """What the cloud speaks."""
    deny_list_age_max_s: float = 60.0
    """Age of the deny list, seconds, a warning: it is confirmed with each bookmark."""
    disk_warning_bytes: int = 2 * 1024**3
    """Free disk, a warning: some 4 million taps of 500 bytes."""
    disk_critical_bytes: int = 200 * 1024**2
    """The same, critical, below the warning."""

    def __post_init__(self) -> None:
        """Refuse thresholds that contradict each other.

        Raises:
            ValueError: A value is out of its range.
        """
        rising = (
            (0.0, self.silent_s, self.gone_s),
            (0, self.lag_warning, self.lag_critical),
            (0.0, self.tap_age_warning_s, self.tap_age_critical_s),
            (0, self.clock_warning_ms, self.clock_critical_ms),
            (0, self.disk_critical_bytes, self.disk_warning_bytes),
        )
        if any(not low < mid <= high for low, mid, high in rising):
            raise ValueError(f"thresholds out of order: {self}")
        if not (0 <= self.lease_left_min <= 1 and 0 <= self.face_share_min <= 1):
            raise ValueError("a share is 0 to 1")


@dataclass(frozen=True, slots=True)
class Norm:
    """What most nodes of the fleet run."""

    model_digest: str = ""
    software: str = ""


def norm(nodes: Iterable[FleetNode]) -> Norm:
    """Return what most nodes run; of equals the later in the alphabet.

    Args:
        nodes: The fleet.
    """
    told = [node.report.health for node in nodes if node.report is not None]
    return Norm(
        _commonest([health.model_digest for health in told if health.model_digest]),
        _commonest([health.software for health in told]),
    )


def findings(
    node: FleetNode, now: datetime, config: FleetConfig | None = None, usual: Norm | None = None
) -> tuple[Found, ...]:
    """Return what is wrong with a node, the worst first.

    Args:
        node: The node.
        now: Aware UTC, by the cloud's clock.
        config: The thresholds.
        usual: What most nodes run; without it nothing differs.
    """
    rules = config or FleetConfig()
    found = [*_of_cloud(node, now, rules)]
    if node.report is not None:
        health = node.report.health
        found += _of_trust(health, now, rules)
        found += _of_machine(health, rules)
        found += _of_versions(health, rules, usual or Norm())
        for lane in health.lanes:
            found += _of_lane(lane, rules)
    order = list(Severity)
    return tuple(sorted(found, key=lambda each: order.index(each.severity)))


def worst(found: Sequence[Found]) -> Severity:
    """Return the worst severity of some findings; OK where there are none."""
    order = list(Severity)
    return min((each.severity for each in found), key=order.index, default=Severity.OK)


@dataclass(frozen=True, slots=True)
class _Scale:
    """Two thresholds that rise."""

    warning: float
    critical: float

    def of(self, value: float) -> Severity | None:
        if value >= self.critical:
            return Severity.CRITICAL
        return Severity.WARNING if value >= self.warning else None


def _of_cloud(node: FleetNode, now: datetime, rules: FleetConfig) -> Iterator[Found]:
    """Judge what the cloud knows by itself."""
    standing, report = node.standing, node.report
    if report is None:
        yield Found(Finding.NEVER_REPORTED, Severity.WARNING, "admitted, never heard of")
    else:
        quiet_s = (now - report.received_at).total_seconds()
        silent = _Scale(rules.silent_s, rules.gone_s).of(quiet_s)
        if silent is not None:
            yield Found(Finding.SILENT, silent, f"no report for {span(quiet_s)}")
    if standing.doubted_taps:
        told = f"{standing.doubted_taps:,} within a day claim an exemption that nobody ordered"
        yield Found(Finding.TAPS_DOUBTED, Severity.CRITICAL, told)
    lag = _Scale(rules.lag_warning, rules.lag_critical).of(standing.lag)
    if lag is not None:
        yield Found(Finding.VIEW_LAGS, lag, f"{standing.lag:,} revisions behind")
    if standing.lease_until is None:
        yield Found(Finding.LEASE_OUT, Severity.CRITICAL, "never had a lease")
        return
    left_s = (standing.lease_until - now).total_seconds()
    if left_s <= 0:
        yield Found(Finding.LEASE_OUT, Severity.CRITICAL, f"ran out {span(-left_s)} ago")
    elif left_s < rules.lease_left_min * standing.lease_s:
        yield Found(Finding.LEASE_SHORT, Severity.WARNING, f"{span(left_s)} left")


def _of_trust(health: EdgeHealth, now: datetime, rules: FleetConfig) -> Iterator[Found]:
    """Judge certificate, clock and deny list."""
    if health.certificate_until is not None and health.certificate_until <= now:
        gone_s = (now - health.certificate_until).total_seconds()
        yield Found(Finding.CERTIFICATE_OUT, Severity.CRITICAL, f"ran out {span(gone_s)} ago")
    elif health.certificate_from is not None:
        age_s = (now - health.certificate_from).total_seconds()
        if age_s > rules.certificate_age_max_s:
            yield Found(Finding.CERTIFICATE_OLD, Severity.WARNING, f"made {span(age_s)} ago")
    off = _Scale(rules.clock_warning_ms, rules.clock_critical_ms).of(health.clock_error_ms)
    if off is not None:
        yield Found(Finding.CLOCK_OFF, off, f"{span(health.clock_error_ms / 1000)} off")
    age_s = health.deny_list_age_s or 0.0
    if age_s > rules.deny_list_age_max_s:
        yield Found(Finding.DENY_LIST_OLD, Severity.WARNING, f"heard of {span(age_s)} ago")


def _of_machine(health: EdgeHealth, rules: FleetConfig) -> Iterator[Found]:
    """Judge outbox and disk."""
    age_s = health.outbox_age_s or 0.0
    waits = _Scale(rules.tap_age_warning_s, rules.tap_age_critical_s).of(age_s)
    if waits is not None:
        told = f"{health.outbox_depth:,} waiting, the oldest for {span(age_s)}"
        yield Found(Finding.TAPS_WAIT, waits, told)
    free = health.disk_free_bytes
    if free < rules.disk_warning_bytes:
        is_critical = free < rules.disk_critical_bytes
        severity = Severity.CRITICAL if is_critical else Severity.WARNING
        yield Found(Finding.DISK_LOW, severity, f"{free / 1024**2:,.0f} MiB free")


def _of_versions(health: EdgeHealth, rules: FleetConfig, usual: Norm) -> Iterator[Found]:
    """Judge what the node runs."""
    if not health.model_digest:
        yield Found(Finding.MODEL_REFUSED, Severity.CRITICAL, "codes alone open")
    elif usual.model_digest and health.model_digest != usual.model_digest:
        yield Found(Finding.MODEL_DIFFERS, Severity.WARNING, health.model_digest)
    if usual.software and health.software != usual.software:
        yield Found(Finding.SOFTWARE_DIFFERS, Severity.NOTE, health.software)
    if health.protocol < rules.protocol:
        told = f"speaks {health.protocol}, the cloud {rules.protocol}"
        yield Found(Finding.PROTOCOL_OLD, Severity.WARNING, told)


def _of_lane(lane: LaneHealth, rules: FleetConfig) -> Iterator[Found]:
    """Judge one lane."""
    if lane.camera != CAMERA_OK:
        yield Found(Finding.CAMERA_FAULT, Severity.CRITICAL, f"{lane.lane_id}: {lane.camera}")
    elif lane.shut:
        yield Found(Finding.FACES_SHUT, Severity.CRITICAL, f"{lane.lane_id}: {lane.shut}")
    answers = answered((lane,))
    share = answers.share(answers.by_face)
    if share is not None and answers.total >= rules.face_share_of and share < rules.face_share_min:
        told = f"{lane.lane_id}: {share:.0%} of {answers.total:,}"
        yield Found(Finding.FEW_BY_FACE, Severity.NOTE, told)


def span(seconds: float) -> str:
    """Return a length of time for people, with one unit: `40 ms`, `3.8 s`, `12 min`, `5 h`, `3 d`.

    Args:
        seconds: From 0.
    """
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3_600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3_600:.0f} h" if seconds < 172_800 else f"{seconds / 86_400:.0f} d"


def _commonest(words: list[str]) -> str:
    counted = Counter(words)
    return max(counted, key=lambda word: (counted[word], word), default="")
