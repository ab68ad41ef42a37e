"""Where an actor of a scene is at a moment of the walk: pure arithmetic, no pictures, no files."""

import math
from dataclasses import dataclass
from enum import StrEnum

from edge_gate.scene import Actor

STEP_S = 0.55
"""One step of a walk, seconds: 110 steps a minute is a usual pace."""


class Phase(StrEnum):
    """The part of a walk."""

    APPROACH = "approach"
    STAND = "stand"
    THROUGH = "through"
    """The gate opened: on past the camera."""
    AWAY = "away"
    """The gate stayed shut: back and aside."""
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Pose:
    """How an actor is to be drawn."""

    phase: Phase
    x: float
    y: float
    """Centre of the face in shares of the frame."""
    width_px: float
    """Width of the face in pixels of the frame."""
    yaw_deg: float
    """Turn of the head, degrees, positive to the picture's right."""
    sway_deg: float
    """Lean of the whole body in the picture, degrees, positive clockwise."""


def phase_at(actor: Actor, walked_s: float, left_s: float | None) -> Phase:
    """Return the part of the walk at `walked_s` seconds after its first step.

    Args:
        actor: Who walks.
        walked_s: Seconds since the first step.
        left_s: When, in the same seconds, the sign to walk through was first seen; None: not yet.
    """
    if actor.keys:
        played_s = _played_s(actor, walked_s, left_s)
        return Phase.STAND if played_s <= actor.keys[-1].at_s else Phase.GONE
    if walked_s < actor.approach_s:
        return Phase.APPROACH
    gives_up_s = actor.approach_s + actor.stand_s
    through = left_s is not None and left_s <= gives_up_s
    turns_s = max(left_s or 0.0, actor.approach_s) if through else gives_up_s
    if walked_s < turns_s:
        return Phase.STAND
    if walked_s < turns_s + actor.leave_s:
        return Phase.THROUGH if through else Phase.AWAY
    return Phase.GONE


def pose_at(actor: Actor, walked_s: float, left_s: float | None = None) -> Pose:
    """Return the pose at `walked_s` seconds after the first step; arguments as `phase_at`."""
    phase = phase_at(actor, walked_s, left_s)
    if actor.keys:
        return _keyed(actor, _played_s(actor, walked_s, left_s), phase)
    swing = actor.yaw_deg + actor.turn_deg * math.sin(2 * math.pi * walked_s / (4 * STEP_S))
    if phase is Phase.APPROACH:
        return _approach(actor, walked_s, swing)
    gives_up_s = actor.approach_s + actor.stand_s
    if phase is Phase.THROUGH:
        done = (walked_s - max(left_s or 0.0, actor.approach_s)) / actor.leave_s
        # Past the camera at one side: the face grows by half and leaves over the edge.
        side = 1.0 if actor.x >= 0.5 else -1.0
        width = actor.width_px * (1 + 0.5 * done)
        x = actor.x + side * (1.25 - abs(actor.x - 0.5)) * done**2
        return Pose(
            phase, x, actor.y + 0.1 * done, width, swing + 18 * side * done, 2 * side * done
        )
    if phase is Phase.AWAY:
        done = (walked_s - gives_up_s) / actor.leave_s
        side = -1.0 if actor.x >= 0.5 else 1.0
        width = actor.width_px * (1 - 0.35 * done)
        x = actor.x + side * (1.1 - abs(actor.x - 0.5)) * done**1.5
        return Pose(phase, x, actor.y, width, swing + 24 * side * min(1.0, 3 * done), 0.0)
    waited_s = walked_s - actor.approach_s
    breath = 0.004 * math.sin(2 * math.pi * waited_s / 3.1)
    return Pose(phase, actor.x + breath, actor.y + breath / 2, actor.width_px, swing / 2, 0.0)


def _approach(actor: Actor, walked_s: float, swing: float) -> Pose:
    """Walk at a steady speed: the distance shrinks evenly, so the width grows as its inverse."""
    done = walked_s / actor.approach_s
    inverse = (1 - done) / actor.far_px + done / actor.width_px
    width = 1 / inverse
    near = width / actor.width_px
    step = math.pi * walked_s / STEP_S
    # The camera stands at the height of a face, so the horizon is where far faces are.
    x = 0.5 + (actor.x - 0.5) * near + 0.05 * (1 - near) * math.sin(step)
    bob = 0.03 * width / 480 * abs(math.sin(step))
    y = 0.40 + (actor.y - 0.40) * near - bob
    return Pose(Phase.APPROACH, x, y, width, swing, 1.2 * math.sin(step))


def _played_s(actor: Actor, walked_s: float, left_s: float | None) -> float:
    """Return the moment of a path of keys: the sign to leave begins its last stretch at once."""
    last_stretch_s = actor.keys[-2].at_s
    if left_s is None or left_s >= last_stretch_s:
        return walked_s
    return walked_s if walked_s < left_s else last_stretch_s + walked_s - left_s


def _keyed(actor: Actor, walked_s: float, phase: Phase) -> Pose:
    """Move steadily between the two keys around the moment."""
    keys = actor.keys
    after = next((i for i, key in enumerate(keys) if key.at_s >= walked_s), len(keys) - 1)
    before, ahead = keys[max(after - 1, 0)], keys[after]
    span = ahead.at_s - before.at_s
    done = 1.0 if span <= 0 else min(max((walked_s - before.at_s) / span, 0.0), 1.0)
    x, y, width = (
        a + (b - a) * done
        for a, b in (
            (before.x, ahead.x),
            (before.y, ahead.y),
            (before.width_px, ahead.width_px),
        )
    )
    swing = actor.yaw_deg + actor.turn_deg * math.sin(2 * math.pi * walked_s / (4 * STEP_S))
    return Pose(phase, x, y, width, swing, 0.0)
