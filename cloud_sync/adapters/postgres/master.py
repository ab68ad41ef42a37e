"""The master gallery in PostgreSQL: functions inside the caller's transaction, and the port.

Locks are taken in one order by everybody: riders by their references, then the head of the feed,
then views (see `membership`). Whoever puts a rider into a view shares the lock on the rider, so a
withdrawal and a put never miss each other.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import groupby
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from cloud_sync.adapters.postgres.at_rest import hold_keys
from cloud_sync.adapters.postgres.publish import DIMENSION
from cloud_sync.adapters.postgres.tables import MASTER_HEAD, MASTER_RIDER, MASTER_TEMPLATE
from cloud_sync.content import TemplateRefused, check, pack, unpack
from cloud_sync.gallery import Template
from cloud_sync.master.gallery import (
    Activate,
    Deactivate,
    Erase,
    Forget,
    Held,
    MasterChange,
    MasterFailed,
    MasterLine,
    MasterPage,
    PutMaster,
    Standing,
    Withdraw,
    is_late,
    rider_of,
)
from cloud_sync.master.intake import Cohort
from cloud_sync.secrecy.key_store import KeysFailed
from cloud_sync.secrecy.rotation import PLAIN
from cloud_sync.secrecy.safe import MASTER_TEMPLATE as RECORD
from cloud_sync.secrecy.safe import Safe, UnknownTransform
from cloud_sync.secrecy.seal import Label, NotOpened, label_of, template_label
from fare.log import say

_LOG = logging.getLogger(__name__)
_ERASED = b""
_ACTIVE = sa.text("""
SELECT m.rider_ref FROM cloud_sync.master_rider AS m
WHERE m.rider_ref = ANY (CAST(:riders AS uuid[])) AND m.standing = 'active'
""")
_STANDING = {
    Activate: Standing.ACTIVE,
    Deactivate: Standing.INACTIVE,
    Erase: Standing.INACTIVE,
    Withdraw: Standing.GONE,
}


def apply(
    connection: sa.Connection,
    changes: Sequence[MasterChange],
    now: datetime,
    *,
    safe: Safe,
    cohort: Cohort | None = None,
    dimension: int = DIMENSION,
) -> frozenset[UUID]:
    """Make changes to the master gallery inside the caller's transaction.

    Args:
        connection: With a transaction begun that holds no view yet.
        changes: In their order.
        now: Aware UTC.
        safe: Seals the templates.
        cohort: What new templates are compared with; None to take hubs, too.
        dimension: Values in a vector.

    Returns:
        The riders whom something has changed for.

    Raises:
        TemplateRefused: A template is not a unit vector of its dimension, or a hub.
        sqlalchemy.exc.SQLAlchemyError: The database did not take it.
    """
    for change in changes:
        if isinstance(change, PutMaster):
            check(change.template.vector, dimension=dimension)
            if cohort is not None:
                _refuse_hub(change.template, safe, cohort)
    standings = _locked(connection, {rider_of(change) for change in changes}, now)
    changed: set[UUID] = set()
    for kind, run in groupby(changes, type):
        wanted = [change for change in run if standings[rider_of(change)] is not Standing.GONE]
        if kind is PutMaster:
            templates = [each.template for each in wanted if isinstance(each, PutMaster)]
            changed |= _put(connection, templates, standings, safe)
            continue
        if kind is Forget:
            pairs = [(each.rider_ref, each.model_id) for each in wanted if isinstance(each, Forget)]
            changed |= _forget(connection, pairs)
            continue
        for change in wanted:
            standing = _STANDING[type(change)]
            if standing is not standings[rider_of(change)] or isinstance(change, Erase):
                _stand(connection, change, standing, now)
                standings[rider_of(change)] = standing
                changed.add(rider_of(change))
    return frozenset(changed)


def _refuse_hub(template: Template, safe: Safe, cohort: Cohort) -> None:
    try:
        plain = safe.turn(template.vector, source=template.transform_id, target=PLAIN)
    except UnknownTransform as problem:
        raise TemplateRefused(str(problem)) from problem
    fault = cohort.judge(plain)
    if fault is not None:
        raise TemplateRefused(fault.value)


def changes_since(connection: sa.Connection, rev: int, limit: int, *, safe: Safe) -> MasterPage:
    """Return up to `limit` templates whose latest change lies after a revision.

    Args:
        connection: To the database.
        rev: Read so far; 0 at first.
        limit: Lines at most.
        safe: Opens the templates; one that does not open is alarmed and counts as erased.
    """
    query = sa.select(MASTER_TEMPLATE).where(MASTER_TEMPLATE.c.rev > rev)
    rows = connection.execute(query.order_by(MASTER_TEMPLATE.c.rev).limit(limit)).all()
    lines = tuple(_line(row, safe) for row in rows)
    return MasterPage(lines, lines[-1].rev if lines else rev)


def lines(
    connection: sa.Connection, rider_refs: Iterable[UUID], model_id: str, *, safe: Safe
) -> tuple[MasterLine, ...]:
    """Return what the gallery has now of some riders for one model, whoever is active or not.

    Args:
        connection: To the database.
        rider_refs: Whose.
        model_id: The embedder.
        safe: Opens the templates; one that does not open is alarmed and counts as erased.
    """
    query = sa.select(MASTER_TEMPLATE).where(
        MASTER_TEMPLATE.c.rider_ref == sa.any_(sa.cast(list(rider_refs), pg.ARRAY(sa.Uuid))),
        MASTER_TEMPLATE.c.model_id == model_id,
    )
    return tuple(_line(row, safe) for row in connection.execute(query))


def active(connection: sa.Connection, rider_refs: Iterable[UUID]) -> frozenset[UUID]:
    """Return those of some riders whom stations may hold."""
    return frozenset(connection.execute(_ACTIVE, {"riders": array_of(rider_refs)}).scalars().all())


def shared(connection: sa.Connection, rider_refs: Iterable[UUID]) -> frozenset[UUID]:
    """Return those of some riders whom stations may hold, and keep that so until the commit.

    Args:
        connection: With a transaction begun that holds no view yet.
        rider_refs: Whom; they are locked in one order everywhere.
    """
    query = (
        sa.select(MASTER_RIDER.c.rider_ref)
        .where(
            MASTER_RIDER.c.rider_ref == sa.any_(sa.cast(list(rider_refs), pg.ARRAY(sa.Uuid))),
            MASTER_RIDER.c.standing == Standing.ACTIVE.value,
        )
        .order_by(MASTER_RIDER.c.rider_ref)
        .with_for_update(read=True)
    )
    return frozenset(connection.execute(query).scalars())


def everybody(connection: sa.Connection, *, at_most: int) -> frozenset[UUID] | None:
    """Return all whom stations may hold; None when they are more than `at_most`."""
    query = sa.select(MASTER_RIDER.c.rider_ref).where(
        MASTER_RIDER.c.standing == Standing.ACTIVE.value
    )
    found = frozenset(connection.execute(query.limit(at_most + 1)).scalars())
    return found if len(found) <= at_most else None


def array_of(rider_refs: Iterable[UUID]) -> str:
    """Return references as text that PostgreSQL casts to `uuid[]`.

    The driver quotes each element of a list by itself, which takes longer than most queries of
    some thousand riders.
    """
    return "{" + ",".join([ref.hex for ref in rider_refs]) + "}"


def fits(connection: sa.Connection, *, at_most: int) -> bool:
    """Return whether all whom stations may hold are so many at most."""
    some = sa.select(sa.literal(1)).where(MASTER_RIDER.c.standing == Standing.ACTIVE.value)
    counted = sa.select(sa.func.count()).select_from(some.limit(at_most + 1).subquery())
    return int(connection.execute(counted).scalar_one()) <= at_most


def standing(connection: sa.Connection, rider_ref: UUID) -> Standing:
    """Return what holds for a rider."""
    query = sa.select(MASTER_RIDER.c.standing).where(MASTER_RIDER.c.rider_ref == rider_ref)
    found = connection.execute(query).scalar_one_or_none()
    return Standing.UNKNOWN if found is None else Standing(found)


def since(connection: sa.Connection, rider_ref: UUID) -> datetime | None:
    """Return since when a rider's standing holds, aware UTC; None of an unknown rider."""
    query = sa.select(MASTER_RIDER.c.since).where(MASTER_RIDER.c.rider_ref == rider_ref)
    return connection.execute(query).scalar_one_or_none()


