"""The cloud's side of a station's view: what the station must hold, by revision.

The port is `ViewLog`. Revisions are taken under a row lock in the transaction that publishes, so
they commit in order; the epoch names the history they belong to. What an edge is served is decided
by pure functions here. This file does not know about SQL or the wire.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from cloud_sync.content import check, key_of, urgency
from cloud_sync.gallery import Change, PutSetting, PutTemplate
from cloud_sync.setting import read
from cloud_sync.stream.messages import PROTOCOL, PROTOCOL_MIN, Deny, Hello, Resume, UpgradeRequired
from cloud_sync.stream.skew import agreed

CHUNK_ITEMS = 256
"""Changes in a chunk: some 280 kB, far below gRPC's 4 MiB (reference/reliability.md, 2.4)."""
URGENT_MAX = 4_096
"""Lines that one expulsion is made of at most: 260 kB."""
ABSENT_MAX = 512
"""Riders that an edge is told to forget before a snapshot at most: 33 kB, 4 s at 64 kbit/s. The
erasures come first, then the newest drops."""
PART_ITEMS = 32
"""Changes in a part of a snapshot, which is cut once for fast lines and slow ones: 35 kB, 4.4 s at
64 kbit/s. A chunk holds one part or several."""


class ViewLogFailed(Exception):
    """The database did not answer."""


class HistoryGone(Exception):
    """The log no longer reaches back to that revision, or the epoch has changed: plan anew."""


class SpaceRefused(ValueError):
    """The view holds another model's templates; two spaces are never mixed."""


@dataclass(frozen=True, slots=True)
class Head:
    """Where a station's view stands."""

    station_id: str
    epoch: UUID
    """Changes when the cloud lost history: a restore, a promoted standby, a rebuild."""
    head_rev: int
    """The latest revision."""
    compacted_rev: int
    """Deltas can start here or later; anything older needs a snapshot."""
    lease_s: int
    """How long an edge may trust its replica after it was last caught up, seconds."""
    model_id: str
    """The embedder of the view's templates; empty until the first one."""
    transform_id: str
    key_id: str = ""
    """The root key that this epoch's keys come from; empty for the ring's current one."""


class NodeRole(StrEnum):
    """What a node is for."""

    GATE = "gate"
    """Its lanes open."""
    ENTRANCE = "entrance"
    """Its cameras look at an entrance, and it may ask who comes (`presence`)."""


@dataclass(frozen=True, slots=True)
class EdgeNode:
    """An edge node that was admitted."""

    edge_id: str
    station_id: str
    public_key: bytes
    """Ed25519, 32 bytes: what its taps are signed with."""
    role: NodeRole = NodeRole.GATE


@dataclass(frozen=True, slots=True)
class EdgeStanding:
    """What the cloud knows of one edge's replica, for compaction and for proof of erasure."""

    edge_id: str
    epoch: UUID | None
    """The history it acknowledged last; None when it never did."""
    acked_rev: int
    lease_until: datetime | None
    """The longest lease ever offered to it, aware UTC."""


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """One line of the log, with the content the view has for its key now."""

    rev: int
    change: Change | None
    """None when a later line has taken its place."""
    content_hash: bytes
    """As stored, 32 bytes: a record that was damaged since is refused by the edge."""


@dataclass(frozen=True, slots=True, eq=False)
class Page:
    """A part of the log, ready to be sent."""

    from_rev: int
    to_rev: int
    changes: tuple[Change, ...]
    """The latest per key, what shuts somebody out first, templates last."""
    hashes: tuple[bytes, ...]
    """The content hash of each change."""


@dataclass(frozen=True, slots=True, eq=False)
class Whole:
    """A view as it stood at one revision, in the order of its item keys."""

    epoch: UUID
    rev: int
    keys: tuple[bytes, ...]
    """Each item's, see `content.key_of`."""
    hashes: tuple[bytes, ...]
    """Each item's content hash."""
    changes: Sequence[Change]
    """What brings each item. A log that keeps records sealed opens them as they are asked for, a
    slice at a time, and raises `HistoryGone` where one does not open: it has taken that one out of
    the view, which has gone on from here."""


@dataclass(frozen=True, slots=True, eq=False)
class Roll:
    """What a view holds at one revision, without its content."""

    epoch: UUID
    rev: int
    items: tuple[tuple[bytes, bytes], ...]
    """Item key and content hash of each."""


