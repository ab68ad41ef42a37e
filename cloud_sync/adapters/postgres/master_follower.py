"""Keeps a candidate index up to date with the master gallery, and checks what it proposes.

The index holds templates in the model's own space, whatever rotation each has in the database, so
that it goes on through a re-key. It holds everybody who has a template, active or not: look-alikes
are looked for among all. What it proposes is read again from the database, scored with the template
kept there, and told with whether the rider is active now.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import NamedTuple
from uuid import UUID

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from cloud_sync.adapters.postgres import master
from cloud_sync.adapters.postgres.publish import DIMENSION
from cloud_sync.adapters.postgres.tables import VIEW
from cloud_sync.content import Space
from cloud_sync.gallery import Template
from cloud_sync.master.candidate import CandidateIndex, Drop, Entries, entries
from cloud_sync.master.gallery import MasterLine
from cloud_sync.secrecy.rotation import PLAIN
from cloud_sync.secrecy.safe import Safe, UnknownTransform
from fare.log import say

_LOG = logging.getLogger(__name__)
_PAGE = 5_000
"""Templates read at once: 10 MB of float32 at D = 512."""
_LOOSE = 0.01
"""By how much the index's score may be off: it holds float16, turned twice."""

# The revision with the history it belongs to (a restored or promoted database gives the same
# numbers to other content), and whether this very transaction has written to the feed.
_HEAD = sa.text("""
SELECT h.rev, (SELECT system_identifier::text FROM pg_control_system()) AS cluster,
    substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) AS timeline,
    (h.xmin = pg_current_xact_id_if_assigned()::xid) IS TRUE AS is_mine
FROM cloud_sync.master_head AS h
""")


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """A candidate as the database knows it."""

    rider_ref: UUID
    version: int
    score: float
    """Cosine similarity to the template kept in the database, -1 to 1."""
    is_active: bool
    """Whether stations may hold the rider now."""


class _Place(NamedTuple):
    """How far the feed was read, and of which history."""

    cluster: str = ""
    timeline: str = ""
    rev: int = 0


class MasterFollower:
    """One index of one model's templates; may be used by several threads."""

    def __init__(self, index: CandidateIndex, safe: Safe, *, page: int = _PAGE) -> None:
        """Take an empty index.

        Args:
            index: Of the model's own space.
            safe: Opens the templates.
            page: Templates read at once, from 1.

        Raises:
            ValueError: The index is of a turned space.
        """
        if index.space.transform_id != PLAIN:
            raise ValueError("the index must be of the model's own space")
        self._index = index
        self._safe = safe
        self._page = page
        self._place = _Place()
        self._reader = Lock()

    @property
    def index(self) -> CandidateIndex:
        """The index."""
        return self._index

    def refresh(self, connection: sa.Connection) -> int:
        """Read what is new in the feed; return how many changes of this model there were.

        The first time, and when the database is of another history than before, everything is read.
        Call it before the transaction itself changes the master gallery: what is not committed yet
        may be rolled back, and the index would keep it.

        Args:
            connection: To the primary, at READ COMMITTED.

        Raises:
            ValueError: This transaction has changed the master gallery.
            IndexFailed: The index did not take it; the next call goes on from the same place.
            KeysFailed: The keys cannot be read.
            sqlalchemy.exc.SQLAlchemyError: The database did not answer.
        """
        with self._reader:
            head = connection.execute(_HEAD).one()
            if head.is_mine:
                raise ValueError("an index never reads what is not committed")
            place = self._place
            if (head.cluster, head.timeline) != place[:2] or head.rev < place.rev:
                return self._build(connection, _Place(head.cluster, head.timeline, 0))
            changes = 0
            for lines, rev in self._pages(connection, place.rev):
                self._index.apply(self._puts(lines), self._drops(lines))
                self._place = place._replace(rev=rev)
                changes += len(lines)
            return changes

    def nearest(
        self, connection: sa.Connection, vector: npt.NDArray[np.float32], k: int
    ) -> tuple[Found, ...]:
        """Return about the k riders who are most alike, best first, as the database knows them.

        Whoever was erased since is left out.

        Args:
            connection: To the primary.
            vector: float32, shape (D,), unit length, of the model's own space.
            k: From 1.

        Raises:
            ValueError: The vector is of another dimension.
            IndexFailed: The index did not answer.
            KeysFailed: The keys cannot be read.
            sqlalchemy.exc.SQLAlchemyError: The database did not answer.
        """
        (candidates,) = self._index.search(vector[np.newaxis], k)
        wanted = [each.rider_ref for each in candidates]
        lines = master.lines(connection, wanted, self._index.space.model_id, safe=self._safe)
        plain = [(line, each) for line in lines if (each := self._plain(line)) is not None]
        found = [
            Found(line.rider_ref, line.version, float(each.vector @ vector), line.is_active)
            for line, each in plain
        ]
        return tuple(sorted(found, key=lambda each: -each.score))

    def alike(
        self, connection: sa.Connection, vector: npt.NDArray[np.float32], score_min: float
    ) -> tuple[Found, ...]:
        """Return everybody who is at least so much alike, best first.

        Args:
            connection: To the primary.
            vector: float32, shape (D,), unit length, of the model's own space.
            score_min: Cosine similarity, -1 to 1.

        Raises:
            ValueError: As `nearest`.
            IndexFailed: As `nearest`.
            KeysFailed: As `nearest`.
            sqlalchemy.exc.SQLAlchemyError: As `nearest`.
        """
        k = 16
        while True:
            (candidates,) = self._index.search(vector[np.newaxis], k)
            if len(candidates) < k or candidates[-1].score < score_min - _LOOSE:
                break
            k *= 4
        found = self.nearest(connection, vector, k)
        return tuple(each for each in found if each.score >= score_min)

    def _build(self, connection: sa.Connection, place: _Place) -> int:
        """Read the whole feed into the index, in pages."""
        drops: list[Drop] = []
        read = 0

        def batches() -> Iterator[Entries]:
            nonlocal place, read
            for lines, rev in self._pages(connection, 0):
                place = place._replace(rev=rev)
                read += len(lines)
                drops.extend(self._drops(lines))
                yield self._puts(lines)

        self._index.build(batches())
        # A rider may have been erased while later pages were read; a newer template stays.
        self._index.apply(self._puts(()), drops)
        self._place = place
        return read

    def _pages(
        self, connection: sa.Connection, rev: int
    ) -> Iterator[tuple[tuple[MasterLine, ...], int]]:
        """Yield this model's lines, page by page, with the revision read up to."""
        model_id = self._index.space.model_id
        while True:
            page = master.changes_since(connection, rev, self._page, safe=self._safe)
            if page.to_rev == rev:
                return
            rev = page.to_rev
            yield tuple(line for line in page.lines if line.model_id == model_id), rev

    def _puts(self, lines: Sequence[MasterLine]) -> Entries:
        held = [each for line in lines if (each := self._plain(line)) is not None]
        return entries(held, dimension=self._index.space.dimension)

    def _drops(self, lines: Iterable[MasterLine]) -> list[Drop]:
        return [Drop(line.rider_ref, line.version) for line in lines if line.template is None]

    def _plain(self, line: MasterLine) -> Template | None:
        """Return a line's template in the model's own space."""
        held = line.template
        if held is None or held.transform_id == PLAIN:
            return held
        try:
            vector = self._safe.turn(held.vector, source=held.transform_id, target=PLAIN)
        except UnknownTransform:
            say(_LOG, "transform_unknown", level=logging.ERROR, rider=held.rider_ref)
            return None
        return Template(held.rider_ref, held.version, held.model_id, PLAIN, vector)


