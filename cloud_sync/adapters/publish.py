"""Writing to station views inside somebody else's transaction.

A template and its line in each station's log commit together or not at all, and readers see the
lines in the order of their revisions: the view's row is locked while they are written.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from cloud_sync.adapters.tables import VIEW, VIEW_QUARANTINE
from cloud_sync.content import content_hash, is_drop, key_of, pack, template_hash
from cloud_sync.gallery import Change, PutKey, PutTemplate
from cloud_sync.view import Head, coalesce, space_of

VIEW_CHANNEL = "gateline_view"
"""NOTIFY channel; the payload is a station id."""
DIMENSION = 512
"""Values in a vector of every shipped pack (DESIGN, section 4)."""

_SLICE = 1_000
"""Changes in one statement: 1 MB of templates."""

_LOG = sa.text("""
INSERT INTO cloud_sync.view_log (station_id, rev, item_key, is_drop, content_hash)
SELECT s.station_id, s.base + c.place, c.item_key, c.is_drop, c.content_hash
FROM unnest(CAST(:stations AS text[]), CAST(:bases AS bigint[])) AS s (station_id, base)
CROSS JOIN unnest(CAST(:keys AS bytea[]), CAST(:drops AS boolean[]), CAST(:hashes AS bytea[]))
    WITH ORDINALITY AS c (item_key, is_drop, content_hash, place)
""")
_PUT = sa.text("""
INSERT INTO cloud_sync.view_item
    (station_id, item_key, rev, version, model_id, transform_id, body, expires, content_hash)
SELECT s.station_id, c.item_key, s.base + c.place, c.version, c.model_id, c.transform_id, c.body,
    c.expires, c.content_hash
FROM unnest(CAST(:stations AS text[]), CAST(:bases AS bigint[])) AS s (station_id, base)
CROSS JOIN unnest(CAST(:keys AS bytea[]), CAST(:places AS bigint[]), CAST(:versions AS integer[]),
    CAST(:models AS text[]), CAST(:transforms AS text[]), CAST(:bodies AS bytea[]),
    CAST(:expires AS timestamptz[]), CAST(:hashes AS bytea[]))
    AS c (item_key, place, version, model_id, transform_id, body, expires, content_hash)
ON CONFLICT (station_id, item_key) DO UPDATE SET
    rev = excluded.rev, version = excluded.version, model_id = excluded.model_id,
    transform_id = excluded.transform_id, body = excluded.body, expires = excluded.expires,
    content_hash = excluded.content_hash
""")
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
        places: dict[str, list[Any]] = {
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


def _write(
    connection: sa.Connection, places: dict[str, list[Any]], lines: Sequence[Change]
) -> None:
    bodies = [_body(change) for change in lines]
    hashes = [
        template_hash(change.template, body)
        if isinstance(change, PutTemplate)
        else content_hash(change)
        for change, body in zip(lines, bodies, strict=True)
    ]
    keys = [key_of(change) for change in lines]
    drops = [is_drop(change) for change in lines]
    log = {"keys": keys, "drops": drops, "hashes": hashes}
    connection.execute(_LOG, places | log)
    dropped = [key for key, drop in zip(keys, drops, strict=True) if drop]
    if dropped:
        connection.execute(_DROP, {"stations": places["stations"], "keys": dropped})
        connection.execute(
            sa.delete(VIEW_QUARANTINE).where(
                VIEW_QUARANTINE.c.station_id.in_(places["stations"]),
                VIEW_QUARANTINE.c.item_key.in_(dropped),
            )
        )
    put = [place for place, drop in enumerate(drops) if not drop]
    if put:
        columns = _columns([lines[place] for place in put])
        columns["keys"] = [keys[place] for place in put]
        columns["places"] = [place + 1 for place in put]
        columns["bodies"] = [bodies[place] for place in put]
        columns["hashes"] = [hashes[place] for place in put]
        connection.execute(_PUT, places | columns)


def _body(change: Change) -> bytes:
    match change:
        case PutTemplate(template):
            return pack(template.vector)
        case PutKey(key):
            return key.public_key
        case _:
            return b""


def _columns(lines: Sequence[Change]) -> dict[str, list[Any]]:
    found = [change.template if isinstance(change, PutTemplate) else None for change in lines]
    return {
        "versions": [template.version if template else 0 for template in found],
        "models": [template.model_id if template else "" for template in found],
        "transforms": [template.transform_id if template else "" for template in found],
        "expires": [template.expires if template else None for template in found],
    }
