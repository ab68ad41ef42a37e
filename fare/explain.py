"""A trip's whole story for a clerk: every decision with its reasons, and the money it moved."""

from collections.abc import Sequence

from fare import quote
from fare.account import BankCard
from fare.charge import Charge
from fare.decision import ORDER_EXEMPT, Decision, Outcome, Stop
from fare.network import Network
from fare.price import PricedTrip
from fare.statement import TripLine


def explain(lines: Sequence[TripLine], network: Network) -> str:
    """Tell a trip's decisions, oldest first.

    Args:
        lines: What `Statements.trip` returned.
        network: The network that the trip was priced on.

    Returns:
        Lines of text without a final newline.
    """
    if not lines:
        return "No trip has this id."
    return "\n".join(text for line in lines for text in _decision(line, network))


def _decision(line: TripLine, network: Network) -> list[str]:
    decision = line.decision
    verdict = decision.verdict
    told = [
        f"Decision {decision.number}: {verdict.outcome.value}, {verdict.fare}",
        f"  decided {decision.decided_time:%Y-%m-%d %H:%M:%S %Z}",
        f"  in: {_stop(verdict.entry)}; out: {_stop(verdict.exit)}",
    ]
    if verdict.outcome is Outcome.PRICED:
        told += quote.explain(network, _priced(decision)).splitlines()[1:]
    if verdict.reason == ORDER_EXEMPT:
        told.append("  excused: the station was exempt from the order of entry and exit")
    elif verdict.reason:
        told.append(f"  no price: {verdict.reason}")
    return told + [_charge(charge) for charge in line.charges]


def _priced(decision: Decision) -> PricedTrip:
    verdict = decision.verdict
    return PricedTrip(
        trip_id=verdict.trip_id,
        amount=verdict.fare,
        rule_id=verdict.rule_id,
        tariff_version=verdict.tariff_version,
        path=verdict.path,
        metres=verdict.metres,
    )


def _stop(stop: Stop | None) -> str:
    if stop is None:
        return "missing"
    return f"{stop.station_id} by {stop.medium.value} at {stop.tap_time:%H:%M:%S %Z}"


def _charge(charge: Charge) -> str:
    means = "card" if isinstance(charge.means, BankCard) else "wallet"
    reason = f" ({charge.reason})" if charge.reason else ""
    return f"  {charge.kind.value} {charge.amount} by {means}: {charge.state.value}{reason}"
