"""A view to the current keys and rotation: prepared without a lock, changed in one short step.

The new records wait in a temporary table until the view's row is locked; withdrawals and puts that
came meanwhile are seen by their revisions, so none of them is undone.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from cloud_sync.adapters.postgres.at_rest import hold_keys
from cloud_sync.adapters.postgres.erasures import follow_epochs
from cloud_sync.adapters.postgres.item_row import put_of
from cloud_sync.adapters.postgres.publish import (
    VIEW_CHANNEL,
    announce,
    hash_and_body,
    head_of,
    turned_to,
)
from cloud_sync.adapters.postgres.tables import VIEW
from cloud_sync.gallery import PutTemplate
from cloud_sync.secrecy.rotation import PLAIN
from cloud_sync.secrecy.safe import VIEW_ITEM as RECORD
from cloud_sync.secrecy.safe import Safe

_SLICE = 1_000
"""Templates turned at once: 2 MB."""
_MAKE = sa.text("""
CREATE TEMPORARY TABLE turned (
    item_key bytea PRIMARY KEY, rev bigint NOT NULL, body bytea NOT NULL,
    content_hash bytea NOT NULL
) ON COMMIT DROP
""")
_KEEP = sa.text("""
INSERT INTO turned SELECT :item_key, :rev, :body, :content_hash
ON CONFLICT (item_key) DO UPDATE SET
    rev = excluded.rev, body = excluded.body, content_hash = excluded.content_hash
""")
_MISSING = sa.text("""
SELECT i.* FROM cloud_sync.view_item AS i LEFT JOIN turned AS t USING (item_key, rev)
WHERE i.station_id = :station AND substr(i.item_key, 1, 1) = 'r' AND t.item_key IS NULL
    AND i.item_key > :after
ORDER BY i.item_key LIMIT :limit
""")
_SWAP = sa.text("""
UPDATE cloud_sync.view_item AS i
SET body = t.body, content_hash = t.content_hash, transform_id = :transform
FROM turned AS t
WHERE i.station_id = :station AND i.item_key = t.item_key AND i.rev = t.rev
""")


def turn_view(
    engine: sa.Engine, safe: Safe, station_id: str, *, epoch: UUID, turns: frozenset[str]
) -> int:
    """Give a view the current keys and, where it is due, the current rotation.

    Args:
        engine: The database.
        safe: The keys.
        station_id: Whose view.
        epoch: Its next history.
        turns: The transforms that are turned to the current rotation.

    Returns:
        How many templates it has; 0 when it had the current keys already.

    Raises:
        NotOpened: A record does not open; read the view first, which sets such ones aside.
        sqlalchemy.exc.SQLAlchemyError: Nothing was changed.
    """
    mine = sa.select(VIEW).where(VIEW.c.station_id == station_id)
    with engine.begin() as connection:
        hold_keys(connection)
        ring = safe.ring
        head = head_of(connection.execute(mine).one())
        is_due = head.transform_id in turns
        if head.key_id == ring.root.key_id and not is_due:
            return 0
        target = ring.rotation.transform_id if is_due else head.transform_id
        connection.execute(_MAKE)
        _prepare(connection, safe, station_id, target)
        head = head_of(connection.execute(mine.with_for_update()).one())
        _prepare(connection, safe, station_id, target)  # what came meanwhile
        done = connection.execute(_SWAP, {"station": station_id, "transform": target})
        connection.execute(
            sa.update(VIEW)
            .where(VIEW.c.station_id == station_id)
            .values(
                epoch=epoch,
                key_id=ring.root.key_id,
                transform_id=target,
                compacted_rev=head.head_rev,
            )
        )
        follow_epochs(connection)
        announce(connection, VIEW_CHANNEL, station_id)
    return int(done.rowcount)


def _prepare(connection: sa.Connection, safe: Safe, station_id: str, target: str) -> None:
    wanted = {"station": station_id, "limit": _SLICE, "after": b""}
    while rows := connection.execute(_MISSING, wanted).all():
        connection.execute(_KEEP, _turned(rows, safe, target))
        wanted["after"] = rows[-1].item_key
    connection.execute(sa.text("ANALYZE turned"))


def _turned(rows: Sequence[sa.Row[Any]], safe: Safe, target: str) -> list[dict[str, object]]:
    puts = [put_of(row, safe) for row in rows]
    first = puts[0]
    assert isinstance(first, PutTemplate), "the query gives templates alone"
    turned = turned_to(puts, target or PLAIN, safe, dimension=first.template.vector.size)
    seal = safe.sealer(RECORD)
    hashed = [hash_and_body(change, seal) for change in turned]
    return [
        {"item_key": row.item_key, "rev": row.rev, "body": body, "content_hash": digest}
        for row, (digest, body) in zip(rows, hashed, strict=True)
    ]
