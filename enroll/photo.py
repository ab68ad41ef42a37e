"""One uploaded photo: is it good enough to know somebody by, and is it the same person?

Comes in: a stranger's bytes and the gate's own eye. Goes out: an embedding with its quality, or
one reason with advice. Nothing is kept here, and nothing of a refused photo leaves this module.
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

import numpy as np

from edge_gate.align import DegenerateLandmarks, onto_template
from edge_gate.eye import Eye
from edge_gate.face import Embedding, Face, Image, Landmarks
from edge_gate.quality import ENROLLMENT, Poor, PoorReason, QualityConfig, assess
from enroll.picture import Picture, PictureFault, inspect
from enroll.refusal import Refusal, Refused

_POOR = MappingProxyType(
    {
        PoorReason.TOO_SMALL: Refusal.TOO_SMALL,
        PoorReason.BLURRED: Refusal.BLURRED,
        PoorReason.TURNED_AWAY: Refusal.TURNED_AWAY,
        PoorReason.NODDING: Refusal.TURNED_AWAY,
        PoorReason.TOO_DARK: Refusal.TOO_DARK,
        PoorReason.TOO_BRIGHT: Refusal.TOO_BRIGHT,
    }
)

# The middle of the 112 pixel template, which `edge_gate.quality` judges too, as 13 x 13 points.
_FACE_GRID = np.stack(
    np.meshgrid(np.linspace(20, 92, 13), np.linspace(24, 104, 13)), axis=-1
).reshape(-1, 2)


class NotDecodable(Exception):
    """The decoder gives up on a file whose container looked right."""


class Pictures(Protocol):
    """Turns files into pixels and back."""

    def upright(self, data: bytes, picture: Picture, *, side_max: int) -> Image:
        """Decode, turn upright by the EXIF note and shrink to `side_max` pixels a side.

        Raises:
            NotDecodable: The content is broken.
        """
        ...

    def jpeg(self, image: Image) -> bytes:
        """Encode without any note on place, time or device."""
        ...


@dataclass(frozen=True, slots=True)
class PhotoConfig:
    """How good a photo must be."""

    pixels_max: int = 60_000_000
    """Most pixels that are decoded, from 1: 180 MB as BGR; phones have up to 50 million."""
    side_max: int = 1600
    """Longest side that is looked at, pixels: a face that fills a third has 500 of them, four
    times what the embedder takes."""
    second_face_ratio: float = 0.4
    """A second face this many times as wide as the first makes two, 0 to 1; below it is
    somebody in the background."""
    outside_max: float = 0.15
    """Share of the face that may lie outside the picture, 0 to 1. Cut from any side until 0.15
    are missing, three portraits agreed with their whole selves to 0.88 or better, at 0.25 to as
    little as 0.71."""
    quality: QualityConfig = ENROLLMENT
    """The gate's own measures, with the limits for references."""
    live_min: float = 0.05
    """Liveness of one photo below which it is taken for a picture of a picture, 0 to 1. Low on
    purpose: one photo is weak evidence. Of 707 press photos of live people 2.8 % are below 0.05
    and 7.1 % below 0.2; what it stops is in docs/enrollment.md."""
    same_person_min: float = 0.35
    """Cosine similarity with the first photo from which it is the same person, -1 to 1. Of 1,021
    pairs of one person 1.0 % are below, of 19,503 pairs of two people 0.03 % above (same photos);
    relatives are not among them."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges.

        Raises:
            ValueError: A value is out of range.
        """
        shares = (self.second_face_ratio, self.live_min)
        if self.pixels_max < 1 or self.side_max < 112 or not all(0 <= s <= 1 for s in shares):
            raise ValueError(f"out of range: {self}")


@dataclass(frozen=True, slots=True, eq=False)
class Accepted:
    """A photo to know somebody by."""

    embedding: Embedding
    """float32, shape (D,), unit length."""
    model_id: str
    quality: float
    """Above 0, at most 1."""
    liveness: float
    """The model's opinion, 0 to 1; shown to nobody as a promise."""
    clean: bytes
    """The picture as JPEG without EXIF, to be kept only with consent."""


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """A picture whose one face is good enough."""

    image: Image
    face: Face
    crop: Image
    quality: float


