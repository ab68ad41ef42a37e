"""Writing to station views inside somebody else's transaction.

A template and its line in each station's log commit together or not at all, and readers see the
lines in the order of their revisions: the view's row is locked while they are written.
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import sqlalchemy as sa

from cloud_sync.adapters.postgres.at_rest import hold_keys
from cloud_sync.adapters.postgres.item_row import Seal, body_of, expires_of
from cloud_sync.adapters.postgres.mode_history import note_orders
from cloud_sync.adapters.postgres.tables import VIEW, VIEW_QUARANTINE
from cloud_sync.content import check, content_hash, is_drop, key_of, pack, template_hash
from cloud_sync.gallery import Change, PutTemplate, Template
from cloud_sync.secrecy.safe import VIEW_ITEM, Safe
from cloud_sync.stream.view import Head, SpaceRefused, coalesce, space_of
from cloud_sync.view_id import is_next, next_view, station_of

VIEW_CHANNEL = "gateline_view"
"""NOTIFY channel; the payload is a view's id."""
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


def views(connection: sa.Connection) -> tuple[str, ...]:
    """Return the ids of all views, sorted; while the model is changed a station has two."""
    found = connection.execute(sa.select(VIEW.c.station_id).order_by(VIEW.c.station_id))
    return tuple(found.scalars())


def stations(connection: sa.Connection) -> tuple[str, ...]:
    """Return the ids of all stations that have a view, sorted."""
    return tuple(view for view in views(connection) if not is_next(view))


def views_of(connection: sa.Connection, station_ids: Iterable[str]) -> tuple[str, ...]:
    """Return the views that some stations have, sorted; a station without any is passed over.

    Args:
        connection: With a transaction begun that holds the keys, so that none is opened meanwhile.
        station_ids: Which.
    """
    wanted = {view for station in station_ids for view in (station, next_view(station))}
    query = sa.select(VIEW.c.station_id).where(VIEW.c.station_id.in_(sorted(wanted)))
    return tuple(connection.execute(query.order_by(VIEW.c.station_id)).scalars())


def publish_at(
    connection: sa.Connection,
    station_ids: Iterable[str],
    changes: Sequence[Change],
    *,
    safe: Safe,
    dimension: int = DIMENSION,
) -> None:
    """Add changes to every view of some stations, each template to the view of its model.

    Args:
        connection: With a transaction begun; nothing is committed here.
        station_ids: Where; each must have a view.
        changes: What; of several about one rider or key the last counts.
        safe: Seals the templates.
        dimension: Values in a vector.

    Raises:
        TemplateRefused: See `publish`.
        SpaceRefused: A template is of none of the station's spaces.
        SettingRefused: See `publish`.
        LookupError: A station has no view.
        sqlalchemy.exc.SQLAlchemyError: The database did not take it.
    """
    wanted = set(station_ids)
    if not wanted or not changes:
        return
    hold_keys(connection)
    known = views_of(connection, wanted)
    heads = _locked(connection, sorted(wanted.union(known)))  # all at once, for the order of locks
    twofold = {station_of(view) for view in known if is_next(view)}
    models = {head.model_id for head in heads if station_of(head.station_id) in twofold}
    for change in changes if twofold else ():
        if isinstance(change, PutTemplate) and change.template.model_id not in models:
            raise SpaceRefused(f"{change.template.model_id} is none of {sorted(models)}")
    groups: dict[str, list[str]] = {}
    for head in heads:
        own = head.model_id if station_of(head.station_id) in twofold else ""
        groups.setdefault(own, []).append(head.station_id)
    for model_id, where in groups.items():
        fitting = [change for change in changes if not model_id or _fits(change, model_id)]
        publish(connection, where, fitting, safe=safe, dimension=dimension)


def _fits(change: Change, model_id: str) -> bool:
    return not isinstance(change, PutTemplate) or change.template.model_id == model_id


