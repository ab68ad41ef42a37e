"""1:N search on this machine: the gate's gallery against exhaustive search."""

from collections.abc import Callable
from datetime import datetime, timedelta

import faiss
import numpy as np

from cloud_sync.calibration import Calibration
from cloud_sync.content import Space
from cloud_sync.gallery import Template
from cloud_sync.generate import templates
from cloud_sync.stream.lease import Lease
from edge_gate.adapters.faiss_gallery import FaissGallery
from edge_gate.bench import Searches, Spread, same_decision, spread
from edge_gate.decide import DecideConfig, Standing
from edge_gate.face import Embedding
from edge_gate.moment import Moment
from edge_gate.search import Candidates, Probe


def compare(
    size: int,
    calibration: Calibration,
    *,
    target_fpir: float,
    probes: int,
    noon: datetime,
    now_s: Callable[[], float],
) -> Searches:
    """Search the same probes in both and compare the decisions.

    A third of the probes are riders far above the threshold, a third riders about it, which is
    where a lost candidate would show, and a third strangers.

    Args:
        size: Templates, generated.
        calibration: Gives the threshold at this size.
        target_fpir: The threshold's other side.
        probes: How many.
        noon: Any aware moment.
        now_s: A monotonic clock, seconds.
    """
    space = Space("bench/generated")
    people = templates(size, seed=1, model_id=space.model_id)
    strangers = templates(probes, seed=2, model_id=space.model_id)
    threshold = calibration.threshold(size, target_fpir).score
    gallery = FaissGallery(space)
    gallery.replace(people)
    flat = faiss.IndexFlatIP(512)
    flat.add(np.stack([person.vector for person in people]))
    standing = Standing(size, 0, threshold, Lease(noon + timedelta(days=1), noon))
    now, config = Moment(0.0, noon), DecideConfig()
    looks = _looks(people, strangers, threshold)
    ours_ms, found = [], []
    for look in looks:
        began_s = now_s()
        found.append(gallery.search(Probe(look, space)))
        ours_ms.append(1000 * (now_s() - began_s))
    flat_ms, equal = [], 0
    # In a round of its own: exhaustive search would sweep the caches before each of ours.
    for look, mine in zip(looks, found, strict=True):
        began_s = now_s()
        scores, rows = flat.search(look[np.newaxis], 2)
        flat_ms.append(1000 * (now_s() - began_s))
        oracle = Candidates(
            tuple(people[row].rider_ref for row in rows[0]), tuple(map(float, scores[0]))
        )
        equal += same_decision(mine, oracle, standing, now, config)
    return Searches(size, threshold, _sure(ours_ms), _sure(flat_ms), len(looks), equal)


def _looks(
    people: tuple[Template, ...], strangers: tuple[Template, ...], threshold: float
) -> list[Embedding]:
    """Return unit probes: riders at a chosen cosine to their template, and strangers."""
    rng = np.random.default_rng(3)
    looks: list[Embedding] = []
    for number, stranger in enumerate(strangers):
        aim = (0.85, threshold + rng.normal(0, 0.03), None)[number % 3]
        if aim is None:
            looks.append(stranger.vector)
            continue
        mine = people[int(rng.integers(len(people)))].vector
        aside = stranger.vector - (stranger.vector @ mine) * mine
        aside /= np.linalg.norm(aside)
        cosine = float(np.clip(aim, 0.05, 0.99))
        look = cosine * mine + np.sqrt(1 - cosine**2) * aside
        looks.append(look.astype(np.float32))
    return looks


def _sure(samples_ms: list[float]) -> Spread:
    measured = spread(samples_ms)
    assert measured is not None
    return measured
