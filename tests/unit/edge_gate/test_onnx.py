"""Model files that are not what they should be, and the second look."""

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_gate.adapters import onnx, opencv
from edge_gate.adapters.pack import open_calibration, open_eye
from edge_gate.eye import ModelRefused
from models import manifest
from tests import tiny_packs
from tests.people import portraits

MODELS = Path(__file__).parents[3] / "models" / "files"
FILES = manifest.pack("open").files


@pytest.fixture
def packs(tmp_path: Path) -> Path:
    """Give a folder of packs that a test may break."""
    shutil.copytree(MODELS / "open", tmp_path / "open")
    return tmp_path


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def _cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _swap(path: Path) -> None:
    other = "liveness.onnx" if path.name != "liveness.onnx" else "embedder.onnx"
    shutil.copy(path.with_name(other), path)


class TestOpenEye:
    """`open_eye` on damaged packs; each is the gate that refuses the face path."""

    @pytest.mark.parametrize("damage", [_flip, _cut_short, _swap])
    @pytest.mark.parametrize("role", FILES)
    def test_refuses_a_damaged_file(
        self, packs: Path, role: str, damage: Callable[[Path], None]
    ) -> None:
        """One flipped bit, one missing byte or another model's file is refused by name."""
        damage(packs / "open" / FILES[role].file)

        with pytest.raises(ModelRefused, match=rf"^{FILES[role].file}: wrong digest"):
            open_eye("open", packs)

    @pytest.mark.parametrize("role", FILES)
    def test_refuses_a_missing_file(self, packs: Path, role: str) -> None:
        """A file that is not there is named."""
        (packs / "open" / FILES[role].file).unlink()

        with pytest.raises(ModelRefused, match=rf"^{FILES[role].file}: cannot be read"):
            open_eye("open", packs)

    def test_opens_an_undamaged_copy(self, packs: Path) -> None:
        """The same folder without damage opens: the control of the refusals above."""
        assert open_eye("open", packs).embedder.model_id.startswith("open/fr_feature@")

    def test_refuses_an_unknown_pack(self) -> None:
        """A name that the manifest lacks is refused with those that it has."""
        with pytest.raises(ModelRefused, match="open, buffalo_l"):
            open_eye("antelope", MODELS)


class TestOpenSession:
    """`open_session` beyond the digest."""

    def test_refuses_other_shapes(self, tmp_path: Path) -> None:
        """A model whose digest fits but whose output is 256 long is refused for its shape."""
        path = tmp_path / "embedder.onnx"
        path.write_bytes(tiny_packs.embedder(length=256).SerializeToString())
        file = replace(
            FILES["embedder"],
            sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
            inputs={"input.1": (-1, 3, 112, 112)},
            outputs={"683": (-1, 512)},
        )

        with pytest.raises(ModelRefused, match=r"^embedder.onnx: output is .*256.*512"):
            onnx.open_session(path, file, threads=1)

    def test_refuses_what_is_no_model(self, tmp_path: Path) -> None:
        """Bytes that the runtime cannot build are refused, whatever their digest."""
        path = tmp_path / "detector.onnx"
        path.write_bytes(b"not a model")
        file = replace(FILES["detector"], sha256=hashlib.sha256(b"not a model").hexdigest())

        with pytest.raises(ModelRefused, match=r"^detector.onnx: not a model"):
            onnx.open_session(path, file, threads=1)

    @pytest.mark.parametrize("role", FILES)
    def test_refuses_a_wrong_answer_to_the_canary(self, role: str) -> None:
        """A processor or runtime that computes something else is noticed at the start."""
        canary = tuple(value * 1.1 + 0.5 for value in FILES[role].canary)
        file = replace(FILES[role], canary=canary)

        with pytest.raises(ModelRefused, match="canary"):
            onnx.open_session(MODELS / "open" / file.file, file, threads=1)


