"""Riders measured anew by a coming model, from the photos that they let us keep.

One rider is one unit, so this can be cut anywhere; what was looked at is not looked at again. A
kept photo is judged as if it came today: what the coming model refuses is left, and the rider is
unknown to new gates until there is a better one. This file does not know about pixels or SQL.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from cloud_sync.master.model_change import ModelState, Phase
from enroll.enrollment import (
    Assess,
    Enrollment,
    first_anew,
    judged_again,
)
from enroll.settling import erase, settle
from enroll.stationing import allowed
from enroll.template import Again, Photo

CAUSE = "model_changed"
"""Of an erasure: the gates changed their model, and no photo was kept that tells the new one who
the rider is."""


class Outcome(StrEnum):
    """What became of one rider."""

    DONE = "done"
    """There is a template of the coming model."""
    REFUSED = "refused"
    """No kept photo is good enough for it, or what it makes of them tells nobody apart."""
    NOTHING = "nothing"
    """There was nothing left to look at."""
    ENDED = "ended"
    """The model is not changed to this one, or not any more."""


@dataclass(frozen=True, slots=True)
class Remeasure:
    """The use cases over one store."""

    enrollment: Enrollment

    def rider(self, ref: UUID, judge: Assess, model_id: str, now: datetime) -> Outcome:
        """Measure one rider's kept photos anew and make a template of them.

        Pictures are judged outside the unit; inside it counts what is still kept.

        Args:
            ref: The rider.
            judge: With the coming model.
            model_id: The coming model.
            now: Aware UTC.

        Raises:
            StoreFailed: Nothing of this rider has changed.
        """
        seen = self.enrollment.store.find(ref)
        if seen is None or not allowed(seen).keep_photos:
            return Outcome.NOTHING
        if not _comes(seen.models, model_id):
            return Outcome.ENDED
        looked = _looked_at(seen.photos, judge, model_id)
        if not looked:
            return Outcome.NOTHING
        with self.enrollment.store.begin() as unit:
            before = unit.read(ref)
            if before is None or not _comes(before.models, model_id):
                return Outcome.ENDED
            still = {photo.photo_id for photo in before.photos if photo.original is not None}
            for photo_id in looked.keys() & still:
                unit.measure(photo_id, looked[photo_id])
            self.enrollment.renew_next(unit, ref, now)
            after = settle(unit, ref, now, "remeasured")
        return Outcome.DONE if after.next_template is not None else Outcome.REFUSED

    def adopt(self, ref: UUID, now: datetime) -> bool:
        """Let the new model be a rider's only one; return whether the face is lost by that.

        Whoever has no template of it loses what the old one made, with a proof like that of any
        erasure; consents stay, so a new photo is all that is needed.

        Args:
            ref: The rider.
            now: Aware UTC.

        Raises:
            StoreFailed: Nothing of this rider has changed.
        """
        with self.enrollment.store.begin() as unit:
            before = unit.read(ref)
            if before is None or before.models.phase is not Phase.FINISHING:
                return False
            is_lost = before.template is None
            if is_lost:
                erase(unit, before, now, CAUSE)
            else:
                unit.adopt(ref)
            settle(unit, ref, now, CAUSE)
        return is_lost


def _comes(models: ModelState, model_id: str) -> bool:
    return models.phase is Phase.RUNNING and models.next_id == model_id


def _looked_at(photos: Sequence[Photo], judge: Assess, model_id: str) -> dict[UUID, Again]:
    """Return what the coming model makes of photos that it has not looked at yet."""
    first = first_anew(photos)
    looked: dict[UUID, Again] = {}
    for photo in photos:
        if photo.original is None or photo.again is not None:
            continue
        again = judged_again(judge(photo.original, first), model_id)
        looked[photo.photo_id] = again
        if first is None:
            first = again.embedding
    return looked
