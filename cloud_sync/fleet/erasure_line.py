"""One line of the ledger's copy outside the database: chained, signed, and read back with doubt.

A line is a JSON object. Its digest covers the line before it, so that none can be taken out or
changed unseen; the cloud's signature keeps others from adding one. Without the copy a restored
backup would bring erased faces back.
"""

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from cloud_sync.fleet.erasure import Erasure, LedgerFailed

GENESIS = bytes(32)
"""The digest before the first line."""
_FIELDS = {"number", "prev", "rider_ref", "at", "cause", "final", "digest", "signature"}


class LedgerBroken(LedgerFailed):
    """The copy was changed, or lacks a line in its middle; somebody must look before serving."""


@dataclass(frozen=True, slots=True)
class Tail:
    """Where the chain ends."""

    number: int = 0
    digest: bytes = GENESIS
    """Of the last line, 32 bytes."""


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """One erasure in its place."""

    number: int
    """From 1, dense."""
    prev: bytes
    """The digest of the line before, 32 bytes."""
    erasure: Erasure
    signature: bytes
    """Of the cloud's key over the digest, 64 bytes."""

    @property
    def digest(self) -> bytes:
        """SHA-256 of everything but the signature, 32 bytes."""
        return hashlib.sha256(_canonical(self.number, self.prev, self.erasure)).digest()

    def encoded(self) -> bytes:
        """Return the line as it is written, with its end."""
        fields = _fields(self.number, self.prev, self.erasure)
        fields |= {"digest": self.digest.hex(), "signature": self.signature.hex()}
        return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def sealed(tail: Tail, erasure: Erasure, sign: Callable[[bytes], bytes]) -> LedgerLine:
    """Return the next line.

    Args:
        tail: Of the chain so far.
        erasure: What happened.
        sign: Returns the cloud's signature of a digest.
    """
    number = tail.number + 1
    digest = hashlib.sha256(_canonical(number, tail.digest, erasure)).digest()
    return LedgerLine(number, tail.digest, erasure, sign(digest))


def decoded(text: bytes) -> LedgerLine:
    """Return a line as it stands, its content not checked yet.

    Args:
        text: Without its end.

    Raises:
        LedgerBroken: It is not a line.
    """
    try:
        fields: dict[str, Any] = json.loads(text)
        if set(fields) != _FIELDS:
            raise ValueError("other fields")  # noqa: TRY301  # told as every other damage is
        erasure = Erasure(
            UUID(fields["rider_ref"]),
            datetime.fromisoformat(fields["at"]),
            str(fields["cause"]),
            is_final=bool(fields["final"]),
        )
        prev, signature = bytes.fromhex(fields["prev"]), bytes.fromhex(fields["signature"])
        line = LedgerLine(int(fields["number"]), prev, erasure, signature)
        if line.digest.hex() != fields["digest"]:
            raise ValueError("the digest does not fit")  # noqa: TRY301
    except (ValueError, TypeError, KeyError, AttributeError) as problem:
        raise LedgerBroken(f"a line of the ledger cannot be read: {problem}") from problem
    return line


def verified(
    lines: Iterable[LedgerLine], is_genuine: Callable[[bytes, bytes], bool]
) -> tuple[tuple[Erasure, ...], Tail]:
    """Check a run of lines and return what it says, and where it ends.

    Args:
        lines: In their order. Days past the keeping time may be missing before the first.
        is_genuine: Tells whether a signature, the second, is the cloud's over a digest, the first.

    Raises:
        LedgerBroken: A line is missing, was changed, or is not the cloud's.
    """
    found: list[Erasure] = []
    tail: Tail | None = None
    for line in lines:
        if tail is not None and (line.number, line.prev) != (tail.number + 1, tail.digest):
            raise LedgerBroken(f"line {line.number} of the ledger does not follow {tail.number}")
        if not is_genuine(line.digest, line.signature):
            raise LedgerBroken(f"line {line.number} of the ledger is not signed by this cloud")
        found.append(line.erasure)
        tail = Tail(line.number, line.digest)
    return tuple(found), tail or Tail()


def _canonical(number: int, prev: bytes, erasure: Erasure) -> bytes:
    fields = _fields(number, prev, erasure)
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()


def _fields(number: int, prev: bytes, erasure: Erasure) -> dict[str, Any]:
    return {
        "number": number,
        "prev": prev.hex(),
        "rider_ref": str(erasure.rider_ref),
        "at": erasure.at.isoformat(),
        "cause": erasure.cause,
        "final": erasure.is_final,
    }
