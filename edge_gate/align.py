"""Five landmarks to the 2x3 similarity that puts a face onto the ArcFace template.

Pure numpy; the pixels are moved by an adapter. Detector and embedder of every shipped pack
meet at this template.
"""

import numpy as np
import numpy.typing as npt

from edge_gate.face import Landmarks

CROP_SIDE = 112
"""Side of the template in pixels."""

TEMPLATE: npt.NDArray[np.float64] = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ]
)
"""ArcFace's five points in a 112x112 crop (insightface, `utils/face_align.py`)."""

_FLATNESS_MIN = 0.05
"""Smallest ratio of the landmarks' short to their long extent. The template has 0.82, a face
turned by 75 degrees still has about 0.2; below 0.05 five points are a line for all purposes."""


class DegenerateLandmarks(Exception):
    """The five points lie on one line or in one spot, so they give no frame of reference."""


def onto_template(landmarks: Landmarks, *, margin: int = 0) -> npt.NDArray[np.float64]:
    """Find the similarity (turn, scale, shift; no mirror) closest to the ArcFace template.

    Umeyama's least squares (1991), which in the plane is one division of complex numbers.

    Args:
        landmarks: float32, shape (5, 2), pixels of the image.
        margin: Pixels kept around the template, so the crop's side is 112 + 2 * margin.

    Returns:
        float64, shape (2, 3): pixels of the image to pixels of the crop.

    Raises:
        DegenerateLandmarks: The points lie on one line, coincide or are not finite.
    """
    points = np.asarray(landmarks, dtype=np.float64)
    if not np.isfinite(points).all():
        raise DegenerateLandmarks("a landmark is not a number")
    centred = points - points.mean(axis=0)
    long, short = np.linalg.svd(centred, compute_uv=False)
    if short <= _FLATNESS_MIN * long:
        raise DegenerateLandmarks(f"the landmarks span {long:.1f} by {short:.1f} pixels")
    source = centred @ (1, 1j)
    target = (TEMPLATE - TEMPLATE.mean(axis=0)) @ (1, 1j)
    turn = (source.conj() @ target) / (source.conj() @ source).real
    linear = np.array([[turn.real, -turn.imag], [turn.imag, turn.real]])
    shift = TEMPLATE.mean(axis=0) + margin - linear @ points.mean(axis=0)
    return np.column_stack((linear, shift))


def back(similarity: npt.NDArray[np.float64], landmarks: Landmarks) -> Landmarks:
    """Map points of a crop back into the image that it was cut from.

    Args:
        similarity: float64, shape (2, 3), from `onto_template`.
        landmarks: float32, shape (N, 2), pixels of the crop.

    Returns:
        float32, shape (N, 2), pixels of the image.
    """
    inverse = np.linalg.inv(similarity[:, :2])
    points: Landmarks = ((landmarks - similarity[:, 2]) @ inverse.T).astype(np.float32)
    return points
