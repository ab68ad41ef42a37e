"""Open-set 1:N search: the gallery port, what it answers, and which spaces may meet.

A gallery ranks; it knows no threshold and no rider's name. This file does not know about FAISS.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol
from uuid import UUID

from cloud_sync.columns import Templates
from cloud_sync.content import Space, unsound
from cloud_sync.gallery import Change, DropTemplate, PutTemplate, Template
from cloud_sync.secrecy.rotation import Rotation
from edge_gate.face import Embedding


class SpaceMismatch(Exception):
    """A probe or template comes from another model or transform than the gallery."""


def admit(space: Space, other: Space) -> None:
    """Let an embedding of `other` meet those of `space`.

    Raises:
        SpaceMismatch: They are not the same; the message names both.
    """
    if other != space:
        raise SpaceMismatch(f"{other} does not meet {space}")


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """What is searched for."""

    vector: Embedding
    """float32, shape (D,), unit length."""
    space: Space
    """Where it was made."""
    _turned: dict[str, Embedding] = field(default_factory=dict, repr=False)

    def turned(self, rotation: Rotation | None) -> Embedding:
        """Return the vector as templates are turned; once for all galleries of one rotation.

        Args:
            rotation: Of the templates; None for those that are as the model makes them.
        """
        if rotation is None:
            return self.vector
        found = self._turned.get(rotation.transform_id)
        if found is None:
            found = self._turned[rotation.transform_id] = rotation.apply(self.vector)
        return found


@dataclass(frozen=True, slots=True)
class Candidates:
    """The best references of distinct riders, best first; shorter than asked if too few exist."""

    riders: tuple[UUID, ...]
    """At most k, each once."""
    scores: tuple[float, ...]
    """Cosine similarities, -1 to 1, falling; same length as `riders`."""
    tiers: tuple[int, ...] = ()
    """The tier that each was found in, 1 or 2; empty where only one tier was searched."""

    @property
    def tier(self) -> int:
        """The tier of the best; 1 where only one was searched."""
        return self.tiers[0] if self.tiers else 1


NOBODY = Candidates((), ())
"""What an empty gallery answers."""


def ranked(found: Iterable[tuple[int, Candidates]], k: int = 2) -> Candidates:
    """Return the best k distinct riders of several searches, with their tiers.

    A rider on the way from one tier to the other may be found in both: the better score counts,
    and of equal ones the second tier, whose threshold is the stricter.

    Args:
        found: Tier, and what the search in it gave.
        k: How many.
    """
    rows = [
        (score, tier, rider)
        for tier, candidates in found
        for rider, score in zip(candidates.riders, candidates.scores, strict=True)
    ]
    rows.sort(key=lambda row: (-row[0], -row[1]))
    best: dict[UUID, tuple[float, int]] = {}
    for score, tier, rider in rows:
        best.setdefault(rider, (score, tier))
    first = tuple(best.items())[:k]
    return Candidates(
        tuple(rider for rider, _ in first),
        tuple(score for _, (score, _) in first),
        tuple(tier for _, (_, tier) in first),
    )


class Gallery(Protocol):
    """Riders' templates of one space, one a rider; searched by lanes while one writer changes it.

    `apply` is effective for every search that starts after it returns.
    """

    @property
    def space(self) -> Space:
        """The space of every probe."""
        ...

    @property
    def template_space(self) -> Space:
        """The space of every template in it: that of the probes, or what they are turned into."""
        ...

    @property
    def size(self) -> int:
        """How many riders it holds."""
        ...

    def search(self, probe: Probe, k: int = 2) -> Candidates:
        """Return the k best riders.

        Raises:
            SpaceMismatch: The probe is of another space.
        """
        ...

    def apply(self, puts: Sequence[Template], drops: Sequence[UUID]) -> None:
        """Forget `drops`, then hold `puts` in place of what those riders had before.

        Raises:
            SpaceMismatch: A template is of another space; nothing has changed then.
        """
        ...

    def replace(self, *parts: Sequence[Template], rotation: Rotation | None = None) -> None:
        """Hold the templates of these parts and no others; no rider is in two.

        Args:
            parts: Templates.
            rotation: What all of them are turned by, and every probe from now on.

        Raises:
            SpaceMismatch: A template is of another space; nothing has changed then.
        """
        ...

    def seal(self) -> bool:
        """Reorganise for speed where that is due; slow, so never called by a lane.

        Returns:
            Whether there was something to do.
        """
        ...

    def rebuild(self) -> None:
        """Build every index anew from the templates held: an index was found damaged."""
        ...

    def expired(self, now: datetime) -> tuple[UUID, ...]:
        """Return the riders whose templates must not be used after `now` (aware UTC)."""
        ...


def space_of(template: Template) -> Space:
    """Return the space of a template."""
    return Space(template.model_id, template.transform_id, len(template.vector))


def turned_space(space: Space, rotation: Rotation | None) -> Space:
    """Return the space of templates that are turned by a rotation.

    Args:
        space: Of the probes.
        rotation: None for no turn.
    """
    return space if rotation is None else replace(space, transform_id=rotation.transform_id)


def admit_all(space: Space, templates: Sequence[Template]) -> Templates:
    """Let templates into a gallery, by columns.

    Raises:
        SpaceMismatch: One is of another space; the message names both.
    """
    if not isinstance(templates, Templates):
        for template in templates:
            admit(space, space_of(template))
    held = Templates.of(templates)
    for other in _foreign_spaces(held, space):
        admit(space, other)
    return held


def _foreign_spaces(templates: Templates, space: Space) -> set[Space]:
    dimension = templates.vectors.shape[1]
    names = set(zip(templates.model_ids, templates.transform_ids, strict=True))
    return {Space(*each, dimension) for each in names} - {space}


@dataclass(frozen=True, slots=True)
class Sorted:
    """Changes of a view, by what one gallery must do with them."""

    puts: Templates
    """Templates of the gallery's space, one a rider, the newest."""
    drops: tuple[UUID, ...]
    """Riders to forget, among them the foreign and the poisoned."""
    foreign: tuple[UUID, ...]
    """Whose newest template is of another space; it is refused, never compared."""
    poisoned: tuple[UUID, ...] = ()
    """Whose newest template no embedder made; refused here once more, after the cloud and the
    wire."""


def sort_changes(changes: Iterable[Change], space: Space) -> Sorted:
    """Fold a sequence of changes into one step for a gallery; keys are not its business.

    Args:
        changes: In the order of their revisions.
        space: The gallery's.
    """
    last: dict[UUID, Template | None] = {}
    for change in changes:
        match change:
            case PutTemplate(template):
                last[template.rider_ref] = template
            case DropTemplate(rider_ref):
                last[rider_ref] = None
            case _:
                continue
    fold = sort_templates([each for each in last.values() if each is not None], space)
    dropped = tuple(rider for rider, template in last.items() if template is None)
    return replace(fold, drops=(*dropped, *fold.drops))


def sort_templates(templates: Sequence[Template], space: Space) -> Sorted:
    """Tell a gallery's templates from those that it must not hold.

    Args:
        templates: At most one a rider.
        space: The gallery's.
    """
    foreign: tuple[UUID, ...] = ()
    if isinstance(templates, Templates) and not _foreign_spaces(templates, space):
        ours = templates
    else:
        foreign = tuple(each.rider_ref for each in templates if space_of(each) != space)
        ours = Templates.of(each for each in templates if space_of(each) == space)
    wrong = unsound(ours.vectors)
    poisoned = tuple(each.rider_ref for each in ours.where(wrong))
    return Sorted(ours.where(~wrong), (*foreign, *poisoned), foreign, poisoned)
