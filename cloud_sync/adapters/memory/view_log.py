"""All stations' views in memory: for tests and models, with the rules of the real ones."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from cloud_sync.content import content_hash, dropped, is_drop, is_template, key_of
from cloud_sync.gallery import Change, DropTemplate, PutTemplate
from cloud_sync.stream.view import (
    ABSENT_MAX,
    URGENT_MAX,
    EdgeNode,
    EdgeStanding,
    Head,
    HistoryGone,
    Line,
    NodeRole,
    Page,
    Roll,
    SpaceRefused,
    Whole,
    coalesce,
    compactable,
    page,
    space_of,
    urgent_page,
)
from cloud_sync.view_id import followed, next_view, station_of

_SHUT_OUT = (b"r", b"k", b"d")
"""First bytes of the keys whose lines may shut somebody out."""
_LEASE_S = 86_400
"""A day, as the real view has by default."""


@dataclass(slots=True)
class _View:
    head: Head
    log: list[tuple[int, bytes, Change | None]] = field(default_factory=list)
    """Revision, key, and the change if it drops."""
    items: dict[bytes, tuple[int, Change]] = field(default_factory=dict)
    hashes: dict[int, bytes] = field(default_factory=dict)
    quarantine: dict[bytes, Change] = field(default_factory=dict)

    def copy(self) -> "_View":
        return _View(
            self.head,
            list(self.log),
            dict(self.items),
            dict(self.hashes),
            dict(self.quarantine),
        )


class MemoryViewLog:
    """Views that a restart empties."""

    def __init__(self, new_epoch: Callable[[], UUID], *, dimension: int = 512) -> None:
        """Start without stations.

        Args:
            new_epoch: Returns an id never returned before.
            dimension: Values in a template's vector.
        """
        self._new_epoch = new_epoch
        self._dimension = dimension
        self._views: dict[str, _View] = {}
        self._nodes: dict[str, EdgeNode] = {}
        self._edges: dict[str, EdgeStanding] = {}
        self._follows: dict[str, str] = {}
        self.on_ack: list[Callable[[str, UUID, int, datetime], None]] = []
        """Told each acknowledgement: edge, epoch, revision, time."""
        self.on_epoch: list[Callable[[str, UUID], None]] = []
        """Told each new epoch of a view."""
        self.on_follow: list[Callable[[str, Head], None]] = []
        """Told each edge that follows another view of its station now, and where that stands."""
        self.unproven: Callable[[str], Iterable[UUID]] = lambda _: ()
        """Riders whose erasure an edge has not confirmed; the ledger of erasures says so."""

    def publish(self, station_ids: Iterable[str], changes: Sequence[Change]) -> None:
        """Add changes to all views of some stations, all or none."""
        lines = coalesce(changes)
        wanted = sorted(set(station_ids))
        if not lines:
            return
        missing = [station for station in wanted if station not in self._views]
        if missing:
            raise LookupError(f"no view of {', '.join(missing)}")
        due = [each for station in wanted for each in self._fitting(station, lines)]
        spaces = [space_of(fit, view.head, dimension=self._dimension) for view, fit in due]
        for (view, fit), space in zip(due, spaces, strict=True):
            self._write(view, fit, space)

    def _fitting(self, station: str, lines: Sequence[Change]) -> list[tuple[_View, list[Change]]]:
        """Return what each view of a station takes of some changes."""
        coming = self._views.get(next_view(station))
        views = [self._views[station], *([coming] if coming else [])]
        if len(views) == 1:
            return [(views[0], list(lines))]
        models = {view.head.model_id for view in views}
        strange = {_model_of(each) for each in lines} - {None} - models
        if strange:
            raise SpaceRefused(f"{strange} is none of {models}")
        return [
            (view, [each for each in lines if _model_of(each) in (None, view.head.model_id)])
            for view in views
        ]

    def admit(self, node: EdgeNode, now: datetime) -> None:
        """Let an edge follow its station's view; the view is made when it is the first."""
        del now
        if node.station_id not in self._views:
            head = Head(node.station_id, self._new_epoch(), 0, 0, _LEASE_S, "", "")
            self._views[node.station_id] = _View(head)
        known = self._nodes.get(node.edge_id)
        if known is None or known.station_id != node.station_id:
            self._follows[node.edge_id] = node.station_id
        self._nodes[node.edge_id] = node if known is None else replace(node, role=known.role)
        self._edges.setdefault(node.edge_id, EdgeStanding(node.edge_id, None, 0, None))

    def set_role(self, edge_id: str, role: NodeRole) -> None:
        """Say what an admitted node is for; it stays so when it is admitted again."""
        if edge_id not in self._nodes:
            raise LookupError(f"no edge {edge_id} was admitted")
        self._nodes[edge_id] = replace(self._nodes[edge_id], role=role)

    def edge(self, edge_id: str) -> EdgeNode | None:
        """Return an admitted edge."""
        return self._nodes.get(edge_id)

    def edges(self, station_id: str) -> tuple[EdgeStanding, ...]:
        """Return what is known of the edges that follow a view."""
        here = [edge_id for edge_id, view in self._follows.items() if view == station_id]
        return tuple(self._edges[edge_id] for edge_id in here)

    def follow(self, edge_id: str, model_id: str) -> str | None:
        """Note by its model which of its station's views an edge follows; return the view."""
        node = self._nodes.get(edge_id)
        if node is None:
            return None
        names = (node.station_id, next_view(node.station_id))
        models = {name: self._views[name].head.model_id for name in names if name in self._views}
        self._lead(edge_id, followed(node.station_id, models, model_id))
        return self._follows[edge_id]

    def open_next(self, station_id: str, model_id: str, transform_id: str) -> bool:
        """Give a station a second view, of the coming model, with everything but templates."""
        coming, first = next_view(station_id), self._views[station_id]
        if coming in self._views:
            return False
        lease_s = first.head.lease_s
        head = Head(coming, self._new_epoch(), 0, 0, lease_s, model_id, transform_id)
        self._views[coming] = _View(head)
        kept = [change for _, (_, change) in sorted(first.items.items()) if not _model_of(change)]
        self._write(self._views[coming], kept, (model_id, transform_id))
        return True

    def adopt_next(self, station_id: str) -> bool:
        """Make the second view the station's only one."""
        coming = next_view(station_id)
        if coming not in self._views:
            return False
        self._carry_drops(station_id, coming)
        view = self._views.pop(coming)
        view.head = replace(view.head, station_id=station_id)
        self._views[station_id] = view
        for edge_id, node in self._nodes.items():
            if node.station_id == station_id:
                self._lead(edge_id, station_id, is_told=True)
        return True

    def close_next(self, station_id: str) -> bool:
        """Take the second view away."""
        coming = next_view(station_id)
        if coming not in self._views:
            return False
        self._carry_drops(coming, station_id)
        del self._views[coming]
        for edge_id, view_id in tuple(self._follows.items()):
            if view_id == coming:
                self._lead(edge_id, station_id)
        return True

    def _lead(self, edge_id: str, view_id: str, *, is_told: bool = False) -> None:
        if self._follows[edge_id] == view_id and not is_told:
            return
        self._follows[edge_id] = view_id
        for tell in self.on_follow:
            tell(edge_id, self._views[view_id].head)

    def _carry_drops(self, past: str, stays: str) -> None:
        """Let the view that stays drop whom only the past one has held."""
        gone, left = self._views[past], self._views[stays]
        keys = {key for _, key, _ in gone.log if is_template(key)} | set(gone.items)
        lacking = sorted(key for key in keys - set(left.items) if is_template(key))
        drops = [DropTemplate(UUID(bytes=key[1:])) for key in lacking]
        self._write(left, drops, (left.head.model_id, left.head.transform_id))

    def head(self, station_id: str) -> Head | None:
        """Return where a view stands."""
        view = self._views.get(station_id)
        return None if view is None else view.head

    def read(self, station_id: str, epoch: UUID, from_rev: int, limit: int) -> Page:
        """Return up to `limit` lines after a revision."""
        view = self._view(station_id)
        if view.head.epoch != epoch or from_rev < view.head.compacted_rev:
            raise HistoryGone(f"{station_id} does not reach back to {from_rev}")
        lines = [line for line in view.log if line[0] > from_rev][:limit]
        return page([self._line(view, *line) for line in lines], from_rev)

    def urgent(self, station_id: str, epoch: UUID, from_rev: int) -> Page:
        """Return what shuts somebody out after a revision, up to the head."""
        view = self._view(station_id)
        if view.head.epoch != epoch or from_rev < view.head.compacted_rev:
            raise HistoryGone(f"{station_id} does not reach back to {from_rev}")
        lines = [line for line in view.log if line[0] > from_rev and line[1][:1] in _SHUT_OUT]
        made = [self._line(view, *line) for line in lines[:URGENT_MAX]]
        is_all = len(lines) <= URGENT_MAX
        return urgent_page(made, from_rev, view.head.head_rev if is_all else made[-1].rev)

    def absent(self, edge_id: str, station_id: str, rev: int) -> Page:
        """Return drops of riders whom an edge may have and its station's view has not."""
        view = self._view(station_id)
        erased = [b"r" + ref.bytes for ref in self.unproven(edge_id)]
        logged = [key for _, key, drop in reversed(view.log) if drop and is_template(key)]
        keys = [key for key in dict.fromkeys((*erased, *logged)) if key not in view.items]
        changes = tuple(map(dropped, keys[:ABSENT_MAX]))
        return Page(rev, rev, changes, tuple(map(content_hash, changes)))

    def hashes(self, station_id: str) -> Roll:
        """Return the content hash of every item of a view, of one moment."""
        view = self._view(station_id)
        items = tuple((key, view.hashes[rev]) for key, (rev, _) in sorted(view.items.items()))
        return Roll(view.head.epoch, view.head.head_rev, items)

    def whole(self, station_id: str) -> Whole:
        """Return the view as it stands."""
        view = self._view(station_id)
        keys = tuple(sorted(view.items))
        rows = [view.items[key] for key in keys]
        hashes = tuple(view.hashes[rev] for rev, _ in rows)
        changes = tuple(change for _, change in rows)
        return Whole(view.head.epoch, view.head.head_rev, keys, hashes, changes)

    def _view(self, view_id: str) -> _View:
        view = self._views.get(view_id)
        if view is None:
            raise HistoryGone(f"no view of {view_id}")
        return view

    def acknowledge(self, edge_id: str, epoch: UUID, rev: int, now: datetime) -> None:
        """Note what an edge holds durably."""
        self._edges[edge_id] = replace(self._edges[edge_id], epoch=epoch, acked_rev=rev)
        for tell in self.on_ack:
            tell(edge_id, epoch, rev, now)

    def offer_lease(self, edge_id: str, until: datetime) -> Head:
        """Note a lease before it is sent, and return the head it is valid for."""
        if edge_id not in self._nodes:
            raise HistoryGone(f"{edge_id} is no longer admitted")
        standing = self._edges[edge_id]
        if standing.lease_until is None or standing.lease_until < until:
            self._edges[edge_id] = replace(standing, lease_until=until)
        return self._views[self._follows[edge_id]].head

    def quarantine(self, station_id: str, digest: bytes, detail: str, now: datetime) -> None:
        """Keep an item from all edges of a station: it is sent as a drop from now on."""
        del detail, now
        view = self._views.get(station_id)
        if view is None:
            return
        for key, (rev, change) in tuple(view.items.items()):
            if view.hashes[rev] == digest:
                self._write(view, (dropped(key),), (view.head.model_id, view.head.transform_id))
                view.quarantine[digest] = change

    def compact(self, station_id: str, now: datetime, *, keep: int) -> int:
        """Forget lines that no edge with a lease needs; return the new compacted revision."""
        view = self._views.get(station_id)
        if view is None:
            return 0
        safe = compactable(view.head, self.edges(station_id), now, keep=keep)
        view.log = [line for line in view.log if line[0] > safe]
        view.head = replace(view.head, compacted_rev=safe)
        return safe

    def renew_epoch(self, station_id: str, epoch: UUID) -> None:
        """Start a new history: every edge takes a snapshot."""
        view = self._views[station_id]
        view.head = replace(view.head, epoch=epoch)
        for tell in self.on_epoch:
            tell(station_id, epoch)

    def drops(self, rider_ref: UUID) -> dict[str, int]:
        """Return the views whose logs have dropped a rider, with the latest revision of it."""
        key = b"r" + rider_ref.bytes
        return {
            station: max(rev for rev, item, change in view.log if item == key and change)
            for station, view in self._views.items()
            if any(item == key and change for _, item, change in view.log)
        }

    def followers(self, station_id: str) -> tuple[str, ...]:
        """Return the edges that follow a view, and those that still hold its history."""
        epoch = self._views[station_id].head.epoch
        return tuple(
            node.edge_id
            for node in self._nodes.values()
            if self._follows[node.edge_id] == station_id or self._edges[node.edge_id].epoch == epoch
        )

    def led(self, edge_id: str, view_id: str) -> str:
        """Return the view that counts for an edge: of its own station the one it follows."""
        is_home = self._nodes[edge_id].station_id == station_of(view_id)
        return self._follows[edge_id] if is_home else view_id

    def become(self, other: "MemoryViewLog") -> None:
        """Hold from here on what another one holds now, as a standby does when it catches up."""
        self._views, self._nodes, self._edges = other.held()
        self._follows = other.followed()

    def held(self) -> tuple[dict[str, _View], dict[str, EdgeNode], dict[str, EdgeStanding]]:
        """Return a copy of everything; it goes its own way from here."""
        views = {station: view.copy() for station, view in self._views.items()}
        return views, dict(self._nodes), dict(self._edges)

    def followed(self) -> dict[str, str]:
        """Return which view each edge follows."""
        return dict(self._follows)

    def set_lease(self, station_id: str, lease_s: int) -> None:
        """Choose how long leases of a station last, seconds."""
        view = self._views[station_id]
        view.head = replace(view.head, lease_s=lease_s)

    def damage(self, station_id: str, change: Change) -> None:
        """Put an item into a view past all checks, as damaged storage would."""
        view = self._views[station_id]
        self._write(view, (change,), (view.head.model_id, view.head.transform_id))

    def _write(self, view: _View, lines: Sequence[Change], space: tuple[str, str]) -> None:
        rev = view.head.head_rev
        for change in lines:
            rev += 1
            key = key_of(change)
            view.hashes[rev] = content_hash(change)
            view.log.append((rev, key, change if is_drop(change) else None))
            if is_drop(change):
                view.items.pop(key, None)
            else:
                view.items[key] = (rev, change)
        view.head = replace(view.head, head_rev=rev, model_id=space[0], transform_id=space[1])

    def _line(self, view: _View, rev: int, key: bytes, drop: Change | None) -> Line:
        if drop is not None:
            return Line(rev, drop, view.hashes[rev])
        item_rev, change = view.items.get(key, (0, None))
        return Line(rev, change if item_rev == rev else None, view.hashes[rev])


def _model_of(change: Change) -> str | None:
    """Return the model of a template, None for what holds whatever the model."""
    return change.template.model_id if isinstance(change, PutTemplate) else None
