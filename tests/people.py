"""Portraits of real people from the sample photos inside two installed wheels.

Six faces are cut from one group photo of `insightface`; their names here are made up. The
other two are known by name: the astronaut of `scikit-image` and a small grey crop of
`insightface`. Nothing is copied into this repository.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import cv2

from edge_gate.adapters import opencv
from edge_gate.face import Image

_GROUP = ("insightface", "data/images/t1.jpg")
_CROP = ("insightface", "data/images/Tom_Hanks_54745.png")
_ASTRONAUT = ("skimage", "data/astronaut.png")


@dataclass(frozen=True, slots=True)
class Portrait:
    """Where one person's portrait lies."""

    source: tuple[str, str]
    """Package, and path of the photo inside it."""
    area: tuple[int, int, int, int]
    """Left, top, right, bottom in pixels of the photo."""


PEOPLE = {
    "Robin": Portrait(_GROUP, (5, 185, 215, 475)),
    "Sasha": Portrait(_GROUP, (222, 75, 424, 350)),
    "Kim": Portrait(_GROUP, (419, 185, 619, 480)),
    "Jules": Portrait(_GROUP, (694, 270, 890, 545)),
    "Noor": Portrait(_GROUP, (858, 0, 1056, 275)),
    "Toni": Portrait(_GROUP, (1078, 195, 1278, 475)),
    "Eileen": Portrait(_ASTRONAUT, (85, 0, 365, 300)),
    "Tom": Portrait(_CROP, (0, 0, 112, 112)),
}


def portraits() -> dict[str, Image]:
    """Return a portrait with some margin for each person, BGR uint8, at least 180 px wide."""
    photos = {place: _photo(place) for place in (_GROUP, _CROP, _ASTRONAUT)}
    cut = {}
    for name, portrait in PEOPLE.items():
        left, top, right, bottom = portrait.area
        cut[name] = photos[portrait.source][top:bottom, left:right].copy()
    # The grey crop has no margin and 75 pixels of face: enlarge it and continue its edges.
    large = opencv.resize(cut["Tom"], width=224, height=224)
    cut["Tom"] = cv2.copyMakeBorder(large, 80, 80, 80, 80, cv2.BORDER_REPLICATE)
    return cut


def group() -> Image:
    """Return the whole group photo of six people, BGR uint8, shape (886, 1280, 3)."""
    return _photo(_GROUP)


def _photo(place: tuple[str, str]) -> Image:
    package, path = place
    spec = find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return opencv.decode((Path(spec.submodule_search_locations[0]) / path).read_bytes())
