"""Riders in PostgreSQL; a unit is one transaction under one advisory lock.

Master gallery, claims, views and the erasure ledger belong to `cloud_sync`; its functions write
them inside the unit's own transaction, at the end of the unit.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, insert

from cloud_sync.adapters.index.faiss_index import FaissCandidateIndex
from cloud_sync.adapters.postgres import claims, erasures, model_state
from cloud_sync.adapters.postgres.at_rest import hold_keys
from cloud_sync.adapters.postgres.master_follower import MasterSearch
from cloud_sync.adapters.postgres.membership import ClaimOutcome, Membership
from cloud_sync.adapters.postgres.prefilter import reconcile
from cloud_sync.adapters.postgres.publish import stations
from cloud_sync.adapters.postgres.tables import MASTER_RIDER
from cloud_sync.content import TemplateRefused
from cloud_sync.fleet.erasure import Erasure as Gone
from cloud_sync.fleet.erasure import LedgerFailed
from cloud_sync.gallery import Change, PutKey
from cloud_sync.master.candidate import IndexFailed
from cloud_sync.master.gallery import Activate, Deactivate, Erase, Forget, MasterChange, Withdraw
from cloud_sync.prefilter.claim import CHECK_IN
from cloud_sync.secrecy.key_store import KeysFailed
from cloud_sync.secrecy.rotation import PLAIN
from cloud_sync.stream.view import SpaceRefused
from enroll.adapters import measuring, rows
from enroll.adapters import tables as t
from enroll.adapters.sealing import (
    EMBEDDING,
    ORIGINAL,
    TEMPLATE,
    UNIT_LOCK,
    photo_of,
    template_of,
)
from enroll.consent import ConsentRecord
from enroll.lookalike import LookalikePair, Match, Verdict
from enroll.rider import Rider, RiderState
from enroll.stationing import put
from enroll.store import CheckIn, Dossier, Erasure, IssuerSecret, Remeasured, StoreFailed
from enroll.template import Again, MasterTemplate, Photo

VERSIONS = Path(__file__).parent / "migrations" / "versions"
"""This package's Alembic revisions."""

_CARRIED = 200
"""Riders carried over in one unit, each into every view of a small city."""