class MasterSearch:
    """One follower for each model, made when it is asked for; may be used by several threads."""

    def __init__(
        self,
        safe: Safe,
        make_index: Callable[[Space], CandidateIndex],
        *,
        dimension: int = DIMENSION,
    ) -> None:
        """Start with no model.

        Args:
            safe: Opens the templates.
            make_index: Makes an empty index of a space.
            dimension: Values in a vector.
        """
        self._safe = safe
        self._make_index = make_index
        self._dimension = dimension
        self._followers: dict[str, MasterFollower] = {}
        self._making = Lock()

    def of(self, model_id: str) -> MasterFollower:
        """Return the follower of a model; a new one has read nothing yet.

        Args:
            model_id: The embedder.
        """
        with self._making:
            found = self._followers.get(model_id)
            if found is None:
                index = self._make_index(Space(model_id, PLAIN, self._dimension))
                found = self._followers[model_id] = MasterFollower(index, self._safe)
            return found

    def keep(self, models: Collection[str]) -> None:
        """Forget the followers of all other models.

        Args:
            models: Model ids.
        """
        with self._making:
            for model_id in self._followers.keys() - set(models):
                del self._followers[model_id]

    def read(self, connection: sa.Connection) -> int:
        """Read the gallery of every model that stations hold, and put the indexes in order.

        Args:
            connection: To the primary.

        Returns:
            How many changes were read.

        Raises:
            IndexFailed: See `MasterFollower.refresh`.
            KeysFailed: See `MasterFollower.refresh`.
            sqlalchemy.exc.SQLAlchemyError: See `MasterFollower.refresh`.
        """
        models = models_held(connection)
        self.keep(models)
        changes = 0
        for model_id in models:
            follower = self.of(model_id)
            changes += follower.refresh(connection)
            follower.index.seal()
        return changes


def models_held(connection: sa.Connection) -> tuple[str, ...]:
    """Return the models whose templates stations hold, sorted.

    Args:
        connection: To the database.
    """
    query = sa.select(VIEW.c.model_id).where(VIEW.c.model_id != "").distinct()
    return tuple(sorted(connection.execute(query).scalars()))
