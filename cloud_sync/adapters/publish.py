"""Writing to station views inside somebody else's transaction.

A template and its line in each station's log commit together or not at all, and readers see the
lines in the order of their revisions: the view's row is locked while they are written.
"""

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from cloud_sync.adapters.item_row import body_of, expires_of
from cloud_sync.adapters.tables import VIEW, VIEW_QUARANTINE
from cloud_sync.content import content_hash, is_drop, key_of, template_hash
from cloud_sync.gallery import Change, PutTemplate
from cloud_sync.view import Head, coalesce, space_of

VIEW_CHANNEL = "gateline_view"
"""NOTIFY channel; the payload is a station id."""
DIMENSION = 512
"""Values in a vector of every shipped pack (DESIGN, section 4)."""

_SLICE = 1_000
"""Changes in one statement: 1 MB of templates."""

# All bytes of a slice travel as one parcel: psycopg would escape each item of a bytea[] by itself,
# which took half of the time of 20,000 templates.
_LINES = """
    unnest(CAST(:stations AS text[]), CAST(:bases AS bigint[])) AS s (station_id, base)
CROSS JOIN unnest(CAST(:places AS bigint[]), CAST(:starts AS integer[]),
    CAST(:key_sizes AS integer[]), CAST(:body_sizes AS integer[]), CAST(:drops AS boolean[]),
    CAST(:versions AS integer[]), CAST(:models AS text[]), CAST(:transforms AS text[]),
    CAST(:expires AS timestamptz[]), CAST(:tiers AS smallint[]))
    AS c (place, start, key_size, body_size, is_drop, version, model_id, transform_id, expires,
        tier)
CROSS JOIN LATERAL (SELECT
    substr(CAST(:parcel AS bytea), c.start, c.key_size) AS item_key,
    substr(CAST(:parcel AS bytea), c.start + c.key_size, 32) AS content_hash,
    substr(CAST(:parcel AS bytea), c.start + c.key_size + 32, c.body_size) AS body
) AS b
"""
_LOG = sa.text(f"""
INSERT INTO cloud_sync.view_log (station_id, rev, item_key, is_drop, content_hash)
SELECT s.station_id, s.base + c.place, b.item_key, c.is_drop, b.content_hash FROM {_LINES}
""")  # noqa: S608  # a constant
_PUT = sa.text(f"""
INSERT INTO cloud_sync.view_item
    (station_id, item_key, rev, version, model_id, transform_id, body, expires, content_hash,
        tier)
SELECT s.station_id, b.item_key, s.base + c.place, c.version, c.model_id, c.transform_id, b.body,
    c.expires, b.content_hash, c.tier FROM {_LINES} WHERE NOT c.is_drop
ON CONFLICT (station_id, item_key) DO UPDATE SET
    rev = excluded.rev, version = excluded.version, model_id = excluded.model_id,
    transform_id = excluded.transform_id, body = excluded.body, expires = excluded.expires,
    content_hash = excluded.content_hash, tier = excluded.tier
""")  # noqa: S608  # a constant
_DROP = sa.text("""
DELETE FROM cloud_sync.view_item
WHERE station_id = ANY (CAST(:stations AS text[])) AND item_key = ANY (CAST(:keys AS bytea[]))
""")


def stations(connection: sa.Connection) -> tuple[str, ...]:
    """Return the ids of all stations that have a view, sorted."""
    found = connection.execute(sa.select(VIEW.c.station_id).order_by(VIEW.c.station_id))
    return tuple(found.scalars())


