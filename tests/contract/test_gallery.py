"""What every gallery promises: ranking, change, refusal, and agreement with the oracle."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud_sync.content import Space
from cloud_sync.gallery import Template
from cloud_sync.secrecy.rotation import Rotation, RotationSeed
from edge_gate.adapters.faiss_gallery import FaissConfig, FaissGallery
from edge_gate.adapters.numpy_gallery import NumpyGallery
from edge_gate.face import Embedding
from edge_gate.search import Candidates, Gallery, Probe, SpaceMismatch

SPACE = Space("test/512")
POOL = 60


def _unit(seed: int) -> Embedding:
    vector = np.random.default_rng(seed).standard_normal(512).astype(np.float32)
    return vector / np.linalg.norm(vector)


def _template(rider: int, *, look: int | None = None, model: str = "test/512") -> Template:
    look = rider if look is None else look
    return Template(UUID(int=rider), 1, model, "plain", _unit(look))


ROTATION = Rotation(RotationSeed("00c0ffee", b"s" * 32))


def _turned(template: Template) -> Template:
    vector = ROTATION.apply(template.vector)
    return replace(template, vector=vector, transform_id=ROTATION.transform_id)


def _probe(vector: Embedding) -> Probe:
    return Probe(vector, SPACE)


class GalleryContract(ABC):
    """Subclassed once per adapter."""

    @abstractmethod
    def make(self) -> Gallery:
        """Return an empty gallery of `SPACE`."""

    def test_empty_answers_nobody(self) -> None:
        """An empty gallery has no candidates and size 0."""
        gallery = self.make()

        assert gallery.search(_probe(_unit(1))) == Candidates((), ())
        assert gallery.size == 0

    @pytest.mark.parametrize("count", [1, 2, 3, 30, 700])
    def test_finds_the_rider_first(self, count: int) -> None:
        """A rider's own look is the best of two distinct candidates, at every size."""
        gallery = self.make()
        gallery.replace([_template(i) for i in range(count)])

        found = gallery.search(_probe(_unit(count // 2)))

        assert found.riders[0] == UUID(int=count // 2)
        assert found.scores[0] == pytest.approx(1.0, abs=1e-5)
        assert len(set(found.riders)) == min(2, count)

    def test_a_new_template_replaces_the_old(self) -> None:
        """After a second template of one rider the first look no longer matches."""
        gallery = self.make()
        gallery.replace([_template(i) for i in range(5)])

        gallery.apply([_template(3, look=99)], [])

        assert gallery.size == 5
        assert gallery.search(_probe(_unit(99))).riders[0] == UUID(int=3)
        assert gallery.search(_probe(_unit(3))).scores[0] < 0.5

    def test_a_dropped_rider_is_gone_at_once(self) -> None:
        """The first search after a drop cannot find the rider, and still gives two others."""
        gallery = self.make()
        gallery.replace([_template(i) for i in range(40)])

        gallery.apply([], [UUID(int=i) for i in range(30)])
        found = gallery.search(_probe(_unit(7)))

        assert gallery.size == 10
        assert len(found.riders) == 2
        assert all(rider.int >= 30 for rider in found.riders)

    def test_drop_then_put_in_one_step_holds_the_new(self) -> None:
        """A rider dropped and put in the same step is held."""
        gallery = self.make()
        gallery.replace([_template(1)])

        gallery.apply([_template(1, look=50)], [UUID(int=1)])

        assert gallery.search(_probe(_unit(50))).scores[0] == pytest.approx(1.0, abs=1e-5)
        assert gallery.size == 1

    def test_refuses_a_foreign_probe(self) -> None:
        """A probe of another model is refused, not compared."""
        gallery = self.make()
        gallery.replace([_template(1)])

        with pytest.raises(SpaceMismatch):
            gallery.search(Probe(_unit(1), Space("other/512")))
        with pytest.raises(SpaceMismatch):
            gallery.search(Probe(_unit(1), Space("test/512", "keyed-7")))

    def test_refuses_a_foreign_template_whole(self) -> None:
        """One template of another model refuses the step, and nothing of it is held."""
        gallery = self.make()
        gallery.replace([_template(1)])

        with pytest.raises(SpaceMismatch):
            gallery.apply([_template(2), _template(3, model="other/512")], [UUID(int=1)])
        with pytest.raises(SpaceMismatch):
            gallery.replace([_template(3, model="other/512")])

        assert gallery.size == 1
        assert gallery.search(_probe(_unit(1))).riders == (UUID(int=1),)

    def test_a_probe_is_turned_as_the_templates_are(self) -> None:
        """A plain probe finds turned templates; unturned ones no longer may come, nor the others.

        The scores are those of the plain space.
        """
        gallery, plain = self.make(), self.make()
        crowd = [_template(i) for i in range(40)]
        gallery.replace([_turned(each) for each in crowd], rotation=ROTATION)
        plain.replace(crowd)

        gallery.seal()
        gallery.apply([_turned(_template(40))], [UUID(int=3)])
        plain.apply([_template(40)], [UUID(int=3)])

        assert gallery.space == SPACE
        assert gallery.template_space == replace(SPACE, transform_id=ROTATION.transform_id)
        for look in (7, 40, 3):
            found, expected = (each.search(_probe(_unit(look))) for each in (gallery, plain))
            assert found.riders == expected.riders
            assert found.scores == pytest.approx(expected.scores, abs=1e-5)
        with pytest.raises(SpaceMismatch):
            gallery.apply([_template(41)], [])
        with pytest.raises(SpaceMismatch):
            gallery.replace([_template(41)], rotation=ROTATION)

        gallery.replace(crowd)
        assert gallery.search(_probe(_unit(7))).riders[0] == UUID(int=7)

    def test_a_rider_given_twice_is_held_once(self) -> None:
        """The last counts, and nobody is taken for the one in the next row."""
        gallery = self.make()

        gallery.replace([_template(1), _template(2)], [_template(1, look=50), _template(3)])

        assert gallery.size == 3
        for look, rider in ((50, 1), (2, 2), (3, 3)):
            found = gallery.search(_probe(_unit(look)))
            assert found.riders[0] == UUID(int=rider)
            assert found.scores[0] == pytest.approx(1.0)

    def test_names_what_has_expired(self, noon: datetime) -> None:
        """Exactly the templates whose time is up are named."""
        gallery = self.make()
        past, later = noon - timedelta(seconds=1), noon + timedelta(seconds=1)
        times = (None, past, later)
        gallery.replace(
            [
                Template(UUID(int=i), 1, "test/512", "plain", _unit(i), t)
                for i, t in enumerate(times)
            ]
        )

        assert gallery.expired(noon) == (UUID(int=1),)

    @settings(
        max_examples=25, deadline=None, suppress_health_check=[HealthCheck.differing_executors]
    )
    @given(data=st.data())
    def test_agrees_with_the_oracle(self, data: st.DataObject) -> None:
        """After any run of puts, drops, replacements and seals both rank the same best two."""
        gallery, oracle = self.make(), NumpyGallery(SPACE)
        riders = st.integers(0, POOL - 1)
        for _ in range(data.draw(st.integers(1, 8))):
            step = data.draw(st.sampled_from(["apply", "apply", "replace", "seal"]))
            puts = data.draw(st.lists(st.tuples(riders, riders), max_size=40))
            templates = [_template(rider, look=look) for rider, look in dict(puts).items()]
            if step == "apply":
                drops = [UUID(int=i) for i in data.draw(st.lists(riders, max_size=20))]
                gallery.apply(templates, drops)
                oracle.apply(templates, drops)
            elif step == "replace":
                gallery.replace(templates)
                oracle.replace(templates)
            else:
                gallery.seal()
            probe = _probe(_unit(data.draw(riders) + 1_000))
            _same(oracle.search(probe, 3), gallery.search(probe, 3))
            assert oracle.size == gallery.size

    def test_searches_stay_right_while_the_gallery_changes(self) -> None:
        """Lanes that search during hundreds of changes always find the riders who never change."""
        gallery = self.make()
        gallery.replace([_template(i) for i in range(100)])
        wrong: list[object] = []
        stop = threading.Event()

        def lane(seed: int) -> None:
            rng = np.random.default_rng(seed)
            while not stop.is_set():
                rider = int(rng.integers(0, 50))
                found = gallery.search(_probe(_unit(rider)))
                if found.riders[0] != UUID(int=rider) or len(set(found.riders)) != 2:
                    wrong.append(found)

        lanes = [threading.Thread(target=lane, args=(n,)) for n in range(2)]
        for thread in lanes:
            thread.start()
        for turn in range(60):
            movers = [UUID(int=50 + (turn * 7 + i) % 50) for i in range(5)]
            gallery.apply([], movers)
            gallery.apply([_template(rider.int, look=rider.int) for rider in movers], [])
            if turn % 6 == 0:
                gallery.seal()
        stop.set()
        for thread in lanes:
            thread.join()

        assert wrong == []
        assert gallery.size == 100


def _same(expected: Candidates, found: Candidates) -> None:
    """Compare rankings; riders of equal score may change places."""
    assert found.scores == pytest.approx(expected.scores, abs=1e-5)
    assert len(set(found.riders)) == len(found.riders)
    clear = [
        i
        for i, score in enumerate(expected.scores)
        if sum(abs(score - other) < 1e-5 for other in expected.scores) == 1
    ]
    last = len(expected.scores) - 1
    assert [found.riders[i] for i in clear if i < last] == [
        expected.riders[i] for i in clear if i < last
    ]


class TestNumpyGallery(GalleryContract):
    """The oracle."""

    def make(self) -> Gallery:
        """Return an empty gallery."""
        return NumpyGallery(SPACE)


class TestFaissGallery(GalleryContract):
    """With the limits of a large station."""

    def make(self) -> Gallery:
        """Return an empty gallery."""
        return FaissGallery(SPACE)


class TestSealingFaissGallery(GalleryContract):
    """With limits so low that every path is walked: quantised, sealed, full of tombstones."""

    def make(self) -> Gallery:
        """Return an empty gallery."""
        return FaissGallery(SPACE, FaissConfig(flat_max=20, head_max=2, dead_max=2))


class _MutatingGallery(NumpyGallery):
    """A wrong gallery: it changes what a search is reading."""

    def apply(self, puts: Sequence[Template], drops: Sequence[UUID]) -> None:
        """Forget in a second step."""
        super().apply(puts, ())


def test_the_contract_catches_a_gallery_that_forgets_to_forget() -> None:
    """Control: a gallery that ignores drops fails the promise that the dropped are gone."""

    class Broken(GalleryContract):
        def make(self) -> Gallery:
            return _MutatingGallery(SPACE)

    with pytest.raises(AssertionError):
        Broken().test_a_dropped_rider_is_gone_at_once()


def test_large_faiss_gallery_decides_like_exhaustive_search() -> None:
    """Of 200 hard probes against 6,000 templates every best pair equals the oracle's."""
    rng = np.random.default_rng(5)
    spread = rng.standard_normal((160, 512)).astype(np.float32)
    vectors = rng.standard_normal((6_000, 160)).astype(np.float32) @ spread
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    templates = [
        Template(UUID(int=i), 1, SPACE.model_id, "plain", row) for i, row in enumerate(vectors)
    ]
    quick, oracle = FaissGallery(SPACE), NumpyGallery(SPACE)
    quick.replace(templates)
    oracle.replace(templates)

    for _ in range(200):
        noise = rng.standard_normal(160).astype(np.float32) @ spread
        noise /= np.linalg.norm(noise)
        look = 0.5 * vectors[rng.integers(6_000)] + 0.85 * noise
        probe = _probe((look / np.linalg.norm(look)).astype(np.float32))
        _same(oracle.search(probe), quick.search(probe))


@pytest.mark.parametrize("bad", [{"flat_max": 0}, {"proposals": 1}])
def test_config_refuses_what_cannot_work(bad: dict[str, int]) -> None:
    """A segment limit of nothing, or fewer than two proposals, is refused."""
    with pytest.raises(ValueError, match="out of range"):
        FaissConfig(**bad)
