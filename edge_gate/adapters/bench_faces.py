"""People for the bench: the six of a sample photo, walking up in the scene camera."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

from edge_gate.adapters.opencv import decode, encode
from edge_gate.adapters.scene_camera import SceneCamera
from edge_gate.eye import Eye
from edge_gate.face import Face, Image
from edge_gate.pose import yaw_degrees

FPS = 15.0
_ACTOR = """
[[actor]]
name = "{name}"
photo = "{name}.png"
start_s = {start_s}
x = {x}
approach_s = {approach_s}
stand_s = 1.5
width_px = {width}
turn_deg = {turn}
"""


def sample_people(eye: Eye) -> dict[str, tuple[Image, Face]]:
    """Return a portrait of each of six people, and the face in it.

    Args:
        eye: Finds the faces.
    """
    photo = decode((resources.files("insightface") / "data" / "images" / "t1.jpg").read_bytes())
    people = {}
    faces = sorted(eye.detector.detect(photo), key=lambda face: face.box.left)
    for number, face in enumerate(faces):
        box = face.box
        left, top = int(box.left - 0.55 * box.width), int(box.top - 0.5 * box.height)
        right = int(box.left + 1.55 * box.width)
        bottom = int(box.top + 1.35 * box.height)
        portrait = photo[max(0, top) : bottom, max(0, left) : right].copy()
        found = eye.detector.detect(portrait)
        if found:
            people[f"person{number}"] = (portrait, found[0])
    return people


def faces_camera(face: Face) -> bool:
    """Tell whether somebody looks into the camera; who does not is no passenger to time.

    The gate waits for people to face it, so a portrait that looks aside would measure the
    portrait. 20 degrees leave the walk's own swing of the head inside the gate's 30.
    """
    return abs(yaw_degrees(face.landmarks)) <= 20


@contextmanager
def stage(portraits: dict[str, Image]) -> Iterator[Path]:
    """Give a folder with the portraits, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="gateline-bench-") as name:
        folder = Path(name)
        for person, portrait in portraits.items():
            (folder / f"{person}.png").write_bytes(encode(portrait, suffix=".png"))
        yield folder


def film(
    folder: Path, rider: str, others: Sequence[str], *, seed: int, eye: Eye, seconds: float = 3.4
) -> list[Image]:
    """Return the frames of one walk at `FPS`, BGR 640x480.

    Args:
        folder: With the portraits.
        rider: Who walks up to the gate.
        others: Who stand behind and beside, smaller.
        seed: Noise, pace and turn of the head.
        eye: Finds the faces in the portraits.
        seconds: Length.
    """
    text = f"[scene]\nseed = {seed}\nfps = {FPS}\n"
    text += _ACTOR.format(
        name=rider, start_s=0.1, x=0.5, approach_s=1.1 + 0.1 * (seed % 5), width=120,
        turn=3 + seed % 6,
    )  # fmt: skip
    places = ((0.14, 52), (0.86, 56), (0.3, 46), (0.72, 44), (0.05, 50))
    for other, (x, width) in zip(others, places, strict=False):
        text += _ACTOR.format(name=other, start_s=0.0, x=x, approach_s=0.1, width=width, turn=4)
    script = folder / f"walk-{seed}.toml"
    script.write_text(text, encoding="utf-8")
    now_s = [0.0]

    def sleep(wait_s: float) -> None:
        now_s[0] += wait_s

    camera = SceneCamera(script, detector=eye.detector, clock=lambda: now_s[0], sleep=sleep)
    frames = []
    for _ in range(round(seconds * FPS)):
        frame = camera.read()
        assert frame is not None
        frames.append(frame.image)
    return frames