def publish(
    connection: sa.Connection,
    station_ids: Iterable[str],
    changes: Sequence[Change],
    *,
    dimension: int = DIMENSION,
) -> None:
    """Add changes to the views of some stations, inside the caller's transaction.

    The views' rows stay locked until the caller commits: keep that short.

    Args:
        connection: With a transaction begun; nothing is committed here.
        station_ids: Where; each must have a view.
        changes: What; of several about one rider or key the last counts.
        dimension: Values in a vector.

    Raises:
        TemplateRefused: A template is not a unit vector of this dimension.
        SpaceRefused: A template is not of the view's space.
        SettingRefused: A setting is longer than agreed.
        LookupError: A station has no view.
        sqlalchemy.exc.SQLAlchemyError: The database did not take it.
    """
    wanted = sorted(set(station_ids))
    lines = coalesce(changes)
    if not wanted or not lines:
        return
    heads = _locked(connection, wanted)
    for head in heads:
        space = space_of(lines, head, dimension=dimension)
        values = {
            "head_rev": head.head_rev + len(lines),
            "model_id": space[0],
            "transform_id": space[1],
        }
        connection.execute(
            sa.update(VIEW).where(VIEW.c.station_id == head.station_id).values(values)
        )
    for start in range(0, len(lines), _SLICE):
        places: dict[str, Any] = {
            "stations": [head.station_id for head in heads],
            "bases": [head.head_rev + start for head in heads],
        }
        _write(connection, places, lines[start : start + _SLICE])
    for head in heads:
        announce(connection, VIEW_CHANNEL, head.station_id)


def announce(connection: sa.Connection, channel: str, payload: str) -> None:
    """Have PostgreSQL tell the listeners once the transaction has committed.

    Args:
        connection: With a transaction begun.
        channel: The channel.
        payload: Under 8,000 bytes.
    """
    connection.execute(sa.select(sa.func.pg_notify(channel, payload)))


def head_of(row: sa.Row[Any]) -> Head:
    """Return a row of `view` as the value it is.

    Args:
        row: All columns of `VIEW`.
    """
    return Head(
        row.station_id,
        row.epoch,
        row.head_rev,
        row.compacted_rev,
        row.lease_s,
        row.model_id,
        row.transform_id,
    )


def _locked(connection: sa.Connection, wanted: Sequence[str]) -> tuple[Head, ...]:
    """Lock the views in one order everywhere, so that two publishers never wait for each other."""
    query = (
        sa.select(VIEW)
        .where(VIEW.c.station_id.in_(wanted))
        .order_by(VIEW.c.station_id)
        .with_for_update()
    )
    heads = tuple(head_of(row) for row in connection.execute(query))
    if len(heads) != len(wanted):
        missing = sorted(set(wanted) - {head.station_id for head in heads})
        raise LookupError(f"no view of {', '.join(missing)}")
    return heads


def _write(connection: sa.Connection, places: dict[str, Any], lines: Sequence[Change]) -> None:
    """Add lines to the log and bring the items up to date."""
    keys = [key_of(change) for change in lines]
    columns = places | _columns(lines, keys)
    connection.execute(_LOG, columns)
    dropped = [key for key, change in zip(keys, lines, strict=True) if is_drop(change)]
    if dropped:
        connection.execute(_DROP, {"stations": places["stations"], "keys": dropped})
        connection.execute(
            sa.delete(VIEW_QUARANTINE).where(
                VIEW_QUARANTINE.c.station_id.in_(places["stations"]),
                VIEW_QUARANTINE.c.item_key.in_(dropped),
            )
        )
    if len(dropped) < len(lines):
        connection.execute(_PUT, columns)


def _columns(lines: Sequence[Change], keys: Sequence[bytes]) -> dict[str, Any]:
    """Return the lines as the columns that `_LINES` takes apart."""
    bodies = [body_of(change) for change in lines]
    records = [
        key + _hash(change, body) + body
        for key, change, body in zip(keys, lines, bodies, strict=True)
    ]
    sizes = [len(record) for record in records]
    found = [change.template if isinstance(change, PutTemplate) else None for change in lines]
    return {
        "parcel": b"".join(records),
        "places": list(range(1, len(lines) + 1)),
        "starts": list(itertools.accumulate(sizes[:-1], initial=1)),
        "key_sizes": [len(key) for key in keys],
        "body_sizes": [len(body) for body in bodies],
        "drops": [is_drop(change) for change in lines],
        "versions": [template.version if template else 0 for template in found],
        "models": [template.model_id if template else "" for template in found],
        "transforms": [template.transform_id if template else "" for template in found],
        "expires": [expires_of(change) for change in lines],
        "tiers": [template.tier if template else 1 for template in found],
    }


def _hash(change: Change, body: bytes) -> bytes:
    if isinstance(change, PutTemplate):
        return template_hash(change.template, body)
    return content_hash(change)
