"""Real photos before the real eye: each refusal has a photo that earns it, and one that not."""

import struct
import zlib
from dataclasses import replace

import cv2
import numpy as np
import pytest

from edge_gate.face import Image
from edge_gate.quality import ENROLLMENT
from enroll.photo import Accepted, PhotoConfig
from enroll.refusal import ADVICE, MESSAGES, Refusal, Refused
from tests.people import group, portraits
from tests.riders import assessor, png


@pytest.fixture(scope="module")
def people() -> dict[str, Image]:
    """Give the portraits by name."""
    return portraits()


def on_wall(portrait: Image, *, times: float) -> Image:
    """Hang a portrait on a grey wall this many times as wide and high."""
    high, wide = portrait.shape[:2]
    wall = np.full((int(high * times), int(wide * times), 3), 125, np.uint8)
    top, left = (wall.shape[0] - high) // 2, (wall.shape[1] - wide) // 2
    wall[top : top + high, left : left + wide] = portrait
    return wall


def on_phone(portrait: Image) -> Image:
    """Show a portrait on a phone before a wall: dark frame, washed-out colours, screen pattern."""
    high, wide = portrait.shape[:2]
    rows, columns = np.mgrid[:high, :wide]
    pattern = 1 + 0.12 * np.sin(columns * 2.1) * np.sin(rows * 2.3)
    shown = (portrait * 0.8 + 35) * pattern[..., None]
    framed = cv2.copyMakeBorder(
        np.clip(shown, 0, 255).astype(np.uint8),
        *(high // 12, high // 12, wide // 16, wide // 16),
        cv2.BORDER_CONSTANT,
        value=(15, 15, 15),
    )
    blurred: Image = cv2.GaussianBlur(on_wall(framed, times=1.6), (0, 0), 0.7)
    return blurred


def lit(portrait: Image, factor: float, add: float = 0) -> Image:
    """Change the light."""
    changed: Image = np.clip(portrait * factor + add, 0, 255).astype(np.uint8)
    return changed


def gigapixels() -> bytes:
    """Give a decompression bomb: 1.6 gigapixels of black in two megabytes."""
    squeezer = zlib.compressobj(9)
    row = bytes(1 + 40_000 * 3)
    rows = [squeezer.compress(row) for _ in range(400)]
    body = b"".join(rows) + squeezer.flush()
    head = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", body), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(part)) + kind + part + struct.pack(">I", zlib.crc32(kind + part))
        for kind, part in chunks
    )


def judged(image: Image | bytes, config: PhotoConfig | None = None) -> Refusal | None:
    """Return why a first photo is refused, None when it is accepted."""
    data = image if isinstance(image, bytes) else png(image)
    outcome = assessor(config)(data, None)
    return outcome.reason if isinstance(outcome, Refused) else None