def templates(
    connection: sa.Connection, rider_refs: Iterable[UUID], model_id: str, *, safe: Safe
) -> tuple[Template, ...]:
    """Return the templates of active riders for one model, one a rider.

    Args:
        connection: To the database.
        rider_refs: Whose.
        model_id: The embedder of the view; empty while the view has none, which any template suits.
        safe: Opens the templates; one that does not open is alarmed and left out.
    """
    query = sa.select(MASTER_TEMPLATE).where(
        MASTER_TEMPLATE.c.rider_ref == sa.any_(sa.cast(list(rider_refs), pg.ARRAY(sa.Uuid))),
        sa.or_(MASTER_TEMPLATE.c.model_id == model_id, sa.literal(model_id) == ""),
        MASTER_TEMPLATE.c.is_active,
        MASTER_TEMPLATE.c.body != _ERASED,
    )
    newest = query.ext(pg.distinct_on(MASTER_TEMPLATE.c.rider_ref)).order_by(
        MASTER_TEMPLATE.c.rider_ref, MASTER_TEMPLATE.c.rev.desc()
    )
    rows = connection.execute(newest)
    return tuple(found for row in rows if (found := _template(row, safe)) is not None)


class PostgresMasterGallery:
    """The templates of all riders of a city."""

    def __init__(self, engine: sa.Engine, safe: Safe, *, dimension: int = DIMENSION) -> None:
        """Take an engine on a migrated database.

        Args:
            engine: The database.
            safe: Seals and opens the templates.
            dimension: Values in a template's vector.
        """
        self._engine = engine
        self._safe = safe
        self._dimension = dimension

    def apply(self, changes: Sequence[MasterChange], now: datetime) -> None:
        """Make changes in their order, in one transaction.

        The views do not follow by this alone: `membership.settle` does both.
        """
        with self._begun() as connection:
            apply(connection, changes, now, safe=self._safe, dimension=self._dimension)

    def changes_since(self, rev: int, limit: int) -> MasterPage:
        """Return up to `limit` templates whose latest change lies after a revision."""
        with self._begun() as connection:
            return changes_since(connection, rev, limit, safe=self._safe)

    def head(self) -> int:
        """Return the latest revision, 0 at first."""
        with self._begun() as connection:
            return int(connection.execute(sa.select(MASTER_HEAD.c.rev)).scalar_one())

    def standing(self, rider_ref: UUID) -> Standing:
        """Return what holds for a rider."""
        with self._begun() as connection:
            return standing(connection, rider_ref)

    def active(self, rider_refs: Iterable[UUID]) -> frozenset[UUID]:
        """Return those of some riders whom stations may hold."""
        with self._begun() as connection:
            return active(connection, rider_refs)

    def everybody(self, at_most: int) -> frozenset[UUID] | None:
        """Return all whom stations may hold; None when they are more than `at_most`."""
        with self._begun() as connection:
            return everybody(connection, at_most=at_most)

    @contextmanager
    def _begun(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except (sa.exc.SQLAlchemyError, KeysFailed) as problem:
            # The driver's words can quote a row, hence a face: only the kind is told.
            raise MasterFailed(type(problem).__name__) from problem


def _locked(
    connection: sa.Connection, rider_refs: Iterable[UUID], now: datetime
) -> dict[UUID, Standing]:
    """Lock riders in one order everywhere, new ones too; return how they stand."""
    wanted = sorted(rider_refs)
    if not wanted:
        return {}
    new = [{"rider_ref": ref, "standing": "inactive", "since": now} for ref in wanted]
    connection.execute(pg.insert(MASTER_RIDER).on_conflict_do_nothing(), new)
    query = (
        sa.select(MASTER_RIDER.c.rider_ref, MASTER_RIDER.c.standing)
        .where(MASTER_RIDER.c.rider_ref == sa.any_(sa.cast(wanted, pg.ARRAY(sa.Uuid))))
        .order_by(MASTER_RIDER.c.rider_ref)
        .with_for_update()
    )
    return {row.rider_ref: Standing(row.standing) for row in connection.execute(query)}


def _revs(connection: sa.Connection, count: int) -> range:
    """Take revisions under the lock on the head, so that they commit in their order."""
    taken = sa.update(MASTER_HEAD).values(rev=MASTER_HEAD.c.rev + count)
    last = int(connection.execute(taken.returning(MASTER_HEAD.c.rev)).scalar_one())
    return range(last - count + 1, last + 1)


def _put(
    connection: sa.Connection,
    arriving: Iterable[Template],
    standings: dict[UUID, Standing],
    safe: Safe,
) -> set[UUID]:
    """Keep templates that do not come late; of several about one rider and model the last."""
    latest: dict[tuple[UUID, str], Template] = {}
    for each in arriving:
        key = (each.rider_ref, each.model_id)
        if key not in latest or latest[key].version < each.version:
            latest[key] = each
    held = _held(connection, {ref for ref, _ in latest})
    new = [
        each for key, each in latest.items() if not is_late(held.get(key, Held(0)), each.version)
    ]
    if not new:
        return set()
    hold_keys(connection)
    seal = safe.sealer(RECORD)
    rows = [
        {
            "rider_ref": each.rider_ref,
            "model_id": each.model_id,
            "transform_id": each.transform_id,
            "version": each.version,
            "body": seal(pack(each.vector), template_label(label_of(each))),
            "is_active": standings[each.rider_ref] is Standing.ACTIVE,
            "rev": rev,
        }
        for each, rev in zip(new, _revs(connection, len(new)), strict=True)
    ]
    insert = pg.insert(MASTER_TEMPLATE)
    replaced = {
        name: insert.excluded[name]
        for name in ("transform_id", "version", "body", "is_active", "rev")
    }
    connection.execute(
        insert.on_conflict_do_update(index_elements=["rider_ref", "model_id"], set_=replaced),
        rows,
    )
    return {each.rider_ref for each in new}


def _held(connection: sa.Connection, rider_refs: Iterable[UUID]) -> dict[tuple[UUID, str], Held]:
    table = MASTER_TEMPLATE.c
    query = sa.select(table.rider_ref, table.model_id, table.version).where(
        table.rider_ref == sa.any_(sa.cast(list(rider_refs), pg.ARRAY(sa.Uuid)))
    )
    return {(row.rider_ref, row.model_id): Held(row.version) for row in connection.execute(query)}


def _stand(
    connection: sa.Connection, change: MasterChange, standing: Standing, now: datetime
) -> None:
    """Write a rider's standing, and to each template with a revision of its own."""
    rider_ref = rider_of(change)
    connection.execute(
        sa.update(MASTER_RIDER)
        .where(MASTER_RIDER.c.rider_ref == rider_ref)
        .values(standing=standing.value, since=now)
    )
    mine = MASTER_TEMPLATE.c.rider_ref == rider_ref
    query = sa.select(MASTER_TEMPLATE.c.model_id).where(mine).order_by("model_id")
    models = connection.execute(query).scalars().all()
    values: dict[str, Any] = {"is_active": standing is Standing.ACTIVE}
    if isinstance(change, Erase | Withdraw):
        values["body"] = _ERASED
    revs = _revs(connection, len(models)) if models else ()
    for model_id, rev in zip(models, revs, strict=True):
        connection.execute(
            sa.update(MASTER_TEMPLATE)
            .where(mine, MASTER_TEMPLATE.c.model_id == model_id)
            .values(rev=rev, **values)
        )


def _forget(connection: sa.Connection, pairs: Sequence[tuple[UUID, str]]) -> set[UUID]:
    """Erase templates of single spaces, each with a revision of its own, so that indexes follow."""
    table = MASTER_TEMPLATE.c
    query = sa.select(table.rider_ref, table.model_id).where(
        sa.tuple_(table.rider_ref, table.model_id).in_(pairs), table.body != _ERASED
    )
    rows = connection.execute(query.order_by(table.rider_ref, table.model_id)).all()
    if not rows:
        return set()
    changes = [
        {"who": row.rider_ref, "model": row.model_id, "new_rev": rev}
        for rev, row in zip(_revs(connection, len(rows)), rows, strict=True)
    ]
    mine = (table.rider_ref == sa.bindparam("who")) & (table.model_id == sa.bindparam("model"))
    erased = {"body": _ERASED, "rev": sa.bindparam("new_rev")}
    connection.execute(sa.update(MASTER_TEMPLATE).where(mine).values(erased), changes)
    return {row.rider_ref for row in rows}


def _line(row: sa.Row[Any], safe: Safe) -> MasterLine:
    return MasterLine(
        row.rev,
        row.rider_ref,
        row.model_id,
        row.transform_id,
        row.version,
        row.is_active,
        _template(row, safe) if row.body != _ERASED else None,
    )


def _template(row: sa.Row[Any], safe: Safe) -> Template | None:
    label = Label(row.rider_ref.bytes, row.version, row.model_id, row.transform_id)
    try:
        packed = safe.open(RECORD, row.body, template_label(label))
        return Template(row.rider_ref, *label[1:], unpack(packed))
    except (NotOpened, TemplateRefused):
        say(_LOG, "record_unread", level=logging.ERROR, rider=row.rider_ref)
        return None
