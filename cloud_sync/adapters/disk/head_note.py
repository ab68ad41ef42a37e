"""A hint beside the outbox: how far it had come, written after each tap without waiting.

A truncated or rotten WAL loses its last taps silently: what is left is a shorter, perfectly good
chain. The hint is never ahead of what was durable, so a file that ends before it has lost taps.
Being a hint, it may itself be old, torn or gone; then nothing is concluded from it.
"""

import hashlib
from pathlib import Path
from uuid import UUID

from cloud_sync.adapters.disk.files import Disk

_BYTES = 16 + 8 + 16


def note_path(path: Path) -> Path:
    """Return the hint's name for an outbox file."""
    return path.with_name(path.name + ".head")


def write_note(path: Path, outbox_id: UUID, seq: int, disk: Disk) -> None:
    """Write that this outbox has come to `seq`.

    Raises:
        OSError: The disk did not take it.
    """
    content = outbox_id.bytes + seq.to_bytes(8, "big")
    disk.overwrite(note_path(path), content + hashlib.sha256(content).digest()[:16])


def read_note(path: Path, outbox_id: UUID, disk: Disk) -> int:
    """Return how far this outbox had come at least; 0 when nothing is known.

    Raises:
        OSError: The disk does not answer.
    """
    note = disk.read(note_path(path))
    content, check = note[:24], note[24:]
    if len(note) != _BYTES or hashlib.sha256(content).digest()[:16] != check:
        return 0
    if content[:16] != outbox_id.bytes:
        return 0
    return int.from_bytes(content[16:], "big")
