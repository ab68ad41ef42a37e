"""Riders in memory, for tests and for a look around without a database."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from uuid import UUID

from cloud_sync.gallery import Change
from enroll.consent import ConsentRecord
from enroll.lookalike import LookalikePair, Match, Verdict
from enroll.rider import Rider
from enroll.store import Dossier, Erasure, IssuerSecret, StoreFailed
from enroll.template import MasterTemplate, Photo


@dataclass(slots=True)
class _State:
    dossiers: dict[UUID, Dossier] = field(default_factory=dict)
    pairs: dict[tuple[UUID, UUID], LookalikePair] = field(default_factory=dict)
    keys: tuple[IssuerSecret, ...] = ()
    stations: tuple[str, ...] = ()
    filled: frozenset[str] = frozenset()
    views: dict[str, tuple[Change, ...]] = field(default_factory=dict)

    def copy(self) -> "_State":
        return _State(
            dict(self.dossiers),
            dict(self.pairs),
            self.keys,
            self.stations,
            self.filled,
            dict(self.views),
        )

    def read(self, ref: UUID) -> Dossier | None:
        dossier = self.dossiers.get(ref)
        if dossier is None:
            return None
        mine = [pair for key, pair in self.pairs.items() if ref in key]
        return replace(dossier, alike=tuple(sorted(mine, key=lambda pair: pair.found)))


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
            self._state = unit.state


class MemoryUnit:
    """A unit over a copy of everything."""

    def __init__(self, state: _State) -> None:
        self.state = state

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

    def drop_template(self, ref: UUID) -> None:
        """See `Unit.drop_template`."""
        self._change(ref, template=None)

    def nearest(self, template: MasterTemplate, score_min: float) -> tuple[Match, ...]:
        """See `Unit.nearest`."""
        space = (template.model_id, template.transform_id)
        matches = [
            Match(ref, float(template.vector @ dossier.template.vector))
            for ref, dossier in self.state.dossiers.items()
            if ref != template.rider_ref
            and dossier.template is not None
            and (dossier.template.model_id, dossier.template.transform_id) == space
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

    def stationed(self) -> tuple[MasterTemplate, ...]:
        """See `Unit.stationed`."""
        return tuple(
            dossier.template
            for dossier in self.state.dossiers.values()
            if dossier.template is not None and dossier.stationed
        )

    def fill_station(self, station_id: str, changes: Sequence[Change]) -> None:
        """See `Unit.fill_station`."""
        self._tell(station_id, changes)
        self.state.filled |= {station_id}

    def _tell(self, station_id: str, changes: Sequence[Change]) -> None:
        self.state.views[station_id] = (*self.state.views.get(station_id, ()), *changes)
