"""One item of a view as a row of `view_item`, and back."""

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

_UNIX = datetime(1970, 1, 1, tzinfo=UTC)
_SINCE = 8
"""Bytes of a denial's body before its reason."""


def body_of(change: Change) -> bytes:
    """Return what the column `body` holds of a change; nothing of one that drops.

    Args:
        change: Any change.
    """
    match change:
        case PutTemplate(template):
            return pack(template.vector)
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


def put_of(row: sa.Row[Any]) -> Change:
    """Return the change that brings an item.

    Args:
        row: With the columns of `VIEW_ITEM` except station and revision.
    """
    name = bytes(row.item_key[1:])
    match bytes(row.item_key[:1]):
        case b"k":
            return PutKey(IssuerKey(int.from_bytes(name, "big"), row.body))
        case b"d":
            since = timedelta(microseconds=int.from_bytes(row.body[:_SINCE], "big", signed=True))
            reason = DenialReason(row.body[_SINCE:].decode())
            return PutDenial(Denial(UUID(bytes=name), reason, _UNIX + since, row.expires))
        case b"s":
            return PutSetting(Setting(SettingName(name.decode()), row.body))
        case _:
            return PutTemplate(
                Template(
                    UUID(bytes=name),
                    row.version,
                    row.model_id,
                    row.transform_id,
                    unpack(row.body),
                    row.expires,
                    row.tier,
                )
            )
