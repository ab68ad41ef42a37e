"""What a template looks like on wire and disk: packed, hashed, and checked before it is believed.

Templates go in and out as float32 unit vectors; two bytes a value travel. This file does not know
about protobuf or SQL.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from uuid import UUID

import numpy as np
import numpy.typing as npt

from cloud_sync.gallery import (
    SETTING_BYTES_MAX,
    Change,
    Denial,
    DropDenial,
    DropKey,
    DropSetting,
    DropTemplate,
    IssuerKey,
    PutDenial,
    PutKey,
    PutSetting,
    PutTemplate,
    Sealed,
    Setting,
    SettingName,
    Template,
)
from cloud_sync.secrecy.seal import Label, label_of

NORM_ERROR_MAX = 1e-3
"""How far a template's length may be from 1. Rounding 512 values to float16 moves it by less than
5e-4; a vector that is further off was not made by an embedder."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class TemplateRefused(ValueError):
    """This is no usable template; the message says why and holds no values of it."""


class SettingRefused(ValueError):
    """This is no document that a station could be given."""


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


def unpack_all(packed: Sequence[bytes]) -> npt.NDArray[np.float32]:
    """Return float32 vectors, shape (N, D), of float16 little-endian bytes of one length.

    Args:
        packed: Two bytes a value, from one vector.

    Raises:
        TemplateRefused: Half a value is left over, or the vectors differ in length.
    """
    size = len(packed[0])
    if size % 2 or any(len(one) != size for one in packed):
        raise TemplateRefused("the vectors are not of one length")
    joined = np.frombuffer(b"".join(packed), dtype="<f2")
    return joined.reshape(len(packed), size // 2).astype(np.float32)


def unsound(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Return which vectors `check` would refuse for their values, bool, shape (N,).

    Args:
        vectors: float32, shape (N, D).
    """
    with np.errstate(over="ignore", invalid="ignore"):
        lengths = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))
        return np.asarray(~(np.abs(lengths - 1) <= NORM_ERROR_MAX))  # not a number is unsound, too


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


def check_setting(setting: Setting) -> None:
    """Refuse a document that would not fit into a chunk.

    Raises:
        SettingRefused: It is longer than agreed.
    """
    if len(setting.body) > SETTING_BYTES_MAX:
        raise SettingRefused(f"{setting.name} has {len(setting.body)} bytes")


def content_hash(change: Change) -> bytes:
    """Return the SHA-256 of a change as it is packed, 32 bytes.

    Args:
        change: Any change.
    """
    match change:
        case PutTemplate(_, Sealed(content_hash=stated)):
            return stated
        case PutTemplate(template):
            return template_hash(template, pack(template.vector))
        case DropTemplate(rider_ref):
            parts = (b"drop", rider_ref.bytes)
        case PutKey(key):
            parts = (b"key", key.key_id.to_bytes(2, "big") + key.public_key)
        case DropKey(key_id):
            parts = (b"unkey", key_id.to_bytes(2, "big"))
        case PutDenial(denial):
            parts = (b"deny", denial.rider_ref.bytes + denial_body(denial) + _micros(denial.until))
        case DropDenial(rider_ref):
            parts = (b"undeny", rider_ref.bytes)
        case PutSetting(setting):
            size = len(setting.name).to_bytes(2, "big")
            parts = (b"set", size + setting.name.encode() + setting.body)
        case DropSetting(name):
            parts = (b"unset", name.encode())
    return hashlib.sha256(b"".join(parts)).digest()


def denial_body(denial: Denial) -> bytes:
    """Return what is stored of a denial beside its rider and its end.

    Returns:
        Since when, 8 bytes of microseconds since 1970, and the reason's name.
    """
    return _micros(denial.since) + denial.reason.encode()


def template_hash(template: Template, packed: bytes) -> bytes:
    """Return the SHA-256 of a template whose vector is packed already, 32 bytes.

    Args:
        template: Everything but the vector is read from it.
        packed: The vector as float16 little-endian bytes.
    """
    return label_hash(label_of(template), template.expires, template.tier, packed)


def label_hash(label: Label, expires: datetime | None, tier: int, packed: bytes) -> bytes:
    """Return the SHA-256 of a template by its parts, 32 bytes.

    The tier counts only where it is not 1, so that version 1 of the protocol hashes the same.

    Args:
        label: Whose it is, and what.
        expires: Its last moment, aware UTC.
        tier: 1 or 2.
        packed: The vector as float16 little-endian bytes.
    """
    rider, version, model_id, transform_id = label
    return hashlib.sha256(
        b"".join(
            (
                b"put" if tier == 1 else b"tier" + tier.to_bytes(1, "big"),
                rider,
                version.to_bytes(4, "big"),
                _space_bytes(model_id, transform_id),
                _micros(expires),
                packed,
            )
        )
    ).digest()


@lru_cache(maxsize=64)
def _space_bytes(model_id: str, transform_id: str) -> bytes:
    """Return both names, each behind its length: the same for all templates of a view."""
    names = (model_id.encode(), transform_id.encode())
    return b"".join(piece for name in names for piece in (len(name).to_bytes(2, "big"), name))


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
        17 bytes `r` + rider, 3 bytes `k` + key id, 17 bytes `d` + rider for a denial, or `s` + the
        name of a setting.
    """
    match change:
        case PutTemplate(Template(rider_ref=who)) | DropTemplate(who):
            return b"r" + who.bytes
        case PutKey(IssuerKey(key_id=number)) | DropKey(number):
            return b"k" + number.to_bytes(2, "big")
        case PutDenial(Denial(rider_ref=who)) | DropDenial(who):
            return b"d" + who.bytes
        case PutSetting(Setting(name=name)) | DropSetting(name):
            return b"s" + name.encode()


def is_template(key: bytes) -> bool:
    """Return whether a key is that of a rider's template.

    Args:
        key: As `key_of` returns it.
    """
    return key[:1] == b"r"


def dropped(key: bytes) -> Change:
    """Return the change that takes away what a key is about.

    Args:
        key: As `key_of` returns it.
    """
    match key[:1]:
        case b"k":
            return DropKey(int.from_bytes(key[1:], "big"))
        case b"d":
            return DropDenial(UUID(bytes=key[1:]))
        case b"s":
            return DropSetting(SettingName(key[1:].decode()))
        case _:
            return DropTemplate(UUID(bytes=key[1:]))


def urgency(change: Change) -> int:
    """Return in which turn a change is sent, from 0.

    Args:
        change: Any change.

    Returns:
        0 for what shuts somebody out, 1 for what is small, 2 for templates.
    """
    match change:
        case DropTemplate() | DropKey() | PutDenial():
            return 0
        case PutTemplate():
            return 2
        case _:
            return 1


def is_drop(change: Change) -> bool:
    """Return whether a change takes something away."""
    return isinstance(change, DropTemplate | DropKey | DropDenial | DropSetting)


def _micros(moment: datetime | None) -> bytes:
    if moment is None:
        return b"-"
    delta = moment.astimezone(UTC) - _EPOCH
    micros = (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds
    return micros.to_bytes(8, "big", signed=True)