class ViewLog(Protocol):
    """The views of all stations, and the edges that follow them.

    Where one view is meant, `station_id` is its id (`view_id`): the station's own, or that of its
    second view while the model is changed.
    """

    def publish(self, station_ids: Iterable[str], changes: Sequence[Change]) -> None:
        """Add changes to all views of some stations, in one transaction.

        Each template goes to the view of its model.

        Raises:
            TemplateRefused: A template is not a unit vector of its dimension.
            SpaceRefused: A template is of no space of the station.
            LookupError: A station has no view.
            ViewLogFailed: Nothing was published.
        """
        ...

    def admit(self, node: EdgeNode, now: datetime) -> None:
        """Let an edge follow its station's view; the view is made when it is the first."""
        ...

    def set_role(self, edge_id: str, role: NodeRole) -> None:
        """Say what an admitted node is for; it stays so when it is admitted again.

        Raises:
            LookupError: No such edge was admitted.
            ViewLogFailed: Nothing has changed.
        """
        ...

    def edge(self, edge_id: str) -> EdgeNode | None:
        """Return an admitted edge."""
        ...

    def edges(self, station_id: str) -> tuple[EdgeStanding, ...]:
        """Return what is known of the edges that follow a view."""
        ...

    def follow(self, edge_id: str, model_id: str) -> str | None:
        """Note by its model which of its station's views an edge follows; return the view.

        Returns:
            The view's id; None when no such edge was admitted.
        """
        ...

    def open_next(self, station_id: str, model_id: str, transform_id: str) -> bool:
        """Give a station a second view, of the coming model, with everything but templates.

        Returns:
            Whether it was new.
        """
        ...

    def adopt_next(self, station_id: str) -> bool:
        """Make the second view the station's only one; edges that follow it notice nothing.

        Returns:
            Whether there was one.
        """
        ...

    def close_next(self, station_id: str) -> bool:
        """Take the second view away; edges of the first one notice nothing.

        Returns:
            Whether there was one.
        """
        ...

    def head(self, station_id: str) -> Head | None:
        """Return where a view stands; a cloud that lost history starts its new epoch here."""
        ...

    def read(self, station_id: str, epoch: UUID, from_rev: int, limit: int) -> Page:
        """Return up to `limit` lines after a revision.

        Raises:
            HistoryGone: The log does not reach back, or the epoch is another.
        """
        ...

    def urgent(self, station_id: str, epoch: UUID, from_rev: int) -> Page:
        """Return what shuts somebody out after a revision, up to the head.

        Raises:
            HistoryGone: The log does not reach back, or the epoch is another.
        """
        ...

    def absent(self, edge_id: str, station_id: str, rev: int) -> Page:
        """Return drops of riders whom an edge may have and its station's view has not.

        Those whose erasure the edge has not confirmed, then those that the log still tells of, the
        newest first; no more than `ABSENT_MAX`. For an edge that is to take a snapshot of revision
        `rev`, at which the page stands.
        """
        ...

    def hashes(self, station_id: str) -> "Roll":
        """Return the content hash of every item of a view, of one moment."""
        ...

    def whole(self, station_id: str) -> Whole:
        """Return the view as it stands, of one moment."""
        ...

    def acknowledge(self, edge_id: str, epoch: UUID, rev: int, now: datetime) -> None:
        """Note what an edge holds durably."""
        ...

    def offer_lease(self, edge_id: str, until: datetime) -> Head:
        """Note a lease durably before it is sent, and return the head it is valid for."""
        ...

    def quarantine(self, station_id: str, digest: bytes, detail: str, now: datetime) -> None:
        """Keep an item from all edges of a station: it is sent as a drop from now on."""
        ...

    def compact(self, station_id: str, now: datetime, *, keep: int) -> int:
        """Forget lines that no edge with a lease needs; return the new compacted revision."""
        ...

    def renew_epoch(self, station_id: str, epoch: UUID) -> None:
        """Start a new history: every edge takes a snapshot."""
        ...


def plan(
    hello: Hello,
    node: EdgeNode | None,
    head: Head | None,
    *,
    is_sealing: bool = False,
    oldest: int = PROTOCOL_MIN,
) -> "Verdict":
    """Decide how an edge is served.

    Args:
        hello: What it says it holds.
        node: The edge as admitted, by its proven identity; None when it is not.
        head: Its station's view; None when there is none.
        is_sealing: Whether templates travel sealed here, and never in plain.
        oldest: The oldest protocol that the operator allows.

    Returns:
        Deltas, a snapshot, or why neither.
    """
    refused = _refused(hello, node, head, is_sealing=is_sealing, oldest=oldest)
    if refused is not None:
        return refused
    protocol = agreed(hello, oldest=oldest)
    assert head is not None
    assert protocol is not None
    if (
        hello.epoch != head.epoch
        or hello.applied_rev < head.compacted_rev
        or hello.applied_rev > head.head_rev
    ):
        return NeedsSnapshot()
    return Resume(head.epoch, hello.applied_rev, protocol)


