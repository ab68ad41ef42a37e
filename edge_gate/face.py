"""The nouns of the gate's eye: frames, faces, embeddings, with their shapes and units."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
"""BGR uint8, shape (H, W, 3), origin top left."""
Landmarks = npt.NDArray[np.float32]
"""float32, shape (5, 2), pixels: left eye, right eye, nose, left and right mouth corner,
left and right as the image shows them."""
Embedding = npt.NDArray[np.float32]
"""float32, shape (D,), unit length; D is 512 for every shipped pack."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture from a lane's camera; the array is read-only by convention."""

    image: Image
    number: int
    """Counts the camera's frames from 0; a gap means dropped frames."""
    arrival_s: float
    """When the frame reached this process, monotonic seconds."""


@dataclass(frozen=True, slots=True)
class Box:
    """An axis-aligned rectangle in pixels of the frame."""

    left: float
    top: float
    width: float
    height: float

    @property
    def area(self) -> float:
        """Area in square pixels."""
        return self.width * self.height

    @property
    def centre(self) -> tuple[float, float]:
        """Centre (x, y) in pixels."""
        return self.left + self.width / 2, self.top + self.height / 2

    def overlap(self, other: "Box") -> float:
        """Return intersection over union with another box, 0 to 1."""
        wide = min(self.left + self.width, other.left + other.width) - max(self.left, other.left)
        high = min(self.top + self.height, other.top + other.height) - max(self.top, other.top)
        if wide <= 0 or high <= 0:
            return 0.0
        shared = wide * high
        return shared / (self.area + other.area - shared)


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """One detected face."""

    box: Box
    landmarks: Landmarks
    confidence: float
    """The detector's own, 0 to 1."""
