"""A change of the model in PostgreSQL: begun, told about, finished or rolled back.

1. `begin` gives every station a second view, of the coming model. Reconciling fills it as riders
   are measured anew, and nodes follow it as they are restarted with the new model.
2. `finish` makes the second view each station's only one, then erases the old model's templates;
   `rollback` takes the second view away, then erases the new model's.

What is to go is written down first (`ModelState.phase`), so either can be cut anywhere and goes on
where it stopped. Each station is one transaction, in which nobody writes to any view.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from cloud_sync.adapters.postgres import master, model_state
from cloud_sync.adapters.postgres.at_rest import stop_writers
from cloud_sync.adapters.postgres.device_tables import DENIED
from cloud_sync.adapters.postgres.next_view import adopt_next, close_next, open_next, two_views
from cloud_sync.adapters.postgres.publish import DIMENSION, stations
from cloud_sync.adapters.postgres.tables import EDGE_NODE, MASTER_TEMPLATE, VIEW, VIEW_ITEM
from cloud_sync.master.gallery import Forget
from cloud_sync.master.model_change import (
    ModelState,
    Phase,
    Progress,
    begun,
    ended,
    finishing,
    rolling_back,
)
from cloud_sync.secrecy.safe import Safe
from cloud_sync.view_id import is_next, station_of

_FORGOTTEN_AT_ONCE = 500
"""Templates erased in one transaction: an enrollment waits some 50 ms for it."""

Told = Callable[[str, int], None]
"""Hears what was done: a station or a model, and how many riders' templates it was about."""


@dataclass(frozen=True, slots=True)
class ViewCount:
    """One view while the model is changed."""

    station_id: str
    is_next: bool
    templates: int
    nodes: int
    """Nodes with a lease that follow it."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a change is, as far as the cloud knows; of photos enrollment knows."""

    state: ModelState
    riders: dict[str, int]
    """Active riders with a template, by model."""
    views: tuple[ViewCount, ...]
    """By station, the one in force first."""
    followers: tuple[str, ...]
    """Nodes that hold `finish` up: they have a lease, follow the old model and are not revoked."""


def begin(engine: sa.Engine, safe: Safe, model_id: str, now: datetime) -> ModelState:
    """Let a second space live beside the first.

    Args:
        engine: The database.
        safe: The keys.
        model_id: The coming model, as its pack names it.
        now: Aware UTC.

    Raises:
        NotNow: Another change is under way, or there is nothing to change.
        sqlalchemy.exc.SQLAlchemyError: Nothing has changed.
    """
    with engine.begin() as connection:
        stop_writers(connection)
        before = model_state.read(connection, is_held=True)
        held = connection.execute(sa.select(VIEW.c.station_id, VIEW.c.model_id)).all()
        models = {row.model_id for row in held if row.model_id and not is_next(row.station_id)}
        after = begun(before, model_id, frozenset(models), now)
        model_state.write(connection, after)
        space = {"model_id": after.model_id, "transform_id": model_state.transform(connection)}
        connection.execute(sa.update(VIEW).where(VIEW.c.model_id == "").values(space))
        for station in stations(connection):
            key_id = safe.ring.root.key_id
            open_next(connection, station, model_id, space["transform_id"], key_id=key_id)
    return after


def standing(engine: sa.Engine, now: datetime) -> Standing:
    """Return how far a change is, of one moment.

    Args:
        engine: The database.
        now: Aware UTC.
    """
    with engine.connect() as connection:
        connection.execution_options(isolation_level="REPEATABLE READ")
        state = model_state.read(connection)
        count = sa.func.count()
        templates = sa.select(MASTER_TEMPLATE.c.model_id, count).where(
            MASTER_TEMPLATE.c.is_active, MASTER_TEMPLATE.c.body != b""
        )
        riders = connection.execute(templates.group_by(MASTER_TEMPLATE.c.model_id)).all()
        rider = sa.and_(VIEW_ITEM.c.item_key >= b"r", VIEW_ITEM.c.item_key < b"s")
        mine = sa.and_(VIEW_ITEM.c.station_id == VIEW.c.station_id, rider)
        sizes = connection.execute(
            sa.select(VIEW.c.station_id, sa.func.count(VIEW_ITEM.c.item_key).label("size"))
            .select_from(VIEW.outerjoin(VIEW_ITEM, mine))
            .group_by(VIEW.c.station_id)
            .order_by(VIEW.c.station_id)
        ).all()
        leased = sa.select(EDGE_NODE.c.follows).where(EDGE_NODE.c.lease_until > now)
        nodes = Counter(connection.execute(leased).scalars())
        followers = _followers(connection, now)
    return Standing(
        state,
        {model_id: int(number) for model_id, number in riders},
        tuple(
            ViewCount(
                station_of(row.station_id), is_next(row.station_id), row.size, nodes[row.station_id]
            )
            for row in sizes
        ),
        followers,
    )


