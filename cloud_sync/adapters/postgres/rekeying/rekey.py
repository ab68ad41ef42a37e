"""A new root key and a new rotation for everything, while the cloud serves.

1. The new keys are made and current: what is written from now on is under them.
2. Every record is sealed anew under them, in short batches; templates are turned.
3. Each view is turned as a whole, with a new epoch and so a new data key: its edges take a
   snapshot, and match with what they hold until they have it.
4. When no record needs the old keys, and only then, an operator destroys them (`finish`).

Nothing remembers how far it is but the records themselves, so it can be cut anywhere and begun
again. Nobody enrolls anew.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

import sqlalchemy as sa

from cloud_sync.adapters.postgres.at_rest import end_use, hold_keys, note_use, stop_writers
from cloud_sync.adapters.postgres.rekeying.reseal import reseal
from cloud_sync.adapters.postgres.rekeying.sealing import (
    BATCH,
    MASTER_RECORDS,
    left_in,
    registered,
    seal_views,
)
from cloud_sync.adapters.postgres.rekeying.turn_view import turn_view
from cloud_sync.adapters.postgres.tables import MASTER_HEAD, MASTER_TEMPLATE, VIEW
from cloud_sync.secrecy.key_store import KeyRing, KeyStore
from cloud_sync.secrecy.rotation import PLAIN
from cloud_sync.secrecy.safe import Safe


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a re-key is."""

    ring: KeyRing
    left: tuple[tuple[str, int], ...]
    """Table and column, and how many records of it still need old keys."""
    views: int
    views_left: int
    """Views whose epoch still has old keys."""

    @property
    def is_done(self) -> bool:
        """Whether nothing needs the old keys."""
        return self.views_left == 0 and all(count == 0 for _, count in self.left)


def turned_by(ring: KeyRing, *, is_plain_turned: bool) -> frozenset[str]:
    """Return the transforms whose templates are turned to the current rotation.

    Args:
        ring: The keys.
        is_plain_turned: Whether templates of the model's own space are, too.
    """
    old = {seed.transform_id for seed in ring.rotations[1:]}
    return frozenset(old | {PLAIN} if is_plain_turned else old)


def begin(engine: sa.Engine, safe: Safe, keys: KeyStore) -> KeyRing:
    """Make new keys current, or go on with a re-key that is not finished.

    Args:
        engine: The database.
        safe: The keys.
        keys: The same operator's.

    Raises:
        KeysFailed: No new keys could be made.
    """
    ring = keys.ring()
    if ring.is_settled:
        ring = keys.renew()
    with engine.begin() as connection:
        note_use(connection, safe)
    return ring


def seal_all(
    engine: sa.Engine,
    safe: Safe,
    *,
    new_epoch: Callable[[], UUID],
    is_plain_turned: bool,
    told: Callable[[str, int], None],
) -> None:
    """Bring the master gallery and all views under the current keys.

    Args:
        engine: The database.
        safe: The keys.
        new_epoch: Makes an id for each view's new history.
        is_plain_turned: Whether templates of the model's own space are turned, too.
        told: Hears what was done: a table or view, and how many records.

    Raises:
        KeysFailed: The keys cannot be read.
        sqlalchemy.exc.SQLAlchemyError: The database failed; what is done is done.
    """
    turns = turned_by(safe.ring, is_plain_turned=is_plain_turned)
    told(MASTER_TEMPLATE.name, _seal_master(engine, safe, turns))
    with engine.connect() as connection:
        query = sa.select(VIEW.c.station_id).order_by(VIEW.c.station_id)
        stations = tuple(connection.execute(query).scalars())
    for station in stations:
        told(station, turn_view(engine, safe, station, epoch=new_epoch(), turns=turns))
    seal_views(engine, safe)  # what a writer put meanwhile with the keys it had begun with


def standing(engine: sa.Engine, safe: Safe) -> Standing:
    """Return how far a re-key is; reads every record's head.

    Args:
        engine: The database.
        safe: The keys.
    """
    with engine.begin() as connection:
        return _standing(connection, safe)


def finish(engine: sa.Engine, safe: Safe, keys: KeyStore) -> Standing:
    """Destroy the old keys, if nothing needs them any more.

    Writers wait meanwhile, so that none of them can be about to use an old key.

    Args:
        engine: The database.
        safe: The keys.
        keys: The same operator's.

    Returns:
        How it stood; the old keys are gone when `is_done`.

    Raises:
        KeysFailed: Some old keys may be left; call again.
    """
    with engine.begin() as guard:
        stop_writers(guard)
        found = _standing(guard, safe)
        if found.is_done:
            roots = [root.key_id for root in found.ring.roots[1:]]
            seeds = [seed.rotation_id for seed in found.ring.rotations[1:]]
            # Durable before they go: a key that is noted as needed and gone stops every start.
            with engine.begin() as connection:
                end_use(connection, roots)
            keys.destroy([*roots, *seeds])
    return found


def _standing(connection: sa.Connection, safe: Safe) -> Standing:
    ring = safe.ring
    old = sorted(turned_by(ring, is_plain_turned=False))
    left = tuple(
        (column.name, left_in(connection, column, ring.root, old))
        for column in registered(connection)
    )
    is_old = (VIEW.c.key_id != ring.root.key_id) | VIEW.c.transform_id.in_(old)
    count = sa.select(sa.func.count(), sa.func.count().filter(is_old)).select_from(VIEW)
    views, views_left = connection.execute(count).one()
    return Standing(ring, left, views, views_left)


def _seal_master(engine: sa.Engine, safe: Safe, turns: frozenset[str]) -> int:
    column = replace(MASTER_RECORDS, turns=turns)
    done, after = 0, None
    while True:
        with engine.begin() as connection:
            hold_keys(connection)
            # The head before the templates, as every writer has it.
            head = connection.execute(sa.select(MASTER_HEAD.c.rev).with_for_update()).scalar_one()
            batch = reseal(connection, safe, column, after=after, limit=BATCH)
            _renumber(connection, batch.turned, head)
        if batch.last is None:
            return done
        done, after = done + batch.done, batch.last


def _renumber(connection: sa.Connection, turned: Sequence[sa.RowMapping], head: int) -> None:
    """Give turned templates new revisions, so that indexes read them anew."""
    if not turned:
        return
    rows = [
        {"who": row["rider_ref"], "model": row["model_id"], "new_rev": rev}
        for rev, row in enumerate(turned, head + 1)
    ]
    mine = (MASTER_TEMPLATE.c.rider_ref == sa.bindparam("who")) & (
        MASTER_TEMPLATE.c.model_id == sa.bindparam("model")
    )
    update = sa.update(MASTER_TEMPLATE).where(mine).values(rev=sa.bindparam("new_rev"))
    connection.execute(update, rows)
    connection.execute(sa.update(MASTER_HEAD).values(rev=head + len(rows)))
