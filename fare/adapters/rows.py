"""Rows of schema `fare` to the nouns of this package and back, in one place."""

from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from fare.account import BankCard, Means, Wallet
from fare.charge import Charge, Kind, State
from fare.decision import Decision, Outcome, Stop, Verdict
from fare.money import Money
from fare.tap import Direction, Medium, Tap, flags_of, flags_text


def token_of(means: Means) -> str | None:
    """Return the column `card_token`: NULL is the wallet."""
    return means.token if isinstance(means, BankCard) else None


def means_of(token: str | None) -> Means:
    """Return the means that a column `card_token` names."""
    return Wallet() if token is None else BankCard(token)


def tap_of(row: sa.Row[Any]) -> Tap:
    """Read a tap as its gate has signed it, from a row of `fare.tap` or of the cloud's log."""
    return Tap(
        tap_id=row.tap_id,
        rider_ref=row.rider_ref,
        station_id=row.station_id,
        lane_id=row.lane_id,
        direction=Direction(row.direction),
        medium=Medium(row.medium),
        tap_time=row.tap_time,
        clock_error_ms=row.clock_error_ms,
        model_id=row.model_id,
        score_e4=row.score_e4,
        code_id=bytes(row.code_id),
        flags=flags_of(row.flags),
    )


def judged_tap_of(row: sa.Row[Any]) -> Tap:
    """Read a tap with the flags that the cloud doubts, from the same rows."""
    return replace(tap_of(row), doubted=flags_of(row.doubted))


def tap_row(tap: Tap) -> dict[str, Any]:
    """Return a tap's columns, without the digest and the cloud's doubts."""
    return {
        "tap_id": tap.tap_id,
        "rider_ref": tap.rider_ref,
        "station_id": tap.station_id,
        "lane_id": tap.lane_id,
        "direction": tap.direction.value,
        "medium": tap.medium.value,
        "tap_time": tap.tap_time,
        "clock_error_ms": tap.clock_error_ms,
        "model_id": tap.model_id,
        "score_e4": tap.score_e4,
        "code_id": tap.code_id,
        "flags": flags_text(tap.flags),
    }


def decision_of(row: sa.Row[Any]) -> Decision:
    """Read a decision from a row of `fare.decision`."""
    verdict = Verdict(
        trip_id=row.trip_id,
        rider_ref=row.rider_ref,
        outcome=Outcome(row.outcome),
        fare=Money(row.fare_minor_units, row.currency),
        entry=_stop_of(row, "entry"),
        exit=_stop_of(row, "exit"),
        overstayed=row.overstayed,
        metres=row.metres,
        path=tuple(row.path),
        rule_id=row.rule_id,
        tariff_version=row.tariff_version,
        reason=row.reason,
    )
    return Decision(verdict, row.number, row.decided_time)


def _stop_of(row: sa.Row[Any], end: str) -> Stop | None:
    columns = row._mapping  # noqa: SLF001  # SQLAlchemy's documented name for a row's columns
    if columns[f"{end}_tap_id"] is None:
        return None
    return Stop(
        tap_id=columns[f"{end}_tap_id"],
        station_id=columns[f"{end}_station_id"],
        medium=Medium(columns[f"{end}_medium"]),
        tap_time=columns[f"{end}_time"],
    )


def decision_row(decision: Decision) -> dict[str, Any]:
    """Return a decision's columns."""
    verdict = decision.verdict
    return {
        "trip_id": verdict.trip_id,
        "number": decision.number,
        "rider_ref": verdict.rider_ref,
        "outcome": verdict.outcome.value,
        "fare_minor_units": verdict.fare.minor_units,
        "currency": verdict.fare.currency,
        **_stop_row("entry", verdict.entry),
        **_stop_row("exit", verdict.exit),
        "overstayed": verdict.overstayed,
        "metres": verdict.metres,
        "path": list(verdict.path),
        "rule_id": verdict.rule_id,
        "tariff_version": verdict.tariff_version,
        "reason": verdict.reason,
        "decided_time": decision.decided_time,
    }


def _stop_row(end: str, stop: Stop | None) -> dict[str, Any]:
    return {
        f"{end}_tap_id": stop and stop.tap_id,
        f"{end}_station_id": stop and stop.station_id,
        f"{end}_medium": stop and stop.medium.value,
        f"{end}_time": stop and stop.tap_time,
    }


def charge_of(row: sa.Row[Any]) -> Charge:
    """Read a charge from a row of `fare.charge`."""
    return Charge(
        charge_id=row.charge_id,
        trip_id=row.trip_id,
        rider_ref=row.rider_ref,
        number=row.number,
        seq=row.seq,
        kind=Kind(row.kind),
        amount=Money(row.minor_units, row.currency),
        means=means_of(row.card_token),
        of=row.of,
        state=State(row.state),
        made_time=row.made_time,
        due_time=row.due_time,
        sends=row.sends,
        queries=row.queries,
        reason=row.reason,
    )


def charge_row(charge: Charge) -> dict[str, Any]:
    """Return a charge's columns."""
    return {
        "charge_id": charge.charge_id,
        "trip_id": charge.trip_id,
        "rider_ref": charge.rider_ref,
        "number": charge.number,
        "seq": charge.seq,
        "kind": charge.kind.value,
        "minor_units": charge.amount.minor_units,
        "currency": charge.amount.currency,
        "card_token": token_of(charge.means),
        "of": charge.of,
        "state": charge.state.value,
        "made_time": charge.made_time,
        "due_time": charge.due_time,
        "sends": charge.sends,
        "queries": charge.queries,
        "reason": charge.reason,
    }
