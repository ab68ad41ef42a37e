"""One item of a view as a row of `view_item`, and back."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa

from cloud_sync.adapters.postgres.tables import VIEW_ITEM as TABLE
from cloud_sync.columns import Packed, PackedChanges, unpacked
from cloud_sync.content import TemplateRefused, denial_body, is_template, pack
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
)
from cloud_sync.secrecy.safe import VIEW_ITEM, Safe
from cloud_sync.secrecy.seal import Label, NotOpened, label_of, template_label

Row = sa.Row[Any]
"""Of `VIEW_ITEM`, with these columns at least."""
ITEM_COLUMNS = (
    TABLE.c.item_key,
    TABLE.c.version,
    TABLE.c.model_id,
    TABLE.c.transform_id,
    TABLE.c.body,
    TABLE.c.expires,
    TABLE.c.tier,
    TABLE.c.content_hash,
)
"""An item without its place in a log."""


class Item(NamedTuple):
    """A row of these columns, to be read 50,000 times: one of SQLAlchemy's takes ten times as long.

    Its body is ciphertext where it is a template.
    """

    item_key: bytes
    version: int
    model_id: str
    transform_id: str
    body: bytes
    expires: datetime | None
    tier: int
    content_hash: bytes


Seal = Callable[[bytes, bytes], bytes]
"""Content and label to a sealed record, see `Safe.sealer`."""
Open = Callable[[bytes, bytes], bytes]
"""A sealed record and its label to the content, see `Safe.opener`."""

_UNIX = datetime(1970, 1, 1, tzinfo=UTC)
_SINCE = 8
"""Bytes of a denial's body before its reason."""


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


def put_of(row: Row, safe: Safe) -> Change:
    """Return the change that brings an item.

    Args:
        row: The item.
        safe: Opens a template.

    Raises:
        NotOpened: The template is not this rider's, or was changed.
        TemplateRefused: What was sealed is no vector.
        KeysFailed: The keys cannot be read.
    """
    if not is_template(row.item_key):
        return _small(row)
    return unpacked(_opened(row, partial(safe.open, VIEW_ITEM)))


def puts_of(items: Sequence[Item], safe: Safe) -> tuple[PackedChanges, list[Item]]:
    """Return the changes that bring some items, in order, and those that do not open.

    Args:
        items: In any order.
        safe: Opens templates.

    Raises:
        KeysFailed: The keys cannot be read.
    """
    open_record = safe.opener(VIEW_ITEM)
    found: list[Change | Packed] = []
    unread: list[Item] = []
    for item in items:
        try:
            is_large = is_template(item.item_key)
            found.append(_opened(item, open_record) if is_large else _small(item))
        except (NotOpened, TemplateRefused):
            unread.append(item)
    return PackedChanges(found), unread


def _opened(row: Row | Item, open_record: Open) -> Packed:
    label = Label(bytes(row.item_key[1:]), row.version, row.model_id, row.transform_id)
    packed = open_record(row.body, template_label(label))
    if len(packed) % 2:
        raise TemplateRefused("the vector has half a value")
    return Packed(label, row.expires, row.tier, packed)


def _small(row: Row | Item) -> Change:
    """Return the change of an item that is no template: it lies there in plain."""
    key = row.item_key
    name = bytes(key[1:])
    match bytes(key[:1]):
        case b"k":
            return PutKey(IssuerKey(int.from_bytes(name, "big"), row.body))
        case b"d":
            since = timedelta(microseconds=int.from_bytes(row.body[:_SINCE], "big", signed=True))
            reason = DenialReason(row.body[_SINCE:].decode())
            return PutDenial(Denial(UUID(bytes=name), reason, _UNIX + since, row.expires))
        case _:
            return PutSetting(Setting(SettingName(name.decode()), row.body))
