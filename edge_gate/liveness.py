"""Liveness: the square round a face that the model wants, and one score from several frames.

What the model is worth is in `models/README.md`; one frame is weak evidence, so a track's
scores are fused before anybody is refused.
"""

import math
from collections.abc import Sequence

from edge_gate.face import Box

WIDENING = 2.7
"""Side of the region over side of the face's box, as the model was trained."""


def region(box: Box, *, width: int, height: int) -> tuple[int, int, int, int]:
    """Widen a face's box as the liveness model expects, kept inside the image.

    The region keeps the box's proportions; where it would leave the image it is moved, and
    where it is larger than the image it shrinks (the reference code of the model's package).

    Args:
        box: The face, pixels of the image.
        width: Of the image, pixels.
        height: Of the image, pixels.

    Returns:
        Left, top, right, bottom in whole pixels, right and bottom outside; never empty.
    """
    wide, tall = max(box.width, 1.0), max(box.height, 1.0)
    scale = min((height - 1) / tall, (width - 1) / wide, WIDENING)
    wide, tall = wide * scale, tall * scale
    x, y = box.centre
    left = min(max(x - wide / 2, 0.0), width - 1 - wide)
    top = min(max(y - tall / 2, 0.0), height - 1 - tall)
    left, top = max(int(left), 0), max(int(top), 0)
    return left, top, max(left + 1, int(left + wide)), max(top + 1, int(top + tall))


def fused(scores: Sequence[float]) -> float:
    """Combine the live scores of one track's frames: the mean of their log odds.

    Frames of one track are not independent, so the odds are averaged, not multiplied.

    Args:
        scores: Probabilities, each 0 to 1, at least one.

    Returns:
        A probability, 0 to 1.

    Raises:
        ValueError: There is no score.
    """
    if not scores:
        raise ValueError("no liveness score to fuse")
    # Clipped, so that one frame at exactly 0 or 1 cannot outvote all others.
    odds = [math.log(p / (1 - p)) for p in (min(max(s, 1e-4), 1 - 1e-4) for s in scores)]
    return 1 / (1 + math.exp(-sum(odds) / len(odds)))
