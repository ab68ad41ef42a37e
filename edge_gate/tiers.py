"""A station's two tiers of riders as one gallery: always both searched, each with its own size.

The first tier is the few whom the cloud expects here; the second, up to 100,000, are the next best
candidates, for whom a stricter threshold holds. Both are always searched, not the second only after
a miss in the first: it costs half a millisecond, and it closes the hole in which a rider of the
second tier, a stranger to the first, opens as somebody of the first who looks like them.

Each gallery also holds a few canaries: synthetic templates that must find themselves. They are
taken out of every answer, so they can open nothing.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID, uuid5

import numpy as np

from cloud_sync.columns import Templates
from cloud_sync.content import Space
from cloud_sync.gallery import Template
from cloud_sync.secrecy.rotation import Rotation
from edge_gate.search import Candidates, Gallery, Probe, ranked, turned_space

CANARIES = 8
"""Synthetic templates in each gallery (reference/reliability.md, 2.3)."""
CANARY_SCORE_MIN = 0.999
"""What a canary must score against itself: exact search gives 1 - 1e-6 in float32; a vector with a
damaged sign bit or exponent, or another's row, gives less."""
_CANARY_NAMES = UUID("6d3c9f0e-6c0f-5c52-9a39-9b0c7c0f6a11")


def canaries(space: Space) -> tuple[Template, ...]:
    """Return the canaries of a space: random directions, the same in every process.

    Args:
        space: Their model, transform and dimension.
    """
    made = []
    for number in range(CANARIES):
        name = f"{space.model_id}/{space.transform_id}/{number}"
        seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
        vector = np.random.default_rng(seed).standard_normal(space.dimension).astype(np.float32)
        vector /= np.linalg.norm(vector)
        rider_ref = uuid5(_CANARY_NAMES, str(number))
        made.append(Template(rider_ref, 1, space.model_id, space.transform_id, vector))
    return tuple(made)


_TRIES = 16
"""Searches at most for one answer: riders move a few times a second, a search takes 1 ms."""


