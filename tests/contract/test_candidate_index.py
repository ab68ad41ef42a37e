"""What every candidate index promises, asked of all of them."""

import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest

from cloud_sync.adapters.index.choice import IndexChoice
from cloud_sync.adapters.index.faiss_codec import CodecConfig
from cloud_sync.adapters.index.faiss_index import FaissCandidateIndex, FaissIndexConfig
from cloud_sync.adapters.memory.index import MemoryCandidateIndex
from cloud_sync.content import Space
from cloud_sync.gallery import Template
from cloud_sync.generate import templates
from cloud_sync.master.candidate import CandidateIndex, Drop, Entries, entries

SPACE = Space("model-a", "plain", 64)
SMALL = FaissIndexConfig(
    codec=CodecConfig(axes=48, quantizers=24, train_max=256),
    refine=128,
    flat_max=200,
    head_max=32,
    segments_max=2,
)
"""Limits so low that a few hundred templates go through head, segments, codec and merges."""


@pytest.fixture(scope="module")
def _milvus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CandidateIndex]:
    """Open one collection for all tests: the engine takes seconds to start."""
    pytest.importorskip("pymilvus", reason="the extra `milvus` is not installed")
    pytest.importorskip("milvus_lite", reason="milvus-lite is not built for this platform")
    from cloud_sync.adapters.index.milvus_index import MilvusCandidateIndex

    file: Path = tmp_path_factory.mktemp("milvus") / "index.db"
    index = IndexChoice(str(file), "riders").make(SPACE)
    assert isinstance(index, MilvusCandidateIndex)
    yield index
    index.close()


@pytest.fixture(params=["memory", "faiss", "milvus"])
def index(request: pytest.FixtureRequest) -> CandidateIndex:
    """Give an empty index of each kind."""
    if request.param == "memory":
        return MemoryCandidateIndex(SPACE)
    if request.param == "faiss":
        return FaissCandidateIndex(SPACE, SMALL)
    milvus: CandidateIndex = request.getfixturevalue("_milvus")
    milvus.build([])
    return milvus


def people(count: int, *, seed: int = 1, version: int = 1) -> tuple[Template, ...]:
    """Return generated riders; another seed is other people, who never look alike."""
    made = templates(count, seed=seed, model_id=SPACE.model_id, dimension=SPACE.dimension)
    return tuple(
        Template(one.rider_ref, version, one.model_id, one.transform_id, one.vector) for one in made
    )


def columns(*people: Template) -> Entries:
    """Return templates as an index takes them."""
    return entries(people, dimension=SPACE.dimension)


def first(index: CandidateIndex, look: Template) -> tuple[UUID, int] | None:
    """Return who is found first for a look, and by which version."""
    (found,) = index.search(look.vector[np.newaxis], 1)
    return (found[0].rider_ref, found[0].version) if found else None


