"""Where a face looks, from its five landmarks alone."""

import math

from edge_gate.face import Landmarks

_NOSE_DEPTH = 0.55
"""How far the nose tip stands before the plane of the eyes, in distances between the eyes:
the mean of adult heads is 35 mm to 63 mm (NIOSH head-and-face survey, rounded)."""


def yaw_degrees(landmarks: Landmarks) -> float:
    """Return the turn of the head about the vertical, -90 to 90 degrees.

    0 looks into the camera, positive towards the right of the image. A roll of the head does
    not count, since the nose is measured along the line between the eyes.

    Args:
        landmarks: float32, shape (5, 2), pixels, in the order of `face.Landmarks`.
    """
    left, right, nose = landmarks[0], landmarks[1], landmarks[2]
    across, down = float(right[0] - left[0]), float(right[1] - left[1])
    eyes = math.hypot(across, down)
    if eyes < 1e-6:
        return 90.0  # both eyes at one point: a profile at best
    middle = (left + right) / 2
    aside = (float(nose[0] - middle[0]) * across + float(nose[1] - middle[1]) * down) / eyes
    return math.degrees(math.atan2(aside, _NOSE_DEPTH * eyes))


_NOSE_SHARE = 0.494
"""Where a level face's nose lies between its eyes (0) and its mouth (1): the ArcFace template."""
_MOUTH_DEPTH = 1.155 / _NOSE_DEPTH
"""From eyes to mouth in units of the nose's depth: 1.155 distances between the eyes (template)."""


def pitch_degrees(landmarks: Landmarks) -> float:
    """Return the nod of the head, -90 to 90 degrees; 0 is level, positive looks up.

    A looser estimate than the yaw: faces differ in where their nose lies.

    Args:
        landmarks: float32, shape (5, 2), pixels, in the order of `face.Landmarks`.
    """
    eyes = (landmarks[0] + landmarks[1]) / 2
    down = (landmarks[3] + landmarks[4]) / 2 - eyes
    length = float(down @ down)
    if length < 1e-6:
        return 90.0  # eyes and mouth at one height: seen from far above or below
    share = float((landmarks[2] - eyes) @ down) / length
    return math.degrees(math.atan((_NOSE_SHARE - share) * _MOUTH_DEPTH))
