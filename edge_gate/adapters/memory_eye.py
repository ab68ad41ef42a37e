"""An eye in memory that sees what it is told, and counts whom it embeds.

A frame of this eye carries its script: `picture` writes people into the pixels of a blank image,
and detector, liveness model and embedder read them back. So crops and frames can be passed
through the same code as real ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from edge_gate.align import CROP_SIDE, onto_template
from edge_gate.embed import normalise
from edge_gate.eye import Eye
from edge_gate.face import Box, Embedding, Face, Image, Landmarks

_POINTS = ((0.34, 0.42), (0.66, 0.42), (0.5, 0.6), (0.38, 0.76), (0.62, 0.76))
"""Landmarks of a frontal face in shares of its box, near the ArcFace template's."""


@dataclass(frozen=True, slots=True)
class Person:
    """One person in a picture."""

    look: int
    """Whose face it is, 1 to 250; the embedding is `look_of(look)`."""
    x: float = 320.0
    """Centre of the face, pixels."""
    y: float = 220.0
    """Centre of the face, pixels."""
    width: float = 120.0
    """Of the face, pixels."""
    live: float = 0.95
    """What the liveness model says, 0 to 1."""
    blurred: bool = False
    """Whether the face has no detail, so that no quality limit lets it pass."""
    turned: float = 0.0
    """Where the nose is beside the middle, in widths of the face; 0.25 is looking away."""

    @property
    def box(self) -> Box:
        """The face's box."""
        height = 1.2 * self.width
        return Box(self.x - self.width / 2, self.y - height / 2, self.width, height)


def look_of(look: int) -> Embedding:
    """Return the unit embedding of a look, float32, shape (512,)."""
    vector = np.random.default_rng(look).standard_normal((1, 512))
    embedding: Embedding = normalise(vector)[0]
    return embedding


def picture(*people: Person, seed: int = 0, width: int = 640, height: int = 480) -> Image:
    """Return a BGR picture of a noisy wall with people in it, the last in front."""
    image = np.random.default_rng(seed).integers(90, 110, (height, width, 3), dtype=np.uint8)
    for person in people:
        box = person.box
        top, left = max(0, int(box.top)), max(0, int(box.left))
        area = image[top : int(box.top + box.height), left : int(box.left + box.width)]
        stripes = np.indices(area.shape[:2]).sum(axis=0) // 4 % 2
        area[:] = 120 if person.blurred else (80 + 90 * stripes)[:, :, np.newaxis]
        # Red carries the look over the whole face: an aligned crop keeps it wherever it is cut.
        area[:, :, 2] = person.look
    return image


@dataclass
class MemoryEye:
    """Knows the people of the frames it will be shown; its parts implement the eye's ports."""

    model_id: str = "memory/512"
    people: tuple[Person, ...] = ()
    """Who is in the frame shown next; set with the frame."""
    embedded: list[int] = field(default_factory=list)
    """The looks that were embedded, in order."""
    detections: int = 0
    """How often faces were looked for."""

    @property
    def eye(self) -> Eye:
        """This eye behind the gate's ports."""
        return Eye(detector=self, warp=_warp, liveness=self, embedder=self)

    def show(self, *people: Person, seed: int = 0) -> Image:
        """Return a picture of these people and expect to be shown it."""
        self.people = people
        return picture(*people, seed=seed)

    def detect(self, image: Image) -> tuple[Face, ...]:  # noqa: ARG002  # told, not seen
        """Return the faces of the people expected, the largest first."""
        self.detections += 1
        found = [Face(p.box, _landmarks(p), 0.99) for p in self.people]
        return tuple(sorted(found, key=lambda face: -face.box.area))

    def live(self, image: Image, face: Face) -> float:  # noqa: ARG002  # told, not seen
        """Return the liveness of the person whose face it is."""
        nearest = min(self.people, key=lambda p: abs(p.x - face.box.centre[0]))
        return nearest.live

    def embed(self, crops: Sequence[Image]) -> npt.NDArray[np.float32]:
        """Return the looks written into the crops, and note them."""
        looks = [int(np.median(crop[20:90, 20:90, 2])) for crop in crops]
        self.embedded += looks
        return np.stack([look_of(look) for look in looks]) if looks else np.empty((0, 512), "f4")


def _landmarks(person: Person) -> Landmarks:
    box = person.box
    points = [(box.left + x * box.width, box.top + y * box.height) for x, y in _POINTS]
    points[2] = (points[2][0] + person.turned * box.width, points[2][1])
    return np.array(points, dtype=np.float32)


def _warp(image: Image, landmarks: Landmarks, /) -> Image:
    """Cut the square round the landmarks by nearest pixels; the memory eye needs no more."""
    onto_template(landmarks)  # refuses five points on a line, as every eye does
    low, high = landmarks.min(axis=0), landmarks.max(axis=0)
    side = float((high - low).max()) * 1.6
    centre = (low + high) / 2
    steps = (np.arange(CROP_SIDE) / CROP_SIDE - 0.5) * side
    rows = np.clip(centre[1] + steps, 0, image.shape[0] - 1).astype(int)
    columns = np.clip(centre[0] + steps, 0, image.shape[1] - 1).astype(int)
    crop: Image = image[np.ix_(rows, columns)]
    return crop