def _refused(
    hello: Hello, node: EdgeNode | None, head: Head | None, *, is_sealing: bool, oldest: int
) -> UpgradeRequired | Deny | None:
    """Return why an edge is not served."""
    if agreed(hello, oldest=oldest) is None:
        return UpgradeRequired(f"the cloud speaks {oldest} to {PROTOCOL}")
    if is_sealing and not hello.stream_key:
        return UpgradeRequired("templates are sealed here, and this edge brings no key for it")
    if node is None or node.station_id != hello.station_id:
        return Deny("this edge is not admitted at this station")
    if head is None:
        return Deny("the station has no view")
    # With its grant the edge undoes the view's rotation; without one it must be in the same space.
    transform_id = head.transform_id if is_sealing else hello.transform_id
    if head.model_id and (hello.model_id, transform_id) != (head.model_id, head.transform_id):
        return Deny(f"the view is of {head.model_id} / {head.transform_id}")
    return None


@dataclass(frozen=True, slots=True)
class NeedsSnapshot:
    """Deltas cannot bring this edge up to date."""


Verdict = Resume | NeedsSnapshot | UpgradeRequired | Deny


def coalesce(changes: Iterable[Change]) -> tuple[Change, ...]:
    """Return the latest change per key: what shuts somebody out first, templates last.

    Args:
        changes: Oldest first.
    """
    return tuple(change for change, _ in _latest((change, b"") for change in changes))


def page(lines: Sequence[Line], from_rev: int) -> Page:
    """Return a part of the log as it is sent.

    Args:
        lines: Consecutive lines after `from_rev`, oldest first.
        from_rev: The revision before the first.

    Raises:
        HistoryGone: A line is missing; it may have been a drop.
    """
    if any(line.rev != from_rev + place for place, line in enumerate(lines, 1)):
        raise HistoryGone(f"the log has a hole after {from_rev}")
    to_rev = lines[-1].rev if lines else from_rev
    pairs = _latest((line.change, line.content_hash) for line in lines if line.change is not None)
    changes = tuple(change for change, _ in pairs)
    return Page(from_rev, to_rev, changes, tuple(digest for _, digest in pairs))


def urgent_page(lines: Iterable[Line], from_rev: int, to_rev: int) -> Page:
    """Return what shuts somebody out, of lines that need not be consecutive.

    Args:
        lines: Oldest first; others among them are passed over.
        from_rev: The revision after which was looked.
        to_rev: The revision up to which was looked.
    """
    pairs = [(line.change, line.content_hash) for line in lines if line.change is not None]
    urgent = _latest(pair for pair in pairs if urgency(pair[0]) == 0)
    changes = tuple(change for change, _ in urgent)
    return Page(from_rev, to_rev, changes, tuple(digest for _, digest in urgent))


def _latest(pairs: Iterable[tuple[Change, bytes]]) -> list[tuple[Change, bytes]]:
    latest: dict[bytes, tuple[Change, bytes]] = {}
    for pair in pairs:
        key = key_of(pair[0])
        latest.pop(key, None)  # so that it moves to its new place
        latest[key] = pair
    return sorted(latest.values(), key=lambda pair: urgency(pair[0]))


def compactable(head: Head, edges: Iterable[EdgeStanding], now: datetime, *, keep: int) -> int:
    """Return the revision up to which lines may be forgotten.

    A drop stays in the log until every edge has it or may no longer use what it holds; otherwise
    an edge would resume past it and keep the face.

    Args:
        head: The view.
        edges: All edges of the station.
        now: Aware UTC.
        keep: Lines to keep in any case, so that a late edge need not fetch everything.
    """
    safe = head.head_rev - keep
    for edge in edges:
        if edge.lease_until is None or edge.lease_until <= now:
            continue
        safe = min(safe, edge.acked_rev if edge.epoch == head.epoch else 0)
    return max(head.compacted_rev, safe)


def space_of(changes: Iterable[Change], head: Head, *, dimension: int) -> tuple[str, str]:
    """Check changes before they are published; return the space of the view afterwards.

    Args:
        changes: What is to be published.
        head: The view.
        dimension: Values in a vector.

    Returns:
        Model id and transform id; those of the first template when the view had none.

    Raises:
        TemplateRefused: A template is not a unit vector of its dimension.
        SpaceRefused: A template is of another space.
        SettingRefused: A setting is no document that a station could go by.
    """
    space = (head.model_id, head.transform_id)
    for change in changes:
        if isinstance(change, PutSetting):
            read(change.setting)
        if not isinstance(change, PutTemplate):
            continue
        template = change.template
        check(template.vector, dimension=dimension)
        if not space[0]:
            space = (template.model_id, template.transform_id)
        if (template.model_id, template.transform_id) != space:
            raise SpaceRefused(f"{template.model_id} / {template.transform_id}, not {space}")
    return space
