"""OpenCV: warping a face onto the template, resizing, reading and writing JPEG and PNG."""

import cv2
import numpy as np
import numpy.typing as npt

from edge_gate import align
from edge_gate.face import Image, Landmarks

_SHRINK_BELOW = 0.5
"""Scale of a warp below which bilinear sampling leaves pixels out (two to a step)."""


class NotAnImage(Exception):
    """The bytes are not a picture that can be decoded."""


def one_thread() -> None:
    """Keep OpenCV on the calling thread: a lane's budget is one core."""
    cv2.setNumThreads(1)


def warp(image: Image, landmarks: Landmarks, /) -> Image:
    """Cut a face out of a picture onto the ArcFace template.

    Args:
        image: BGR uint8, shape (H, W, 3).
        landmarks: float32, shape (5, 2), pixels of `image`.

    Returns:
        BGR uint8, shape (112, 112, 3); black where the template reaches outside the picture.

    Raises:
        DegenerateLandmarks: The five points lie on one line.
    """
    return cut(image, align.onto_template(landmarks), side=align.CROP_SIDE)


def cut(image: Image, similarity: npt.NDArray[np.float64], *, side: int) -> Image:
    """Cut a square out of a picture through a similarity.

    Args:
        image: BGR uint8, shape (H, W, 3).
        similarity: float64, shape (2, 3), pixels of `image` to pixels of the square.
        side: Of the square, pixels.

    Returns:
        BGR uint8, shape (side, side, 3); black outside the picture.
    """
    scale = float(np.hypot(similarity[0, 0], similarity[1, 0]))
    if scale < _SHRINK_BELOW:
        # Halve by areas first: the warp looks at four pixels only and would skip the others.
        half = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        return cut(half, similarity * [2.0, 2.0, 1.0], side=side)
    crop: Image = cv2.warpAffine(image, similarity, (side, side))
    return crop


def resize(image: Image, *, width: int, height: int) -> Image:
    """Return the picture at another size.

    Args:
        image: BGR uint8, shape (H, W, 3).
        width: New width in pixels.
        height: New height in pixels.
    """
    resized: Image = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    return resized


def tensor(
    crop: Image,
    *,
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0),
    scale: float = 1.0,
) -> npt.NDArray[np.float32]:
    """Return the picture as a network's input, blue first.

    Args:
        crop: BGR uint8, shape (H, W, 3).
        mean: Subtracted from blue, green and red.
        scale: Multiplied afterwards.

    Returns:
        float32, shape (1, 3, H, W).
    """
    blob: npt.NDArray[np.float32] = cv2.dnn.blobFromImage(crop, scale, mean=mean)
    return blob


def decode(content: bytes) -> Image:
    """Decode a JPEG, PNG or other picture, turned upright by its EXIF note.

    Args:
        content: The file's bytes.

    Returns:
        BGR uint8, shape (H, W, 3).

    Raises:
        NotAnImage: The bytes are no picture.
    """
    try:
        image: Image | None = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise NotAnImage("the bytes are not a picture") from error
    if image is None:
        raise NotAnImage("the bytes are not a picture")
    return image


def encode(image: Image, *, suffix: str = ".jpg") -> bytes:
    """Encode a picture in memory.

    Args:
        image: BGR uint8, shape (H, W, 3).
        suffix: `.jpg` or `.png`.

    Raises:
        NotAnImage: OpenCV cannot write it.
    """
    good, content = cv2.imencode(suffix, image)
    if not good:
        raise NotAnImage(f"cannot be written as {suffix}")
    return bytes(content)