@dataclass(frozen=True, slots=True)
class Assessor:
    """Judges photos with the gate's own eye; may be used by several threads."""

    eye: Eye
    pictures: Pictures
    config: PhotoConfig

    def __call__(self, data: bytes, first: Embedding | None) -> Accepted | Refused:
        """Judge an uploaded photo.

        Args:
            data: The whole file.
            first: The embedding of the rider's first photo, None if this is the first.
        """
        seen = self._look(data)
        if isinstance(seen, Refused):
            return seen
        live = self.eye.liveness.live(seen.image, seen.face)
        if live < self.config.live_min:
            return Refused(Refusal.PICTURE_OF_PICTURE)
        embedding: Embedding = self.eye.embedder.embed((seen.crop,))[0]
        if first is not None and float(first @ embedding) < self.config.same_person_min:
            return Refused(Refusal.OTHER_PERSON)
        clean = self.pictures.jpeg(seen.image)
        return Accepted(embedding, self.eye.embedder.model_id, seen.quality, live, clean)

    @property
    def model_id(self) -> str:
        """The embedder."""
        return self.eye.embedder.model_id

    def glance(self, data: bytes) -> Refused | None:
        """Judge a live picture for guidance; nothing is measured in it, hence no embedding.

        Args:
            data: The whole file.

        Returns:
            What is wrong, None when nothing is.
        """
        seen = self._look(data)
        return seen if isinstance(seen, Refused) else None

    def _look(self, data: bytes) -> _Seen | Refused:
        picture = inspect(data)
        if isinstance(picture, PictureFault):
            return Refused(Refusal(picture.value))
        if min(picture.width, picture.height) < 1:
            return Refused(Refusal.NOT_AN_IMAGE)
        if picture.width * picture.height > self.config.pixels_max:
            return Refused(Refusal.TOO_LARGE)
        try:
            image = self.pictures.upright(data, picture, side_max=self.config.side_max)
        except NotDecodable:
            return Refused(Refusal.NOT_AN_IMAGE)
        return self._judge(image)

    def _judge(self, image: Image) -> _Seen | Refused:
        faces = self.eye.detector.detect(image)
        if not faces:
            return Refused(_why_no_face(image, self.config.quality))
        first, others = faces[0], faces[1:]
        wide = first.box.width * self.config.second_face_ratio
        if any(other.box.width >= wide for other in others):
            return Refused(Refusal.TWO_FACES)
        try:
            if _share_outside(first.landmarks, image) > self.config.outside_max:
                return Refused(Refusal.CUT_OFF)
            crop = self.eye.warp(image, first.landmarks)
        except DegenerateLandmarks:  # a profile, seen edge on
            return Refused(Refusal.TURNED_AWAY)
        quality = assess(first, crop, self.config.quality)
        if isinstance(quality, Poor):
            return Refused(_POOR[quality.reason])
        return _Seen(image, first, crop, quality.score)


def _why_no_face(image: Image, config: QualityConfig) -> Refusal:
    """Blame the light where there is none: in the dark the detector finds nothing either."""
    mean = float(image.mean())
    if mean < config.light_min / 2:
        return Refusal.TOO_DARK
    burnt = float((image.min(axis=2) > 245).mean())
    return Refusal.TOO_BRIGHT if burnt > 0.8 else Refusal.NO_FACE


def _share_outside(landmarks: Landmarks, image: Image) -> float:
    """Return the share of the face, eyebrows to chin, that lies outside the picture, 0 to 1.

    The detector shortens the box of a face that is cut off, so the box cannot tell. The face's
    place on the embedder's template can: its middle is laid over the picture as a grid.

    Raises:
        DegenerateLandmarks: The five points lie on one line.
    """
    onto = onto_template(landmarks)
    points = (_FACE_GRID - onto[:, 2]) @ np.linalg.inv(onto[:, :2]).T
    height, width = image.shape[:2]
    return float(((points < 0) | (points > (width, height))).any(axis=1).mean())
