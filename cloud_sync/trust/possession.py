"""How a node shows that it holds its keys, where TLS does not show it.

On the device port nobody brings a certificate into the handshake (an expired one would end it), so
the node signs the cloud's fresh challenge together with what it asks for. At its first request it
also signs with the key of its taps: nobody enrolls another node's.
"""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from cloud_sync.fields import joined

RENEW = "renew"
"""The payload is a certificate request."""
TAPS = "taps"
"""The payload is a batch of taps, encoded."""


def prove(key: ec.EllipticCurvePrivateKey, purpose: str, challenge: bytes, payload: bytes) -> bytes:
    """Return the signature by which a node shows that it holds its certificate's key.

    Args:
        key: The key.
        purpose: What the payload is for; a proof serves no other purpose.
        challenge: As the cloud has just given it.
        payload: What the node asks for.
    """
    return key.sign(_asked(purpose, challenge, payload), ec.ECDSA(SHA256()))


def is_proven(
    public_key: ec.EllipticCurvePublicKey,
    signature: bytes,
    purpose: str,
    challenge: bytes,
    payload: bytes,
) -> bool:
    """Return whether a proof was made with a key, for this purpose, challenge and payload.

    Args:
        public_key: From the certificate.
        signature: As received.
        purpose: What it must be for.
        challenge: As the cloud has given it.
        payload: As received.
    """
    try:
        public_key.verify(signature, _asked(purpose, challenge, payload), ec.ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True


def tap_key_statement(request: bytes) -> bytes:
    """Return what the key of a node's taps signs when the node enrolls.

    Args:
        request: The certificate request that goes with it, DER.
    """
    return joined(b"gateline tap key 1", request)


def is_tap_key_proven(tap_key: bytes, signature: bytes, request: bytes) -> bool:
    """Return whether the holder of a tap key made this request.

    Args:
        tap_key: Ed25519, 32 bytes, as received.
        signature: As received.
        request: As received.
    """
    try:
        Ed25519PublicKey.from_public_bytes(tap_key).verify(signature, tap_key_statement(request))
    except (ValueError, InvalidSignature):
        return False
    return True


def _asked(purpose: str, challenge: bytes, payload: bytes) -> bytes:
    return joined(b"gateline proof 1", purpose.encode(), challenge, payload)