class TestCandidateIndex:
    """Search and change."""

    def test_an_empty_index_proposes_nobody(self, index: CandidateIndex) -> None:
        """Nothing is held and nobody found."""
        assert index.size == 0
        assert index.search(people(1)[0].vector[np.newaxis], 3) == ((),)

    def test_proposes_each_rider_first_with_the_cosine(self, index: CandidateIndex) -> None:
        """Every template finds its own rider at a cosine of 1, and others behind it, falling."""
        crowd = people(300)
        index.build([columns(*crowd[:100]), columns(*crowd[100:])])

        found = index.search(np.stack([one.vector for one in crowd[::30]]), 3)

        assert index.size == 300
        assert [each[0].rider_ref for each in found] == [one.rider_ref for one in crowd[::30]]
        for each in found:
            scores = [candidate.score for candidate in each]
            assert scores == sorted(scores, reverse=True)
            assert scores[0] == pytest.approx(1, abs=2e-3)

    def test_returns_fewer_where_fewer_are_held(self, index: CandidateIndex) -> None:
        """Two riders are two candidates, whatever was asked."""
        index.apply(columns(*people(2)))

        assert [len(each) for each in index.search(people(1)[0].vector[np.newaxis], 9)] == [2]

    def test_replaces_by_a_newer_version_and_never_by_an_older(self, index: CandidateIndex) -> None:
        """A rider has one template, the newest; one that comes late changes nothing."""
        old, ben = people(2)
        new = Template(old.rider_ref, 3, "model-a", "plain", people(1, seed=2)[0].vector)
        index.build([columns(old, ben)])

        index.apply(columns(new))
        index.apply(columns(old))

        assert index.size == 2
        assert first(index, new) == (old.rider_ref, 3)
        assert [c.rider_ref for c in index.search(old.vector[np.newaxis], 5)[0]].count(
            old.rider_ref
        ) == 1

    def test_of_two_in_one_batch_the_newest_stays(self, index: CandidateIndex) -> None:
        """A stream that meets a rider twice leaves one template, in `build` as in `apply`."""
        (old,) = people(1)
        new = Template(old.rider_ref, 2, "model-a", "plain", people(1, seed=2)[0].vector)
        for batches in ([columns(new, old)], [columns(old), columns(new)]):
            index.build(batches)
            assert (index.size, first(index, new)) == (1, (old.rider_ref, 2))

        index.apply(columns(new, old, new))

        assert (index.size, first(index, new)) == (1, (old.rider_ref, 2))

    def test_forgets_up_to_a_version(self, index: CandidateIndex) -> None:
        """A drop takes what it was meant for and leaves what came after it."""
        ana, ben, cem = people(3, version=5)
        index.build([columns(ana, ben, cem)])

        index.apply(
            columns(),
            [Drop(ana.rider_ref, 5), Drop(ben.rider_ref, 4), Drop(UUID(int=7), 1)],
        )

        assert index.size == 2
        assert first(index, ana) != (ana.rider_ref, 5)
        assert first(index, ben) == (ben.rider_ref, 5)

    def test_holds_again_who_was_forgotten(self, index: CandidateIndex) -> None:
        """A rider who enrolls again is found again."""
        (ana,) = people(1)
        index.apply(columns(ana))
        index.apply(columns(), [Drop(ana.rider_ref, 1)])

        index.apply(columns(*people(1, version=2)))

        assert first(index, ana) == (ana.rider_ref, 2)

    def test_a_build_replaces_everything(self, index: CandidateIndex) -> None:
        """Who is not in the stream is no longer held."""
        ana, ben = people(2)
        index.apply(columns(ana))

        index.build([columns(ben)])

        assert (index.size, first(index, ana)) == (1, (ben.rider_ref, 1))

    def test_refuses_another_dimension(self, index: CandidateIndex) -> None:
        """Vectors of another dimension are refused before anything happens."""
        other = templates(1, seed=1, model_id="model-a", dimension=32)
        with pytest.raises(ValueError, match="shape"):
            index.search(other[0].vector[np.newaxis], 1)
        with pytest.raises(ValueError, match="shape"):
            index.apply(entries(other, dimension=32))
        with pytest.raises(ValueError, match="shape"):
            index.build([entries(other, dimension=32)])
        assert index.size == 0

    def test_agrees_with_the_oracle_after_a_thousand_changes(self, index: CandidateIndex) -> None:
        """However changes fall into heads, segments and merges, the best candidate is the same."""
        oracle = MemoryCandidateIndex(SPACE)
        rng = np.random.default_rng(4)
        crowd = people(400)
        for each in (index, oracle):
            each.build([columns(*crowd[:220])])
        for turn in range(12):
            puts = [
                Template(one.rider_ref, turn + 2, "model-a", "plain", look.vector)
                for one, look in zip(
                    rng.choice(np.array(crowd, object), 40),
                    people(40, seed=100 + turn),
                    strict=True,
                )
            ]
            drops = [Drop(one.rider_ref, 99) for one in rng.choice(np.array(crowd, object), 6)]
            for each in (index, oracle):
                each.apply(columns(*puts), drops)
                if turn % 4 == 3:
                    each.seal()

        looks = np.stack([one.vector for one in (*crowd[::8], *people(50, seed=103))])

        assert index.size == oracle.size
        assert [each[0].rider_ref for each in index.search(looks, 1)] == [
            each[0].rider_ref for each in oracle.search(looks, 1)
        ]