class PostgresRiderStore:
    """A `RiderStore` on PostgreSQL."""

    def __init__(
        self,
        engine: sa.Engine,
        membership: Membership,
        copy: Callable[[Gone], None],
        search: MasterSearch | None = None,
    ) -> None:
        """Take an engine on a migrated database.

        Args:
            engine: The database.
            membership: Who is in which view.
            copy: Writes an erasure outside the database, durable on return, before the unit that
                it happens in commits; raises `LedgerFailed`.
            search: Where look-alikes are looked for; None is an index of its own in this process.
        """
        self._engine = engine
        self._membership = membership
        self._safe = membership.safe
        self._copy = copy
        self._search = search or MasterSearch(membership.safe, FaissCandidateIndex)

    def find(self, ref: UUID) -> Dossier | None:
        """See `RiderStore.find`."""
        try:
            with self._engine.connect() as connection:
                # One snapshot for all selects, or a rider could be seen half withdrawn.
                connection.execution_options(isolation_level="REPEATABLE READ")
                return rows.read(connection, ref, self._safe)
        except (sa.exc.SQLAlchemyError, KeysFailed) as error:
            raise StoreFailed("the rider cannot be read") from error

    @contextmanager
    def begin(self) -> Iterator["PostgresUnit"]:
        """See `RiderStore.begin`."""
        try:
            with self._engine.begin() as connection:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(UNIT_LOCK)))
                hold_keys(connection)
                unit = PostgresUnit(connection, self._membership, self._copy, self._search)
                yield unit
                unit.finish()
        except KeysFailed as error:
            raise StoreFailed("the keys cannot be read") from error
        except LedgerFailed as error:
            raise StoreFailed("the erasure cannot be proven, so it did not happen") from error
        except IndexFailed as error:
            raise StoreFailed("look-alikes cannot be searched") from error
        except sa.exc.SQLAlchemyError as error:
            # The driver's words can quote a row, hence a face: only the kind is told.
            raise StoreFailed(f"the unit was refused: {type(error).__name__}") from error

    def carry_over(self, now: datetime) -> int:
        """Bring riders of an older version into the master gallery; return how many.

        Args:
            now: Aware UTC.

        Raises:
            StoreFailed: The store cannot be reached; what was carried over stays.
        """
        carried = 0
        known = sa.exists().where(MASTER_RIDER.c.rider_ref == t.template.c.rider_ref)
        query = (
            sa.select(t.template, t.rider.c.stationed)
            .join(t.rider, t.rider.c.ref == t.template.c.rider_ref)
            .where(~known)
            .order_by(t.template.c.rider_ref)
            .limit(_CARRIED)
        )
        while True:
            with self.begin() as unit:
                found = unit.look(query)
                for row in found:
                    unit.carry(row, now)
            carried += len(found)
            if len(found) < _CARRIED:
                return carried

    def last_erasure(self) -> datetime | None:
        """See `RiderStore.last_erasure`."""
        with self._reading("the erasures") as connection:
            found: datetime | None = connection.scalar(sa.select(sa.func.max(t.erasure.c.at)))
            return found

    def forgotten(self, told: Sequence[Gone]) -> tuple[Gone, ...]:
        """See `RiderStore.forgotten`."""
        refs = sa.cast([one.rider_ref for one in told], ARRAY(sa.Uuid))
        still = sa.select(t.rider.c.ref).where(
            t.rider.c.ref == sa.any_(refs), t.rider.c.state != RiderState.WITHDRAWN.value
        )
        shown = sa.select(t.erasure.c.rider_ref, t.erasure.c.at).where(
            t.erasure.c.rider_ref == sa.any_(refs)
        )
        with self._reading("the erasures") as connection:
            riders = set(connection.scalars(still))
            known = {(row.rider_ref, row.at) for row in connection.execute(shown)}
        return tuple(
            one for one in told if one.rider_ref in riders and (one.rider_ref, one.at) not in known
        )

    def read_gallery(self) -> int:
        """See `RiderStore.read_gallery`."""
        try:
            with self._engine.connect() as connection:
                return self._search.read(connection)
        except (sa.exc.SQLAlchemyError, KeysFailed, IndexFailed) as error:
            raise StoreFailed(f"the gallery was not read: {type(error).__name__}") from error

    def to_measure(self, model_id: str, after: UUID | None, limit: int) -> tuple[UUID, ...]:
        """See `RiderStore.to_measure`."""
        photo = t.photo.c
        waits = photo.original.is_not(None) & photo.next_model_id.is_distinct_from(model_id)
        with self._reading("the photos") as connection:
            return measuring.page(connection, t.photo, waits, after, limit)

    def remeasured(self, model_id: str) -> Remeasured:
        """See `RiderStore.remeasured`."""
        with self._reading("the photos") as connection:
            return measuring.remeasured(connection, model_id)

    def to_adopt(self, model_id: str, after: UUID | None, limit: int) -> tuple[UUID, ...]:
        """See `RiderStore.to_adopt`."""
        with self._reading("the photos") as connection:
            found = [
                measuring.page(connection, table, table.c.model_id != model_id, after, limit)
                for table in (t.photo, t.template)
            ]
        return tuple(sorted({ref for refs in found for ref in refs})[:limit])

    def forget_model(self, model_id: str) -> int:
        """See `RiderStore.forget_model`."""
        done = 0
        while True:
            with self.begin() as unit:
                batch = unit.forget_model(model_id)
            if not batch:
                return done
            done += batch

    def open_pairs(self) -> tuple[LookalikePair, ...]:
        """See `RiderStore.open_pairs`."""
        query = (
            sa.select(t.lookalike)
            .where(t.lookalike.c.verdict == Verdict.OPEN.value)
            .order_by(t.lookalike.c.found)
        )
        with self._reading("the pairs") as connection:
            return tuple(rows.pair(row) for row in connection.execute(query).mappings())

    @contextmanager
    def _reading(self, what: str) -> Iterator[sa.Connection]:
        try:
            with self._engine.connect() as connection:
                yield connection
        except sa.exc.SQLAlchemyError as error:
            raise StoreFailed(f"{what} cannot be read") from error