def finish(
    engine: sa.Engine,
    safe: Safe,
    *,
    waiting: int,
    is_forced: bool,
    now: datetime,
    told: Told,
) -> ModelState:
    """Make the new model the only one at the stations and in the master gallery.

    Enrollment's own records follow, and then `end`.

    Args:
        engine: The database.
        safe: The keys.
        waiting: Riders whose kept photos were not measured anew yet.
        is_forced: Whether those may lose their face.
        now: Aware UTC.
        told: Hears what was done.

    Returns:
        What holds from now on; its phase is `finishing`.

    Raises:
        NotNow: It is not possible yet; nothing has changed.
        sqlalchemy.exc.SQLAlchemyError: What is done is done; call it again.
    """
    with engine.begin() as connection:
        stop_writers(connection)
        state = model_state.read(connection, is_held=True)
        progress = Progress(_followers(connection, now), waiting)
        state = finishing(state, progress, is_forced=is_forced)
        model_state.write(connection, state)
    _end_each(engine, safe, adopt_next, told)
    told(state.model_id, _forget(engine, safe, state.model_id, now))
    return state


def rollback(engine: sa.Engine, safe: Safe, *, now: datetime, told: Told) -> ModelState:
    """Take the new model away from the stations and out of the master gallery.

    Nodes of the old model notice nothing; those of the new one are refused and go on by code once
    their lease has ended. Enrollment's own records follow, and then `end`.

    Args:
        engine: The database.
        safe: The keys.
        now: Aware UTC.
        told: Hears what was done.

    Returns:
        What holds from now on; its phase is `rolling_back`.

    Raises:
        NotNow: There is nothing to roll back, or it is too late.
        sqlalchemy.exc.SQLAlchemyError: What is done is done; call it again.
    """
    with engine.begin() as connection:
        stop_writers(connection)
        state = rolling_back(model_state.read(connection, is_held=True))
        model_state.write(connection, state)
    _end_each(engine, safe, close_next, told)
    told(state.next_id, _forget(engine, safe, state.next_id, now))
    return state


def end(engine: sa.Engine) -> ModelState:
    """Note that nothing is left to go; return what holds."""
    with engine.begin() as connection:
        stop_writers(connection)
        state = model_state.read(connection, is_held=True)
        if state.phase in (Phase.FINISHING, Phase.ROLLING_BACK):
            state = ended(state)
            model_state.write(connection, state)
    return state


def _end_each(engine: sa.Engine, safe: Safe, end_one: Callable[..., bool], told: Told) -> None:
    """Leave each station with one view, a transaction a station; what is done stays done."""
    with engine.connect() as connection:
        stations = two_views(connection)
    for station in stations:
        with engine.begin() as connection:
            stop_writers(connection)
            end_one(connection, station, safe=safe, dimension=DIMENSION)
        told(station, 0)


def _followers(connection: sa.Connection, now: datetime) -> tuple[str, ...]:
    """Return the edges that could still compare by the model in force, sorted."""
    is_denied = sa.exists().where(DENIED.c.kind == "edge", DENIED.c.name == EDGE_NODE.c.edge_id)
    query = sa.select(EDGE_NODE.c.edge_id).where(
        EDGE_NODE.c.follows == EDGE_NODE.c.station_id,
        EDGE_NODE.c.lease_until > now,
        sa.not_(is_denied),
    )
    return tuple(connection.execute(query.order_by(EDGE_NODE.c.edge_id)).scalars())


def _forget(engine: sa.Engine, safe: Safe, model_id: str, now: datetime) -> int:
    """Erase all templates of a model from the master gallery, batch by batch."""
    table = MASTER_TEMPLATE.c
    query = sa.select(table.rider_ref).where(table.model_id == model_id, table.body != b"")
    done = 0
    while True:
        with engine.begin() as connection:
            some = connection.execute(query.order_by(table.rider_ref).limit(_FORGOTTEN_AT_ONCE))
            going = [Forget(ref, model_id) for ref in some.scalars()]
            if not going:
                return done
            master.apply(connection, going, now, safe=safe)
        done += len(going)
