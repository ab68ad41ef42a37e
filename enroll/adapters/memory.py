"""Riders in memory, for tests and for a look around without a database."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from uuid import UUID

from cloud_sync.fleet.erasure import Erasure as Gone
from cloud_sync.gallery import (
    Change,
    Denial,
    DenialReason,
    DropTemplate,
    PutDenial,
    PutKey,
    PutTemplate,
    Template,
)
from cloud_sync.master.gallery import (
    Activate,
    Deactivate,
    Erase,
    Forget,
    MasterChange,
    PutMaster,
    Withdraw,
    rider_of,
)
from cloud_sync.master.model_change import ModelState, Phase
from enroll.consent import ConsentRecord
from enroll.lookalike import LookalikePair, Match, Verdict
from enroll.rider import Rider, RiderState
from enroll.stationing import put
from enroll.store import CheckIn, Dossier, Erasure, IssuerSecret, Remeasured, StoreFailed
from enroll.template import Again, MasterTemplate, Photo


@dataclass(slots=True)
class _State:
    dossiers: dict[UUID, Dossier] = field(default_factory=dict)
    pairs: dict[tuple[UUID, UUID], LookalikePair] = field(default_factory=dict)
    keys: tuple[IssuerSecret, ...] = ()
    stations: tuple[str, ...] = ()
    filled: frozenset[str] = frozenset()
    views: dict[str, tuple[Change, ...]] = field(default_factory=dict)
    faces: dict[tuple[UUID, str], Template] = field(default_factory=dict)
    """The master gallery, by rider and model."""
    models: ModelState = field(default_factory=ModelState)
    active: frozenset[UUID] = frozenset()
    checked_in: dict[tuple[str, UUID], datetime] = field(default_factory=dict)
    ledger: tuple[Gone, ...] = ()

    def copy(self) -> "_State":
        return _State(
            dict(self.dossiers),
            dict(self.pairs),
            self.keys,
            self.stations,
            self.filled,
            dict(self.views),
            dict(self.faces),
            self.models,
            self.active,
            dict(self.checked_in),
            self.ledger,
        )

    def read(self, ref: UUID) -> Dossier | None:
        dossier = self.dossiers.get(ref)
        if dossier is None:
            return None
        mine = [pair for key, pair in self.pairs.items() if ref in key]
        alike = tuple(sorted(mine, key=lambda pair: pair.found))
        return _as_of(replace(dossier, alike=alike, models=self.models))

    def face(self, ref: UUID) -> Template | None:
        """Return the template that stations may hold of a rider: of the model that stays."""
        stays = self.models.trusted
        mine = [face for (who, model), face in self.faces.items() if who == ref]
        fitting = [face for face in mine if stays in ("", face.model_id)]
        return max(fitting, key=lambda face: face.version, default=None)


class MemoryRiderStore:
    """A `RiderStore` that forgets everything at the end of the process."""

    def __init__(self, stations: Sequence[str] = ()) -> None:
        """Start with the given stations, none of them filled."""
        self._state = _State(stations=tuple(stations))
        self._lock = threading.Lock()

    def add_station(self, station_id: str) -> None:
        """Let a station join, as the cloud's own `admit` does."""
        with self._lock:
            self._state.stations = (*self._state.stations, station_id)

    def view(self, station_id: str) -> tuple[Change, ...]:
        """Return every change that a station was told, in order."""
        return self._state.views.get(station_id, ())

    def find(self, ref: UUID) -> Dossier | None:
        """See `RiderStore.find`."""
        return self._state.read(ref)

    def ledger(self) -> tuple[Gone, ...]:
        """Return what the ledger was told, in order."""
        return self._state.ledger

    def last_erasure(self) -> datetime | None:
        """See `RiderStore.last_erasure`."""
        dossiers = self._state.dossiers.values()
        return max((each.at for one in dossiers for each in one.erasures), default=None)

    def forgotten(self, told: Sequence[Gone]) -> tuple[Gone, ...]:
        """See `RiderStore.forgotten`."""
        return tuple(one for one in told if self._is_forgotten(one))

    def _is_forgotten(self, erasure: Gone) -> bool:
        dossier = self._state.dossiers.get(erasure.rider_ref)
        if dossier is None or dossier.rider.state is RiderState.WITHDRAWN:
            return False
        return erasure.at not in {each.at for each in dossier.erasures}

    def read_gallery(self) -> int:
        """See `RiderStore.read_gallery`: there is nothing to read."""
        return 0

    def set_models(self, models: ModelState) -> None:
        """Let the cloud have these models, as its operator's commands do."""
        with self._lock:
            self._state.models = models

    def to_measure(self, model_id: str, after: UUID | None, limit: int) -> tuple[UUID, ...]:
        """See `RiderStore.to_measure`."""
        waiting = [ref for ref, each in self._state.dossiers.items() if _waits(each, model_id)]
        return _next(waiting, after, limit)

    def remeasured(self, model_id: str) -> Remeasured:
        """See `RiderStore.remeasured`."""
        counts = {"done": 0, "waiting": 0, "refused": 0, "without": 0}
        for dossier in self._state.dossiers.values():
            if dossier.template is None:
                continue
            coming = dossier.next_template
            if coming is not None and coming.model_id == model_id:
                counts["done"] += 1
            elif _waits(dossier, model_id):
                counts["waiting"] += 1
            elif any(photo.original for photo in dossier.photos):
                counts["refused"] += 1
            else:
                counts["without"] += 1
        return Remeasured(**counts)

    def to_adopt(self, model_id: str, after: UUID | None, limit: int) -> tuple[UUID, ...]:
        """See `RiderStore.to_adopt`."""
        found = [ref for ref, each in self._state.dossiers.items() if _is_of_other(each, model_id)]
        return _next(found, after, limit)

    def forget_model(self, model_id: str) -> int:
        """See `RiderStore.forget_model`."""
        done = 0
        with self._lock:
            for ref, dossier in self._state.dossiers.items():
                photos = tuple(
                    replace(photo, again=None) if _is_again(photo, model_id) else photo
                    for photo in dossier.photos
                )
                done += sum(_is_again(photo, model_id) for photo in dossier.photos)
                coming = dossier.next_template
                is_gone = coming is not None and coming.model_id == model_id
                done += is_gone
                self._state.dossiers[ref] = replace(
                    dossier, photos=photos, next_template=None if is_gone else coming
                )
        return done

    def open_pairs(self) -> tuple[LookalikePair, ...]:
        """See `RiderStore.open_pairs`."""
        still = [p for p in self._state.pairs.values() if p.verdict is Verdict.OPEN]
        return tuple(sorted(still, key=lambda pair: pair.found))

    @contextmanager
    def begin(self) -> Iterator["MemoryUnit"]:
        """See `RiderStore.begin`."""
        with self._lock:
            unit = MemoryUnit(self._state.copy())
            yield unit
            unit.finish()
            self._state = unit.state


