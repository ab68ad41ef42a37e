"""OpenCV: uploaded files to upright pixels, and pixels to files without notes."""

import cv2
import numpy as np

from edge_gate.face import Image
from enroll.photo import NotDecodable
from enroll.picture import Picture

# JPEG can be decoded at a half, quarter or eighth of its size, which also bounds the memory.
_REDUCED = (
    (8, cv2.IMREAD_REDUCED_COLOR_8),
    (4, cv2.IMREAD_REDUCED_COLOR_4),
    (2, cv2.IMREAD_REDUCED_COLOR_2),
)
_JPEG_QUALITY = 92  # artefacts stay below what the embedder's 112 pixels can show


class OpenCvPictures:
    """See `enroll.photo.Pictures`."""

    def upright(self, data: bytes, picture: Picture, *, side_max: int) -> Image:
        """See `Pictures.upright`."""
        longest = max(picture.width, picture.height)
        # cv2 turns the picture by its EXIF note in every one of these modes.
        mode = next(
            (mode for factor, mode in _REDUCED if longest >= side_max * factor), cv2.IMREAD_COLOR
        )
        try:
            image: Image | None = cv2.imdecode(np.frombuffer(data, np.uint8), mode)
        except cv2.error as error:
            raise NotDecodable(picture.kind) from error
        if image is None:
            raise NotDecodable(picture.kind)
        scale = side_max / max(image.shape[:2])
        if scale >= 1:
            return image
        size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
        shrunk: Image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        return shrunk

    def jpeg(self, image: Image) -> bytes:
        """See `Pictures.jpeg`."""
        good, content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
        assert good, "OpenCV writes any BGR uint8 picture as JPEG"
        return bytes(content)
