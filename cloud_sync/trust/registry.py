"""What the cloud remembers of devices: tokens, certificates, the deny set, and the audit.

The port is `DeviceRegistry`. What a token or certificate is worth is decided in `bootstrap` and
`device`. This file does not know about SQL or the wire.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from cloud_sync.trust.bootstrap import Applicant, Token, TokenFlaw
from cloud_sync.trust.device import CertificateState, Certified, Identity, Known

AUDIT_KEPT = 10_000
"""Lines of each kind that the audit keeps at least: a flood of one kind drives out no other."""
DETAIL_MAX = 500
"""Characters of a line's detail."""


class RegistryFailed(Exception):
    """The database did not answer."""


class What(StrEnum):
    """What the audit is told; the words stand in table, log and console."""

    TOKEN_MADE = "token_made"  # noqa: S105  # the name of an event
    ENROLLED = "enrolled"
    RENEWED = "renewed"
    REVOKED = "revoked"
    AUTHORITY = "authority"
    """An authority was made or retired."""
    TOKEN_REFUSED = "token_refused"  # noqa: S105  # the name of an event
    """Somebody came with a token that lets nobody in."""
    REFUSED = "refused"
    """A certificate that does not allow what was asked for."""
    IMPERSONATION = "impersonation"
    """A node named another edge or station than its certificate does."""
    GRACE_TAPS = "grace_taps"
    """Taps came past the main port."""
    STREAM_ENDED = "stream_ended"
    """A running stream was ended: the certificate was revoked or ran out."""
    LEFT_OUT = "left_out"
    """So many lines were not written, since there were too many."""


@dataclass(frozen=True, slots=True)
class AuditLine:
    """One line of the audit; it never holds a token, a key or a face."""

    at: datetime
    """Aware UTC."""
    edge_id: str
    """By the certificate where there is one, else as claimed; may be empty."""
    serial: str
    """Of the certificate; empty without one."""
    what: What
    detail: str
    """For people, `DETAIL_MAX` characters at most."""


@dataclass(frozen=True, slots=True)
class Device:
    """An edge node as the operator sees it."""

    identity: Identity
    is_revoked: bool
    """Whether the edge, not only a certificate of it, is in the deny set."""
    certificate: Certified | None
    """The newest; None when there was none, or the last is long past."""


class DeviceRegistry(Protocol):
    """Tokens, certificates, deny set and audit."""

    def offer(self, token: Token) -> None:
        """Keep a fresh token, and forget those that are long past.

        Raises:
            RegistryFailed: It is not kept.
        """
        ...

    def redeem(self, digest: bytes, applicant: Applicant, now: datetime) -> "Redeemed":
        """Use a token up for an applicant's key, in one transaction.

        The edge leaves the deny set; its old certificates stay in it. The key is the edge's from
        now on. Who redeems goes on to admit the edge; after a crash in between the node asks again.

        Args:
            digest: Of the token as received.
            applicant: Who asks.
            now: Aware UTC.

        Returns:
            Who the applicant is from now on, or why not.

        Raises:
            RegistryFailed: Nothing has changed.
        """
        ...

    def bind_key(self, key_digest: bytes, edge_id: str) -> bool:
        """Bind a key to an edge for ever; return whether it is this edge's.

        Raises:
            RegistryFailed: It cannot be told.
        """
        ...

    def issued(self, certificate: Certified, now: datetime) -> None:
        """Note a certificate before it is handed out, and forget those that are long past.

        Raises:
            RegistryFailed: It is not noted; do not hand it out.
        """
        ...

    def known(self, edge_id: str, serial: str, key_digest: bytes) -> Known:
        """Return what is known of an edge, a certificate and a key.

        Raises:
            RegistryFailed: It cannot be told; nothing is allowed then.
        """
        ...

    def revoke(self, name: str, now: datetime) -> tuple[str, ...]:
        """Put an edge with all its certificates, or one certificate, into the deny set.

        Args:
            name: An edge's id or a certificate's serial.
            now: Aware UTC.

        Returns:
            The edges that it is about, none when nothing has that name. Whoever watches them is
            told.

        Raises:
            RegistryFailed: Nothing has changed.
        """
        ...

    def devices(self) -> tuple[Device, ...]:
        """Return all edges by station and id.

        Raises:
            RegistryFailed: They cannot be read.
        """
        ...

    def note(self, line: AuditLine) -> None:
        """Add a line to the audit; of each kind at least `AUDIT_KEPT` stay.

        Raises:
            RegistryFailed: It is not kept.
        """
        ...

    def audited(self, limit: int) -> tuple[AuditLine, ...]:
        """Return the newest lines, newest first.

        Raises:
            RegistryFailed: They cannot be read.
        """
        ...


Redeemed = Identity | TokenFlaw | CertificateState
"""Who the applicant is, or what is wrong: with the token, or `CertificateState.KEY_REUSED`."""


def newest(certificates: Iterable[Certified]) -> Certified | None:
    """Return the certificate that was issued last.

    Args:
        certificates: Of one edge.
    """
    return max(certificates, key=lambda each: each.not_before, default=None)
