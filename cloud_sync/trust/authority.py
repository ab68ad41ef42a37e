"""The operator's certificate authorities: what they sign, which of several does what, the port.

During a rotation two are trusted at once. The newest signs nodes. The oldest signs the cloud's
own listeners: every node that could still come has it in its bundle, also one that was away for
the whole grace. An authority may go when nobody is left who knows only that one. Pure but for the
port's adapters: keys, serials and moments come in as arguments.
"""

import ipaddress
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cloud_sync.trust.certificate import name_of
from cloud_sync.trust.device import BACKDATED, GRACE, LIFETIME, Identity

SERIAL_BYTES = 19
"""Of a serial number, random: 20 at most, the first bit clear (RFC 5280, 4.1.2.2)."""
AUTHORITY_LIFETIME = timedelta(days=730)
"""Of an authority's own certificate: with one rotation a year there is a year to spare."""
ROTATE_AFTER = timedelta(days=365)
"""So old the newest authority is when the operator is reminded to rotate."""
OVERLAP = LIFETIME + GRACE
"""After so long with a newer authority beside it, an old one is nobody's last."""


@dataclass(frozen=True, slots=True)
class Authority:
    """One authority of the operator; its `repr` shows the id alone."""

    authority_id: str
    """Hex digits; names its files."""
    certificate: x509.Certificate = field(repr=False)
    """Self-signed."""
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    @property
    def pem(self) -> bytes:
        """Its certificate, as nodes trust it."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def since(self) -> datetime:
        """When it was made, aware UTC."""
        return self.certificate.not_valid_before_utc + BACKDATED

    @property
    def fingerprint(self) -> str:
        """SHA-256 of its certificate in hex, as `openssl x509 -fingerprint -sha256` has it."""
        return self.certificate.fingerprint(SHA256()).hex()


class AuthorityFailed(Exception):
    """The authorities cannot be read or written, or others could read their keys."""


class CertificateAuthority(Protocol):
    """Where the authorities are kept; may be used by several threads and processes."""

    def authorities(self) -> tuple[Authority, ...]:
        """Return all that are trusted now, oldest first; the first call ever makes one.

        It is cheap to call often: each new connection asks.

        Raises:
            AuthorityFailed: They cannot be read.
        """
        ...

    def rotate(self) -> Authority:
        """Make a new authority; nodes are signed by it from now on, the old ones stay trusted.

        Raises:
            AuthorityFailed: Nothing has changed.
        """
        ...

    def retire(self, authority_id: str) -> None:
        """Stop trusting an authority, and destroy its key.

        Raises:
            LookupError: There is none of this id.
            ValueError: It is the newest.
            AuthorityFailed: It may still be trusted.
        """
        ...


def signer(authorities: Sequence[Authority]) -> Authority:
    """Return who signs nodes.

    Args:
        authorities: Oldest first, at least one.
    """
    return authorities[-1]


def listener_signer(authorities: Sequence[Authority]) -> Authority:
    """Return who signs the cloud's own listeners.

    Args:
        authorities: Oldest first, at least one.
    """
    return authorities[0]


def retirable_from(authorities: Sequence[Authority], authority_id: str) -> datetime | None:
    """Return from when an authority may go without locking a node out, aware UTC.

    Args:
        authorities: Oldest first.
        authority_id: The one that should go.

    Returns:
        None when it is not there, or is the newest.
    """
    for older, newer in itertools.pairwise(authorities):
        if older.authority_id == authority_id:
            return newer.since + OVERLAP
    return None


def next_since(authorities: Sequence[Authority], now: datetime) -> datetime:
    """Return the moment that a next authority is made at: later than all, whatever the clock says.

    Args:
        authorities: Those there are.
        now: Aware UTC.
    """
    second = timedelta(seconds=1)  # certificates know no less
    return max([now, *(each.since + second for each in authorities)])


def bundle(authorities: Iterable[Authority]) -> bytes:
    """Return the certificates of several authorities as one PEM text.

    Args:
        authorities: All that are trusted.
    """
    return b"".join(authority.pem for authority in authorities)


def new_authority(key: ec.EllipticCurvePrivateKey, authority_id: str, now: datetime) -> Authority:
    """Return an authority that signs itself.

    Args:
        key: On P-256, fresh.
        authority_id: Hex digits.
        now: Aware UTC.
    """
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Gateline CA {authority_id}")])
    serial = int(authority_id, 16) + 1
    builder = (
        _begun(key.public_key(), name, serial, now, AUTHORITY_LIFETIME)
        .subject_name(name)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return Authority(authority_id, builder.sign(key, SHA256()), key)


def sign_node(
    authority: Authority,
    public_key: ec.EllipticCurvePublicKey,
    identity: Identity,
    *,
    serial: int,
    now: datetime,
) -> bytes:
    """Return a node's certificate, PEM.

    Args:
        authority: Who signs.
        public_key: The node's.
        identity: Who it is, by the cloud's own records.
        serial: See `serial_of`.
        now: Aware UTC.
    """
    builder = (
        _begun(public_key, authority.certificate.subject, serial, now, LIFETIME)
        .subject_name(x509.Name([]))
        .add_extension(name_of(identity), critical=True)  # critical, as there is no subject
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    )
    return _leaf(builder, authority)


def sign_listener(
    authority: Authority,
    public_key: ec.EllipticCurvePublicKey,
    names: Iterable[str],
    *,
    serial: int,
    now: datetime,
) -> bytes:
    """Return the certificate of the cloud's own listeners, PEM.

    Args:
        authority: Who signs.
        public_key: The listener's.
        names: Host names and addresses that nodes may dial, at least one.
        serial: See `serial_of`.
        now: Aware UTC.
    """
    builder = (
        _begun(public_key, authority.certificate.subject, serial, now, LIFETIME)
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Gateline cloud")]))
        .add_extension(x509.SubjectAlternativeName(_host(name) for name in names), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    )
    return _leaf(builder, authority)


def serial_of(random: bytes) -> int:
    """Return a serial number, above 0.

    Args:
        random: `SERIAL_BYTES` random bytes.
    """
    return int.from_bytes(random[:SERIAL_BYTES], "big") | 1


def _begun(
    public_key: ec.EllipticCurvePublicKey,
    issuer: x509.Name,
    serial: int,
    now: datetime,
    lifetime: timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(serial)
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + lifetime)
    )


def _leaf(builder: x509.CertificateBuilder, authority: Authority) -> bytes:
    signed_by = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    builder = (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(signed_by, critical=False)
    )
    return builder.sign(authority.key, SHA256()).public_bytes(Encoding.PEM)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _host(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
