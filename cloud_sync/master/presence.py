"""Who was seen at an entrance: rules without I/O.

Comes in: what the master gallery proposes for a look. Goes out: at most one rider, for whom the
station's view is made ready. A wrong answer opens no gate, it brings one template too many to a
station; so the threshold may be looser than a gate's, but it is of the same calibration, and beyond
the gallery that the model supports nobody is recognized. This file does not know about SQL, the
wire, or whose look it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Protocol
from uuid import UUID

import numpy as np
import numpy.typing as npt

from cloud_sync.calibration import Calibration


class Outcome(StrEnum):
    """What an entrance is told: never who was found, nor whether anybody was."""

    ACCEPTED = "accepted"
    """The look was searched; whoever it was meant for is on the way to the station's gates."""
    OFF = "off"
    """The operator has not switched presence on."""
    NO_ENTRANCE = "no_entrance"
    """This node was not admitted as an entrance's."""
    WRONG_SPACE = "wrong_space"
    """The look is of another model than the gallery."""
    MALFORMED = "malformed"
    """This is no look: not of unit length, or of another dimension."""
    NOT_SUPPORTED = "not_supported"
    """The gallery is larger than the model supports, or the model has no calibration."""
    BUSY = "busy"
    """Too many looks at once, or the gallery is not read yet; this one is not searched later."""


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """A face before an entrance camera; lives as long as its search."""

    vector: npt.NDArray[np.float32] = field(repr=False)
    """float32, shape (D,), unit length. Not in the `repr`: nothing of a look is kept."""
    model_id: str
    """The embedder."""
    transform_id: str
    """`plain`, or the rotation it was turned by."""


class Likeness(Protocol):
    """A rider who was found; see `adapters.master_follower.Found`."""

    @property
    def rider_ref(self) -> UUID:
        """Who."""
        ...

    @property
    def score(self) -> float:
        """Cosine similarity, -1 to 1."""
        ...

    @property
    def is_active(self) -> bool:
        """Whether stations may hold the rider."""
        ...


@dataclass(frozen=True, slots=True)
class PresenceConfig:
    """When a look means a rider."""

    target_fpir: float = 0.05
    """Share of strangers who may be taken for somebody, above 0, below 1: one template too many at
    one station for ten minutes, that a gate then compares under its own, stricter threshold."""
    fnir_limit: float = 0.5
    """Share of riders that may be missed before presence is of no use, above 0, at most 0.5; they
    are still found by habit, home and trip."""
    margin_min: float = 0.08
    """Least difference to the second rider, 0 to 1, as at the gate (`edge_gate.decide`)."""

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ValueError: One is out of range.
        """
        shares = 0 < self.target_fpir < 1 and 0 < self.fnir_limit <= 0.5
        if not shares or not 0 <= self.margin_min <= 1:
            raise ValueError(f"out of range: {self}")


def threshold(calibration: Calibration | None, size: int, config: PresenceConfig) -> float | None:
    """Return the least cosine that means a rider; None where the model does not support the size.

    Args:
        calibration: Of the model; None where it was never measured.
        size: Templates in the gallery, from 1.
        config: Target and limit.
    """
    if calibration is None or size > calibration.gallery_max(config.target_fpir, config.fnir_limit):
        return None
    return calibration.threshold(size, config.target_fpir).score


def meant(found: Sequence[Likeness], score_min: float, config: PresenceConfig) -> UUID | None:
    """Return the rider whom a look means, None for nobody.

    The second counts whether active or not: a look that fits two people means neither.

    Args:
        found: The best, best first.
        score_min: The threshold.
        config: The margin.
    """
    if not found or found[0].score < score_min or not found[0].is_active:
        return None
    if len(found) > 1 and found[0].score - found[1].score < config.margin_min:
        return None
    return found[0].rider_ref


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many looks may still be sent: so many at once, refilled evenly."""

    rate_hz: float = 10.0
    """Looks a second, above 0: an entrance of 3.5 m lets some five people pass a second."""
    burst: float = 20.0
    """Looks at once, from 1."""
    left: float = 20.0
    """What is left, 0 to `burst`."""
    at_s: float = 0.0
    """When that was counted, by a monotonic clock."""

    def take(self, now_s: float) -> tuple["Allowance", bool]:
        """Return what is left after one more look, and whether it may be sent."""
        grown = min(self.burst, self.left + max(0.0, now_s - self.at_s) * self.rate_hz)
        if grown < 1:
            return replace(self, left=grown, at_s=now_s), False
        return replace(self, left=grown - 1, at_s=now_s), True
