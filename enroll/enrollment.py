"""The use cases of a rider: sign up, choose, add photos, pause, withdraw.

Each changes the dossier in one unit, and at its end the master gallery is told what is due; a use
case never decides by itself whether stations may hold a face (see `stationing`). This file does not
know about pixels, HTTP or SQL.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from cloud_sync.fleet.erasure import Erasure as Gone
from cloud_sync.master.gallery import Deactivate, Withdraw
from cloud_sync.master.intake import IntakeFault
from cloud_sync.master.model_change import Phase
from cloud_sync.prefilter.store import HOMES_MAX
from edge_gate.face import Embedding
from enroll.consent import TEXTS, ConsentRecord, Purpose, standing
from enroll.lookalike import LookalikeConfig, LookalikePair, Match, Verdict, pairs
from enroll.photo import Accepted
from enroll.refusal import Refusal, Refused
from enroll.rider import NotPossible, Rider, RiderEvent, RiderState, step
from enroll.settling import erase, gone, read_in, settle
from enroll.stationing import allowed, wanted
from enroll.store import CheckIn, Dossier, RiderStore, Unit
from enroll.template import Again, MasterTemplate, Photo, fuse


class Decline(StrEnum):
    """Why a use case is not carried out."""

    UNKNOWN_RIDER = "unknown_rider"
    """Nobody has this reference."""
    WITHDRAWN = "withdrawn"
    """The rider has withdrawn, which is final."""
    CONSENT_MISSING = "consent_missing"
    """A consent that this needs is not given."""
    GUARDIAN_MISSING = "guardian_missing"
    """The rider is under 14 and no guardian has agreed."""
    PHOTOS_FULL = "photos_full"
    """As many photos as are kept; delete one first."""
    UNKNOWN_PHOTO = "unknown_photo"
    """The rider has no such photo."""
    HOMES_FULL = "homes_full"
    """More home stations than a rider may have."""
    FACE_OFF = "face_off"
    """The face is not on, so no station can expect it."""
    UNKNOWN_STATION = "unknown_station"
    """No station of that name knows faces."""
    MODEL_CHANGES = "model_changes"
    """The photo was judged by a model that is no longer in force."""


DECLINE_MESSAGES = {
    Decline.UNKNOWN_RIDER: "We know no such rider.",
    Decline.WITHDRAWN: "You have withdrawn, and that is final. Sign up anew to ride by face again.",
    Decline.CONSENT_MISSING: "This needs a choice that is not switched on.",
    Decline.GUARDIAN_MISSING: "Under 14 this needs the consent of a parent or guardian.",
    Decline.PHOTOS_FULL: "You have as many photos as we use. Delete one to add another.",
    Decline.UNKNOWN_PHOTO: "There is no such photo.",
    Decline.HOMES_FULL: "These are more stations than you can choose. Leave one out.",
    Decline.FACE_OFF: "Your face is not on, so the station could not know it. Use your ride code.",
    Decline.UNKNOWN_STATION: "We know no such station.",
    Decline.MODEL_CHANGES: "Our gates are changing over. Please try again in a while; "
    "your ride code works all the same.",
}
"""What the rider reads."""


@dataclass(frozen=True, slots=True)
class Declined:
    """The use case was not carried out; nothing has changed."""

    reason: Decline


@dataclass(frozen=True, slots=True)
class EnrollmentConfig:
    """How many photos make a face."""

    photos_max: int = 5
    """Most photos kept of one rider, 1 to 20: beyond five the template hardly gets better."""
    photos_advised: int = 3
    """How many the app asks for, 1 to `photos_max`; one is enough to begin. With 200 people
    one photo missed 3.4 %, two 0.9 % at FPIR 1 % (models/README.md)."""
    homes_max: int = HOMES_MAX
    """Most home stations of one rider, 1 to `HOMES_MAX`."""
    check_in: timedelta = timedelta(minutes=30)
    """How long a station expects a rider who checked in."""
    code_life: timedelta = timedelta(seconds=125)
    """For how long a gate may take a ride code after it was made: 120 seconds at most, and 5 for
    its clock (`edge_gate.ride_code`). So long a withdrawn rider is on the deny list."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges.

        Raises:
            ValueError: A value is out of range.
        """
        if not 1 <= self.photos_advised <= self.photos_max <= 20:
            raise ValueError(f"out of range: {self}")
        if not 1 <= self.homes_max <= HOMES_MAX:
            raise ValueError(f"out of range: {self}")


Assess = Callable[[bytes, Embedding | None], Accepted | Refused]
"""Judges a picture, given the embedding of the rider's first photo (see `photo.Assessor`)."""


