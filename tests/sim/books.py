"""What has been promised to whom, noted from outside of both ends: what the checkers go by."""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from cloud_sync.stream.messages import NackCode


class Broken(AssertionError):
    """A promise was not kept."""

    def __init__(self, promise: str, detail: str) -> None:
        """Say which, and how.

        Args:
            promise: The name of the checker.
            detail: What it saw.
        """
        super().__init__(f"{promise}: {detail}")
        self.promise = promise
        self.detail = detail


@dataclass(slots=True)
class Books:
    """What checkers know beside the state of the world."""

    gone: dict[str, dict[UUID, float]] = field(default_factory=lambda: defaultdict(dict))
    """When each station's view lost a rider, seconds."""
    withdrawn: dict[UUID, float] = field(default_factory=dict)
    """When somebody withdrew for good, or was erased and has not come back; seconds."""
    opened: dict[UUID, str] = field(default_factory=dict)
    """Taps for which a barrier opened, with their edge."""
    offered: dict[tuple[str, datetime], set[tuple[UUID, int]]] = field(
        default_factory=lambda: defaultdict(set)
    )
    """Each lease offered, by edge and end: the epoch and revision it is valid for."""
    damaged: dict[bytes, NackCode] = field(default_factory=dict)
    """Items put into a view past all checks, and how an edge refuses them."""
    alarms: set[bytes] = field(default_factory=set)
    """Items for which a person was called."""
    counts: dict[str, int] = field(default_factory=dict)
    """How often what happened."""

    def count(self, what: str) -> None:
        """Count one."""
        self.counts[what] = self.counts.get(what, 0) + 1
