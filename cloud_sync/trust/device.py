"""Which edge node may do what, by its certificate: rules without I/O.

What a certificate says (`Certified`) and what the cloud knows of its edge (`Known`) make a
`CertificateState`, and `ALLOWED` says what each state allows; docs/trust.md prints the same table.
The figures are those of reference/reliability.md, 2.7. This file does not know how a certificate is
encoded, nor where anything is stored.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, StrEnum
from types import MappingProxyType
from urllib.parse import quote, unquote

from cloud_sync.view_id import is_next

LIFETIME = timedelta(days=7)
"""Of a node's certificate: who is not renewed is out within a week."""
RENEW_AFTER = timedelta(days=1)
"""A node renews when its certificate is so old; six more tries are left before it expires."""
GRACE = timedelta(days=30)
"""After expiry: so long an edge that was offline may still bring its taps and renew."""
BACKDATED = timedelta(minutes=5)
"""How far `not_before` lies before the moment of issue: clocks of nodes may be behind so much."""

_SCHEME = "spiffe://gateline/station/"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who an edge node is: the one name in its certificate."""

    station_id: str
    """The station it stands in, not empty."""
    edge_id: str
    """The node, not empty."""

    @property
    def uri(self) -> str:
        """The name as it stands in the certificate, ids percent-encoded."""
        return f"{_SCHEME}{quote(self.station_id, safe='')}/edge/{quote(self.edge_id, safe='')}"


def identity_of(uri: str) -> Identity | None:
    """Return who a certificate's name means; None when it is not a name of ours.

    Args:
        uri: As found. Only the one spelling that `Identity.uri` writes is read.
    """
    match uri.removeprefix(_SCHEME).split("/"):
        case [station, "edge", edge] if uri.startswith(_SCHEME) and station and edge:
            found = Identity(unquote(station), unquote(edge))
            return found if found.uri == uri and not is_next(found.station_id) else None
    return None


@dataclass(frozen=True, slots=True)
class Certified:
    """What a certificate says, after its signature was checked."""

    identity: Identity
    serial: str
    """Hex digits in lower case, without leading zeros."""
    key_digest: bytes
    """SHA-256 of its public key, 32 bytes."""
    not_before: datetime
    """Aware UTC."""
    not_after: datetime
    """Aware UTC, the last moment included."""
    is_ours: bool = True
    """Whether an authority that is trusted now has signed it, for an edge node."""

    @property
    def issued(self) -> datetime:
        """When it was issued, aware UTC: a little after it begins."""
        return self.not_before + BACKDATED


@dataclass(frozen=True, slots=True)
class Known:
    """What the cloud knows of the edge and the certificate."""

    station_id: str | None = None
    """Where the edge stands; None when no such edge was enrolled."""
    is_revoked: bool = False
    """Whether the edge or this very certificate is in the deny set."""
    key_owner: str | None = None
    """The edge that this key was certified for first; None for a new key."""


class CertificateState(StrEnum):
    """What a certificate is worth now; the words go into log, audit and console."""

    VALID = "valid"
    """Ours, in time, of an edge that is enrolled where it says."""
    NOT_YET_VALID = "not_yet_valid"
    """Its time has not begun by the cloud's clock: one of the two clocks is wrong."""
    EXPIRED = "expired"
    """Past its time, within the grace."""
    LAPSED = "lapsed"
    """Past the grace."""
    REVOKED = "revoked"
    """In the deny set."""
    WRONG_STATION = "wrong_station"
    """The edge was enrolled at another station since."""
    KEY_REUSED = "key_reused"
    """Its key was certified for another edge: a node's disk was copied."""
    FOREIGN = "foreign"
    """No authority of ours has signed it, or not for an edge node."""
    UNENROLLED = "unenrolled"
    """Nobody of this name was enrolled, or there is no certificate at all."""


class Power(Enum):
    """What a node may ask for."""

    GALLERY = "gallery"
    """Its station's view, with templates and key grants, and everything else on the main port."""
    TAPS = "taps"
    """Bring taps; the tap log checks their own signatures."""
    TAPS_ASIDE = "taps_aside"
    """Bring taps that all go into the quarantine, where a person decides."""
    RENEW = "renew"
    """Take a new certificate without a person's help."""


_NOTHING: frozenset[Power] = frozenset()
ALLOWED: Mapping[CertificateState, frozenset[Power]] = MappingProxyType(
    {
        CertificateState.VALID: frozenset((Power.GALLERY, Power.TAPS, Power.RENEW)),
        CertificateState.NOT_YET_VALID: frozenset((Power.TAPS,)),
        CertificateState.EXPIRED: frozenset((Power.TAPS, Power.RENEW)),
        # Its taps are not lost: they wait in its outbox until it has joined with a new token.
        CertificateState.LAPSED: _NOTHING,
        # A tap is a fact, but a stolen node can sign what never was.
        CertificateState.REVOKED: frozenset((Power.TAPS_ASIDE,)),
        CertificateState.WRONG_STATION: frozenset((Power.TAPS,)),
        CertificateState.KEY_REUSED: frozenset((Power.TAPS,)),
        CertificateState.FOREIGN: _NOTHING,
        CertificateState.UNENROLLED: _NOTHING,
    }
)
"""What each state allows. Only the first row is served on the main port."""


def state_of(certified: Certified, known: Known, now: datetime) -> CertificateState:
    """Return what a certificate is worth.

    Args:
        certified: What it says; that the caller holds its key was proven.
        known: What the cloud knows.
        now: Aware UTC, by the cloud's clock.
    """
    if not certified.is_ours:
        return CertificateState.FOREIGN
    if known.station_id is None:
        return CertificateState.UNENROLLED
    if known.is_revoked:
        return CertificateState.REVOKED
    if known.key_owner not in (None, certified.identity.edge_id):
        return CertificateState.KEY_REUSED
    if known.station_id != certified.identity.station_id:
        return CertificateState.WRONG_STATION
    return _in_time(certified, now)


def _in_time(certified: Certified, now: datetime) -> CertificateState:
    if now < certified.not_before:
        return CertificateState.NOT_YET_VALID
    if now <= certified.not_after:
        return CertificateState.VALID
    return (
        CertificateState.EXPIRED if now <= certified.not_after + GRACE else CertificateState.LAPSED
    )


class Route(Enum):
    """Where a node goes with its certificate, by its own clock."""

    MAIN = "main"
    """The main port, with the certificate in the handshake."""
    GRACE = "grace"
    """The device port, with a proof of possession."""
    NONE = "none"
    """Nowhere: a person must bring a new token."""


def route(certified: Certified, now: datetime) -> Route:
    """Return where a node takes its taps and its wish for a new certificate.

    Args:
        certified: Its own.
        now: Aware UTC, by the node's clock; the cloud judges by its own.
    """
    match _in_time(certified, now):
        case CertificateState.VALID:
            return Route.MAIN
        case CertificateState.LAPSED:
            return Route.NONE
        case _:
            return Route.GRACE


def is_renewal_due(certified: Certified, now: datetime) -> bool:
    """Return whether a node asks for a new certificate.

    Args:
        certified: Its own.
        now: Aware UTC, by the node's clock.
    """
    return now >= certified.issued + RENEW_AFTER
