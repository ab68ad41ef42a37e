"""Two people side by side in the zone: told once, after a moment."""

from dataclasses import dataclass

from edge_gate.reason import DenyReason
from edge_gate.sight import Unrecognised


@dataclass(frozen=True, slots=True)
class CrowdConfig:
    """When people who stand together are told."""

    patience_s: float = 1.0
    """How long they may stand too close together first, seconds, >= 0: in a queue people pass
    each other all the time."""

    def __post_init__(self) -> None:
        """Check the range.

        Raises:
            ValueError: It is out of range.
        """
        if self.patience_s < 0:
            raise ValueError(f"out of range: {self}")


class Crowd:
    """The crowd before one lane, if there is one."""

    def __init__(self, config: CrowdConfig | None = None) -> None:
        self._config = config or CrowdConfig()
        self._since_s: float | None = None
        self._told = False

    @property
    def told(self) -> bool:
        """Whether the crowd that stands there has been told."""
        return self._told

    def stands(self, now_s: float) -> Unrecognised | None:
        """Note a frame that shows a crowd; answer it once when its patience is over."""
        if self._since_s is None:
            self._since_s = now_s
        if self._told or now_s - self._since_s < self._config.patience_s:
            return None
        self._told = True
        return Unrecognised(DenyReason.TOO_CLOSE_TOGETHER)

    def dissolve(self) -> None:
        """Note that there is no crowd any more."""
        self._since_s, self._told = None, False
