"""What follows from a changed dossier, in the unit that changed it.

What may no longer be kept is deleted, and the master gallery is told what is due. Every use case
ends here. This file does not know about photos, HTTP or SQL.
"""

from datetime import datetime
from uuid import UUID

from cloud_sync.fleet.erasure import Erasure as Gone
from enroll.rider import RiderEvent
from enroll.stationing import allowed, due, wanted
from enroll.store import Dossier, Erasure, Unit


def gone(ref: UUID, now: datetime, cause: str) -> Gone:
    """Return an erasure as the ledger takes it.

    Args:
        ref: Whose face went.
        now: Aware UTC.
        cause: What led to it.
    """
    return Gone(ref, now, cause, is_final=cause == RiderEvent.WITHDRAW.value)


def read_in(unit: Unit, ref: UUID) -> Dossier:
    """Return the dossier of a rider who was read in this unit before."""
    dossier = unit.read(ref)
    assert dossier is not None, "the rider was read in this unit before"
    return dossier


def erase(unit: Unit, dossier: Dossier, now: datetime, cause: str) -> None:
    """Delete everything measured or seen of a face, and keep the proof."""
    ref = dossier.rider.ref
    unit.drop_photos(ref)
    unit.drop_template(ref, now)
    freed = [pair.other if pair.one == ref else pair.one for pair in dossier.alike]
    unit.drop_pairs(ref)
    photos = len(dossier.photos) + dossier.past_photos
    originals = sum(photo.original is not None for photo in dossier.photos)
    templates = sum(each is not None for each in (dossier.template, dossier.next_template))
    templates += dossier.past_templates
    unit.add_erasure(Erasure(ref, now, cause, photos, originals, templates))
    unit.tell_ledger(gone(ref, now, cause))
    for other in freed:
        settle(unit, other, now, "pair_gone")


def settle(unit: Unit, ref: UUID, now: datetime, cause: str) -> Dossier:
    """Delete what may no longer be kept, tell the master gallery what is due; return the result."""
    dossier = read_in(unit, ref)
    may = allowed(dossier)
    if not may.store and (dossier.photos or dossier.template or dossier.unread):
        erase(unit, dossier, now, cause)
    elif not may.keep_photos and any(photo.original for photo in dossier.photos):
        unit.drop_originals(ref)
    dossier = read_in(unit, ref)
    change = due(dossier)
    if change is not None:
        unit.tell_master(change, now)
        template = wanted(dossier)
        unit.set_stationed(ref, template.version if template else 0)
    return read_in(unit, ref)