class PostgresUnit:
    """A unit; see `Unit` for each method."""

    def __init__(
        self,
        connection: sa.Connection,
        membership: Membership,
        copy: Callable[[Gone], None],
        search: MasterSearch,
    ) -> None:
        self._connection = connection
        self._membership = membership
        self._search = search
        self._safe = membership.safe
        self._copy = copy
        self._pending: list[MasterChange] = []
        self._gone: list[Gone] = []
        self._now = datetime.min.replace(tzinfo=UTC)

    def _do(self, statement: sa.Executable) -> None:
        self._connection.execute(statement)

    def _update(self, ref: UUID, **fields: object) -> None:
        self._do(sa.update(t.rider).where(t.rider.c.ref == ref).values(**fields))

    def look(self, query: sa.Select[Any]) -> Sequence[sa.RowMapping]:
        """Return rows as of now within the unit."""
        return self._connection.execute(query).mappings().all()

    def carry(self, row: sa.RowMapping, now: datetime) -> None:
        """Tell the master gallery of a rider; a template that does not open is alarmed."""
        (found, _) = rows.opened([row], rows.template, self._safe)
        for template in found:
            self._tell(put(template), now)
        standing = Activate if found and row["stationed"] else Deactivate
        self._tell(standing(row["rider_ref"]), now)

    def finish(self) -> None:
        """Tell the master gallery and the views what has changed: last, for the order of locks."""
        try:
            self._membership.settle(self._connection, self._pending, self._now)
        except (SpaceRefused, TemplateRefused) as error:
            raise StoreFailed(f"the stations' views refused it: {error}") from error
        for erasure in self._gone:  # the ledger sees the views as they are left
            erasures.erase(self._connection, erasure, copy=self._copy)

    def read(self, ref: UUID) -> Dossier | None:
        """See `Unit.read`."""
        return rows.read(self._connection, ref, self._safe)

    def add_rider(self, rider: Rider, key_hash: bytes) -> None:
        """See `Unit.add_rider`."""
        self._do(
            sa.insert(t.rider).values(
                ref=rider.ref,
                display_name=rider.display_name,
                minor=rider.minor,
                state=rider.state.value,
                created=rider.created,
                key_hash=key_hash,
            )
        )

    def set_rider(self, rider: Rider) -> None:
        """See `Unit.set_rider`."""
        self._update(rider.ref, display_name=rider.display_name, state=rider.state.value)

    def set_key_hash(self, ref: UUID, key_hash: bytes) -> None:
        """See `Unit.set_key_hash`."""
        self._update(ref, key_hash=key_hash)

    def append_consent(self, record: ConsentRecord) -> None:
        """See `Unit.append_consent`."""
        self._do(
            sa.insert(t.consent).values(
                rider_ref=record.rider_ref,
                purpose=record.purpose.value,
                given=record.given,
                text_version=record.text_version,
                at=record.at,
            )
        )

    def add_photo(self, photo: Photo) -> None:
        """See `Unit.add_photo`."""
        row = {
            "photo_id": photo.photo_id,
            "rider_ref": photo.rider_ref,
            "taken": photo.taken,
            "model_id": photo.model_id,
            "quality": photo.quality,
        }
        if photo.again is not None:
            row |= measuring.columns(row, photo.again, self._safe)
        label = photo_of(row)
        row["embedding"] = self._safe.seal(EMBEDDING, rows.to_bytes(photo.embedding), label)
        if photo.original is not None:
            row["original"] = self._safe.seal(ORIGINAL, photo.original, label)
        self._do(sa.insert(t.photo).values(row))

    def drop_photo(self, ref: UUID, photo_id: UUID) -> None:
        """See `Unit.drop_photo`."""
        mine = (t.photo.c.rider_ref == ref) & (t.photo.c.photo_id == photo_id)
        self._do(sa.delete(t.photo).where(mine))

    def drop_photos(self, ref: UUID) -> None:
        """See `Unit.drop_photos`."""
        self._do(sa.delete(t.photo).where(t.photo.c.rider_ref == ref))

    def drop_originals(self, ref: UUID) -> None:
        """See `Unit.drop_originals`."""
        self._do(sa.update(t.photo).where(t.photo.c.rider_ref == ref).values(original=None))

    def put_template(self, template: MasterTemplate) -> None:
        """See `Unit.put_template`."""
        models = (template.model_id, model_state.read(self._connection).next_id)
        mine = t.template.c.rider_ref == template.rider_ref
        self._do(sa.delete(t.template).where(mine, t.template.c.model_id.not_in(models)))
        self._put(template)

    def measure(self, photo_id: UUID, again: Again) -> None:
        """See `Unit.measure`."""
        mine = t.photo.c.photo_id == photo_id
        query = sa.select(t.photo.c.photo_id, t.photo.c.rider_ref).where(mine)
        row = self._connection.execute(query).mappings().one()
        changed = measuring.columns(row, again, self._safe)
        self._do(sa.update(t.photo).where(mine).values(changed))

    def put_next(self, template: MasterTemplate) -> None:
        """See `Unit.put_next`."""
        self._put(template)

    def drop_next(self, ref: UUID, now: datetime) -> None:
        """See `Unit.drop_next`."""
        model_id = model_state.read(self._connection).next_id
        mine = (t.template.c.rider_ref == ref) & (t.template.c.model_id == model_id)
        self._do(sa.delete(t.template).where(mine))
        self._tell(Forget(ref, model_id), now)

    def adopt(self, ref: UUID) -> None:
        """See `Unit.adopt`."""
        measuring.adopt(
            self._connection, ref, model_state.read(self._connection).trusted, self._safe
        )

    def forget_model(self, model_id: str) -> int:
        """Delete a batch of what a model made; return how much, 0 when nothing is left."""
        return measuring.forget(self._connection, model_id)

    def _put(self, template: MasterTemplate) -> None:
        fields: dict[str, object] = {
            "version": template.version,
            "model_id": template.model_id,
            "transform_id": template.transform_id,
            "made": template.made,
            "photos": template.photos,
        }
        label = template_of({"rider_ref": template.rider_ref, **fields})
        fields["vector"] = self._safe.seal(TEMPLATE, rows.to_bytes(template.vector), label)
        new = insert(t.template).values(rider_ref=template.rider_ref, **fields)
        self._do(new.on_conflict_do_update(index_elements=["rider_ref", "model_id"], set_=fields))
        self._update(template.rider_ref, templates_made=template.version)
        self._tell(put(template), template.made)

    def drop_template(self, ref: UUID, now: datetime) -> None:
        """See `Unit.drop_template`."""
        self._do(sa.delete(t.template).where(t.template.c.rider_ref == ref))
        self._tell(Erase(ref), now)

    def nearest(self, template: MasterTemplate, score_min: float) -> tuple[Match, ...]:
        """See `Unit.nearest`.

        The index reads on first. Units are exclusive and tell the master gallery at their end, so
        it has every rider of the units before this one, and nothing that could be rolled back.
        """
        follower = self._search.of(template.model_id)
        plain = self._safe.turn(template.vector, source=template.transform_id, target=PLAIN)
        follower.refresh(self._connection)
        found = follower.alike(self._connection, plain, score_min)
        return tuple(
            Match(each.rider_ref, each.score)
            for each in found
            if each.rider_ref != template.rider_ref
        )

    def put_pair(self, pair: LookalikePair) -> None:
        """See `Unit.put_pair`."""
        fields = {"score": pair.score, "found": pair.found, "verdict": pair.verdict.value}
        new = insert(t.lookalike).values(one=pair.one, other=pair.other, **fields)
        self._do(new.on_conflict_do_update(index_elements=["one", "other"], set_=fields))

    def drop_pairs(self, ref: UUID) -> None:
        """See `Unit.drop_pairs`."""
        mine = (t.lookalike.c.one == ref) | (t.lookalike.c.other == ref)
        self._do(sa.delete(t.lookalike).where(mine))

    def add_erasure(self, erasure: Erasure) -> None:
        """See `Unit.add_erasure`."""
        self._do(
            sa.insert(t.erasure).values(
                rider_ref=erasure.rider_ref,
                at=erasure.at,
                cause=erasure.cause,
                photos=erasure.photos,
                originals=erasure.originals,
                templates=erasure.templates,
            )
        )

    def tell_ledger(self, erasure: Gone) -> None:
        """See `Unit.tell_ledger`."""
        self._gone.append(erasure)

    def tell_master(self, change: Activate | Deactivate | Withdraw, now: datetime) -> None:
        """See `Unit.tell_master`."""
        self._tell(change, now)

    def _tell(self, change: MasterChange, now: datetime) -> None:
        self._pending.append(change)
        self._now = max(self._now, now)

    def set_homes(self, ref: UUID, station_ids: Sequence[str], now: datetime) -> None:
        """See `Unit.set_homes`."""
        claims.set_homes(self._connection, ref, station_ids, now)

    def check_in(self, ref: UUID, station_id: str, until: datetime, now: datetime) -> CheckIn:
        """See `Unit.check_in`."""
        assert not self._pending, "a check-in is a unit of its own"
        outcome = self._membership.claim_now(
            self._connection, station_id, ref, CHECK_IN.name, until, now=now
        )
        match outcome:
            case ClaimOutcome.PUT | ClaimOutcome.HELD:
                return CheckIn.EXPECTED
            case ClaimOutcome.NOT_ACTIVE:
                return CheckIn.NOT_ACTIVE
            case _:
                return CheckIn.NO_STATION

    def tell_stations(self, changes: Sequence[Change]) -> None:
        """See `Unit.tell_stations`."""
        self._publish(stations(self._connection), changes)

    def _publish(self, station_ids: Sequence[str], changes: Sequence[Change]) -> None:
        try:
            self._membership.publish_at(self._connection, station_ids, changes)
        except LookupError as error:
            raise StoreFailed(f"the stations' views refused it: {error}") from error

    def set_stationed(self, ref: UUID, version: int) -> None:
        """See `Unit.set_stationed`."""
        self._update(ref, stationed=version)

    def issuer_keys(self) -> tuple[IssuerSecret, ...]:
        """See `Unit.issuer_keys`."""
        query = sa.select(t.issuer_key).order_by(t.issuer_key.c.made)
        found = self._connection.execute(query)
        return tuple(IssuerSecret(r.key_id, r.seed, r.public, r.made) for r in found)

    def add_issuer_key(self, key: IssuerSecret) -> None:
        """See `Unit.add_issuer_key`."""
        self._do(
            sa.insert(t.issuer_key).values(
                key_id=key.key_id, seed=key.seed, public=key.public, made=key.made
            )
        )

    def new_stations(self) -> tuple[str, ...]:
        """See `Unit.new_stations`."""
        filled = set(self._connection.scalars(sa.select(t.station.c.station_id)))
        return tuple(sorted(set(stations(self._connection)) - filled))

    def fill_station(self, station_id: str, keys: Sequence[PutKey], now: datetime) -> None:
        """See `Unit.fill_station`."""
        reconcile.fill(self._connection, self._membership, station_id, now)
        self._publish((station_id,), keys)
        self._do(insert(t.station).values(station_id=station_id).on_conflict_do_nothing())
