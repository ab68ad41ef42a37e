"""Whom a node may still match with though its station's view no longer has them.

Looked for when a node takes a snapshot: until that is complete, which may take minutes on a slow
line, it matches with what it had, and the log need not reach back to that.
"""

import sqlalchemy as sa

from cloud_sync.content import content_hash, dropped
from cloud_sync.stream.view import ABSENT_MAX, Page

# Whoever is not in the view may be dropped, so nothing is wrong with too many: a rider evicted
# long ago, or one whom this node never had. Erasures come first, and stay beyond the log.
_ABSENT = sa.text("""
SELECT item_key, min(place) AS place, max(rev) AS rev FROM (
    SELECT decode('72', 'hex') || uuid_send(n.rider_ref) AS item_key, 0 AS place, n.drop_rev AS rev
    FROM cloud_sync.erasure_node AS n WHERE n.edge_id = :edge AND n.acked_at IS NULL
    UNION ALL
    SELECT l.item_key, 1, l.rev FROM cloud_sync.view_log AS l
    WHERE l.station_id = :station AND l.is_drop AND substr(l.item_key, 1, 1) = decode('72', 'hex')
) AS gone
WHERE NOT EXISTS (
    SELECT FROM cloud_sync.view_item AS i
    WHERE i.station_id = :station AND i.item_key = gone.item_key
)
GROUP BY item_key ORDER BY place, rev DESC LIMIT :most
""")


def absent(connection: sa.Connection, edge_id: str, station_id: str, rev: int) -> Page:
    """Return drops of riders whom a node may have and its station's view has not.

    Args:
        connection: To the database.
        edge_id: The node.
        station_id: Its station.
        rev: Where the page stands, of the snapshot.
    """
    named = {"edge": edge_id, "station": station_id, "most": ABSENT_MAX}
    keys = [bytes(row.item_key) for row in connection.execute(_ABSENT, named)]
    changes = tuple(map(dropped, keys))
    return Page(rev, rev, changes, tuple(map(content_hash, changes)))
