"""What a replica's file has: its tables, changes written into them, and items read out of them.

A template stands as it came: sealed where it was sealed, so that no plain template reaches a disk.
Templates are in rowid tables with a unique index: the same 50,000 in a WITHOUT ROWID table take
234 MB and 5.6 s, here 56 MB with 16 KiB pages (reference/reliability.md, 0.10).
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import chain, groupby, repeat
from typing import Any
from uuid import UUID

import apsw

from cloud_sync.columns import ArrivedPuts, Packed, Templates, comparable
from cloud_sync.content import (
    TemplateRefused,
    content_hash,
    dropped,
    label_hash,
    pack,
    template_hash,
)
from cloud_sync.gallery import (
    Change,
    Denial,
    DenialReason,
    DropDenial,
    DropKey,
    DropSetting,
    DropTemplate,
    IssuerKey,
    PutDenial,
    PutKey,
    PutSetting,
    PutTemplate,
    Setting,
    SettingName,
)
from cloud_sync.secrecy.opener import Opener
from cloud_sync.secrecy.seal import Label
from cloud_sync.stream.digest import UNREADABLE, bucket_of
from cloud_sync.stream.replica import Holding

SCHEMA = """
CREATE TABLE standing (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    epoch BLOB, applied_rev INTEGER NOT NULL, lease_until INTEGER, mark INTEGER,
    renewed INTEGER,
    chunks INTEGER NOT NULL, template_count INTEGER NOT NULL, root_hash BLOB NOT NULL
);
CREATE TABLE template (
    id INTEGER PRIMARY KEY,
    rider_ref BLOB NOT NULL UNIQUE, version INTEGER NOT NULL, model_id TEXT NOT NULL,
    transform_id TEXT NOT NULL, vector BLOB NOT NULL, expires INTEGER, content_hash BLOB NOT NULL,
    tier INTEGER NOT NULL, key_id TEXT NOT NULL
);
CREATE TABLE issuer_key (
    id INTEGER PRIMARY KEY, key_id INTEGER NOT NULL UNIQUE, public_key BLOB NOT NULL
);
CREATE TABLE denial (
    id INTEGER PRIMARY KEY, rider_ref BLOB NOT NULL UNIQUE, reason TEXT NOT NULL,
    since INTEGER NOT NULL, until INTEGER
);
CREATE TABLE setting (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, body BLOB NOT NULL);
CREATE TABLE staged_hash (id INTEGER PRIMARY KEY, content_hash BLOB NOT NULL);
PRAGMA user_version = 4;
"""
FORMAT = 4
_PUT_TEMPLATES = """
INSERT INTO template
    (rider_ref, version, model_id, transform_id, vector, expires, content_hash, tier,
    key_id)
VALUES {rows}
ON CONFLICT (rider_ref) DO UPDATE SET
    version = excluded.version, model_id = excluded.model_id,
    transform_id = excluded.transform_id, vector = excluded.vector,
    expires = excluded.expires, content_hash = excluded.content_hash, tier = excluded.tier,
    key_id = excluded.key_id
"""
_COLUMNS = 9
_ROWS_MAX = 256
"""Templates in one statement: while it runs the lanes have Python to themselves."""
_PUT_KEY = """
INSERT INTO issuer_key (key_id, public_key) VALUES (?, ?)
ON CONFLICT (key_id) DO UPDATE SET public_key = excluded.public_key
"""
_PUT_DENIAL = """
INSERT INTO denial (rider_ref, reason, since, until) VALUES (?, ?, ?, ?)
ON CONFLICT (rider_ref) DO UPDATE SET
    reason = excluded.reason, since = excluded.since, until = excluded.until
"""
_PUT_SETTING = """
INSERT INTO setting (name, body) VALUES (?, ?)
ON CONFLICT (name) DO UPDATE SET body = excluded.body
"""
_TEMPLATES = """
SELECT rider_ref, version, model_id, transform_id, vector, expires, content_hash, tier, key_id
FROM template ORDER BY id
"""
DAMAGED = (ValueError, OverflowError, TypeError, AttributeError)
"""What reading a row raises whose values are not what was written: another number, another type."""
_UNIX = datetime(1970, 1, 1, tzinfo=UTC)
_MICRO = timedelta(microseconds=1)


def take(connection: apsw.Connection, changes: Sequence[Change]) -> None:
    """Write changes, inside the caller's transaction; a run of templates in one go."""
    if isinstance(changes, ArrivedPuts):
        _put(connection, _arrived_rows(changes))
        return
    for are_templates, run in groupby(changes, key=lambda change: isinstance(change, PutTemplate)):
        if are_templates:
            _put(connection, (_template_row(put) for put in run if isinstance(put, PutTemplate)))
        else:
            _take_others(connection, run)