class TestInsightFacePacks:
    """`open_eye` on InsightFace's packs."""

    @pytest.fixture
    def packs(self, tmp_path: Path) -> Path:
        """Give a made `buffalo_s` beside the default pack."""
        tiny_packs.install(tmp_path)
        (tmp_path / "open").symlink_to(MODELS / "open")
        return tmp_path

    def test_needs_the_licence_accepted(self, packs: Path) -> None:
        """Without acceptance nothing is loaded, and the refusal names the licence."""
        with pytest.raises(ModelRefused, match="non-commercial"):
            open_eye("buffalo_s", packs)

    def test_prints_nothing(self, packs: Path, capfd: pytest.CaptureFixture[str]) -> None:
        """Loading and looking write nothing to the terminal."""
        eye = open_eye("buffalo_s", packs, accept_noncommercial=True)
        eye.detector.detect(np.zeros((100, 120, 3), np.uint8))

        assert capfd.readouterr() == ("", "")

    def test_refuses_a_changed_file(self, packs: Path) -> None:
        """A file that differs from what was noted at its installation is refused by name."""
        _flip(packs / "buffalo_s" / "w600k_mbf.onnx")

        with pytest.raises(ModelRefused, match=r"^w600k_mbf.onnx: wrong digest"):
            open_eye("buffalo_s", packs, accept_noncommercial=True)

    def test_refuses_a_file_never_noted(self, packs: Path) -> None:
        """A file put there by hand is refused until its digest is noted."""
        (packs / "buffalo_s" / manifest.NOTED).unlink()

        with pytest.raises(ModelRefused, match="never noted"):
            open_eye("buffalo_s", packs, accept_noncommercial=True)

    @pytest.mark.parametrize(
        ("name", "content", "reason"),
        [
            # the recognizer where the detector should be
            ("det_500m.onnx", tiny_packs.embedder, "is no detector"),
            # the detector where the recognizer should be
            ("w600k_mbf.onnx", tiny_packs.detector, "is no embedder"),
            ("w600k_mbf.onnx", lambda: tiny_packs.embedder(side=128), "not 112 by 112"),
            ("w600k_mbf.onnx", lambda: tiny_packs.embedder(length=128), r"not \(1, 512\)"),
        ],
    )
    def test_refuses_other_shapes(
        self, packs: Path, name: str, content: Callable[[], object], reason: str
    ) -> None:
        """A wrong-shaped model is refused even when its digest was noted."""
        model = content()
        (packs / "buffalo_s" / name).write_bytes(model.SerializeToString())  # type: ignore[attr-defined]
        tiny_packs.note(packs / "buffalo_s")

        with pytest.raises(ModelRefused, match=rf"^{name}: .*{reason}"):
            open_eye("buffalo_s", packs, accept_noncommercial=True)

    def test_has_no_threshold(self) -> None:
        """A pack that nobody measured has no calibration, so no gallery opens on it."""
        with pytest.raises(ModelRefused, match="no calibration"):
            open_calibration("buffalo_s")


class TestSecondLook:
    """`SecondLook`."""

    def test_mends_displaced_landmarks(self) -> None:
        """Landmarks that are off by a few pixels come back to within a pixel and a half."""
        eye = open_eye("open", MODELS)
        look = eye.warp
        assert isinstance(look, onnx.SecondLook)
        image = portraits()["Eileen"]
        good = look.refined(image, eye.detector.detect(image)[0].landmarks)
        bad = good + np.array([[5, -4], [-3, 4], [4, 4], [-5, 0], [3, -4]], np.float32)

        mended = look.refined(image, bad)

        assert np.abs(bad - good).mean() > 3
        assert np.abs(mended - good).mean() < 1.5

    def test_keeps_the_landmarks_where_no_face_is(self) -> None:
        """On a bare wall the given landmarks are used as they are."""
        look = open_eye("open", MODELS).warp
        assert isinstance(look, onnx.SecondLook)
        wall = np.full((300, 300, 3), 120, np.uint8)
        landmarks = np.array([[100, 100], [150, 100], [125, 130], [105, 160], [145, 160]], "f4")

        assert (look.refined(wall, landmarks) == landmarks).all()


class TestCut:
    """`opencv.cut`."""

    def test_a_strong_shrink_mixes_all_pixels(self) -> None:
        """A fine checkerboard shrunk ten times is even grey; picked pixels would be stripes."""
        board = (np.indices((600, 600)).sum(axis=0) % 2 * 255).astype(np.uint8)
        image = np.repeat(board[:, :, None], 3, axis=2)

        small = opencv.cut(image, np.array([[0.1, 0, 0], [0, 0.1, 0]]), side=50)

        assert abs(float(small[5:45, 5:45].mean()) - 127.5) < 2
        assert float(small[5:45, 5:45].std()) < 5

    def test_places_points_where_the_similarity_says(self) -> None:
        """A dot lands on its mapped pixel, shrunk or not."""
        for scale in (1.0, 0.2):
            image = np.zeros((400, 400, 3), np.uint8)
            image[195:206, 295:306] = 255
            similarity = np.array([[scale, 0, 10], [0, scale, 20]])

            found = opencv.cut(image, similarity, side=400)

            rows, columns = np.nonzero(found[:, :, 0] > 100)
            assert abs(rows.mean() - (200 * scale + 20)) < 1
            assert abs(columns.mean() - (300 * scale + 10)) < 1


class TestDecode:
    """`opencv.decode` and `encode`."""

    @pytest.mark.parametrize("content", [b"", b"hello", b"\xff\xd8\xff\xe0 truncated"])
    def test_refuses_what_is_no_picture(self, content: bytes) -> None:
        """Empty, foreign and truncated bytes are refused with the adapter's own error."""
        with pytest.raises(opencv.NotAnImage):
            opencv.decode(content)

    def test_png_survives_the_round_trip(self) -> None:
        """Encoding to PNG and back loses nothing."""
        image = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)

        assert (opencv.decode(opencv.encode(image, suffix=".png")) == image).all()
