"""What a template looks like on wire and disk: packed, hashed, and checked before it is believed.

Templates go in and out as float32 unit vectors; two bytes a value travel. This file does not know
about protobuf or SQL.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from cloud_sync.gallery import Change, DropKey, DropTemplate, PutKey, PutTemplate, Template

NORM_ERROR_MAX = 1e-3
"""How far a template's length may be from 1. Rounding 512 values to float16 moves it by less than
5e-4; a vector that is further off was not made by an embedder."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class TemplateRefused(ValueError):
    """This is no usable template; the message says why and holds no values of it."""


@dataclass(frozen=True, slots=True)
class Space:
    """What a station's loaded model can compare."""

    model_id: str
    """The embedder."""
    transform_id: str = "plain"
    """The keyed transform applied after it; `plain` for none."""
    dimension: int = 512
    """Values in a vector, above 0; 512 for every shipped pack."""


def pack(vector: npt.NDArray[np.float32]) -> bytes:
    """Return a vector as float16 little-endian bytes.

    Args:
        vector: float32, shape (D,).
    """
    with np.errstate(over="ignore"):  # an absurd value becomes infinite and is refused by `check`
        return vector.astype("<f2").tobytes()


def unpack(packed: bytes) -> npt.NDArray[np.float32]:
    """Return the float32 vector, shape (len / 2,), of float16 little-endian bytes.

    Args:
        packed: Two bytes a value.

    Raises:
        TemplateRefused: Half a value is left over.
    """
    if len(packed) % 2:
        raise TemplateRefused("the vector has half a value")
    return np.frombuffer(packed, dtype="<f2").astype(np.float32)


def check(vector: npt.NDArray[np.float32], *, dimension: int) -> None:
    """Refuse a vector that no embedder made: it could match nobody, or everybody.

    Args:
        vector: float32, shape (D,).
        dimension: The D expected.

    Raises:
        TemplateRefused: Wrong dimension, not finite, or not of unit length.
    """
    if vector.shape != (dimension,):
        raise TemplateRefused(f"the vector has shape {vector.shape}, not ({dimension},)")
    with np.errstate(over="ignore", invalid="ignore"):
        length = float(np.sqrt(np.dot(vector, vector)))
    if not np.isfinite(length):
        raise TemplateRefused("the vector is not finite")
    if abs(length - 1) > NORM_ERROR_MAX:
        raise TemplateRefused(f"the vector has length {length:.4g}, not 1")


def content_hash(change: Change) -> bytes:
    """Return the SHA-256 of a change as it is packed, 32 bytes.

    Args:
        change: Any change.
    """
    match change:
        case PutTemplate(template):
            return template_hash(template, pack(template.vector))
        case DropTemplate(rider_ref):
            parts = (b"drop", rider_ref.bytes)
        case PutKey(key):
            parts = (b"key", key.key_id.to_bytes(2, "big") + key.public_key)
        case DropKey(key_id):
            parts = (b"unkey", key_id.to_bytes(2, "big"))
    return hashlib.sha256(b"".join(parts)).digest()


def template_hash(template: Template, packed: bytes) -> bytes:
    """Return the SHA-256 of a template whose vector is packed already, 32 bytes.

    Args:
        template: Everything but the vector is read from it.
        packed: The vector as float16 little-endian bytes.
    """
    model = template.model_id.encode()
    transform = template.transform_id.encode()
    head = b"".join(
        (
            b"put",
            template.rider_ref.bytes,
            template.version.to_bytes(4, "big"),
            len(model).to_bytes(2, "big"),
            model,
            len(transform).to_bytes(2, "big"),
            transform,
            _micros(template.expires),
        )
    )
    return hashlib.sha256(head + packed).digest()


def root_hash(hashes: Iterable[bytes]) -> bytes:
    """Return the SHA-256 over content hashes in order, 32 bytes.

    Args:
        hashes: 32 bytes each.
    """
    return hashlib.sha256(b"".join(hashes)).digest()


def key_of(change: Change) -> bytes:
    """Return what a change is about, so that the latest change about it counts.

    Args:
        change: Any change.

    Returns:
        17 bytes `r` + rider, or 3 bytes `k` + key id.
    """
    match change:
        case PutTemplate(template):
            return b"r" + template.rider_ref.bytes
        case DropTemplate(rider_ref):
            return b"r" + rider_ref.bytes
        case PutKey(key):
            return b"k" + key.key_id.to_bytes(2, "big")
        case DropKey(key_id):
            return b"k" + key_id.to_bytes(2, "big")


def is_drop(change: Change) -> bool:
    """Return whether a change takes something away."""
    return isinstance(change, DropTemplate | DropKey)


def _micros(moment: datetime | None) -> bytes:
    if moment is None:
        return b"-"
    delta = moment.astimezone(UTC) - _EPOCH
    micros = (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds
    return micros.to_bytes(8, "big", signed=True)