def _put(connection: apsw.Connection, rows: Iterable[tuple[Any, ...]]) -> None:
    """Write rows, many in one statement: row by row each would wait for Python's lock again."""
    values = list(chain.from_iterable(rows))
    size = _ROWS_MAX * _COLUMNS
    for start in range(0, len(values), size):
        some = values[start : start + size]
        connection.execute(_put_sql(len(some) // _COLUMNS), some)


@lru_cache(maxsize=_ROWS_MAX)
def _put_sql(count: int) -> str:
    row = f"({', '.join('?' * _COLUMNS)})"
    return _PUT_TEMPLATES.format(rows=", ".join([row] * count))


def _arrived_rows(puts: ArrivedPuts) -> Iterable[tuple[Any, ...]]:
    held, transforms = puts.templates, [label.transform_id for label in puts.labels]
    ends = map(micros_of, held.expires)
    return zip(
        held.riders,
        held.versions,
        held.model_ids,
        transforms,
        puts.bodies,
        ends,
        puts.hashes,
        held.tiers,
        repeat(puts.key_id, len(puts)),
        strict=True,
    )


def _take_others(connection: apsw.Connection, changes: Iterable[Change]) -> None:
    for change in changes:
        match change:
            case DropTemplate(rider_ref):
                connection.execute("DELETE FROM template WHERE rider_ref = ?", (rider_ref.bytes,))
            case PutKey(key):
                connection.execute(_PUT_KEY, (key.key_id, key.public_key))
            case DropKey(key_id):
                connection.execute("DELETE FROM issuer_key WHERE key_id = ?", (key_id,))
            case PutDenial(denial):
                times = (micros_of(denial.since), micros_of(denial.until))
                connection.execute(_PUT_DENIAL, (denial.rider_ref.bytes, denial.reason, *times))
            case DropDenial(rider_ref):
                connection.execute("DELETE FROM denial WHERE rider_ref = ?", (rider_ref.bytes,))
            case PutSetting(setting):
                connection.execute(_PUT_SETTING, (setting.name, setting.body))
            case DropSetting(name):
                connection.execute("DELETE FROM setting WHERE name = ?", (name,))


def holding(
    connection: apsw.Connection,
    opener: Opener | None,
    known: Templates | None = None,
) -> Holding:
    """Read everything; what is sealed under other keys than granted is passed over.

    Args:
        connection: The file.
        opener: The keys granted.
        known: Its templates, where somebody has just written them; None reads them.

    Raises:
        TemplateRefused: A record is not what was stored.
        ValueError: The same.
    """
    sql = "SELECT epoch, applied_rev FROM standing"
    row: tuple[Any, ...] = connection.execute(sql).fetchall()[0]
    epoch = UUID(bytes=row[0]) if row[0] else None
    if opener is not None and opener.epoch != epoch:
        opener = None  # the keys of another history open nothing here
    if known is None:
        known = _templates(connection.execute(_TEMPLATES), opener)
    return Holding(
        epoch,
        row[1],
        known,
        tuple(key for _, key in _keys(connection)),
        tuple(denial for _, denial in _denials(connection)),
        tuple(setting for _, setting in _settings(connection)),
        None if opener is None else opener.home,
    )


def _templates(rows: Iterable[tuple[Any, ...]], opener: Opener | None) -> Templates:
    """Return what records hold, ready to be compared; others' than the granted key's are left out.

    Raises:
        TemplateRefused: One is not what was stored.
        ValueError: The same.
    """
    granted = "" if opener is None else opener.key_id
    found: list[Packed] = []
    for rider_ref, version, model_id, transform_id, body, until, digest, tier, key_id in rows:
        if key_id and key_id != granted:
            continue
        label = Label(rider_ref, version, model_id, transform_id)
        packed = opener.packed(body, label) if key_id and opener is not None else body
        expires = moment_of(until)
        if label_hash(label, expires, tier, packed) != digest:
            raise TemplateRefused("the record is not what was stored")
        found.append(Packed(label, expires, tier, packed))
    return comparable(found, opener)


def digest_items(
    connection: apsw.Connection, opener: Opener | None
) -> Iterator[tuple[bytes, bytes]]:
    """Yield item key and content hash of everything, the hash of what can be read now.

    Raises:
        ValueError: An item's own key cannot be read.
    """
    for row in connection.execute(_TEMPLATES):
        yield b"r" + row[0], _hash(row, opener)
    for key_id, key in _keys(connection):
        yield b"k" + key_id.to_bytes(2, "big"), content_hash(PutKey(key))
    for rider_ref, denial in _denials(connection):
        yield b"d" + rider_ref, content_hash(PutDenial(denial))
    for name, setting in _settings(connection):
        yield b"s" + name.encode(), content_hash(PutSetting(setting))


def drops_in(
    connection: apsw.Connection, buckets: Iterable[int], *, spared: set[bytes]
) -> list[Change]:
    """Return the drops of everything in some buckets that is not spared.

    Args:
        connection: The file.
        buckets: Which.
        spared: Item keys that stay.

    Raises:
        ValueError: An item's own key cannot be read.
    """
    wanted = frozenset(buckets)
    return [
        dropped(key)
        for key in _item_keys(connection)
        if bucket_of(key) in wanted and key not in spared
    ]


def _item_keys(connection: apsw.Connection) -> Iterator[bytes]:
    for (rider_ref,) in connection.execute("SELECT rider_ref FROM template"):
        yield b"r" + rider_ref
    for (key_id,) in connection.execute("SELECT key_id FROM issuer_key"):
        yield b"k" + key_id.to_bytes(2, "big")
    for (rider_ref,) in connection.execute("SELECT rider_ref FROM denial"):
        yield b"d" + rider_ref
    for (name,) in connection.execute("SELECT name FROM setting"):
        yield b"s" + name.encode()


def _hash(row: tuple[Any, ...], opener: Opener | None) -> bytes:
    """Return the hash of a record's content as it reads now."""
    rider_ref, version, model_id, transform_id, body, until, _, tier, key_id = row
    try:
        label = Label(rider_ref, version, model_id, transform_id)
        if key_id and (opener is None or opener.key_id != key_id):
            return UNREADABLE
        packed = opener.packed(body, label) if key_id and opener is not None else body
        return label_hash(label, moment_of(until), tier, packed)
    except DAMAGED:
        return UNREADABLE


def _template_row(put: PutTemplate) -> tuple[Any, ...]:
    template, sealed = put.template, put.sealed
    head = (template.rider_ref.bytes, template.version, template.model_id)
    tail = (template.tier, sealed.key_id if sealed else "")
    expires = micros_of(template.expires)
    if sealed is not None:
        return (*head, sealed.transform_id, sealed.body, expires, sealed.content_hash, *tail)
    packed = pack(template.vector)
    digest = template_hash(template, packed)
    return (*head, template.transform_id, packed, expires, digest, *tail)


def _keys(connection: apsw.Connection) -> Iterator[tuple[int, IssuerKey]]:
    for row in connection.execute("SELECT key_id, public_key FROM issuer_key ORDER BY id"):
        yield row[0], IssuerKey(*row)


def _denials(connection: apsw.Connection) -> Iterator[tuple[bytes, Denial]]:
    sql = "SELECT rider_ref, reason, since, until FROM denial ORDER BY id"
    for who, reason, since, until in connection.execute(sql):
        began = _UNIX + since * _MICRO
        yield who, Denial(UUID(bytes=who), DenialReason(reason), began, moment_of(until))


def _settings(connection: apsw.Connection) -> Iterator[tuple[str, Setting]]:
    for name, body in connection.execute("SELECT name, body FROM setting ORDER BY id"):
        yield name, Setting(SettingName(name), body)


def micros_of(moment: datetime | None) -> int | None:
    """Return a moment as it is stored."""
    return None if moment is None else (moment - _UNIX) // _MICRO


def moment_of(micros: int | None) -> datetime | None:
    """Return a moment that was stored, aware UTC."""
    return None if micros is None else _UNIX + micros * _MICRO
