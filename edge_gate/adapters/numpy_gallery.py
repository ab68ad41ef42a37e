"""The gallery in plain numpy: exhaustive, exact, slow; the oracle for every other."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import numpy as np
import numpy.typing as npt

from cloud_sync.content import Space
from cloud_sync.gallery import Template
from cloud_sync.secrecy.rotation import Rotation
from edge_gate.search import NOBODY, Candidates, Probe, admit, admit_all, turned_space


class _View(NamedTuple):
    """What one search sees."""

    riders: tuple[UUID, ...]
    matrix: npt.NDArray[np.float32]
    rotation: Rotation | None
    """What every row is turned by."""


class NumpyGallery:
    """All templates as one matrix, built anew at each change."""

    def __init__(self, space: Space) -> None:
        self._space = space
        self._templates: dict[UUID, Template] = {}
        self._view = _View((), np.empty((0, 0), np.float32), None)

    @property
    def space(self) -> Space:
        """The space of every probe."""
        return self._space

    @property
    def template_space(self) -> Space:
        """The space of every template in it."""
        return turned_space(self._space, self._view.rotation)

    @property
    def size(self) -> int:
        """How many riders it holds."""
        return len(self._view[0])

    def search(self, probe: Probe, k: int = 2) -> Candidates:
        """Return the k best riders.

        Raises:
            SpaceMismatch: The probe is of another space.
        """
        admit(self._space, probe.space)
        riders, matrix, rotation = self._view
        if not riders:
            return NOBODY
        scores = matrix @ probe.turned(rotation)
        best = np.argsort(-scores, kind="stable")[:k]
        return Candidates(tuple(riders[i] for i in best), tuple(float(scores[i]) for i in best))

    def apply(self, puts: Sequence[Template], drops: Sequence[UUID]) -> None:
        """Forget `drops`, then hold `puts`.

        Raises:
            SpaceMismatch: A template is of another space; nothing has changed then.
        """
        admit_all(self.template_space, puts)
        for rider in drops:
            self._templates.pop(rider, None)
        self._templates.update({template.rider_ref: template for template in puts})
        self._show(self._view.rotation)

    def replace(self, *parts: Sequence[Template], rotation: Rotation | None = None) -> None:
        """Hold the templates of these parts and no others.

        Raises:
            SpaceMismatch: A template is of another space; nothing has changed then.
        """
        held = [admit_all(turned_space(self._space, rotation), part) for part in parts]
        self._templates = {each.rider_ref: each for part in held for each in part}
        self._show(rotation)

    def seal(self) -> bool:
        """Do nothing: there is nothing to reorganise."""
        return False

    def rebuild(self) -> None:
        """Build the matrix anew."""
        self._show(self._view.rotation)

    def expired(self, now: datetime) -> tuple[UUID, ...]:
        """Return the riders whose templates must not be used after `now`."""
        held = self._templates.items()
        return tuple(r for r, t in held if t.expires is not None and t.expires <= now)

    def _show(self, rotation: Rotation | None) -> None:
        """Swap in a new matrix; one assignment, so a search sees the old or the new."""
        vectors = [template.vector for template in self._templates.values()]
        matrix = np.stack(vectors).astype(np.float32) if vectors else np.empty((0, 0), np.float32)
        self._view = _View(tuple(self._templates), matrix, rotation)
