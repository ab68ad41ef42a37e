"""The bank over HTTP; whatever is not a clear answer is Unknown, to be asked about later."""

import logging
from typing import Any
from uuid import UUID

import httpx

from fare.log import say
from fare.money import Money
from fare.payment import Declined, NotFound, Paid, Unknown

_LOG = logging.getLogger(__name__)


class HttpGateway:
    """A `PaymentGateway` that speaks to `fare.adapters.bank` or a bank with the same interface."""

    def __init__(
        self,
        base_url: str,
        *,
        timeout_s: float = 5.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Open a client; nothing is sent yet.

        Args:
            base_url: `http://host:port`.
            timeout_s: Longest wait for an answer; below `ChargeRules.stale_s`.
            transport: What carries the requests; the network by default.
        """
        self._client = httpx.Client(base_url=base_url, timeout=timeout_s, transport=transport)

    def close(self) -> None:
        """Close the client's connections."""
        self._client.close()

    def charge(self, charge_id: UUID, token: str, amount: Money) -> Paid | Declined | Unknown:
        """Take an amount from a card."""
        return self._move(f"/charges/{charge_id}", {"token": token, **_amount(amount)})

    def refund(self, refund_id: UUID, charge_id: UUID, amount: Money) -> Paid | Declined | Unknown:
        """Give back a part of what `charge_id` took."""
        return self._move(f"/refunds/{refund_id}", {"of": str(charge_id), **_amount(amount)})

    def query(self, movement_id: UUID) -> Paid | Declined | NotFound | Unknown:
        """Ask what became of a charge or refund."""
        try:
            response = self._client.get(f"/movements/{movement_id}")
        except httpx.HTTPError as error:
            return Unknown(type(error).__name__)
        if response.status_code == httpx.codes.NOT_FOUND:
            # Only the bank's own 404 says that it never saw the id; a proxy's says nothing.
            unseen = _fields(response).get("outcome") == "not_found"
            return NotFound() if unseen else Unknown("status 404 of somebody else")
        return _outcome(response)

    def _move(self, path: str, body: dict[str, Any]) -> Paid | Declined | Unknown:
        try:
            response = self._client.put(path, json=body)
        except httpx.HTTPError as error:
            return Unknown(type(error).__name__)
        if response.status_code == httpx.codes.CONFLICT:
            say(_LOG, "bank_conflict", level=logging.ERROR, path=path)
        return _outcome(response)


def _amount(amount: Money) -> dict[str, Any]:
    return {"minor_units": amount.minor_units, "currency": amount.currency}


def _outcome(response: httpx.Response) -> Paid | Declined | Unknown:
    if response.status_code != httpx.codes.OK:
        return Unknown(f"status {response.status_code}")
    fields = _fields(response)
    match fields.get("outcome"):
        case "paid":
            return Paid()
        case "declined":
            return Declined(str(fields.get("reason", "")))
        case _:
            return Unknown("an answer without an outcome")


def _fields(response: httpx.Response) -> dict[str, Any]:
    try:
        fields = response.json()
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}
