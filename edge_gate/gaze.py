"""Eye and gallery at work on one face: worth a look, seen, answered. No memory of people."""

from dataclasses import replace

from edge_gate.align import DegenerateLandmarks
from edge_gate.approach import Approach, ApproachConfig, Sighting
from edge_gate.decide import DecideConfig, Decision, Evidence, decide
from edge_gate.embed import NoDirection
from edge_gate.eye import Eye
from edge_gate.face import Face, Image
from edge_gate.holdings import Holdings
from edge_gate.lap import Laps
from edge_gate.moment import Moment
from edge_gate.quality import QualityConfig, Usable, assess
from edge_gate.reason import Deny, DenyReason
from edge_gate.search import Probe


def worth(
    eye: Eye, image: Image, face: Face, config: QualityConfig, laps: Laps
) -> tuple[Image, float] | None:
    """Return the aligned face and its quality; None if it is not worth embedding.

    Args:
        eye: For its warp.
        image: BGR uint8, shape (H, W, 3).
        face: In pixels of the image.
        config: The limits.
        laps: Where the times go.
    """
    try:
        with laps.of("align"):
            crop = eye.warp(image, face.landmarks)
    except DegenerateLandmarks:
        return None
    with laps.of("quality"):
        quality = assess(face, crop, config)
    return (crop, quality.score) if isinstance(quality, Usable) else None


def sight(
    eye: Eye, image: Image, face: Face, usable: tuple[Image, float], laps: Laps
) -> Sighting | None:
    """Return one usable frame's embedding and liveness; None if the embedding points nowhere.

    Args:
        eye: For its liveness model and embedder.
        image: BGR uint8, shape (H, W, 3).
        face: In pixels of the image.
        usable: Crop and quality, from `worth`.
        laps: Where the times go.
    """
    crop, quality = usable
    with laps.of("liveness"):
        live = eye.liveness.live(image, face)
    try:
        with laps.of("embed"):
            return Sighting(eye.embedder.embed((crop,))[0], quality, live)
    except NoDirection:
        return None


def answer(
    eye: Eye,
    holdings: Holdings,
    approach: Approach,
    configs: tuple[ApproachConfig, DecideConfig],
    now: Moment,
    laps: Laps,
) -> tuple[Decision, float | None]:
    """Search for what was seen of one person and decide.

    Args:
        eye: For the name of its space.
        holdings: Gallery and what it is worth.
        approach: With at least one sighting.
        configs: Of approach and decision.
        now: By both clocks.
        laps: Where the times go.

    Returns:
        The decision, and the best candidate's score; None where nothing could be searched.
    """
    of_approach, of_decision = configs
    gallery = holdings.gallery
    # The transform is the gallery's own; the model was compared when the path was opened.
    space = replace(gallery.space, model_id=eye.embedder.model_id)
    try:
        with laps.of("search"):
            probe = approach.probe(of_approach)
            candidates = gallery.search(Probe(probe, space))
    except NoDirection:
        # Frames that cancel out are not of one person.
        return Deny(DenyReason.AMBIGUOUS), None
    with laps.of("decide"):
        evidence = Evidence(candidates, approach.live(), approach.complete(of_approach))
        # Read after the search: the threshold is raised before a gallery grows.
        decision = decide(evidence, holdings.standing, now=now, config=of_decision)
    return decision, candidates.scores[0] if candidates.scores else None