class Tiers:
    """Two galleries of one space; any thread searches, one at a time changes."""

    def __init__(self, first: Gallery, second: Gallery) -> None:
        """Put the canaries in.

        Args:
            first: Empty; from here on changed only through this object.
            second: The same, of the same space.

        Raises:
            ValueError: The galleries are of two spaces.
        """
        if first.space != second.space:
            raise ValueError(f"{first.space} and {second.space} do not meet")
        self._galleries = {1: first, 2: second}
        self._canaries = canaries(first.space)
        """As the model would make them: to be looked for."""
        self._canary_refs = frozenset(canary.rider_ref for canary in self._canaries)
        self._tier_of: dict[bytes, int] = {}
        self._moves = 0
        self._next_canary = 0
        for gallery in self._galleries.values():
            gallery.replace(self._canaries)

    @property
    def space(self) -> Space:
        """The space of every probe."""
        return self._galleries[1].space

    @property
    def template_space(self) -> Space:
        """The space of every template in it."""
        return self._galleries[1].template_space

    @property
    def size(self) -> int:
        """How many riders the first tier holds."""
        return self._galleries[1].size - CANARIES

    @property
    def second_size(self) -> int:
        """How many riders the second tier holds."""
        return self._galleries[2].size - CANARIES

    def search(self, probe: Probe, k: int = 2) -> Candidates:
        """Return the k best riders of both tiers.

        A rider who is on the way from one tier to the other is always found: a move puts before
        it drops, and between the two it is counted. A search during which nothing was counted has
        seen every rider in the old tier or in both; another one is made again.

        Raises:
            SpaceMismatch: The probe is of another space.
        """
        found: list[tuple[int, Candidates]] = []
        for _ in range(_TRIES):
            moves = self._moves
            found = [(tier, self._best(tier, probe, k)) for tier in (2, 1)]
            if self._moves == moves:
                break
        return ranked(found, k)

    def apply(self, puts: Sequence[Template], drops: Iterable[UUID]) -> None:
        """Forget `drops` in both tiers, then hold each of `puts` in its own tier alone.

        Raises:
            SpaceMismatch: A template is of another space; nothing of its tier has changed then.
        """
        puts = [put for put in puts if put.rider_ref not in self._canary_refs]
        gone = [rider for rider in drops if rider not in self._canary_refs]
        leaving: dict[int, list[UUID]] = {1: [], 2: []}
        for put in puts:
            before = self._tier_of.get(put.rider_ref.bytes, put.tier)
            if before != put.tier:
                leaving[before].append(put.rider_ref)
        for tier, gallery in self._galleries.items():
            coming = [put for put in puts if put.tier == tier]
            if coming or gone:
                gallery.apply(coming, gone)
        for rider in gone:
            self._tier_of.pop(rider.bytes, None)
        self._tier_of.update({put.rider_ref.bytes: put.tier for put in puts})
        for tier, riders in leaving.items():
            if riders:
                self._moves += 1
                self._galleries[tier].apply((), riders)

    def replace(self, templates: Sequence[Template], *, rotation: Rotation | None = None) -> None:
        """Hold these templates and no others; each tier is swapped as a whole.

        Args:
            templates: At most one a rider.
            rotation: What all of them are turned by, and every probe from now on.

        Raises:
            SpaceMismatch: A template is of another space; nothing of its tier has changed then.
        """
        held = Templates.of(templates)
        ours = frozenset(ref.bytes for ref in self._canary_refs)
        if not ours.isdisjoint(held.riders):
            held = held.where(np.array([rider not in ours for rider in held.riders]))
        # Whoever changes tier does so by a move, so that the two swaps find them in place. Under
        # another rotation none can: that gallery is a new one.
        if self._tier_of and turned_space(self.space, rotation) == self.template_space:
            before = map(self._tier_of.get, held.riders, held.tiers)
            pairs = zip(before, held.tiers, strict=True)
            moved = np.array([old != new for old, new in pairs], np.bool_)
            self.apply(held.where(moved), ())
        watched = _turned(self._canaries, rotation)
        tiers = np.array(held.tiers, np.int8)
        for number, gallery in self._galleries.items():
            gallery.replace(watched, held.where(tiers == number), rotation=rotation)
        self._tier_of = dict(zip(held.riders, held.tiers, strict=True))

    def seal(self) -> bool:
        """Reorganise both for speed where that is due; return whether it was."""
        done = [gallery.seal() for gallery in self._galleries.values()]
        return any(done)

    def rebuild(self) -> None:
        """Build every index anew from the templates held."""
        for gallery in self._galleries.values():
            gallery.rebuild()

    def expired(self, now: datetime) -> tuple[UUID, ...]:
        """Return the riders whose templates must not be used after `now`."""
        return tuple(r for gallery in self._galleries.values() for r in gallery.expired(now))

    def sound(self, *, all_of_them: bool) -> bool:
        """Return whether the canaries of both galleries find themselves.

        Args:
            all_of_them: Else one canary in turn: what every small change can afford.
        """
        if all_of_them:
            return all(self._finds(canary) for canary in self._canaries)
        self._next_canary = (self._next_canary + 1) % CANARIES
        return self._finds(self._canaries[self._next_canary])

    def _finds(self, canary: Template) -> bool:
        probe = Probe(canary.vector, self.space)
        found = [gallery.search(probe, 1) for gallery in self._galleries.values()]
        return all(
            each.riders[:1] == (canary.rider_ref,) and each.scores[0] >= CANARY_SCORE_MIN
            for each in found
        )

    def _best(self, tier: int, probe: Probe, k: int) -> Candidates:
        gallery = self._galleries[tier]
        found = gallery.search(probe, k)
        if self._canary_refs.isdisjoint(found.riders):
            return found
        more = gallery.search(probe, k + CANARIES)
        riders = [
            (rider, score)
            for rider, score in zip(more.riders, more.scores, strict=True)
            if rider not in self._canary_refs
        ][:k]
        return Candidates(tuple(r for r, _ in riders), tuple(s for _, s in riders))


def _turned(made: Sequence[Template], rotation: Rotation | None) -> Sequence[Template]:
    """Return canaries as the templates beside them are."""
    if rotation is None:
        return made
    return [
        replace(each, vector=rotation.apply(each.vector), transform_id=rotation.transform_id)
        for each in made
    ]
