"""How much may be on its way to an edge without an acknowledgement.

At most eight chunks and 4 MiB, so that a slow edge costs no memory; and no more than the line
carries in two seconds, so that what shuts somebody out does not wait behind templates that are in
the pipe already: messages of one stream cannot overtake each other. The pace is measured by how
long acknowledgements take. Pure; the time is an argument.
"""

from dataclasses import dataclass, replace

WINDOW = 8
"""Chunks on their way at once (reference/reliability.md, 2.2 rule 7)."""
WINDOW_BYTES = 4 * 1024 * 1024
"""Bytes on their way at once (rule 7)."""
FIRST_BYTES = 16 * 1024
"""So much at first: 2 s at 64 kbit/s, the slowest line that is served (its section 4, row 10)."""
LEAST_BYTES = 4 * 1024
"""The window never closes further: three templates."""
PACE_S = 2.0
"""What is on its way should be acknowledged in so many seconds; a fifth of the 10 s in which a
withdrawal must be in force (2.6)."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A chunk on its way."""

    nonce: int
    index: int
    """In a snapshot: its first part, or the part that was due when an expulsion went."""
    size: int
    """Bytes, about."""
    at_s: float
    """When it was sent, monotonic seconds."""


@dataclass(frozen=True, slots=True)
class Credit:
    """What is on its way, and how much may be."""

    unacked: tuple[Sent, ...] = ()
    """Oldest first."""
    allowance: int = FIRST_BYTES
    """Bytes that the line carries in time, as far as is known."""

    @property
    def room(self) -> int:
        """Bytes that may still be sent; 0 or less is none."""
        if len(self.unacked) >= WINDOW:
            return 0
        return self.allowance - self._on_the_way()

    def fits(self, size: int) -> bool:
        """Return whether a message may be sent now; a single one may have any size.

        Args:
            size: Bytes, about.
        """
        return not self.unacked or size <= self.room

    def sent(self, message: Sent) -> "Credit":
        """Return the credit after a message was sent."""
        return replace(self, unacked=(*self.unacked, message))

    def acked(self, nonce: int, now_s: float) -> "Credit":
        """Return the credit after a message and all before it were acknowledged.

        Args:
            nonce: Of the newest one acknowledged.
            now_s: Monotonic seconds.
        """
        left = tuple(sent for sent in self.unacked if sent.nonce > nonce)
        if len(left) == len(self.unacked):
            return self
        newest = self.unacked[len(self.unacked) - len(left) - 1]
        took_s = now_s - newest.at_s
        allowance = self.allowance
        if took_s > PACE_S:
            allowance = max(LEAST_BYTES, int(allowance * PACE_S / took_s))
        elif self._on_the_way() * 2 >= allowance:  # else nobody tried whether more would do
            allowance = min(WINDOW_BYTES, allowance * 2)
        return Credit(left, allowance)

    def emptied(self) -> "Credit":
        """Return the credit when nothing is on its way any more."""
        return replace(self, unacked=())

    def waits_s(self, now_s: float) -> float:
        """Return for how long the oldest message has been on its way, seconds."""
        return now_s - self.unacked[0].at_s if self.unacked else 0.0

    def _on_the_way(self) -> int:
        return sum(sent.size for sent in self.unacked)
