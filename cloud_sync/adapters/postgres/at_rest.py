"""Which root keys the database needs, and the lock between writers and the end of a key.

Whoever writes sealed records holds the keys in the same transaction, and takes the current root
key only then: a key is destroyed under the other side of that lock, when nothing is under it.
"""

from collections.abc import Iterable

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from cloud_sync.adapters.postgres.tables import KEY_USE
from cloud_sync.secrecy.key_store import KeysFailed
from cloud_sync.secrecy.safe import Safe

_KEYS_LOCK = 0x6B657973
"""`keys`."""


def hold_keys(connection: sa.Connection) -> None:
    """Keep all root keys until the transaction ends; call before `Safe.sealer`.

    Args:
        connection: With a transaction begun.
    """
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock_shared(_KEYS_LOCK)))


def stop_writers(connection: sa.Connection) -> None:
    """Wait until no transaction holds keys, and let none begin until this one ends.

    Args:
        connection: With a transaction begun.
    """
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_KEYS_LOCK)))


def needed(connection: sa.Connection) -> tuple[str, ...]:
    """Return the ids of all root keys that a record may be under, sorted."""
    return tuple(connection.execute(sa.select(KEY_USE.c.key_id).order_by("key_id")).scalars())


def note_use(connection: sa.Connection, safe: Safe) -> None:
    """Note the root keys that there are as needed, and refuse keys that lack what is.

    Args:
        connection: With a transaction begun.
        safe: What the process has.

    Raises:
        KeysFailed: Records may be under a key that is not there: this is another cloud's database
            or another operator's key folder, or a backup from before a re-key.
    """
    hold_keys(connection)
    ring = safe.ring
    missing = [each for each in needed(connection) if ring.root_of(each) is None]
    if missing:
        raise KeysFailed(f"the database needs the root keys {', '.join(missing)}")
    rows = [{"key_id": root.key_id} for root in ring.roots]
    connection.execute(insert(KEY_USE).values(rows).on_conflict_do_nothing())


def end_use(connection: sa.Connection, key_ids: Iterable[str]) -> None:
    """Note that no record is under some keys any more.

    Args:
        connection: With a transaction begun, after `stop_writers`.
        key_ids: The keys.
    """
    connection.execute(sa.delete(KEY_USE).where(KEY_USE.c.key_id.in_(list(key_ids))))
