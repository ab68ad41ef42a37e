"""The stage of a scene: the concourse behind, the sensor's noise before, the actors between."""

import math
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from edge_gate.adapters import scene_body, scene_head, scene_props
from edge_gate.adapters.scene_concourse import concourse
from edge_gate.adapters.scene_paint import Place, Sprite, lay
from edge_gate.face import Box, Image
from edge_gate.scene import Actor, Presents
from edge_gate.walk import Phase, Pose

_YAW_STEP_DEG = 2
"""Heads are turned once for each of these steps and kept."""
_HAND = (118, 142, 184)
"""Skin of the hands that hold somebody else's photo, BGR."""
_EXPOSURE_S = 0.010
"""Shutter of an indoor camera: what moves meanwhile is smeared."""


@dataclass(slots=True, eq=False)
class Costume:
    """Everything drawn of one actor, made when first needed."""

    photo: Image
    face: Box
    seed: int
    free: scene_head.Cut = field(init=False)
    clothes: Sprite = field(init=False)
    hand: Sprite = field(init=False)
    heads: dict[int, Sprite] = field(default_factory=dict)
    sheets: dict[Presents, Sprite] = field(default_factory=dict)
    phones: dict[bytes, Sprite] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Draw what every pose needs."""
        self.free = scene_head.cut(self.photo, self.face)
        self.hand = scene_body.hand(_HAND)
        self.clothes = scene_body.clothes(seed=self.seed)

    def head(self, yaw_deg: float) -> Sprite:
        """Return the head turned by about `yaw_deg`."""
        step = round(yaw_deg / _YAW_STEP_DEG)
        if step not in self.heads:
            self.heads[step] = scene_head.head(self.free, yaw_deg=step * _YAW_STEP_DEG)
        return self.heads[step]

    def sheet(self, kind: Presents) -> Sprite:
        """Return the print or the tablet with the photo."""
        if kind not in self.sheets:
            make = scene_props.printed if kind is Presents.PHOTO else scene_props.screened
            self.sheets[kind] = make(self.photo, self.face)
        return self.sheets[kind]

    def phone(self, payload: bytes) -> Sprite:
        """Return the phone that shows the payload."""
        if payload not in self.phones:
            self.phones.clear()
            self.phones[payload] = scene_props.phone(payload)
        return self.phones[payload]


@dataclass(frozen=True, slots=True, eq=False)
class Appearance:
    """One actor in one frame."""

    actor: Actor
    costume: Costume
    pose: Pose
    walked_s: float
    speed_px_s: float = 0.0
    """Sideways, pixels of the frame a second."""
    code: bytes | None = None
    """What the phone shows; None keeps it in the pocket."""
    code_shown_s: float = 0.0
    """For how long already."""


class Stage:
    """Composes frames of one size; the same arguments give the same frame."""

    def __init__(self, *, width: int, height: int, seed: int, noise: float) -> None:
        self._size = (width, height)
        self._seed = seed
        self._concourse = concourse(width, height, seed=seed)
        rng = np.random.default_rng(seed)
        grain = rng.normal(0, noise, (height + 64, width + 64, 3)).round()
        # Split by sign: adding and subtracting bytes is four times faster than signed sums.
        self._brighter = np.clip(grain, 0, 255).astype(np.uint8)
        self._darker = np.clip(-grain, 0, 255).astype(np.uint8)

    def compose(self, appearances: list[Appearance], number: int) -> Image:
        """Return the frame with everybody on stage, BGR uint8, far figures behind near ones."""
        frame = self._concourse.copy()
        for one in sorted(appearances, key=lambda a: a.pose.width_px):
            self._draw(frame, one)
        return self.grain(frame, number)

    def dark(self, number: int) -> Image:
        """Return a black frame as a sensor gives it."""
        return self.grain(np.full_like(self._concourse, 3), number)

    def glaring(self, number: int) -> Image:
        """Return an overexposed frame."""
        return self.grain(np.full_like(self._concourse, 255), number)

    def grain(self, frame: Image, number: int) -> Image:
        """Return the frame with the noise of its number."""
        down, across = np.random.default_rng((self._seed, number)).integers(0, 64, 2)
        high, wide = frame.shape[:2]
        rows, columns = slice(down, down + high), slice(across, across + wide)
        noisy: Image = cv2.subtract(
            cv2.add(frame, self._brighter[rows, columns]), self._darker[rows, columns]
        )
        return noisy

    def _draw(self, frame: Image, one: Appearance) -> None:
        """Draw one actor: body, then head or sheet with hands, then phone."""
        actor, pose, wardrobe = one.actor, one.pose, one.costume
        x, y = pose.x * self._size[0], pose.y * self._size[1]
        smear = abs(one.speed_px_s) * _EXPOSURE_S
        smear = float(round(smear)) if smear >= 2 else 0.0  # less is not seen
        place = Place(x, y, pose.width_px, pose.sway_deg, actor.gain, actor.blur_px, smear)
        if actor.presents is Presents.FACE:
            head = wardrobe.head(pose.yaw_deg)
            lay(frame, head, replace(place, roll_deg=pose.sway_deg + actor.tilt_deg))
        lay(frame, wardrobe.clothes, place)
        if actor.presents is not Presents.FACE:
            self._hold_up(frame, one, place)
        if one.code is not None:
            self._show_phone(frame, one, place)

    def _hold_up(self, frame: Image, one: Appearance, place: Place) -> None:
        """Draw a print or a tablet before the face, trembling in two hands."""
        shake_x, shake_y, roll = _tremble(one.walked_s)
        unit = place.width_px
        x, y = place.x + shake_x * unit, place.y + shake_y * unit
        held = replace(place, x=x, y=y, roll_deg=one.actor.tilt_deg + roll)
        lay(frame, one.costume.sheet(one.actor.presents), held)
        for side in (-1, 1):
            lay(
                frame,
                one.costume.hand,
                replace(held, x=x + side * 1.38 * unit, y=y + 0.95 * unit, width_px=0.75 * unit),
            )

    def _show_phone(self, frame: Image, one: Appearance, place: Place) -> None:
        """Draw the phone with the code below the face, lifted within a third of a second."""
        if one.code is None or one.pose.phase is not Phase.STAND:
            return
        high = self._size[1]
        shake_x, shake_y, roll = _tremble(one.walked_s)
        lifted = min(1.0, one.code_shown_s / 0.33)
        y = high * (1.25 - 0.46 * lifted) + 2 * shake_y * place.width_px
        side = Place(place.x + shake_x * place.width_px, y, 1.0, roll)
        lay(frame, one.costume.phone(one.code), side)


def _tremble(seconds: float) -> tuple[float, float, float]:
    """Return how a hand-held thing moves: across, down in widths of a face, and degrees."""
    return (
        0.02 * math.sin(7.1 * seconds) + 0.012 * math.sin(17.3 * seconds),
        0.016 * math.sin(5.7 * seconds + 1) + 0.01 * math.sin(19.9 * seconds),
        1.2 * math.sin(4.3 * seconds + 2),
    )
