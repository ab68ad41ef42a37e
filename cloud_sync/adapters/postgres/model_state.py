"""Which model is in force and which one is to follow it: one row, in the caller's transaction."""

import sqlalchemy as sa

from cloud_sync.adapters.postgres.next_view import open_next
from cloud_sync.adapters.postgres.tables import MODEL, VIEW
from cloud_sync.master.model_change import ModelState, Phase
from cloud_sync.secrecy.rotation import PLAIN


def read(connection: sa.Connection, *, is_held: bool = False) -> ModelState:
    """Return which models there are.

    Args:
        connection: To the database.
        is_held: Whether nobody else may change it until the commit.
    """
    query = sa.select(MODEL)
    row = connection.execute(query.with_for_update() if is_held else query).one()
    return ModelState(row.model_id, row.next_id, Phase(row.phase), row.begun_at)


def write(connection: sa.Connection, state: ModelState) -> None:
    """Replace it.

    Args:
        connection: With a transaction begun.
        state: What holds from now on.
    """
    connection.execute(
        sa.update(MODEL).values(
            model_id=state.model_id,
            next_id=state.next_id,
            phase=state.phase.value,
            begun_at=state.begun_at,
        )
    )


def transform(connection: sa.Connection) -> str:
    """Return the transform that most views' templates have; plain while there is no template."""
    query = (
        sa.select(VIEW.c.transform_id)
        .where(VIEW.c.transform_id != "")
        .group_by(VIEW.c.transform_id)
        .order_by(sa.func.count().desc(), VIEW.c.transform_id)
        .limit(1)
    )
    found: str | None = connection.execute(query).scalar_one_or_none()
    return found or PLAIN


def of_new_station(connection: sa.Connection, station_id: str, *, key_id: str) -> None:
    """Give a station that joins while the model is changed both views.

    Args:
        connection: With the transaction that has made its first view.
        station_id: The station.
        key_id: The root key of a view's first epoch.
    """
    state = read(connection)
    if state.phase is not Phase.RUNNING:
        return
    mine = VIEW.c.station_id == station_id
    space = {"model_id": state.model_id, "transform_id": transform(connection)}
    connection.execute(sa.update(VIEW).where(mine).values(space))
    open_next(connection, station_id, state.next_id, space["transform_id"], key_id=key_id)
