"""A rider's means of payment and statement, in words for the rider.

Comes in: fare's statement. Goes out: trips with who was asked for how much, how it was paid and
why that price. All money is moved by fare; this file only asks it to.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from uuid import UUID

from fare.account import BankCard, Means, TopUp, set_means, top_up
from fare.charge import Charge, Kind, State
from fare.decision import Outcome, Stop, Verdict
from fare.ledger import EntryConflict, Posting, wallet
from fare.money import Money
from fare.quote import rule_in_words
from fare.statement import Payment, Statements, TripLine
from fare.store import Store

TOP_UP_MINOR_MAX = 100_000
"""Most that one demo top-up puts into a wallet, minor units: a thousand yuan."""

_RETRY_ENTRIES = 100  # a retry follows within moments, not a hundred bookings later


@dataclass(frozen=True, slots=True)
class End:
    """One end of a trip."""

    station: str
    """Its name."""
    time: datetime
    medium: str
    """`face` or `code`."""


@dataclass(frozen=True, slots=True)
class TripRow:
    """One trip as the rider sees it."""

    trip_id: UUID
    way_in: End | None
    way_out: End | None
    status: str
    """Where the trip and its money stand, e.g. `Paid`."""
    settled: bool
    """Whether nothing more will happen with it and nothing is owed."""
    metres: int
    """Length of the ride on the shortest way; 0 where there is no price."""
    fare: Money | None
    """None where there is no price."""
    why: str
    """Why that price, or why none."""
    payments: tuple[str, ...]
    """Each movement of money in words."""


@dataclass(frozen=True, slots=True)
class PurseView:
    """The rider's money at a glance."""

    means: str
    """`wallet` or `card`."""
    card_token: str
    """The bank's name of the card; empty for a wallet."""
    wallet: Money
    owed: Money
    trips: tuple[TripRow, ...]
    """The newest first."""


class PurseRefused(Exception):
    """The money side does not accept it; the message is for the rider."""


_PAYMENT_WORDS = MappingProxyType(
    {
        Payment.NONE: "Nothing to pay",
        Payment.PENDING: "Being paid",
        Payment.PAID: "Paid",
        Payment.OWED: "Still owed",
        Payment.OVERPAID: "Overpaid, staff is looking into it",
        Payment.REFUNDED: "Paid back",
    }
)
_OUTCOME_WORDS = MappingProxyType(
    {
        Outcome.PRICED: "",
        Outcome.UNPRICED: "There is no price for this way; staff is looking into it.",
        Outcome.OPEN: "You are on your way. The price is set when you leave.",
        Outcome.INCOMPLETE_ENTRY: "We saw you enter but not leave, so nothing is charged.",
        Outcome.INCOMPLETE_EXIT: "We saw you leave but not enter, so nothing is charged.",
        Outcome.VOID: "Later records showed that there was no such trip.",
    }
)
_STATE_WORDS = MappingProxyType(
    {
        State.NEW: "about to be sent",
        State.SENT: "sent, waiting for the answer",
        State.PAID: "done",
        State.DECLINED: "declined",
        State.UNKNOWN: "no answer yet; we are asking, and it will not be charged twice",
        State.CANCELLED: "not needed any more",
    }
)


@dataclass(frozen=True, slots=True)
class Purse:
    """The rider's side of fare."""

    store: Store
    statements: Statements
    stations: Mapping[str, str]
    """Station id to name."""

    def view(self, ref: UUID) -> PurseView:
        """Return a rider's means and trips; empty for one who never paid anything."""
        statement = self.statements.rider(ref)
        means = statement.means
        return PurseView(
            means="card" if isinstance(means, BankCard) else "wallet",
            card_token=means.token if isinstance(means, BankCard) else "",
            wallet=statement.wallet,
            owed=statement.owed,
            trips=tuple(self._row(line) for line in statement.trips),
        )

    def choose(self, ref: UUID, means: Means) -> None:
        """Change how a rider pays; open debts are then collected by the new means."""
        with self.store.transaction() as transaction:
            set_means(transaction.accounts, ref, means)

    def top_up(self, payment: TopUp) -> None:
        """Put demo money into a wallet, once per id.

        Raises:
            PurseRefused: More than is allowed at once, or the id was used for something else.
        """
        if payment.amount.minor_units > TOP_UP_MINOR_MAX:
            raise PurseRefused(f"One top-up is at most {Money(TOP_UP_MINOR_MAX)}.")
        try:
            with self.store.transaction() as transaction:
                top_up(transaction.accounts, transaction.ledger, payment)
        except EntryConflict as error:
            if not self._made(payment):
                raise PurseRefused("This top-up was made with another amount.") from error

    def _made(self, payment: TopUp) -> bool:
        """Tell whether the same top-up is booked, at whatever time: then this is a retry."""
        account = wallet(payment.rider_ref)
        with self.store.transaction() as transaction:
            entries = transaction.ledger.entries(account=account, limit=_RETRY_ENTRIES)
        return any(
            entry.reference == str(payment.top_up_id)
            and any(posting == Posting(account, -payment.amount) for posting in entry.postings)
            for entry in entries
        )

    def _row(self, line: TripLine) -> TripRow:
        verdict = line.decision.verdict
        priced = verdict.outcome is Outcome.PRICED
        moved = bool(line.charges)
        return TripRow(
            trip_id=verdict.trip_id,
            way_in=self._end(verdict.entry),
            way_out=self._end(verdict.exit),
            status=_PAYMENT_WORDS[line.payment] if priced or moved else _short(verdict.outcome),
            settled=line.payment in (Payment.NONE, Payment.PAID, Payment.REFUNDED),
            metres=verdict.metres,
            fare=verdict.fare if priced else None,
            why=self._why(verdict),
            payments=tuple(_in_words(charge) for charge in line.charges),
        )

    def _end(self, stop: Stop | None) -> End | None:
        if stop is None:
            return None
        name = self.stations.get(stop.station_id, stop.station_id)
        return End(name, stop.tap_time, stop.medium.value)

    def _why(self, verdict: Verdict) -> str:
        if verdict.outcome is not Outcome.PRICED:
            return _OUTCOME_WORDS[verdict.outcome]
        rule = rule_in_words(verdict.rule_id)
        way = f"{verdict.metres / 1000:g} km on the shortest way: " if verdict.metres else ""
        return f"{way}{rule} (tariff {verdict.tariff_version}). Face and code cost the same."


def _short(outcome: Outcome) -> str:
    return {Outcome.OPEN: "On the way", Outcome.VOID: "No trip"}.get(outcome, "Nothing charged")


def _in_words(charge: Charge) -> str:
    by = f"card {charge.means.token}" if isinstance(charge.means, BankCard) else "wallet"
    verb = "charged to" if charge.kind is Kind.CAPTURE else "paid back to"
    reason = f" ({charge.reason})" if charge.reason else ""
    return f"{charge.amount} {verb} {by}: {_STATE_WORDS[charge.state]}{reason}"
