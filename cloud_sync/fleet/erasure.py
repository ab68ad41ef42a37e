"""The proof that a face is gone from every station node, and the port that keeps it.

A node is rid of a face when it has acknowledged the revision that drops it, in the same history,
or when its lease has ended: without a lease no gate uses what is on its disk, and the keys to it
are gone (reference/reliability.md, 2.6). This file does not know about SQL or files.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from cloud_sync.fleet.findings import span


class LedgerFailed(Exception):
    """The ledger cannot be written or read; no erasure may be confirmed then."""


@dataclass(frozen=True, slots=True)
class Erasure:
    """One rider's face data went; named by rider and moment."""

    rider_ref: UUID
    at: datetime
    """Aware UTC."""
    cause: str
    """What led to it, a word in snake case, e.g. `withdraw` or `consent_store`."""
    is_final: bool
    """Whether the rider withdrew: the reference never comes back."""


@dataclass(frozen=True, slots=True)
class NodeErasure:
    """What one node has to do with an erasure."""

    edge_id: str
    station_id: str
    """Whose view it may have held the face from."""
    epoch: UUID
    """The history that `drop_rev` belongs to; a new one of the view takes its place."""
    drop_rev: int
    """The revision that drops the face."""
    lease_until: datetime | None
    """The longest lease offered to it when the face went, aware UTC; None when there was none.
    Later leases are only for what has dropped it."""
    acked_at: datetime | None
    """When it acknowledged that revision; None as long as it has not."""

    def gone_at(self, erased_at: datetime) -> datetime:
        """Return when no gate of this node can use the face any more, or will not at the latest.

        Args:
            erased_at: When the face data went, aware UTC.
        """
        ends = [end for end in (self.acked_at, self.lease_until) if end is not None]
        return max(erased_at, min(ends)) if ends else erased_at


@dataclass(frozen=True, slots=True)
class Proof:
    """One erasure and all nodes that may have held the face."""

    erasure: Erasure
    nodes: tuple[NodeErasure, ...]
    """By station and name."""

    @property
    def everywhere_at(self) -> datetime:
        """When the face was gone from every node, or will be at the latest; aware UTC."""
        at = self.erasure.at
        return max((node.gone_at(at) for node in self.nodes), default=at)

    def missing(self, now: datetime) -> tuple[NodeErasure, ...]:
        """Return the nodes that may still use the face.

        Args:
            now: Aware UTC.
        """
        return tuple(node for node in self.nodes if node.gone_at(self.erasure.at) > now)

    def is_complete(self, now: datetime) -> bool:
        """Return whether the face is gone from every node by now."""
        return self.everywhere_at <= now


class ErasureLedger(Protocol):
    """Erasures and what became of them; what is in it is never changed or taken out."""

    def erase(self, erasure: Erasure) -> bool:
        """Note an erasure, with the nodes that may hold the face; the views have dropped it before.

        Returns:
            Whether it was new; the same again changes nothing.

        Raises:
            LedgerFailed: It is not noted.
        """
        ...

    def proofs(self, rider_ref: UUID) -> tuple[Proof, ...]:
        """Return a rider's erasures, oldest first.

        Raises:
            LedgerFailed: Nothing can be read.
        """
        ...

    def recent(self, limit: int) -> tuple[Proof, ...]:
        """Return the newest erasures of all riders, newest first.

        Raises:
            LedgerFailed: Nothing can be read.
        """
        ...


class ErasureCopy(Protocol):
    """The ledger's copy outside the database, out of which a restored one is mended."""

    def append(self, erasure: Erasure) -> None:
        """Write an erasure, durable on return.

        Args:
            erasure: What happens in the transaction under way; if that fails afterwards the line
                stays, and a replay carries out what the rider has asked for.

        Raises:
            LedgerFailed: It is not durable; the transaction must not commit.
        """
        ...

    def read(self, since: datetime | None = None) -> Sequence[Erasure]:
        """Return the erasures that are kept from a day on, oldest first, each checked.

        Args:
            since: A moment of that day, aware; None for all that are kept.

        Raises:
            LedgerFailed: They cannot be read, or somebody has changed them.
        """
        ...


def summary(proof: Proof, now: datetime) -> str:
    """Return a proof in one line, e.g. `gone from 41 of 41 nodes, 3.8 s`.

    Args:
        proof: The proof.
        now: Aware UTC.
    """
    count, missing = len(proof.nodes), len(proof.missing(now))
    if not count:
        return "no node held the face"
    took = (min(proof.everywhere_at, now) - proof.erasure.at).total_seconds()
    said = f"gone from {count - missing} of {count} nodes"
    return f"{said}, {span(took)}" if not missing else f"{said} after {span(took)}"


def in_words(proofs: Iterable[Proof], now: datetime) -> tuple[str, ...]:
    """Return proofs as lines for a terminal, with the nodes that are missing.

    Args:
        proofs: Of one rider, oldest first.
        now: Aware UTC.
    """
    lines: list[str] = []
    for proof in proofs:
        at = proof.erasure.at.isoformat(timespec="seconds")
        lines.append(f"{proof.erasure.rider_ref}: {proof.erasure.cause} at {at}")
        lines.append(f"  {summary(proof, now)}")
        by_lease = [
            node
            for node in proof.nodes
            if node not in proof.missing(now) and node.acked_at is None and node.lease_until
        ]
        if by_lease:
            lines.append(f"  {len(by_lease)} of them by the end of their lease, not by a word")
        lines += [
            f"  {node.edge_id} at {node.station_id} has not acknowledged; its lease ends"
            f" {node.gone_at(proof.erasure.at).isoformat(timespec='seconds')} at the latest"
            for node in proof.missing(now)
        ]
    return tuple(lines)


def as_json(proof: Proof, now: datetime) -> dict[str, Any]:
    """Return a proof as plain values for JSON.

    Args:
        proof: The proof.
        now: Aware UTC.
    """
    at = proof.erasure.at
    is_complete = proof.is_complete(now)
    return {
        "rider_ref": str(proof.erasure.rider_ref),
        "erased_at": at.isoformat(),
        "cause": proof.erasure.cause,
        "nodes": len(proof.nodes),
        "gone_from": len(proof.nodes) - len(proof.missing(now)),
        "is_complete": is_complete,
        "erased_everywhere_at": proof.everywhere_at.isoformat() if is_complete else None,
        "at_the_latest": proof.everywhere_at.isoformat(),
        "seconds": round((proof.everywhere_at - at).total_seconds(), 3) if is_complete else None,
        "each": [
            {
                "edge_id": node.edge_id,
                "station_id": node.station_id,
                "drop_rev": node.drop_rev,
                "acked_at": node.acked_at.isoformat() if node.acked_at else None,
                "lease_until": node.lease_until.isoformat() if node.lease_until else None,
                "gone_at": node.gone_at(at).isoformat() if node.gone_at(at) <= now else None,
            }
            for node in proof.nodes
        ],
    }