@dataclass(frozen=True, slots=True)
class Enrollment:
    """All use cases over one store."""

    store: RiderStore
    config: EnrollmentConfig
    lookalike: LookalikeConfig
    turn: Callable[[MasterTemplate], MasterTemplate] = lambda template: template
    """Turns a new template to the operator's rotation; by default it stays in the model's space."""
    judge: Callable[[Embedding], IntakeFault | None] = lambda _: None
    """Tells what is wrong with a template before it is taken; by default nothing is."""

    def create(
        self, *, ref: UUID, name: str, minor: bool, key_hash: bytes, now: datetime
    ) -> Dossier:
        """Add a rider with no consent, no photo and no means of payment.

        Args:
            ref: A new random reference.
            name: What the app greets with; may be empty.
            minor: Whether the rider declares to be under 14.
            key_hash: SHA-256 of the new access key.
            now: Aware UTC.
        """
        rider = Rider(ref, name, minor, RiderState.ACTIVE, now)
        with self.store.begin() as unit:
            unit.add_rider(rider, key_hash)
        return Dossier(rider, key_hash)

    def choose(
        self, ref: UUID, purpose: Purpose, *, given: bool, now: datetime
    ) -> Dossier | Declined:
        """Record a consent as given or withdrawn, and do at once what follows from it.

        Withdrawing is always possible; for a minor, giving needs the guardian first.
        """
        with self.store.begin() as unit:
            before = unit.read(ref)
            if before is None:
                return Declined(Decline.UNKNOWN_RIDER)
            if before.rider.state is RiderState.WITHDRAWN:
                return Declined(Decline.WITHDRAWN)
            if given and purpose is not Purpose.GUARDIAN and _guardian_missing(before):
                return Declined(Decline.GUARDIAN_MISSING)
            version = TEXTS[purpose].version
            unit.append_consent(ConsentRecord(ref, purpose, given, version, now))
            if purpose is Purpose.SEND and not given:
                unit.tell_master(Deactivate(ref, forget_ways=True), now)
            return settle(unit, ref, now, f"consent_{purpose.value}")

    def add_photo(
        self,
        ref: UUID,
        data: bytes,
        *,
        assess: Assess,
        photo_id: UUID,
        now: datetime,
        coming: Assess | None = None,
    ) -> Dossier | Refused | Declined:
        """Judge a photo, keep what stays of it and make the next template.

        The picture is judged outside the unit, since that takes longest; what it was judged
        against is checked again inside. The very same picture again changes nothing.

        Args:
            ref: The rider.
            data: The file as uploaded.
            assess: The judge, with the model in force.
            photo_id: A new random id.
            now: Aware UTC.
            coming: The judge with the coming model; None while none is, or it cannot be opened.
                What it refuses is taken all the same: the rider is unknown to new gates then.
        """
        seen = self.store.find(ref)
        declined = self._no_photo(seen)
        if seen is None or declined is not None:
            return declined or Declined(Decline.UNKNOWN_RIDER)
        first = seen.photos[0] if seen.photos else None
        judged = assess(data, first.embedding if first else None)
        if isinstance(judged, Refused):
            return judged
        again = coming and judged_again(coming(data, first_anew(seen.photos)), seen.models.next_id)
        with self.store.begin() as unit:
            before = unit.read(ref)
            declined = self._no_photo(before)
            if before is None or declined is not None:
                return declined or Declined(Decline.UNKNOWN_RIDER)
            if before.photos and (first is None or before.photos[0].photo_id != first.photo_id):
                # Two first photos at once: judge this one against the one that won.
                judged = assess(data, before.photos[0].embedding)
                if isinstance(judged, Refused):
                    return judged
            if any(_same_picture(photo, judged) for photo in before.photos):
                return before
            return self._take(unit, before, judged, again, photo_id=photo_id, now=now)

    def drop_photo(self, ref: UUID, photo_id: UUID, *, now: datetime) -> Dossier | Declined:
        """Delete one photo and make a template of the others, or none when it was the last."""
        with self.store.begin() as unit:
            before = unit.read(ref)
            if before is None or photo_id not in {photo.photo_id for photo in before.photos}:
                return Declined(Decline.UNKNOWN_PHOTO)
            if len(before.photos) == 1:
                erase(unit, before, now, "last_photo")
            else:
                unit.drop_photo(ref, photo_id)
                left = read_in(unit, ref)
                found = self.candidate(unit, left, left.photos, now)
                if isinstance(found, IntakeFault):
                    unit.drop_template(ref, now)  # what is left tells nobody apart: a code does
                else:
                    self.keep(unit, left, found)
                self.renew_next(unit, ref, now)
            return settle(unit, ref, now, "photo")

    def move(self, ref: UUID, event: RiderEvent, *, now: datetime) -> Dossier | Declined:
        """Pause, resume or withdraw.

        A withdrawal deletes photos, measurements and template in the same unit that drops the face
        from the stations, and leaves an erasure record.
        """
        with self.store.begin() as unit:
            before = unit.read(ref)
            if before is None:
                return Declined(Decline.UNKNOWN_RIDER)
            after = step(before.rider, event)
            if isinstance(after, NotPossible):
                return Declined(Decline.WITHDRAWN)
            if after == before.rider:
                return before
            unit.set_rider(after)
            dossier = settle(unit, ref, now, event.value)
            if after.state is RiderState.WITHDRAWN:
                unit.set_homes(ref, (), now)
                unit.tell_master(Withdraw(ref, now + self.config.code_life), now)
                # Told also of a rider whose face went before: a backup may have it.
                unit.tell_ledger(gone(ref, now, event.value))
                dossier = read_in(unit, ref)
            return dossier

    def replay(self, erasure: Gone) -> bool:
        """Carry out an erasure that a restored backup has forgotten; return whether it was due.

        What the rider did after it counts: a face erased again later, or enrolled anew since, is
        not touched.

        Args:
            erasure: As it was told to the rider.
        """
        ref, at, cause = erasure.rider_ref, erasure.at, erasure.cause
        with self.store.begin() as unit:
            before = unit.read(ref)
            if before is None or any(known.at >= at for known in before.erasures):
                return False
            if before.rider.state is RiderState.WITHDRAWN:
                return False
            if erasure.is_final:
                gone = step(before.rider, RiderEvent.WITHDRAW)
                assert isinstance(gone, Rider), "a withdrawal is always possible"
                unit.set_rider(gone)
                unit.set_homes(ref, (), at)
                unit.tell_master(Withdraw(ref, at + self.config.code_life), at)
            elif cause in _PURPOSES:
                text = TEXTS[_PURPOSES[cause]].version
                unit.append_consent(ConsentRecord(ref, _PURPOSES[cause], False, text, at))
            if before.photos or before.template or before.unread:
                erase(unit, before, at, cause)
            settle(unit, ref, at, cause)
        return True

    def choose_homes(
        self, ref: UUID, station_ids: Sequence[str], *, now: datetime
    ) -> Dossier | Declined:
        """Replace the stations that a rider wants to be known at.

        Args:
            ref: The rider.
            station_ids: In the rider's order; one that comes twice counts once.
            now: Aware UTC.
        """
        wanted_homes = tuple(dict.fromkeys(station_ids))
        with self.store.begin() as unit:
            before = unit.read(ref)
            if before is None:
                return Declined(Decline.UNKNOWN_RIDER)
            if before.rider.state is RiderState.WITHDRAWN:
                return Declined(Decline.WITHDRAWN)
            if len(wanted_homes) > self.config.homes_max:
                return Declined(Decline.HOMES_FULL)
            unit.set_homes(ref, wanted_homes, now)
            return read_in(unit, ref)

    def check_in(self, ref: UUID, station_id: str, *, now: datetime) -> datetime | Declined:
        """Have a station expect the rider; return until when it does.

        Args:
            ref: The rider.
            station_id: Where the rider is going.
            now: Aware UTC.
        """
        until = now + self.config.check_in
        with self.store.begin() as unit:
            dossier = unit.read(ref)
            if dossier is None:
                return Declined(Decline.UNKNOWN_RIDER)
            if dossier.rider.state is RiderState.WITHDRAWN:
                return Declined(Decline.WITHDRAWN)
            if wanted(dossier) is None:
                return Declined(Decline.FACE_OFF)
            outcome = unit.check_in(ref, station_id, until, now)
        if outcome is CheckIn.EXPECTED:
            return until
        off = outcome is CheckIn.NOT_ACTIVE
        return Declined(Decline.FACE_OFF if off else Decline.UNKNOWN_STATION)

    def renew_key(self, ref: UUID, key_hash: bytes) -> Dossier | Declined:
        """Replace the access key, so that every browser with the old one is signed out."""
        with self.store.begin() as unit:
            if unit.read(ref) is None:
                return Declined(Decline.UNKNOWN_RIDER)
            unit.set_key_hash(ref, key_hash)
            return read_in(unit, ref)

    def clear_pair(self, one: UUID, other: UUID, *, now: datetime) -> LookalikePair | None:
        """Let both faces of a look-alike pair work, by an operator's word; None if unknown."""
        with self.store.begin() as unit:
            dossier = unit.read(one)
            wanted_pair = {one, other}
            known = dossier.alike if dossier else ()
            for pair in known:
                if {pair.one, pair.other} == wanted_pair:
                    cleared = LookalikePair(
                        pair.one, pair.other, pair.score, pair.found, Verdict.CLEARED
                    )
                    unit.put_pair(cleared)
                    for ref in (one, other):
                        settle(unit, ref, now, "pair_cleared")
                    return cleared
        return None

    def _no_photo(self, dossier: Dossier | None) -> Declined | None:
        if dossier is None:
            return Declined(Decline.UNKNOWN_RIDER)
        if dossier.rider.state is RiderState.WITHDRAWN:
            return Declined(Decline.WITHDRAWN)
        if _guardian_missing(dossier):
            return Declined(Decline.GUARDIAN_MISSING)
        if not allowed(dossier).store:
            return Declined(Decline.CONSENT_MISSING)
        if len(dossier.photos) >= self.config.photos_max:
            return Declined(Decline.PHOTOS_FULL)
        return None

    def _take(
        self,
        unit: Unit,
        before: Dossier,
        judged: Accepted,
        again: Again | None,
        *,
        photo_id: UUID,
        now: datetime,
    ) -> Dossier | Refused | Declined:
        """Keep a photo and make the next template, unless that may not be taken."""
        ref = before.rider.ref
        if before.models.trusted not in ("", judged.model_id):
            return Declined(Decline.MODEL_CHANGES)
        original = judged.clean if allowed(before).keep_photos else None
        model_id, quality = judged.model_id, judged.quality
        is_coming = again is not None and again.model_id == before.models.next_id
        measured = again if is_coming else None
        photo = Photo(photo_id, ref, now, model_id, judged.embedding, quality, original, measured)
        found = self.candidate(unit, before, (*before.photos, photo), now)
        if isinstance(found, IntakeFault):
            return Refused(Refusal.UNUSABLE)
        unit.add_photo(photo)
        self.keep(unit, before, found)
        self.renew_next(unit, ref, now)
        return settle(unit, ref, now, "photo")

    def renew_next(self, unit: Unit, ref: UUID, now: datetime) -> IntakeFault | None:
        """Make the template of the coming model anew, of what that model has measured so far.

        Where there is nothing, or what there is tells nobody apart, there is none: gates of the
        coming model know the rider by code.

        Args:
            unit: In progress.
            ref: The rider.
            now: Aware UTC.

        Returns:
            What is wrong with the template, None if nothing is.
        """
        dossier = read_in(unit, ref)
        if dossier.models.phase is not Phase.RUNNING:
            return None
        photos = [anew for photo in dossier.photos if (anew := photo.anew()) is not None]
        found = self.candidate(unit, dossier, photos, now) if photos and dossier.template else None
        if isinstance(found, Candidate):
            unit.put_next(found.template)
            self._pair(unit, dossier, found)
            return None
        if dossier.next_template is not None:
            unit.drop_next(ref, now)
        return found

    def candidate(
        self, unit: Unit, dossier: Dossier, photos: Sequence[Photo], now: datetime
    ) -> "Candidate | IntakeFault":
        """Make the next template of photos and find its look-alikes, or say what is wrong."""
        alike = [photo for photo in photos if photo.model_id == photos[-1].model_id]
        made = fuse(alike, version=dossier.templates_made + 1, made=now)
        fault = self.judge(made.vector)
        if fault is not None:
            return fault
        template = self.turn(made)
        matches = unit.nearest(template, self.lookalike.score_min)
        if len(matches) > self.lookalike.matches_max:
            return IntakeFault.HUB
        return Candidate(template, tuple(matches))

    def keep(self, unit: Unit, dossier: Dossier, found: "Candidate") -> None:
        """Make it the rider's template; hold back whom it looks like."""
        unit.put_template(found.template)
        self._pair(unit, dossier, found)

    def _pair(self, unit: Unit, dossier: Dossier, found: "Candidate") -> None:
        ref = dossier.rider.ref
        for pair in pairs(ref, found.matches, dossier.alike, found.template.made):
            unit.put_pair(pair)
            other = pair.other if pair.one == ref else pair.one
            settle(unit, other, pair.found, "lookalike")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A template that may be taken, and whom it looks like."""

    template: MasterTemplate
    matches: tuple[Match, ...]


_PURPOSES = {f"consent_{purpose.value}": purpose for purpose in Purpose}
"""Which consent was taken back, by the cause of the erasure that followed from it."""


def first_anew(photos: Sequence[Photo]) -> Embedding | None:
    """Return what the coming model made of the first photo that it took; None when it took none."""
    anew = (photo.anew() for photo in photos)
    return next((photo.embedding for photo in anew if photo is not None), None)


def judged_again(judged: Accepted | Refused, model_id: str) -> Again:
    """Return a judgement of the coming model as it is kept beside the photo.

    Args:
        judged: By it.
        model_id: The coming model.
    """
    if isinstance(judged, Refused):
        return Again(model_id, None, 0, judged.reason.value)
    return Again(judged.model_id, judged.embedding, judged.quality)


def _same_picture(photo: Photo, judged: Accepted) -> bool:
    """Tell whether this very picture was taken before: a retry, or no new evidence."""
    same_space = photo.model_id == judged.model_id
    # Two pictures of one person score up to 0.95; the same one scores 1 but for rounding.
    return same_space and float(photo.embedding @ judged.embedding) > 0.999


def _guardian_missing(dossier: Dossier) -> bool:
    return dossier.rider.minor and Purpose.GUARDIAN not in standing(dossier.consents)
