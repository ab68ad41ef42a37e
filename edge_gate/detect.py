"""RetinaFace's three output tensors to faces: priors, decoding, non-maximum suppression.

Pure numpy: this module knows nothing about the model's file or its runtime. Decoding is done
only for the priors that are sure enough, a few dozen of thousands.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from edge_gate.face import Box, Face

Floats = npt.NDArray[np.float32]

STRIDES_AND_SIDES = ((8, (16, 32)), (16, (64, 128)), (32, (256, 512)))
"""Feature map stride to its priors' sides, pixels (RetinaFace `cfg_mnet`)."""
VARIANCES = (0.1, 0.2)
"""Scale of centre offsets and of log sizes in the network's output (same source)."""
MEAN_BGR = (104.0, 117.0, 123.0)
"""Subtracted from each pixel, blue first: the means the network was trained with."""


@dataclass(frozen=True, slots=True)
class DetectConfig:
    """What counts as a face."""

    confidence_min: float = 0.8
    """Lowest confidence, 0 to 1. Every one of the 1,140 shared faces has 0.99 or more; between
    0.6 (RetinaFace's own demo) and 0.8 lie mostly folds of cloth."""
    overlap_max: float = 0.4
    """Two boxes with more intersection over union than this are one face; 0 to 1. The value
    of RetinaFace's own evaluation."""
    faces_max: int = 50
    """Most faces returned, at least 1: a limit, so that a poster wall cannot stall a lane."""

    def __post_init__(self) -> None:
        if not (0 < self.confidence_min < 1 and 0 < self.overlap_max < 1 and self.faces_max >= 1):
            raise ValueError(f"out of range: {self}")


@lru_cache(maxsize=16)
def priors(width: int, height: int) -> Floats:
    """Return the network's reference squares for an image of this size.

    Args:
        width: Of the network's input, pixels.
        height: Of the network's input, pixels.

    Returns:
        float32, shape (P, 3): centre x, centre y, side, in pixels, read-only; row by row of
        each feature map, finest first, the smaller square before the larger.
    """
    rows = []
    for stride, sides in STRIDES_AND_SIDES:
        across, down = math.ceil(width / stride), math.ceil(height / stride)
        x, y = np.meshgrid(np.arange(across), np.arange(down))
        centres = (np.column_stack((x.ravel(), y.ravel())) + 0.5) * stride
        each = np.repeat(centres, len(sides), axis=0)
        side = np.tile(sides, across * down)
        rows.append(np.column_stack((each, side)))
    squares: Floats = np.concatenate(rows).astype(np.float32)
    squares.flags.writeable = False
    return squares


def decode(
    offsets: Floats,
    confidences: Floats,
    points: Floats,
    *,
    size: tuple[int, int],
    config: DetectConfig,
) -> tuple[Face, ...]:
    """Turn the network's output for one image into faces.

    Args:
        offsets: float32, shape (P, 4): centre and log-size offsets from the priors.
        confidences: float32, shape (P, 2): softmax of background and face.
        points: float32, shape (P, 10): five (x, y) offsets from the priors.
        size: Width and height of the network's input, pixels.
        config: What counts as a face.

    Returns:
        The faces, largest box first, in pixels of the network's input.

    Raises:
        ValueError: The tensors' lengths do not fit an image of this size.
    """
    squares = priors(*size)
    if not len(squares) == len(offsets) == len(confidences) == len(points):
        raise ValueError(f"{len(offsets)} outputs for {len(squares)} priors of {size}")
    sure = np.flatnonzero(confidences[:, 1] > config.confidence_min)
    sure = sure[np.argsort(-confidences[sure, 1], kind="stable")]
    centre, side = squares[sure, :2], squares[sure, 2:]
    middle = centre + offsets[sure, :2] * VARIANCES[0] * side
    extent = side * np.exp(offsets[sure, 2:] * VARIANCES[1])
    boxes = np.concatenate((middle - extent / 2, extent), axis=1)
    five = centre[:, None, :] + points[sure].reshape(-1, 5, 2) * VARIANCES[0] * side[:, None, :]
    kept = suppress(boxes, overlap_max=config.overlap_max)[: config.faces_max]
    faces = [
        Face(Box(*map(float, boxes[i])), five[i].astype(np.float32), float(confidences[sure[i], 1]))
        for i in kept
    ]
    return tuple(sorted(faces, key=lambda face: face.box.area, reverse=True))


def suppress(boxes: Floats, *, overlap_max: float) -> list[int]:
    """Choose the boxes that remain when each drops those that overlap it and are less sure.

    Args:
        boxes: float32, shape (N, 4): left, top, width, height; the surest first.
        overlap_max: Intersection over union above which the less sure box goes.

    Returns:
        Indices into `boxes`, the surest first.
    """
    low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    area = boxes[:, 2] * boxes[:, 3]
    left = np.arange(len(boxes))
    kept = []
    while len(left):
        first, left = left[0], left[1:]
        kept.append(int(first))
        wide, tall = np.clip(
            np.minimum(high[first], high[left]) - np.maximum(low[first], low[left]), 0, None
        ).T
        shared = wide * tall
        left = left[shared <= overlap_max * (area[first] + area[left] - shared)]
    return kept


def scaled(face: Face, scale: float, *, shift: tuple[float, float] = (0.0, 0.0)) -> Face:
    """Return the face in the pixels of another image.

    Args:
        face: In pixels of the image that was searched.
        scale: Pixels of the other image to one pixel of the searched one.
        shift: Where the searched image's origin lies in the other, (x, y) pixels.
    """
    box = face.box
    return Face(
        Box(
            box.left * scale + shift[0],
            box.top * scale + shift[1],
            box.width * scale,
            box.height * scale,
        ),
        (face.landmarks * scale + shift).astype(np.float32),
        face.confidence,
    )
