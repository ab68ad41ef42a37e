"""Whether a face is good enough, on real portraits made worse."""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from edge_gate import quality
from edge_gate.adapters import opencv
from edge_gate.adapters.pack import open_eye
from edge_gate.eye import Eye
from edge_gate.face import Box, Face, Image
from edge_gate.quality import ENROLLMENT, GATE, Poor, PoorReason, Quality, QualityConfig, Usable
from tests.people import PEOPLE, portraits

MODELS = Path(__file__).parents[3] / "models" / "files"


def _f32(values: npt.ArrayLike) -> npt.NDArray[np.float32]:
    return np.asarray(values, np.float32)


@pytest.fixture(scope="module")
def eye() -> Eye:
    """Open the default pack."""
    return open_eye("open", MODELS)


@pytest.fixture(scope="module")
def photos() -> dict[str, Image]:
    """Load the portraits."""
    return portraits()


def _judge(eye: Eye, image: Image, config: QualityConfig = GATE) -> Quality:
    face = eye.detector.detect(image)[0]
    return quality.assess(face, eye.warp(image, face.landmarks), config)


class TestAssess:
    """`assess`."""

    @pytest.mark.parametrize("config", [GATE, ENROLLMENT])
    @pytest.mark.parametrize("name", PEOPLE)
    def test_accepts_a_good_portrait(
        self, eye: Eye, photos: dict[str, Image], name: str, config: QualityConfig
    ) -> None:
        """Each sample portrait is good enough for the gate and for enrollment."""
        assert isinstance(_judge(eye, photos[name], config), Usable)

    @pytest.mark.parametrize("name", PEOPLE)
    def test_refuses_heavy_blur(self, eye: Eye, photos: dict[str, Image], name: str) -> None:
        """A blur of 4 % of the portrait's size is named as such."""
        image = photos[name]
        blurred = cv2.GaussianBlur(image, (0, 0), 0.02 * image.shape[0])

        assert Poor(PoorReason.BLURRED) == _judge(eye, blurred)

    def test_refuses_darkness(self, eye: Eye, photos: dict[str, Image]) -> None:
        """A tenth of the light is too little."""
        assert Poor(PoorReason.TOO_DARK) == _judge(eye, (photos["Eileen"] * 0.12).astype(np.uint8))

    def test_refuses_burnt_faces(self, eye: Eye, photos: dict[str, Image]) -> None:
        """Twice the light burns most of the face out."""
        burnt = np.clip(photos["Eileen"].astype(np.int32) * 2, 0, 255).astype(np.uint8)

        assert Poor(PoorReason.TOO_BRIGHT) == _judge(eye, burnt)

    def test_refuses_a_far_face(self, eye: Eye, photos: dict[str, Image]) -> None:
        """A portrait at 40 % of its size has a face of 40 pixels."""
        small = cv2.resize(photos["Robin"], None, fx=0.4, fy=0.4, interpolation=cv2.INTER_AREA)

        assert Poor(PoorReason.TOO_SMALL) == _judge(eye, small)

    @pytest.mark.parametrize(
        ("nose", "reason"),
        [
            ((78.0, 71.7), PoorReason.TURNED_AWAY),  # nose under the right eye
            ((56.0, 40.0), PoorReason.NODDING),  # nose above the eyes: looking up
            ((56.0, 118.0), PoorReason.NODDING),  # nose below the mouth: looking down
        ],
    )
    def test_names_the_turn_of_the_head(
        self, photos: dict[str, Image], nose: tuple[float, float], reason: PoorReason
    ) -> None:
        """Where the nose stands between eyes and mouth tells turn and nod."""
        landmarks = _f32([[38.3, 51.7], [73.5, 51.5], [56.0, 71.7], [41.5, 92.4], [70.7, 92.2]])
        landmarks[2] = nose
        face = Face(Box(0, 0, 100, 120), landmarks, 0.99)
        crop = cv2.resize(photos["Eileen"][50:190, 90:200], (112, 112))

        assert Poor(reason) == quality.assess(face, crop)

    def test_scores_a_better_picture_higher(self, eye: Eye, photos: dict[str, Image]) -> None:
        """Slight blur, still usable, weighs less than the sharp picture."""
        sharp = _judge(eye, photos["Kim"])
        soft = _judge(eye, cv2.GaussianBlur(photos["Kim"], (0, 0), 1.5))

        assert isinstance(sharp, Usable)
        assert isinstance(soft, Usable)
        assert soft.score < 0.8 * sharp.score


class TestSharpness:
    """`sharpness`."""

    def test_does_not_depend_on_light(self) -> None:
        """A third of the light leaves the sharpness as it is; a blur does not."""
        texture = np.random.default_rng(1).uniform(60, 200, (80, 72)).astype(np.float32)

        assert quality.sharpness(_f32(texture / 3)) == pytest.approx(quality.sharpness(texture))
        assert quality.sharpness(texture) > 4
        assert quality.sharpness(_f32(cv2.GaussianBlur(texture, (0, 0), 2))) < 0.4

    def test_of_an_even_picture_is_zero(self) -> None:
        """No contrast, no sharpness, and no division by zero."""
        assert quality.sharpness(np.full((10, 10), 128, np.float32)) == 0.0


class TestQualityConfig:
    """`QualityConfig`."""

    @pytest.mark.parametrize(
        ("field", "value"),
        [("width_min_px", 0), ("yaw_max_deg", 91), ("light_min", 256), ("burnt_max", 1.1)],
    )
    def test_refuses_values_out_of_range(self, field: str, value: float) -> None:
        """Each limit has a range."""
        with pytest.raises(ValueError, match="out of range"):
            QualityConfig(**{field: value})


def test_most_shared_faces_are_usable(eye: Eye, lfw: Path) -> None:
    """Of 60 riders' first photos at least 57 pass the gate's limits."""
    judged = []
    for folder in sorted((lfw / "riders").iterdir())[:60]:
        image = opencv.decode(min(folder.glob("*.jpg")).read_bytes())
        judged.append(_judge(eye, image))

    assert sum(isinstance(answer, Usable) for answer in judged) >= 57