class MemoryUnit:
    """A unit over a copy of everything."""

    def __init__(self, state: _State) -> None:
        self.state = state
        self.pending: list[MasterChange] = []
        self._now = datetime.min.replace(tzinfo=UTC)

    def finish(self) -> None:
        """Have the stations follow the master gallery: a city in memory always fits."""
        faces, active = self.state.faces, set(self.state.active)
        for change in self.pending:
            ref = rider_of(change)
            match change:
                case PutMaster(template):
                    faces[ref, template.model_id] = template
                case Forget(ref, model_id):
                    faces.pop((ref, model_id), None)
                case Activate():
                    active.add(ref)
                case Deactivate():
                    active.discard(ref)
                case Erase() | Withdraw():
                    active.discard(ref)
                    self.state.faces = faces = {k: v for k, v in faces.items() if k[0] != ref}
        self.state.active = frozenset(active)
        for ref in dict.fromkeys(rider_of(change) for change in self.pending):
            self._follow(ref)
        for change in self.pending:
            if isinstance(change, Withdraw):
                until = change.denied_until
                denial = Denial(change.rider_ref, DenialReason.WITHDRAWN, self._now, until)
                self.tell_stations([PutDenial(denial)])

    def _follow(self, ref: UUID) -> None:
        """Put or drop one rider where a station holds something else."""
        face = self.state.face(ref) if ref in self.state.active else None
        for station in self.state.stations:
            held = _held(self.state.views.get(station, ()), ref)
            if face is not None and held is not face:
                self._tell(station, [PutTemplate(face)])
            if face is None and held is not None:
                self._tell(station, [DropTemplate(ref)])

    def _change(self, ref: UUID, **fields: object) -> None:
        self.state.dossiers[ref] = replace(self.state.dossiers[ref], **fields)  # type: ignore[arg-type]

    def read(self, ref: UUID) -> Dossier | None:
        """See `Unit.read`."""
        return self.state.read(ref)

    def add_rider(self, rider: Rider, key_hash: bytes) -> None:
        """See `Unit.add_rider`."""
        if rider.ref in self.state.dossiers:
            raise StoreFailed("the reference is taken")
        self.state.dossiers[rider.ref] = Dossier(rider, key_hash)

    def set_rider(self, rider: Rider) -> None:
        """See `Unit.set_rider`."""
        self._change(rider.ref, rider=rider)

    def set_key_hash(self, ref: UUID, key_hash: bytes) -> None:
        """See `Unit.set_key_hash`."""
        self._change(ref, key_hash=key_hash)

    def append_consent(self, record: ConsentRecord) -> None:
        """See `Unit.append_consent`."""
        ref = record.rider_ref
        self._change(ref, consents=(*self.state.dossiers[ref].consents, record))

    def add_photo(self, photo: Photo) -> None:
        """See `Unit.add_photo`."""
        ref = photo.rider_ref
        self._change(ref, photos=(*self.state.dossiers[ref].photos, photo))

    def drop_photo(self, ref: UUID, photo_id: UUID) -> None:
        """See `Unit.drop_photo`."""
        photos = self.state.dossiers[ref].photos
        self._change(ref, photos=tuple(p for p in photos if p.photo_id != photo_id))

    def drop_photos(self, ref: UUID) -> None:
        """See `Unit.drop_photos`."""
        self._change(ref, photos=())

    def drop_originals(self, ref: UUID) -> None:
        """See `Unit.drop_originals`."""
        photos = self.state.dossiers[ref].photos
        self._change(ref, photos=tuple(replace(photo, original=None) for photo in photos))

    def put_template(self, template: MasterTemplate) -> None:
        """See `Unit.put_template`."""
        self._change(template.rider_ref, template=template, templates_made=template.version)
        self.pending.append(put(template))

    def drop_template(self, ref: UUID, now: datetime) -> None:
        """See `Unit.drop_template`."""
        del now
        self._change(ref, template=None, next_template=None)
        self.pending.append(Erase(ref))

    def measure(self, photo_id: UUID, again: Again) -> None:
        """See `Unit.measure`."""
        for ref, dossier in self.state.dossiers.items():
            if any(photo.photo_id == photo_id for photo in dossier.photos):
                photos = [
                    replace(photo, again=again) if photo.photo_id == photo_id else photo
                    for photo in dossier.photos
                ]
                self._change(ref, photos=tuple(photos))
                return

    def put_next(self, template: MasterTemplate) -> None:
        """See `Unit.put_next`."""
        made = template.version
        self._change(template.rider_ref, next_template=template, templates_made=made)
        self.pending.append(put(template))

    def drop_next(self, ref: UUID, now: datetime) -> None:
        """See `Unit.drop_next`."""
        del now
        self._change(ref, next_template=None)
        self.pending.append(Forget(ref, self.state.models.next_id))

    def adopt(self, ref: UUID) -> None:
        """See `Unit.adopt`."""
        dossier = self.read(ref)
        assert dossier is not None
        self._change(ref, photos=dossier.photos, template=dossier.template, next_template=None)

    def nearest(self, template: MasterTemplate, score_min: float) -> tuple[Match, ...]:
        """See `Unit.nearest`."""
        space = (template.model_id, template.transform_id)
        matches = [
            Match(ref, float(template.vector @ other.vector))
            for ref, dossier in self.state.dossiers.items()
            for other in (dossier.template, dossier.next_template)
            if ref != template.rider_ref
            and other is not None
            and (other.model_id, other.transform_id) == space
        ]
        close = [match for match in matches if match.score >= score_min]
        return tuple(sorted(close, key=lambda match: -match.score))

    def put_pair(self, pair: LookalikePair) -> None:
        """See `Unit.put_pair`."""
        self.state.pairs[pair.one, pair.other] = pair

    def drop_pairs(self, ref: UUID) -> None:
        """See `Unit.drop_pairs`."""
        self.state.pairs = {k: pair for k, pair in self.state.pairs.items() if ref not in k}

    def add_erasure(self, erasure: Erasure) -> None:
        """See `Unit.add_erasure`."""
        ref = erasure.rider_ref
        self._change(ref, erasures=(*self.state.dossiers[ref].erasures, erasure))

    def tell_ledger(self, erasure: Gone) -> None:
        """See `Unit.tell_ledger`."""
        if erasure not in self.state.ledger:
            self.state.ledger = (*self.state.ledger, erasure)

    def tell_master(self, change: Activate | Deactivate | Withdraw, now: datetime) -> None:
        """See `Unit.tell_master`."""
        self.pending.append(change)
        self._now = now

    def set_homes(self, ref: UUID, station_ids: Sequence[str], now: datetime) -> None:
        """See `Unit.set_homes`."""
        del now
        self._change(ref, homes=tuple(station_ids))

    def check_in(self, ref: UUID, station_id: str, until: datetime, now: datetime) -> CheckIn:
        """See `Unit.check_in`."""
        del now
        if ref not in self.state.active:
            return CheckIn.NOT_ACTIVE
        if station_id not in self.state.stations:
            return CheckIn.NO_STATION
        self.state.checked_in[station_id, ref] = until
        return CheckIn.EXPECTED

    def tell_stations(self, changes: Sequence[Change]) -> None:
        """See `Unit.tell_stations`."""
        for station in self.state.stations:
            self._tell(station, changes)

    def set_stationed(self, ref: UUID, version: int) -> None:
        """See `Unit.set_stationed`."""
        self._change(ref, stationed=version)

    def issuer_keys(self) -> tuple[IssuerSecret, ...]:
        """See `Unit.issuer_keys`."""
        return self.state.keys

    def add_issuer_key(self, key: IssuerSecret) -> None:
        """See `Unit.add_issuer_key`."""
        if key.key_id in {known.key_id for known in self.state.keys}:
            raise StoreFailed("the key number is taken")
        self.state.keys = (*self.state.keys, key)

    def new_stations(self) -> tuple[str, ...]:
        """See `Unit.new_stations`."""
        return tuple(sorted(set(self.state.stations) - self.state.filled))

    def fill_station(self, station_id: str, keys: Sequence[PutKey], now: datetime) -> None:
        """See `Unit.fill_station`."""
        del now
        found = [self.state.face(ref) for ref in sorted(self.state.active)]
        faces = [PutTemplate(face) for face in found if face is not None]
        self._tell(station_id, [*keys, *faces])
        self.state.filled |= {station_id}

    def _tell(self, station_id: str, changes: Sequence[Change]) -> None:
        self.state.views[station_id] = (*self.state.views.get(station_id, ()), *changes)