class TestFaissIndex:
    """What is FAISS's own: parts, merges, threads."""

    def test_seals_until_nothing_is_due(self) -> None:
        """`seal` trains the codec, merges segments, drops tombstones, and changes no answer."""
        index = FaissCandidateIndex(SPACE, SMALL)
        crowd = people(600)
        for start in range(0, 600, 30):
            index.apply(columns(*crowd[start : start + 30]))
        index.apply(columns(), [Drop(one.rider_ref, 1) for one in crowd[:300:3]])

        turns = 0
        while index.seal():
            turns += 1

        assert 1 <= turns <= 4
        assert index.size == 500
        assert len(index._view.segments) <= SMALL.segments_max
        assert index._view.codec is not None
        assert sum(map(len, index._view.dead)) <= 0.1 * 600
        for one in crowd[1:300:30]:
            assert first(index, one) == (one.rider_ref, 1)
        assert all(first(index, one) != (one.rider_ref, 1) for one in crowd[:300:30])

    def test_looks_further_where_tombstones_are_in_the_way(self) -> None:
        """The living are found behind more tombstones than are proposed at first."""
        index = FaissCandidateIndex(SPACE, SMALL)
        (look,) = people(1)
        near = look.vector + 0.02 * np.stack([one.vector for one in people(300, seed=2)])
        near /= np.linalg.norm(near, axis=1, keepdims=True)
        alike = [
            Template(one.rider_ref, 1, "model-a", "plain", vector)
            for one, vector in zip(people(300, seed=3), near, strict=True)
        ]
        index.build([columns(*alike, *people(300, seed=4))])
        index.apply(columns(), [Drop(one.rider_ref, 1) for one in alike[1:]])

        (found,) = index.search(look.vector[np.newaxis], 2)

        assert found[0].rider_ref == alike[0].rider_ref
        assert len(found) == 2

    def test_what_changes_during_a_seal_is_not_lost(self) -> None:
        """A drop and a put that come between a seal's reading and its swap both hold after it."""
        index = FaissCandidateIndex(SPACE, SMALL)
        crowd = people(400)
        index.build([columns(*crowd[:200])])
        index.apply(columns(*crowd[200:390]))
        built = index._built

        def slow(batches: object, codec: object) -> object:
            made = built(batches, codec)  # type: ignore[arg-type]
            index.apply(columns(*crowd[390:]), [Drop(crowd[5].rider_ref, 1)])
            return made

        index._built = slow  # type: ignore[method-assign, assignment]

        assert index.seal()

        assert index.size == 399
        assert first(index, crowd[395]) == (crowd[395].rider_ref, 1)
        assert first(index, crowd[5]) != (crowd[5].rider_ref, 1)

    def test_searches_never_see_a_half_change(self) -> None:
        """While one thread replaces, drops and seals, every search finds the rider who stays."""
        index = FaissCandidateIndex(SPACE, SMALL)
        crowd = people(300)
        stays, moves = crowd[0], crowd[1:]
        index.build([columns(*crowd)])
        ended = threading.Event()
        seen: list[tuple[UUID, int] | None] = []

        def look() -> None:
            while not ended.is_set():
                seen.append(first(index, stays))

        thread = threading.Thread(target=look)
        thread.start()
        for turn in range(8):
            index.apply(
                columns(*people(300, version=turn + 2)[1:]), [Drop(moves[turn].rider_ref, 1)]
            )
            index.seal()
        ended.set()
        thread.join()

        assert len(seen) > 3
        assert set(seen) == {(stays.rider_ref, 1)}
