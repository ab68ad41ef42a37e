"""How many lines log and audit take of what goes wrong: a flood must not fill disks or hide others.

Each source may have a few lines of a kind at once and then one a minute, all sources together a
hundred and then one a second; what is left out is counted, and the count becomes a line. Used by
one event loop. This file does not know about gRPC or the log.
"""

from collections import Counter, OrderedDict
from dataclasses import dataclass, field

from cloud_sync.master.presence import Allowance
from cloud_sync.trust.registry import What

UNBOUNDED = frozenset({What.ENROLLED})
"""Each costs a token, which an operator has made."""
_ALONE = frozenset({What.RENEWED})
"""Honest nodes come in thousands after a day without the cloud: bounded by node, not together."""


@dataclass(frozen=True, slots=True)
class RestraintConfig:
    """How much is told."""

    each: Allowance = field(default_factory=lambda: Allowance(1 / 60, 10.0, 10.0))
    """Lines of one kind from one source."""
    together: Allowance = field(default_factory=lambda: Allowance(1.0, 100.0, 100.0))
    """Lines of one kind from all sources: at this rate the newest 10,000 lines of the audit still
    reach back for hours."""
    sources_max: int = 10_000
    """Sources remembered, from 1; the one that was quiet longest is forgotten first."""
    told_s: float = 60.0
    """Between two lines about what was left out, seconds."""


class Restraint:
    """Decides line by line."""

    def __init__(self, config: RestraintConfig | None = None) -> None:
        """Begin with nothing told.

        Args:
            config: How much is told.
        """
        self._config = config or RestraintConfig()
        self._each: OrderedDict[tuple[What, str], Allowance] = OrderedDict()
        self._together: dict[What, Allowance] = {}
        self._left_out: Counter[What] = Counter()
        self._told_s = float("-inf")

    def admits(self, what: What, source: str, now_s: float) -> bool:
        """Return whether a line may be written; if not, it is counted.

        Args:
            what: Its kind.
            source: Whose doing it is: an edge that has proven who it is, else an address.
            now_s: Monotonic seconds.
        """
        if what in UNBOUNDED:
            return True
        key, config = (what, source), self._config
        own, may = self._each.pop(key, config.each).take(now_s)
        self._each[key] = own
        if len(self._each) > config.sources_max:
            self._each.popitem(last=False)
        if may and what not in _ALONE:
            all_of_them = self._together.get(what, config.together)
            self._together[what], may = all_of_them.take(now_s)
        if not may:
            self._left_out[what] += 1
        return may

    def left_out(self, now_s: float) -> str:
        """Return in words what was left out since the last time; empty when nothing is due.

        Args:
            now_s: Monotonic seconds.
        """
        if not self._left_out or now_s - self._told_s < self._config.told_s:
            return ""
        told = ", ".join(f"{count} x {what}" for what, count in sorted(self._left_out.items()))
        self._left_out.clear()
        self._told_s = now_s
        return told
