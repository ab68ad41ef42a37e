"""What every eye promises, whichever models are behind its ports."""

from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np
import pytest

from edge_gate.adapters.memory_eye import MemoryEye, Person
from edge_gate.adapters.pack import open_eye
from edge_gate.align import DegenerateLandmarks
from edge_gate.eye import Eye
from edge_gate.face import Box, Image
from tests import tiny_packs
from tests.people import group, portraits

MODELS = Path(__file__).parents[2] / "models" / "files"


class EyeContract(ABC):
    """Subclassed once per eye."""

    faces: tuple[Box, ...]
    """Where the picture's faces are, roughly, the largest first."""

    @pytest.fixture(scope="class")
    @classmethod
    def eye(cls, tmp_path_factory: pytest.TempPathFactory) -> Eye:
        """Give the eye, made once a class."""
        return cls.make(tmp_path_factory.mktemp("packs"))

    @classmethod
    @abstractmethod
    def make(cls, folder: Path) -> Eye:
        """Return the eye; may put its files into the empty folder."""

    @abstractmethod
    def picture(self) -> Image:
        """Return the picture that `faces` describes."""

    def test_finds_the_faces_largest_first(self, eye: Eye) -> None:
        """Each face is found where it is, in pixels of the picture, in order of size."""
        found = eye.detector.detect(self.picture())

        areas = [face.box.area for face in found]
        assert len(self.faces) == len(found)
        assert sorted(areas, reverse=True) == areas
        for face in self.faces:
            assert max(face.overlap(other.box) for other in found) > 0.5

    def test_landmarks_lie_in_their_box_in_order(self, eye: Eye) -> None:
        """Five points, left before right, eyes above mouth, inside the box."""
        for face in eye.detector.detect(self.picture()):
            left, right, _, mouth_left, mouth_right = face.landmarks

            assert face.landmarks.shape == (5, 2)
            assert face.landmarks.dtype == np.float32
            assert left[0] < right[0]
            assert mouth_left[0] < mouth_right[0]
            assert max(left[1], right[1]) < min(mouth_left[1], mouth_right[1])
            inside = (face.landmarks - (face.box.left, face.box.top)) / (
                face.box.width,
                face.box.height,
            )
            assert ((inside > -0.1) & (inside < 1.1)).all()

    def test_warps_to_the_template(self, eye: Eye) -> None:
        """A crop is 112 pixels square, three colours, bytes; the picture stays as it was."""
        image = self.picture()
        before = image.copy()

        crop = eye.warp(image, eye.detector.detect(image)[0].landmarks)

        assert crop.shape == (112, 112, 3)
        assert crop.dtype == np.uint8
        assert (before == image).all()

    def test_refuses_landmarks_on_a_line(self, eye: Eye) -> None:
        """Five points on one line are no face to cut out."""
        line = np.column_stack((np.arange(5), np.arange(5))).astype(np.float32)

        with pytest.raises(DegenerateLandmarks):
            eye.warp(self.picture(), line * 10 + 50)

    def test_embeds_to_unit_length(self, eye: Eye) -> None:
        """Each crop gives one unit vector, the same crop the same one, in order."""
        image = self.picture()
        crop = eye.warp(image, eye.detector.detect(image)[0].landmarks)

        rows = eye.embedder.embed((crop, crop[:, ::-1].copy(), crop))

        assert rows.shape == (3, 512)
        assert rows.dtype == np.float32
        assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
        assert np.allclose(rows[0], rows[2], atol=1e-5)

    def test_embeds_nothing_to_nothing(self, eye: Eye) -> None:
        """No crops give no rows."""
        assert eye.embedder.embed(()).shape == (0, 512)

    def test_names_its_space(self, eye: Eye) -> None:
        """The space has a name without blanks, the same each time."""
        assert eye.embedder.model_id == eye.embedder.model_id
        assert eye.embedder.model_id.split() == [eye.embedder.model_id]

    def test_liveness_is_a_probability(self, eye: Eye) -> None:
        """Each face's score lies between 0 and 1."""
        image = self.picture()

        for face in eye.detector.detect(image):
            assert 0 <= eye.liveness.live(image, face) <= 1


class TestOpenPack(EyeContract):
    """The default pack on a photo of six people."""

    faces = (
        Box(51, 262, 117, 139),
        Box(464, 263, 109, 145),
        Box(902, 56, 108, 145),
        Box(273, 148, 102, 130),
        Box(743, 344, 99, 127),
        Box(1128, 274, 97, 128),
    )

    @classmethod
    def make(cls, folder: Path) -> Eye:
        """Open the pack as fetched."""
        return open_eye("open", MODELS)

    def picture(self) -> Image:
        """Return the group photo."""
        return group()


class TestInsightFacePack(EyeContract):
    """InsightFace's package on small files of its packs' shapes."""

    faces = (Box(160 - 48, 128 - 48, 96, 96),)

    @classmethod
    def make(cls, folder: Path) -> Eye:
        """Open a made pack, with the default pack's liveness model beside it."""
        tiny_packs.install(folder)
        (folder / "open").symlink_to(MODELS / "open")
        return open_eye("buffalo_s", folder, detect_width=320, accept_noncommercial=True)

    def picture(self) -> Image:
        """Return a white square, which the made detector takes for a face."""
        image = np.full((288, 320, 3), 20, np.uint8)
        image[128:160, 160:192] = 255
        return image


class TestMemoryEye(EyeContract):
    """The shipped double."""

    faces = (Box(150, 160, 100, 120), Box(300, 160, 80, 96))

    @classmethod
    def make(cls, folder: Path) -> Eye:
        """Return a memory eye that was told of two people."""
        memory = MemoryEye()
        memory.show(*cls._people())
        return memory.eye

    def picture(self) -> Image:
        """Return the picture of the two."""
        return MemoryEye().show(*self._people())

    @staticmethod
    def _people() -> tuple[Person, Person]:
        return (Person(1, x=200, y=220, width=100), Person(2, x=340, y=208, width=80))


def test_the_open_pack_tells_people_apart() -> None:
    """Eight portraits under worse light still match their own originals and nobody else's."""
    eye = open_eye("open", MODELS)

    def embedded(image: Image) -> np.ndarray:
        return eye.embedding(image, eye.detector.detect(image)[0])

    photos = list(portraits().values())
    references = np.stack([embedded(photo) for photo in photos])
    probes = np.stack([embedded((photo * 0.6).astype(np.uint8)) for photo in photos])
    scores = probes @ references.T

    assert (np.diag(scores) > 0.85).all()
    assert scores[~np.eye(len(photos), dtype=bool)].max() < 0.5
