"""A node's certificate and its request, read and written.

X.509 with ECDSA on P-256, since BoringSSL's defaults do not take Ed25519 in TLS. A node's
certificate is good for clients alone and carries one name, a URI (`device.Identity`). Pure: keys
come in as arguments; how certificates are signed is in `authority.py`.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeGuard

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID

from cloud_sync.trust.device import Certified, Identity, identity_of

PEM_MAX = 8_192
"""Bytes of a certificate or request that are read at most; ours have under 1,000."""
_UNREADABLE = (
    ValueError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)


class CertificateRefused(ValueError):
    """These bytes are not a certificate, request or key that we could take."""


@dataclass(frozen=True, slots=True)
class Request:
    """A certificate request whose maker holds its key."""

    public_key: ec.EllipticCurvePublicKey
    key_digest: bytes
    """SHA-256 of the public key, 32 bytes."""
    identity: Identity
    """Whom it names; the cloud believes its own records instead."""


def new_request(key: ec.EllipticCurvePrivateKey, identity: Identity) -> bytes:
    """Return a certificate request, DER.

    Args:
        key: The node's own, on P-256; it stays where it is.
        identity: Who the node says it is.
    """
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    builder = builder.add_extension(name_of(identity), critical=True)
    return builder.sign(key, SHA256()).public_bytes(Encoding.DER)


def read_request(der: bytes) -> Request:
    """Return what a request asks for.

    Args:
        der: As received.

    Raises:
        CertificateRefused: Not a request, not signed by its own key, not P-256, or without a name.
    """
    if len(der) > PEM_MAX:
        raise CertificateRefused("the request is too long")
    try:
        request = x509.load_der_x509_csr(der)
        public_key, extensions = request.public_key(), request.extensions
        is_signed = request.is_signature_valid
    except _UNREADABLE as problem:
        raise CertificateRefused("not a certificate request") from problem
    if not _is_p256(public_key):
        raise CertificateRefused("a key on P-256 is needed")
    if not is_signed:
        raise CertificateRefused("the request is not signed by its own key")
    identity = _identity_in(extensions)
    if identity is None:
        raise CertificateRefused("the request does not name an edge node")
    return Request(public_key, digest_of(public_key), identity)


@dataclass(frozen=True, slots=True)
class NodeCertificate:
    """A node's certificate, read."""

    certified: Certified
    public_key: ec.EllipticCurvePublicKey = field(repr=False)


def read_node(pem: bytes, trusted: Sequence[x509.Certificate] | None = None) -> NodeCertificate:
    """Return what a node's certificate says.

    Args:
        pem: The certificate; what follows it is not read.
        trusted: The authorities trusted now; None where the reader is the node itself, which takes
            its own certificate as it is.

    Raises:
        CertificateRefused: It is none, or names no edge node.
    """
    if len(pem) > PEM_MAX:
        raise CertificateRefused("the certificate is too long")
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        public_key, extensions = certificate.public_key(), certificate.extensions
    except _UNREADABLE as problem:
        raise CertificateRefused("not a certificate") from problem
    identity = _identity_in(extensions)
    if identity is None or not _is_p256(public_key):
        raise CertificateRefused("the certificate does not name an edge node")
    certified = Certified(
        identity,
        f"{certificate.serial_number:x}",
        digest_of(public_key),
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
        is_ours=trusted is None or (_is_client(extensions) and _is_signed(certificate, trusted)),
    )
    return NodeCertificate(certified, public_key)


def digest_of(public_key: ec.EllipticCurvePublicKey) -> bytes:
    """Return the SHA-256 of a public key (its SubjectPublicKeyInfo), 32 bytes.

    Args:
        public_key: Any.
    """
    encoded = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(encoded).digest()


def key_to_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a private key as it is kept in a private file, PKCS #8.

    Args:
        key: Any.
    """
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def key_of_pem(pem: bytes) -> ec.EllipticCurvePrivateKey:
    """Return the private key in a file.

    Args:
        pem: PKCS #8.

    Raises:
        CertificateRefused: It is none on P-256; nothing of it is in the message.
    """
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise CertificateRefused("not a private key") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not _is_p256(key.public_key()):
        raise CertificateRefused("not a private key on P-256")
    return key


def name_of(identity: Identity) -> x509.SubjectAlternativeName:
    """Return an identity as it stands in a request or certificate.

    Args:
        identity: Whose.
    """
    return x509.SubjectAlternativeName([x509.UniformResourceIdentifier(identity.uri)])


def _identity_in(extensions: x509.Extensions) -> Identity | None:
    """Return the one name; a certificate with several names is nobody's."""
    try:
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None
    match list(names):
        case [x509.UniformResourceIdentifier() as only]:
            return identity_of(only.value)
    return None


def _is_p256(public_key: object) -> TypeGuard[ec.EllipticCurvePublicKey]:
    if not isinstance(public_key, ec.EllipticCurvePublicKey):
        return False
    return isinstance(public_key.curve, ec.SECP256R1)


def _is_client(extensions: x509.Extensions) -> bool:
    try:
        usage = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return False
    return ExtendedKeyUsageOID.CLIENT_AUTH in usage


def _is_signed(certificate: x509.Certificate, trusted: Iterable[x509.Certificate]) -> bool:
    return any(_has_signed(each, certificate) for each in trusted)


def _has_signed(authority: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True
