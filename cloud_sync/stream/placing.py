"""Where a chunk stands against what the edge holds."""

from enum import Enum
from uuid import UUID

from cloud_sync.stream.messages import Chunk, Resume, Snapshot


class Place(Enum):
    """What is to be done with a chunk."""

    PAST = "past"
    """It is on disk already: acknowledge it again."""
    DUE = "due"
    """It comes next."""
    AHEAD = "ahead"
    """Something before it is missing."""
    FOREIGN = "foreign"
    """It belongs to something else."""


def place(
    chunk: Chunk,
    plan: Resume | Snapshot | None,
    *,
    epoch: UUID | None,
    applied_rev: int,
    due_index: int,
) -> Place:
    """Return where a chunk stands.

    Args:
        chunk: As it came.
        plan: How the cloud serves.
        epoch: The history of what is on disk.
        applied_rev: The revision that is on disk.
        due_index: The part of a snapshot that must come next.
    """
    found = Place.FOREIGN
    match plan:
        case Snapshot(epoch=coming, rev=rev) if (chunk.epoch, chunk.to_rev) == (coming, rev):
            if chunk.is_snapshot:
                found = _against(due_index, chunk.index)
            elif chunk.is_expulsion:  # of what comes after the snapshot in the log
                found = Place.DUE
        case Resume() if not chunk.is_snapshot and chunk.epoch == epoch:
            found = _against(applied_rev, chunk.from_rev)
            if chunk.to_rev < applied_rev or (
                chunk.to_rev == applied_rev and not chunk.is_expulsion
            ):
                found = Place.PAST
            elif found is Place.PAST:  # it starts here or there and ends beyond: an overlap
                found = Place.FOREIGN
        case _:
            pass
    return found


def _against(here: int, there: int) -> Place:
    if there == here:
        return Place.DUE
    return Place.AHEAD if there > here else Place.PAST
