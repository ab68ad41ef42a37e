"""A passenger's phone: the rider app's own API, over HTTP as the app uses it."""

import base64
import time
from typing import Any
from uuid import uuid4

import httpx

from edge_gate.adapters.opencv import encode
from edge_gate.face import Image

_CONSENTS = ("collect", "store", "send", "pay")
"""What a rider by face agrees to; `pay` alone is enough for the ride code."""


class Away(RuntimeError):
    """The server did not answer for longer than the phone's patience."""


class Phone:
    """One rider's session with the enroll process."""

    def __init__(self, base_url: str, name: str, *, patience_s: float = 30.0) -> None:
        """Prepare a phone for one person; nothing is sent yet.

        Args:
            base_url: Address of the rider app.
            name: What the rider calls themself.
            patience_s: How long a call is tried again while the server is away.
        """
        self.name = name
        self.ref = ""
        self._patience_s = patience_s
        self._http = httpx.Client(base_url=base_url, timeout=20.0)

    def close(self) -> None:
        """Hang up."""
        self._http.close()

    def sign_up(self, means: str, *, wallet_minor: int = 5_000) -> None:
        """Make an account that pays by `wallet` (topped up) or by a bank card's token."""
        created = self._call("POST", "/api/riders", json={"name": self.name})
        self.ref = created["ref"]
        self._http.headers["Authorization"] = f"Bearer {created['key']}"
        self._consent("pay")
        if means == "wallet":
            self._call("PUT", self._path("means"), json={"kind": "wallet"})
            top_up = {"top_up_id": str(uuid4()), "minor_units": wallet_minor}
            self._call("POST", self._path("top-ups"), json=top_up)
        else:
            self._call("PUT", self._path("means"), json={"kind": "card", "token": means})

    def enroll_face(self, portrait: Image) -> None:
        """Give the consents a face needs, and one photo."""
        self.consent_all()
        self.give_photo(portrait)

    def consent_all(self) -> None:
        """Give the consents a face needs."""
        for purpose in _CONSENTS:
            self._consent(purpose)

    def give_photo(self, portrait: Image) -> None:
        """Give one photo."""
        files = {"photo": ("me.png", encode(portrait, suffix=".png"), "image/png")}
        self._call("POST", self._path("photos"), files=files)

    def pause(self) -> None:
        """Make the stations forget the face until it is resumed."""
        self._call("POST", self._path("pause"))

    def withdraw(self) -> None:
        """Delete all face data for good."""
        self._call("POST", self._path("withdraw"))

    def code(self) -> bytes:
        """Fetch a fresh ride code's payload."""
        return base64.b64decode(self._call("GET", self._path("code"))["payload"])

    def purse(self) -> dict[str, Any]:
        """Fetch means, balance and trips."""
        return self._call("GET", self._path("trips"))

    def _consent(self, purpose: str) -> None:
        self._call("POST", self._path("consents"), json={"purpose": purpose, "given": True})

    def _path(self, leaf: str) -> str:
        return f"/api/riders/{self.ref}/{leaf}"

    def _call(self, method: str, path: str, **content: Any) -> dict[str, Any]:
        """Send a request, again while the server is down, and return its answer.

        Raises:
            Away: It stayed down.
            RuntimeError: It refused; the message has its words.
        """
        deadline = time.monotonic() + self._patience_s
        while True:
            try:
                answer = self._http.request(method, path, **content)
            except httpx.TransportError as error:
                if time.monotonic() > deadline:
                    raise Away(f"{self.name}: {method} {path}: {error}") from error
                time.sleep(0.3)
                continue
            if answer.status_code >= 500 and time.monotonic() < deadline:
                time.sleep(0.3)
                continue
            if answer.is_error:
                raise RuntimeError(f"{self.name}: {method} {path}: {answer.text}")
            body: dict[str, Any] = answer.json()
            return body
