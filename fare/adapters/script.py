"""How simulated cards behave, by their token; shared by the bank in memory and the one on HTTP."""

from dataclasses import dataclass
from uuid import UUID

from fare.charge import Kind
from fare.money import Money


@dataclass(frozen=True, slots=True)
class Conduct:
    """What a simulated card makes of a movement."""

    pays: bool
    """The money moves."""
    answers: bool = True
    """The bank says so; without it the caller waits in vain."""
    remembers: bool = True
    """The bank has the movement in its book, so that a query finds it."""
    slow: bool = False
    """The answer comes late, but within a patient caller's time-out."""


CONDUCTS = {
    "tok_yes": Conduct(pays=True),
    "tok_no": Conduct(pays=False),
    "tok_silent": Conduct(pays=False, answers=False, remembers=False),
    "tok_charged_silent": Conduct(pays=True, answers=False),
    "tok_slow": Conduct(pays=True, slow=True),
}
"""By token; a token may end in `-` and anything, so that every rider can have one of their own."""


def conduct(token: str) -> Conduct:
    """Return how a card behaves; a token that no script names is declined.

    Args:
        token: E.g. `tok_yes` or `tok_yes-ada`.
    """
    return CONDUCTS.get(token.split("-", 1)[0], Conduct(pays=False))


@dataclass(frozen=True, slots=True)
class Movement:
    """One line of a simulated bank's book."""

    movement_id: UUID
    kind: Kind
    token: str
    of: UUID | None
    """The capture that a refund gives back from."""
    amount: Money
    paid: bool
    reason: str
    """Why it was declined; empty where it was paid."""


def decide(wanted: Movement, captured: Movement | None, already_back: int) -> Movement:
    """Return a movement as the bank books it.

    Args:
        wanted: What was asked for; `paid` and `reason` do not matter.
        captured: The capture that a refund names, if the bank knows it.
        already_back: Minor units of that capture that went back before.
    """
    reason = ""
    if wanted.kind is Kind.CAPTURE:
        reason = "" if conduct(wanted.token).pays else "card declined"
    elif captured is None or not captured.paid:
        reason = "no such capture"
    elif already_back + wanted.amount.minor_units > captured.amount.minor_units:
        reason = "more than was taken"
    return Movement(
        movement_id=wanted.movement_id,
        kind=wanted.kind,
        token=captured.token if captured else wanted.token,
        of=wanted.of,
        amount=wanted.amount,
        paid=not reason,
        reason=reason,
    )


def same_terms(known: Movement, wanted: Movement) -> bool:
    """Tell whether an id came again for the same thing."""
    terms = (known.kind, known.of, known.amount) == (wanted.kind, wanted.of, wanted.amount)
    return terms and (wanted.kind is Kind.REFUND or known.token == wanted.token)
