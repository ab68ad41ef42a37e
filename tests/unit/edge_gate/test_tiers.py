"""Two tiers searched as one, riders who move between them, and the canaries in each."""

import threading
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

import numpy as np
import pytest

from cloud_sync.content import Space
from cloud_sync.gallery import Template
from cloud_sync.secrecy.rotation import Rotation, RotationSeed
from edge_gate.adapters.faiss_gallery import FaissGallery
from edge_gate.adapters.numpy_gallery import NumpyGallery
from edge_gate.search import Candidates, Probe, ranked
from edge_gate.tiers import CANARIES, Tiers, canaries

SPACE = Space("test/64", dimension=64)
ANNA, BELA = UUID(int=1), UUID(int=2)


def _look(seed: int) -> np.ndarray:
    vector = np.random.default_rng(seed).standard_normal(64).astype(np.float32)
    return vector / np.linalg.norm(vector)


def _template(rider: int, *, tier: int = 1, look: int | None = None) -> Template:
    vector = _look(rider if look is None else look)
    return Template(UUID(int=rider), 1, SPACE.model_id, "plain", vector, tier=tier)


def _turned(made: Template, rotation: Rotation) -> Template:
    vector = rotation.apply(made.vector)
    return replace(made, vector=vector, transform_id=rotation.transform_id)


def _probe(look: int) -> Probe:
    return Probe(_look(look), SPACE)


@pytest.fixture
def tiers() -> Tiers:
    """Give two empty tiers."""
    return Tiers(NumpyGallery(SPACE), NumpyGallery(SPACE))


class TestRanked:
    """Several searches as one."""

    def test_the_best_of_both_with_their_tiers(self) -> None:
        """Riders of two tiers stand in the order of their scores."""
        found = ranked([(1, Candidates((ANNA,), (0.5,))), (2, Candidates((BELA,), (0.7,)))])

        assert found == Candidates((BELA, ANNA), (0.7, 0.5), (2, 1))

    def test_a_rider_in_both_counts_once(self) -> None:
        """Else a rider on the move would be their own rival, and ambiguous."""
        found = ranked([(1, Candidates((ANNA,), (0.7,))), (2, Candidates((ANNA,), (0.7,)))])

        assert found == Candidates((ANNA,), (0.7,), (2,))


class TestTiers:
    """Puts, drops, moves."""

    def test_each_rider_is_found_with_their_tier(self, tiers: Tiers) -> None:
        """A search covers both tiers, always."""
        tiers.apply([_template(1), _template(2, tier=2)], [])

        assert (tiers.size, tiers.second_size) == (1, 1)
        assert tiers.search(_probe(1)).tiers == (1, 2)
        assert tiers.search(_probe(2)).tiers == (2, 1)

    @pytest.mark.parametrize("tier", [1, 2])
    def test_a_drop_removes_from_either_tier(self, tiers: Tiers, tier: int) -> None:
        """A withdrawn rider is gone, whichever tier they were in."""
        tiers.apply([_template(1, tier=tier)], [])

        tiers.apply([], [ANNA])

        assert tiers.search(_probe(1)) == Candidates((), (), ())

    @pytest.mark.parametrize("start", [1, 2])
    def test_a_moved_rider_is_held_once(self, tiers: Tiers, start: int) -> None:
        """After a move the old tier no longer holds the rider, and a drop leaves nothing."""
        tiers.apply([_template(1, tier=start)], [])

        tiers.apply([_template(1, tier=3 - start)], [])
        assert tiers.size + tiers.second_size == 1
        assert tiers.search(_probe(1)).tier == 3 - start

        tiers.apply([], [ANNA])
        assert tiers.size + tiers.second_size == 0

    @pytest.mark.parametrize("whole", [False, True])
    def test_a_moving_rider_is_always_found(self, whole: bool) -> None:
        """Lanes that search while riders move up and down, by change or snapshot, find them."""
        tiers = Tiers(FaissGallery(SPACE), FaissGallery(SPACE))
        others = [_template(i, tier=1 + i % 2) for i in range(10, 40)]
        tiers.replace([_template(1), *others])

        missed = _searched_during(tiers, others if whole else None)

        assert missed == 0

    def test_control_who_drops_before_the_put_is_missed(self) -> None:
        """Control: a gallery that forgets in the one tier before it holds in the other loses."""
        first, second = NumpyGallery(SPACE), NumpyGallery(SPACE)
        tiers = Tiers(first, second)
        tiers.replace([_template(1)])
        seen = []

        class Looking(NumpyGallery):
            def apply(self, puts: Sequence[Template], drops: Sequence[UUID]) -> None:
                seen.append(tiers.search(_probe(1)).riders)
                super().apply(puts, drops)

        tiers._galleries[2] = looking = Looking(SPACE)
        looking.replace(canaries(SPACE))
        tiers.apply([_template(1, tier=2)], [])  # as it is: put, then drop
        first.apply([_template(1)], [])
        looking.replace(canaries(SPACE))
        first.apply([], [ANNA])  # the mutation: drop, then put
        looking.apply([_template(1, tier=2)], [])

        assert seen == [(ANNA,), ()]


