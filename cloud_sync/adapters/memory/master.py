"""The master gallery in memory: for tests and models, with the rules of the real one."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from cloud_sync.content import check
from cloud_sync.master.gallery import (
    Activate,
    Deactivate,
    Erase,
    Forget,
    Held,
    MasterChange,
    MasterLine,
    MasterPage,
    PutMaster,
    Standing,
    Withdraw,
    is_late,
    rider_of,
)


class MemoryMasterGallery:
    """Templates that a restart forgets."""

    def __init__(self, *, dimension: int = 512) -> None:
        """Start without riders.

        Args:
            dimension: Values in a template's vector.
        """
        self._dimension = dimension
        self._rev = 0
        self._riders: dict[UUID, Standing] = {}
        self._lines: dict[tuple[UUID, str], MasterLine] = {}

    def apply(self, changes: Sequence[MasterChange], now: datetime) -> None:
        """Make changes in their order, all or none."""
        del now
        for change in changes:
            if isinstance(change, PutMaster):
                check(change.template.vector, dimension=self._dimension)
        for change in changes:
            standing = self._riders.setdefault(rider_of(change), Standing.INACTIVE)
            if standing is not Standing.GONE:
                self._apply(change, standing)

    def changes_since(self, rev: int, limit: int) -> MasterPage:
        """Return up to `limit` templates whose latest change lies after a revision."""
        later = sorted((line for line in self._lines.values() if line.rev > rev), key=_rev)[:limit]
        return MasterPage(tuple(later), later[-1].rev if later else rev)

    def head(self) -> int:
        """Return the latest revision, 0 at first."""
        return self._rev

    def standing(self, rider_ref: UUID) -> Standing:
        """Return what holds for a rider."""
        return self._riders.get(rider_ref, Standing.UNKNOWN)

    def active(self, rider_refs: Iterable[UUID]) -> frozenset[UUID]:
        """Return those of some riders whom stations may hold."""
        return frozenset(ref for ref in rider_refs if self.standing(ref) is Standing.ACTIVE)

    def everybody(self, at_most: int) -> frozenset[UUID] | None:
        """Return all whom stations may hold; None when they are more than `at_most`."""
        found = self.active(self._riders)
        return found if len(found) <= at_most else None

    def _apply(self, change: MasterChange, standing: Standing) -> None:
        match change:
            case PutMaster(template):
                key = (template.rider_ref, template.model_id)
                known = self._lines.get(key)
                if not is_late(Held(known.version if known else 0), template.version):
                    self._lines[key] = MasterLine(
                        self._next(),
                        *key,
                        template.transform_id,
                        template.version,
                        standing is Standing.ACTIVE,
                        template,
                    )
            case Activate(ref):
                if standing is not Standing.ACTIVE:
                    self._stand(ref, Standing.ACTIVE)
            case Deactivate(ref):
                if standing is not Standing.INACTIVE:
                    self._stand(ref, Standing.INACTIVE)
            case Forget(ref, model_id):
                known = self._lines.get((ref, model_id))
                if known is not None and known.template is not None:
                    self._lines[ref, model_id] = replace(known, rev=self._next(), template=None)
            case Erase(ref) | Withdraw(ref):
                is_gone = isinstance(change, Withdraw)
                self._stand(ref, Standing.GONE if is_gone else Standing.INACTIVE, erased=True)

    def _stand(self, ref: UUID, standing: Standing, *, erased: bool = False) -> None:
        self._riders[ref] = standing
        for key, line in sorted(self._lines.items()):
            if key[0] == ref:
                template = None if erased else line.template
                self._lines[key] = replace(
                    line,
                    rev=self._next(),
                    is_active=standing is Standing.ACTIVE,
                    template=template,
                )

    def _next(self) -> int:
        self._rev += 1
        return self._rev


def _rev(line: MasterLine) -> int:
    return line.rev