def _held(told: Sequence[Change], ref: UUID) -> Template | None:
    """Return the face of a rider that a station holds after what it was told."""
    for change in reversed(told):
        if isinstance(change, PutTemplate) and change.template.rider_ref == ref:
            return change.template
        if isinstance(change, DropTemplate) and change.rider_ref == ref:
            return None
    return None


def _as_of(dossier: Dossier) -> Dossier:
    """Return a dossier as the model that stays has it: what another made counts as unread."""
    stays, template, coming = dossier.models.trusted, dossier.template, dossier.next_template
    if dossier.models.phase is not Phase.FINISHING:
        if dossier.models.phase is Phase.RUNNING:
            return dossier
        photos = tuple(replace(photo, again=None) for photo in dossier.photos)
        return replace(dossier, photos=photos, next_template=None)
    anew = [photo if photo.model_id == stays else photo.anew() for photo in dossier.photos]
    kept = tuple(photo for photo in anew if photo is not None)
    own = [each for each in (template, coming) if each is not None and each.model_id == stays]
    past_photos = len(dossier.photos) - len(kept)
    past_templates = int(template is not None and template not in own)
    return replace(
        dossier,
        photos=kept,
        template=own[0] if own else None,
        next_template=None,
        unread=dossier.unread + past_photos + past_templates,
        past_photos=past_photos,
        past_templates=past_templates,
    )


def _next(refs: Sequence[UUID], after: UUID | None, limit: int) -> tuple[UUID, ...]:
    return tuple(sorted(ref for ref in refs if after is None or ref > after)[:limit])


def _waits(dossier: Dossier, model_id: str) -> bool:
    return any(photo.original and not _is_again(photo, model_id) for photo in dossier.photos)


def _is_again(photo: Photo, model_id: str) -> bool:
    return photo.again is not None and photo.again.model_id == model_id


def _is_of_other(dossier: Dossier, model_id: str) -> bool:
    made = [photo.model_id for photo in dossier.photos]
    if dossier.template is not None:
        made.append(dossier.template.model_id)
    return any(each != model_id for each in made)
