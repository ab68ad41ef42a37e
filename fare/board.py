"""The operator's figures as JSON, and the words that staff read for states and accounts.

This file does not know about the web or the database.
"""

from fare.account import BankCard, Means
from fare.charge import Charge, State
from fare.decision import Outcome, Stop
from fare.money import Money
from fare.network import Network, Station
from fare.statement import Overview, Payment, TripLine

Json = dict[str, object]

OUTCOME_WORDS = {
    Outcome.PRICED: "complete",
    Outcome.UNPRICED: "no price",
    Outcome.OPEN: "on the way",
    Outcome.INCOMPLETE_ENTRY: "way out missing",
    Outcome.INCOMPLETE_EXIT: "way in missing",
    Outcome.VOID: "void",
}
"""What staff read for each outcome of a trip."""

STATE_WORDS = {
    State.NEW: "waiting",
    State.SENT: "sent",
    State.PAID: "paid",
    State.DECLINED: "declined",
    State.UNKNOWN: "unknown",
    State.CANCELLED: "cancelled",
}
"""What staff read for each state of a charge."""

ACCOUNT_WORDS = {
    "revenue:fares": "Fares asked for",
    "bank:clearing": "Taken by the bank, not settled yet",
    "cash:counter": "Cash from top-ups",
    "rider:*:wallet": "Riders' wallets",
    "rider:*:receivable": "Owed by riders",
}
"""What staff read for each account; an account without words is shown by its name."""

_TONES = {
    Outcome.PRICED: "go",
    Outcome.UNPRICED: "stop",
    Outcome.INCOMPLETE_ENTRY: "code",
    Outcome.INCOMPLETE_EXIT: "code",
    State.PAID: "go",
    State.DECLINED: "stop",
    State.UNKNOWN: "code",
    Payment.PAID: "go",
    Payment.OWED: "stop",
    Payment.OVERPAID: "stop",
    Payment.PENDING: "code",
}


def tone(state: Outcome | State | Payment) -> str:
    """Return the stylesheet's class for a state: go, code, stop, or none."""
    return _TONES.get(state, "")


def station(network: Network, station_id: str) -> Station:
    """Return a station, or one that is named by its id where the network lacks it."""
    return network.stations.get(station_id, Station(station_id, station_id, ""))


def ink(background: str) -> str:
    """Return the colour, black or white, that reads better on a line's colour.

    Args:
        background: `#rrggbb`.

    Returns:
        `#000` where the background's relative luminance is above 0.179, the point of equal
        contrast (WCAG 2.2, definition of contrast ratio), else `#fff`.
    """
    parts = (int(background[at : at + 2], 16) / 255 for at in (1, 3, 5))
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    luminance = sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
    return "#000" if luminance > 0.179 else "#fff"


def by_state(overview: Overview) -> tuple[tuple[State, int, Money], ...]:
    """Return count and sum of the charges in every state, the states without any included."""
    known = {state: (count, amount) for state, count, amount in overview.charges}
    return tuple((state, *known.get(state.value, (0, Money(0)))) for state in State)


def figures(overview: Overview, network: Network) -> Json:
    """Return what `/money.json` and the event stream carry.

    Args:
        overview: One consistent moment of the books.
        network: Names the stations.

    Returns:
        Strings, whole numbers, lists and objects only. Amounts are minor units; balances are
        debits above zero and credits below.
    """
    trips = dict(overview.trips)
    return {
        "taps": overview.taps,
        "cursor": overview.cursor,
        "revenue": _amount(overview.revenue),
        "in_balance": overview.in_balance,
        "doubted": overview.doubted,
        "trips": {outcome.value: trips.get(outcome.value, 0) for outcome in Outcome},
        "charges": {
            state.value: {"count": count, **_amount(amount)}
            for state, count, amount in by_state(overview)
        },
        "balances": {each.account: _amount(each.amount) for each in overview.balances},
        "recent_trips": [_trip(line, network) for line in overview.recent_trips],
    }


def _amount(money: Money) -> Json:
    return {"minor_units": money.minor_units, "currency": money.currency}


def _trip(line: TripLine, network: Network) -> Json:
    verdict = line.decision.verdict
    return {
        "trip_id": str(verdict.trip_id),
        "rider_ref": str(verdict.rider_ref),
        "outcome": verdict.outcome.value,
        "entry": _stop(verdict.entry, network),
        "exit": _stop(verdict.exit, network),
        "metres": verdict.metres,
        "fare": _amount(verdict.fare),
        "taken": _amount(line.taken),
        "payment": line.payment.value,
        "rule_id": verdict.rule_id,
        "tariff_version": verdict.tariff_version,
        "overstayed": verdict.overstayed,
        "charges": [_charge(charge) for charge in line.charges],
    }


def _stop(stop: Stop | None, network: Network) -> Json | None:
    if stop is None:
        return None
    return {
        "station_id": stop.station_id,
        "station": station(network, stop.station_id).name,
        "medium": stop.medium.value,
        "tap_time": stop.tap_time.isoformat(),
    }


def _charge(charge: Charge) -> Json:
    return {
        "charge_id": str(charge.charge_id),
        "kind": charge.kind.value,
        "state": charge.state.value,
        "means": means_word(charge.means),
        "amount": _amount(charge.amount),
    }


def means_word(means: Means) -> str:
    """Return `card` or `wallet`; a card's token is nobody's business on a page."""
    return "card" if isinstance(means, BankCard) else "wallet"
