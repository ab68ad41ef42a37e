"""Photos of riders and strangers to the searches that a gallery would have made.

Everything is kept in memory and dropped; no face, crop or embedding is written. A photo in
which no face is found counts as a miss, as it would at a gate.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_gate.align import DegenerateLandmarks
from edge_gate.embed import fuse
from edge_gate.error_rate import MISSED, Searches
from edge_gate.eye import Eye
from edge_gate.face import Embedding, Face, Image
from edge_gate.quality import Usable, assess


@dataclass(frozen=True, slots=True)
class Photo:
    """One photo to be looked at when its turn comes."""

    person: str
    rider: bool
    """False for a stranger, who is never enrolled."""
    read: Callable[[], Image]
    """Return the picture, BGR uint8, shape (H, W, 3)."""


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What the eye made of one photo."""

    person: str
    rider: bool
    embedding: Embedding | None
    """None where no face was found."""
    quality: float
    """Weight in the fusion; small for a face that the gate would not use."""


def look(
    photos: Iterable[Photo], eye: Eye, *, progress: Callable[[int], None] = lambda _: None
) -> tuple[Seen, ...]:
    """Find and embed the central face of each photo, as the gate would.

    Args:
        photos: Read one at a time.
        eye: The models.
        progress: Called with the number of photos done.

    Returns:
        One record a photo, in their order.
    """
    seen = []
    for count, photo in enumerate(photos, start=1):
        embedding, quality = _central(photo.read(), eye)
        seen.append(Seen(photo.person, photo.rider, embedding, quality))
        progress(count)
    return tuple(seen)


def search(seen: Sequence[Seen], *, photos: int, size: int) -> Searches:
    """Enroll riders and search everybody else's probes, and the riders' other photos.

    Args:
        seen: All photos; a person's first ones are enrolled.
        photos: How many of a rider's photos make the template, at least 1.
        size: How many riders are enrolled, by order of name; the rest are strangers.

    Returns:
        The outcome of every search.

    Raises:
        ValueError: There are not so many riders, or none has a photo left over.
    """
    riders = sorted({one.person for one in seen if one.rider})
    if not 1 <= size <= len(riders):
        raise ValueError(f"{size} of {len(riders)} riders cannot be enrolled")
    numbers = {person: n for n, person in enumerate(dict.fromkeys(one.person for one in seen))}
    enrolled = {person: n for n, person in enumerate(riders[:size])}
    kept: dict[str, list[Seen]] = {person: [] for person in enrolled}
    probes = []
    for one in seen:
        if one.person in kept and len(kept[one.person]) < photos:
            kept[one.person].append(one)
        else:
            probes.append(one)
    if not any(probe.person in enrolled for probe in probes):
        raise ValueError(f"no rider has more than {photos} photos")
    scores = _scores(probes, [_template(kept[person]) for person in enrolled])
    own = np.array([enrolled.get(probe.person, -1) for probe in probes])
    person = np.array([numbers[probe.person] for probe in probes])
    right = scores.argmax(axis=1) == own
    best = np.where(right | (own < 0), scores.max(axis=1), MISSED)
    mated = own >= 0
    return Searches(size, best[mated], person[mated], best[~mated], person[~mated])


def pair_scores(
    seen: Sequence[Seen], *, photos: int, splits: int, seed: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], int]:
    """Score single probes against templates, for the calibration of a model.

    Args:
        seen: All photos.
        photos: How many of a rider's photos make the template.
        splits: How often riders' photos are dealt anew into template and probes.
        seed: Of the dealing.

    Returns:
        Impostor scores of all splits, mated scores of all splits, and the number of impostor
        pairs in one split.
    """
    random = np.random.default_rng(seed)
    impostor, mated = [], []
    for _ in range(splits):
        order = random.permutation(len(seen))
        kept: dict[str, list[Seen]] = {}
        probes: list[Seen] = []
        for one in (seen[i] for i in order if seen[i].embedding is not None):
            mine = kept.setdefault(one.person, []) if one.rider else None
            (probes if mine is None or len(mine) >= photos else mine).append(one)
        scores = _scores(probes, [_template(ones) for ones in kept.values()])
        same = np.array([[probe.person == person for person in kept] for probe in probes])
        impostor.append(scores[~same])
        mated.append(scores[same])
    return np.concatenate(impostor), np.concatenate(mated), len(impostor[0])


def central(faces: Sequence[Face], *, width: int, height: int) -> Face | None:
    """Return the face nearest to the middle of the picture: the one whom a portrait is of.

    Args:
        faces: As detected.
        width: Of the picture, pixels.
        height: Of the picture, pixels.
    """

    def distance(face: Face) -> float:
        x, y = face.box.centre
        return (x - width / 2) ** 2 + (y - height / 2) ** 2

    return min(faces, key=distance, default=None)


def _central(image: Image, eye: Eye) -> tuple[Embedding | None, float]:
    face = central(eye.detector.detect(image), width=image.shape[1], height=image.shape[0])
    if face is None:
        return None, 0.0
    try:
        crop = eye.warp(image, face.landmarks)
    except DegenerateLandmarks:
        return None, 0.0
    judged = assess(face, crop)
    embedding: Embedding = eye.embedder.embed((crop,))[0]
    # A poor picture is searched all the same: leaving it out would flatter the model.
    return embedding, judged.score if isinstance(judged, Usable) else 0.05


def _template(seen: Sequence[Seen]) -> Embedding | None:
    good = [(one.embedding, one.quality) for one in seen if one.embedding is not None]
    if not good:
        return None
    return fuse([embedding for embedding, _ in good], [quality for _, quality in good])


def _scores(
    probes: Sequence[Seen], templates: Sequence[Embedding | None]
) -> npt.NDArray[np.float64]:
    """Return all cosines, shape (P, T); `MISSED` where probe or template has no face."""
    length = next(len(t) for t in [*templates, *(p.embedding for p in probes)] if t is not None)
    nothing = np.zeros(length, np.float32)
    left = np.stack([nothing if p.embedding is None else p.embedding for p in probes])
    right = np.stack([nothing if t is None else t for t in templates])
    scores = (left @ right.T).astype(np.float64)
    scores[[p.embedding is None for p in probes], :] = MISSED
    scores[:, [t is None for t in templates]] = MISSED
    return scores