class TestRefusals:
    """Every member of `Refusal`."""

    def test_every_portrait_is_accepted(self, people: dict[str, Image]) -> None:
        """The control of all tests here: each person's plain portrait is taken."""
        assert {name: judged(image) for name, image in people.items()} == dict.fromkeys(people)

    @pytest.mark.parametrize("data", [b"", b"hello", b"GIF89a" + bytes(99), b"\xff\xd8\xff\xd9"])
    def test_not_an_image(self, data: bytes) -> None:
        """Other files, and a JPEG without a picture in it, are not images."""
        assert judged(data) is Refusal.NOT_AN_IMAGE

    def test_broken_content(self, people: dict[str, Image]) -> None:
        """A whole container with nonsense inside is refused, not raised."""
        chunks = [(b"IHDR", struct.pack(">IIBBBBB", 80, 80, 8, 2, 0, 0, 0)), (b"IDAT", b"no zlib")]
        broken = b"\x89PNG\r\n\x1a\n" + b"".join(
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
            for kind, body in [*chunks, (b"IEND", b"")]
        )
        assert judged(broken) in (Refusal.NOT_AN_IMAGE, Refusal.NO_FACE, Refusal.TOO_DARK)

    def test_truncated(self, people: dict[str, Image]) -> None:
        """A JPEG without its last hundredth is refused, the whole one is taken."""
        whole = bytes(cv2.imencode(".jpg", people["Robin"])[1])

        assert judged(whole[: len(whole) * 99 // 100]) is Refusal.TRUNCATED
        assert judged(whole) is None

    def test_too_large(self, people: dict[str, Image]) -> None:
        """A bomb is refused by its stated size; a photo just inside the limit is taken."""
        high, wide = people["Robin"].shape[:2]
        exact = PhotoConfig(pixels_max=high * wide)

        assert judged(gigapixels()) is Refusal.TOO_LARGE
        assert judged(people["Robin"], replace(exact, pixels_max=high * wide - 1)) is (
            Refusal.TOO_LARGE
        )
        assert judged(people["Robin"], exact) is None

    def test_no_face(self, people: dict[str, Image]) -> None:
        """A wall has no face, and neither has a portrait without its middle."""
        defaced = people["Robin"].copy()
        defaced[40:230, 30:180] = 125

        assert judged(np.full((400, 300, 3), 125, np.uint8)) is Refusal.NO_FACE
        assert judged(defaced) is Refusal.NO_FACE

    def test_two_faces(self, people: dict[str, Image]) -> None:
        """Six people in a row, or two portraits side by side, are not one person."""
        pair = np.hstack([people["Robin"][:275], people["Sasha"][:275]])

        assert judged(group()) is Refusal.TWO_FACES
        assert judged(pair) is Refusal.TWO_FACES

    def test_somebody_in_the_background(self, people: dict[str, Image]) -> None:
        """A face much smaller than the rider's does not disturb."""
        high, wide = people["Eileen"].shape[:2]
        near = on_wall(cv2.resize(people["Eileen"], (3 * wide, 3 * high)), times=1.3)
        near[:275, :202] = people["Sasha"]

        assert judged(near) is None
        assert judged(near, PhotoConfig(second_face_ratio=0.05)) is Refusal.TWO_FACES

    def test_too_small(self, people: dict[str, Image]) -> None:
        """Half as large, Robin's face has too few pixels."""
        half = cv2.resize(people["Robin"], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)

        assert judged(on_wall(half, times=2)) is Refusal.TOO_SMALL
        assert judged(on_wall(people["Robin"], times=2)) is None

    def test_blurred(self, people: dict[str, Image]) -> None:
        """Out of focus by three pixels, every sharp portrait is refused."""
        for name in ("Robin", "Kim", "Eileen"):
            assert judged(cv2.GaussianBlur(people[name], (0, 0), 3)) is Refusal.BLURRED

    def test_turned_away(self, people: dict[str, Image]) -> None:
        """With 30 degrees allowed, Noor, who looks aside, is refused and Kim is not."""
        strict = PhotoConfig(quality=replace(ENROLLMENT, yaw_max_deg=30))

        assert judged(people["Noor"], strict) is Refusal.TURNED_AWAY
        assert judged(people["Kim"], strict) is None

    def test_nodding(self, people: dict[str, Image]) -> None:
        """A head that nods counts as turned away too."""
        strict = PhotoConfig(quality=replace(ENROLLMENT, pitch_max_deg=1))

        assert Refusal.TURNED_AWAY in {judged(image, strict) for image in people.values()}

    def test_cut_off(self, people: dict[str, Image]) -> None:
        """Without a third of the face, at the side or at the chin, a portrait is refused."""
        eileen = people["Eileen"]  # her face is at 92 to 188 across and 57 to 178 down

        assert judged(np.ascontiguousarray(eileen[:, 122:])) is Refusal.CUT_OFF
        assert judged(eileen[:140]) is Refusal.CUT_OFF
        assert judged(np.ascontiguousarray(eileen[:178, 92:])) is None
        assert judged(eileen[:140], PhotoConfig(outside_max=1, live_min=0)) is None

    def test_light(self, people: dict[str, Image]) -> None:
        """A tenth of the light is too dark, a washed-out face too bright."""
        robin = people["Robin"]

        assert judged(lit(robin, 0.15)) is Refusal.TOO_DARK
        assert judged(lit(robin, 0)) is Refusal.TOO_DARK
        assert judged(lit(robin, 1.6, 90)) is Refusal.TOO_BRIGHT
        assert judged(lit(robin, 0, 255)) is Refusal.TOO_BRIGHT

    def test_other_person(self, people: dict[str, Image]) -> None:
        """Kim's photo is refused in Robin's account; Robin's own, darker and mirrored, is not."""
        judge = assessor()
        first = judge(png(people["Robin"]), None)
        assert isinstance(first, Accepted)
        again = np.ascontiguousarray(lit(people["Robin"], 0.7)[:, ::-1])

        kim = judge(png(people["Kim"]), first.embedding)
        robin = judge(png(again), first.embedding)

        assert kim == Refused(Refusal.OTHER_PERSON)
        assert isinstance(robin, Accepted)

    def test_picture_of_picture(self, people: dict[str, Image]) -> None:
        """A portrait shown on a phone is refused; the same portrait before a wall is not."""
        assert judged(on_phone(people["Robin"])) is Refusal.PICTURE_OF_PICTURE
        assert judged(on_wall(people["Robin"], times=1.6)) is None

    def test_every_refusal_has_words(self) -> None:
        """Each refusal has a message and advice, and no two share a message."""
        assert set(MESSAGES) == set(ADVICE) == set(Refusal)
        assert len(set(MESSAGES.values())) == len(Refusal)


class TestLimits:
    """What the judge cannot do, so that nobody promises it."""

    def test_liveness_is_weak_evidence(self, people: dict[str, Image]) -> None:
        """Eileen's portrait on the same phone passes for a live face."""
        assert judged(on_phone(people["Eileen"])) is None


class TestAccepted:
    """What comes of a good photo."""

    def test_embedding_is_the_gates_own(self, people: dict[str, Image]) -> None:
        """The embedding is the one that the gate's eye makes of the same picture."""
        judge = assessor()
        accepted = judge(png(people["Kim"]), None)
        (face,) = judge.eye.detector.detect(people["Kim"])

        assert isinstance(accepted, Accepted)
        np.testing.assert_allclose(
            accepted.embedding, judge.eye.embedding(people["Kim"], face), atol=1e-5
        )
        assert accepted.model_id == judge.eye.embedder.model_id
        assert 0 < accepted.quality <= 1

    def test_sideways_photo_with_a_note(self, people: dict[str, Image]) -> None:
        """A photo stored sideways with the EXIF note to turn it is judged upright."""
        upright = people["Robin"]
        sideways = bytes(cv2.imencode(".jpg", np.rot90(upright).copy())[1])
        tiff = b"MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00"
        exif = b"Exif\x00\x00" + tiff + bytes(4)
        noted = sideways[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + sideways[2:]
        judge = assessor()
        straight, turned = judge(png(upright), None), judge(noted, None)

        assert isinstance(straight, Accepted)
        assert isinstance(turned, Accepted), turned
        assert straight.embedding @ turned.embedding > 0.9

    def test_clean_picture_has_no_notes(self, people: dict[str, Image]) -> None:
        """What would be kept of a photo holds none of its EXIF notes, e.g. no place."""
        photo = bytes(cv2.imencode(".jpg", people["Robin"])[1])
        note = b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x00" + b"GPS 34.2658 108.9541"
        noted = photo[:2] + b"\xff\xe1" + struct.pack(">H", len(note) + 2) + note + photo[2:]
        accepted = assessor()(noted, None)

        assert isinstance(accepted, Accepted)
        assert b"34.2658" in noted
        assert b"34.2658" not in accepted.clean
        assert b"Exif" not in accepted.clean

    @pytest.mark.parametrize(
        ("suffix", "times"), [(".jpg", 1), (".jpg", 9), (".jpg", 18), (".png", 9), (".webp", 2)]
    )
    def test_formats_and_sizes(self, suffix: str, times: int, people: dict[str, Image]) -> None:
        """JPEG, PNG and WebP are taken from 280 pixels to 25 megapixels."""
        large = cv2.resize(people["Eileen"], None, fx=times, fy=times)
        assert judged(bytes(cv2.imencode(suffix, large)[1])) is None


class TestGlance:
    """Guidance before the photo."""

    def test_same_words_as_the_judge(self, people: dict[str, Image]) -> None:
        """A glance says what the judge would say of quality, and nothing when it is good."""
        judge = assessor()
        blurred = png(cv2.GaussianBlur(people["Robin"], (0, 0), 3))

        assert judge.glance(blurred) == Refused(Refusal.BLURRED)
        assert judge.glance(png(people["Robin"])) is None