class TestCanaries:
    """Synthetic templates that must find themselves."""

    def test_are_the_same_in_every_process_and_of_unit_length(self) -> None:
        """Nothing about them is random, so that a check means the same everywhere."""
        one, other = canaries(SPACE), canaries(SPACE)

        assert len(one) == CANARIES
        for a, b in zip(one, other, strict=True):
            assert a.rider_ref == b.rider_ref
            np.testing.assert_array_equal(a.vector, b.vector)
            assert np.linalg.norm(a.vector) == pytest.approx(1, abs=1e-6)

    @pytest.mark.parametrize("riders", [0, 1, 30])
    def test_can_never_be_an_answer(self, tiers: Tiers, riders: int) -> None:
        """A probe exactly like a canary finds riders alone, and as many as there are."""
        tiers.apply([_template(i) for i in range(riders)], [])

        for canary in canaries(SPACE):
            found = tiers.search(Probe(canary.vector, SPACE))
            assert canary.rider_ref not in found.riders
            assert len(found.riders) == min(2, riders)

    def test_a_rider_cannot_take_a_canary_s_place(self, tiers: Tiers) -> None:
        """A template under a canary's name is not taken, nor is a canary dropped."""
        name = canaries(SPACE)[0].rider_ref
        tiers.apply([Template(name, 1, SPACE.model_id, "plain", _look(5))], [])
        tiers.apply([], [name])

        assert tiers.sound(all_of_them=True)
        assert tiers.search(_probe(5)) == Candidates((), (), ())

    @pytest.mark.parametrize("tier", [1, 2])
    @pytest.mark.parametrize("damage", ["swapped rows", "zeroed", "bit flipped", "other riders"])
    def test_damage_of_an_index_is_noticed(self, tiers: Tiers, tier: int, damage: str) -> None:
        """Rows that changed places, lost memory, or one flipped bit of a canary are all seen."""
        tiers.apply([_template(i, tier=1 + i % 2) for i in range(30)], [])
        gallery = tiers._galleries[tier]
        assert isinstance(gallery, NumpyGallery)
        riders, matrix, _ = gallery._view
        assert tiers.sound(all_of_them=True)  # control
        match damage:
            case "swapped rows":
                matrix = matrix[::-1]
            case "zeroed":
                matrix = np.zeros_like(matrix)
            case "bit flipped":
                matrix = matrix.copy()
                raw = matrix.view(np.uint32)
                raw[0, int(np.argmax(np.abs(matrix[0])))] ^= 1 << 31
            case "other riders":
                riders = riders[1:] + riders[:1]
        gallery._view = gallery._view._replace(riders=riders, matrix=matrix)

        assert not tiers.sound(all_of_them=True)

    def test_find_themselves_under_a_rotation(self, tiers: Tiers) -> None:
        """They are turned with the templates; a gallery whose templates are not is noticed."""
        rotation = Rotation(RotationSeed("00c0ffee", b"s" * 32), dimension=64)
        turned = [_turned(_template(i, tier=1 + i % 2), rotation) for i in range(30)]

        tiers.replace(turned, rotation=rotation)

        assert tiers.sound(all_of_them=True)
        assert tiers.search(_probe(7)).riders[0] == UUID(int=7)
        assert (tiers.size, tiers.second_size) == (15, 15)
        other = Rotation(RotationSeed("0badcafe", b"o" * 32), dimension=64)
        gallery = tiers._galleries[1]
        assert isinstance(gallery, NumpyGallery)
        gallery._view = gallery._view._replace(rotation=other)
        assert not tiers.sound(all_of_them=True)

    def test_a_new_rotation_takes_everybody_along(self, tiers: Tiers) -> None:
        """Also who changes tier at the same moment is in one tier alone afterwards."""
        tiers.replace([_template(i, tier=1) for i in range(6)])
        rotation = Rotation(RotationSeed("00c0ffee", b"s" * 32), dimension=64)
        turned = [_turned(_template(i, tier=1 + i % 2), rotation) for i in range(6)]

        tiers.replace(turned, rotation=rotation)

        assert (tiers.size, tiers.second_size) == (3, 3)
        assert [tiers.search(_probe(i)).tier for i in range(6)] == [1, 2, 1, 2, 1, 2]

    def test_survive_replacement_and_sealing(self) -> None:
        """A new snapshot and a sealed segment hold them still."""
        tiers = Tiers(FaissGallery(SPACE), FaissGallery(SPACE))
        tiers.replace([_template(i, tier=1 + i % 2) for i in range(600)])
        tiers.seal()

        assert tiers.sound(all_of_them=True)
        assert (tiers.size, tiers.second_size) == (300, 300)


def _searched_during(tiers: Tiers, others: Sequence[Template] | None) -> int:
    """Move a rider up and down 120 times; return how many of two lanes' searches missed them.

    Args:
        tiers: Hold the rider.
        others: Who comes with each snapshot; None moves by small changes.
    """
    missed: list[Candidates] = []
    stop = threading.Event()

    def lane() -> None:
        while not stop.is_set():
            found = tiers.search(_probe(1))
            if found.riders[:1] != (ANNA,):
                missed.append(found)

    lanes = [threading.Thread(target=lane) for _ in range(2)]
    for thread in lanes:
        thread.start()
    for turn in range(120):
        rider = _template(1, tier=1 + turn % 2)
        if others is None:
            tiers.apply([rider], [])
        else:
            tiers.replace([rider, *others])
    stop.set()
    for thread in lanes:
        thread.join()
    return len(missed)
