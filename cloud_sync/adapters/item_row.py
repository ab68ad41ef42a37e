"""One item of a view as a row of `view_item`, and back."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from cloud_sync.content import denial_body, pack, unpack
from cloud_sync.gallery import (
    Change,
    Denial,
    DenialReason,
    IssuerKey,
    PutDenial,
    PutKey,
    PutSetting,
    PutTemplate,
    Setting,
    SettingName,
    Template,
)
from cloud_sync.safe import VIEW_ITEM, Safe
from cloud_sync.seal import Label, template_label

Seal = Callable[[bytes, bytes], bytes]
"""Content and label to a sealed record, see `Safe.sealer`."""

_UNIX = datetime(1970, 1, 1, tzinfo=UTC)
_SINCE = 8
"""Bytes of a denial's body before its reason."""


def label_of(template: Template) -> Label:
    """Return what a template is sealed as.

    Args:
        template: Everything but the vector is read from it.
    """
    return Label(template.rider_ref, template.version, template.model_id, template.transform_id)


def body_of(change: Change, seal: Seal, *, packed: bytes | None = None) -> bytes:
    """Return what the column `body` holds of a change; nothing of one that drops.

    Args:
        change: Any change.
        seal: Seals a template, see `Safe.sealer`.
        packed: A template's vector where it is packed already.
    """
    match change:
        case PutTemplate(template):
            content = pack(template.vector) if packed is None else packed
            return seal(content, template_label(label_of(template)))
        case PutKey(key):
            return key.public_key
        case PutDenial(denial):
            return denial_body(denial)
        case PutSetting(setting):
            return setting.body
        case _:
            return b""


def expires_of(change: Change) -> datetime | None:
    """Return what the column `expires` holds of a change."""
    match change:
        case PutTemplate(template):
            return template.expires
        case PutDenial(denial):
            return denial.until
        case _:
            return None


def put_of(row: sa.Row[Any], safe: Safe) -> Change:
    """Return the change that brings an item.

    Args:
        row: With the columns of `VIEW_ITEM` except station and revision.
        safe: Opens a template.

    Raises:
        NotOpened: The template is not this rider's, or was changed.
        TemplateRefused: What was sealed is no vector.
        KeysFailed: The keys cannot be read.
    """
    key = row.item_key
    name = bytes(key[1:])
    match bytes(key[:1]):
        case b"k":
            return PutKey(IssuerKey(int.from_bytes(name, "big"), row.body))
        case b"d":
            since = timedelta(microseconds=int.from_bytes(row.body[:_SINCE], "big", signed=True))
            reason = DenialReason(row.body[_SINCE:].decode())
            return PutDenial(Denial(UUID(bytes=name), reason, _UNIX + since, row.expires))
        case b"s":
            return PutSetting(Setting(SettingName(name.decode()), row.body))
        case _:
            label = Label(UUID(bytes=name), row.version, row.model_id, row.transform_id)
            packed = safe.open(VIEW_ITEM, row.body, template_label(label))
            return PutTemplate(Template(*label, unpack(packed), row.expires, row.tier))