def publish(
    connection: sa.Connection,
    view_ids: Iterable[str],
    changes: Sequence[Change],
    *,
    safe: Safe,
    dimension: int = DIMENSION,
) -> None:
    """Add changes to these very views, inside the caller's transaction.

    The views' rows stay locked until the caller commits: keep that short. Templates are turned to
    the transform of each view, and sealed.

    Args:
        connection: With a transaction begun; nothing is committed here.
        view_ids: Where; each must be there.
        changes: What; of several about one rider or key the last counts.
        safe: Seals the templates.
        dimension: Values in a vector.

    Raises:
        TemplateRefused: A template is not a unit vector of this dimension.
        SpaceRefused: A template is not of the view's space.
        SettingRefused: A setting is longer than agreed.
        LookupError: There is no such view.
        sqlalchemy.exc.SQLAlchemyError: The database did not take it.
    """
    wanted = sorted(set(view_ids))
    lines = coalesce(changes)
    if not wanted or not lines:
        return
    hold_keys(connection)
    heads = _locked(connection, wanted)
    for transform_id in sorted({head.transform_id for head in heads}):
        group = [head for head in heads if head.transform_id == transform_id]
        turned = turned_to(lines, transform_id, safe, dimension=dimension)
        _publish_alike(connection, group, turned, safe, dimension=dimension)
    for head in heads:
        announce(connection, VIEW_CHANNEL, head.station_id)


def _publish_alike(
    connection: sa.Connection,
    heads: Sequence[Head],
    lines: Sequence[Change],
    safe: Safe,
    *,
    dimension: int,
) -> None:
    """Add the same lines to views of one transform."""
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
        note_orders(connection, head.station_id, head.head_rev, lines)
    seal = safe.sealer(VIEW_ITEM)
    for start in range(0, len(lines), _SLICE):
        places: dict[str, Any] = {
            "stations": [head.station_id for head in heads],
            "bases": [head.head_rev + start for head in heads],
        }
        _write(connection, places, lines[start : start + _SLICE], seal)


def turned_to(
    changes: Sequence[Change], transform_id: str, safe: Safe, *, dimension: int
) -> tuple[Change, ...]:
    """Return changes with their templates in one transform, as far as the operator knows theirs.

    While the operator is re-keyed, templates of the new rotation come to views of the old one.

    Args:
        changes: Any.
        transform_id: Where to; empty for that of the first template.
        safe: Knows the rotations.
        dimension: Values in a vector.

    Raises:
        TemplateRefused: A template that would be turned is no unit vector of this dimension.
    """
    found = [change.template for change in changes if isinstance(change, PutTemplate)]
    target = transform_id or (found[0].transform_id if found else "")
    ring = safe.ring
    turned: dict[int, Template] = {}
    for source in {each.transform_id for each in found} - {target}:
        if not (ring.knows(source) and ring.knows(target)):
            continue  # `space_of` refuses it
        alike = [each for each in found if each.transform_id == source]
        for each in alike:
            check(each.vector, dimension=dimension)
        vectors = safe.turn(np.stack([t.vector for t in alike]), source=source, target=target)
        vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        for each, vector in zip(alike, vectors, strict=True):
            turned[id(each)] = replace(each, vector=vector, transform_id=target)
    return tuple(
        PutTemplate(turned.get(id(change.template), change.template))
        if isinstance(change, PutTemplate)
        else change
        for change in changes
    )


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
        row.key_id,
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
    connection: sa.Connection, places: dict[str, Any], lines: Sequence[Change], seal: Seal
) -> None:
    """Add lines to the log and bring the items up to date."""
    keys = [key_of(change) for change in lines]
    columns = places | _columns(lines, keys, seal)
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


def _columns(lines: Sequence[Change], keys: Sequence[bytes], seal: Seal) -> dict[str, Any]:
    """Return the lines as the columns that `_LINES` takes apart."""
    hashed = [hash_and_body(change, seal) for change in lines]
    bodies = [body for _, body in hashed]
    records = [key + digest + body for key, (digest, body) in zip(keys, hashed, strict=True)]
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


def hash_and_body(change: Change, seal: Seal) -> tuple[bytes, bytes]:
    """Return the hash of a change's content, and the content as it is stored.

    Args:
        change: Any change.
        seal: Seals a template, see `Safe.sealer`.
    """
    if isinstance(change, PutTemplate):
        packed = pack(change.template.vector)
        return template_hash(change.template, packed), body_of(change, seal, packed=packed)
    return content_hash(change), body_of(change, seal)
