"""The promises, one function each: they look at both ends at once, as no part of the system can."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from cloud_sync.gallery import Change, DropTemplate, PutDenial, PutTemplate
from cloud_sync.stream.replica import Standing
from cloud_sync.stream.serve_view import WINDOW
from cloud_sync.taps.tap_log import Batch, Receipt
from tests.sim.books import Broken
from tests.templates import SPACE

if TYPE_CHECKING:
    from tests.sim.cloud import Session
    from tests.sim.node import Node
    from tests.sim.world import World

SLACK_S = 65.0
"""By how much a clock that is wrong may stretch a lease, seconds: the mark on disk is up to 60 s
old, and a process comes back within 5 s (reference/reliability.md, R8: lease + 60 s)."""


# Safety.


def gone_means_gone(world: "World", node: "Node") -> None:
    """No face that a station's view lost longer than a lease ago is usable there."""
    books = world.books
    late = world.now - world.options.lease_s - SLACK_S
    here = books.gone[node.station_id]
    past = [here[ref] for ref in here.keys() & node.index.keys()]
    past += [books.withdrawn[ref] for ref in books.withdrawn.keys() & node.index.keys()]
    if past and min(past) < late and node.is_up and node.may_use():
        raise Broken(
            "gone_means_gone", f"{node.edge_id} still opens for a face dropped at {min(past):.0f} s"
        )


def no_divergence(world: "World", node: "Node") -> None:
    """At the same epoch and revision a node holds what the cloud's view holds.

    One whose disk has changed by itself does not; `rot_is_mended` waits for it.
    """
    view = world.cloud.views._views[node.station_id]
    content = node.disk._content
    if (content.epoch, content.rev) != (view.head.epoch, view.head.head_rev):
        return
    held = {
        change.template.rider_ref: change.template
        for _, change in view.items.values()
        if isinstance(change, PutTemplate)
    }
    denied = {
        change.denial.rider_ref: change.denial
        for _, change in view.items.values()
        if isinstance(change, PutDenial)
    }
    on_disk = {ref: put.template for ref, put in content.templates.items()}
    is_same = on_disk == held and content.denials == denied
    if node.is_rotten:  # until a digest shows it
        node.is_rotten = not is_same
    elif not is_same or (node.is_up and node.index != held):
        raise Broken("no_divergence", f"{node.edge_id} at {content.rev} of {node.station_id}")


def own_space(node: "Node") -> None:
    """No template of another model or transform is held, so none can be compared with."""
    for template in node.index.values():
        if template.model_id != SPACE.model_id or template.transform_id != SPACE.transform_id:
            raise Broken("own_space", f"{node.edge_id} holds a template of {template.model_id}")


def once(node: "Node", before: Standing) -> None:
    """A chunk takes a replica forward within its history, and is never applied again."""
    after = node.disk.standing()
    if after.epoch != before.epoch or after.applied_rev <= before.applied_rev:
        raise Broken("once", f"{node.edge_id} went from {before.applied_rev} {after.applied_rev}")


def renewed_only_when_caught_up(world: "World", node: "Node", until: datetime) -> None:
    """A lease is renewed by a node that stands where the cloud stood when it was offered."""
    if until <= world.cloud.wall():
        return  # a sign of life to a node that waits; a lease of no length renews nothing
    standing = node.disk.standing()
    offers = world.books.offered.get((node.edge_id, until), ())
    if (standing.epoch, standing.applied_rev) not in offers:
        raise Broken(
            "renewed_only_when_caught_up",
            f"{node.edge_id} renews at {standing.applied_rev}, behind",
        )


def acknowledged_is_held(world: "World", edge_id: str) -> None:
    """What the cloud notes as acknowledged, its proof of an erasure, is on the node's disk."""
    noted = world.cloud.views._edges[edge_id]
    content = world.node(edge_id).disk._content
    if noted.epoch == content.epoch and noted.acked_rev > content.rev:
        raise Broken(
            "acknowledged_is_held", f"{edge_id} acknowledged {noted.acked_rev}, holds {content.rev}"
        )


def published(world: "World", stations: Sequence[str], changes: Iterable[Change]) -> None:
    """Nobody who withdrew is given to a station again."""
    books = world.books
    for change in changes:
        match change:
            case PutTemplate(template):
                ref = template.rider_ref
                if ref in books.withdrawn:
                    raise Broken("published", "a rider who withdrew was published again")
                for station in stations:
                    books.gone[station].pop(ref, None)
            case DropTemplate(ref):
                for station in stations:
                    books.gone[station].setdefault(ref, world.now)


def history_lost(world: "World") -> None:
    """Note what never happened: a drop that the standby did not have, unless somebody withdrew."""
    for station, gone in world.books.gone.items():
        items = world.cloud.views._views[station].items
        for ref in [ref for ref in gone if b"r" + ref.bytes in items]:
            del gone[ref]


def withdrawn_is_nowhere(world: "World") -> None:
    """No view holds anybody who withdrew, whatever the database has lost."""
    for station, view in world.cloud.views._views.items():
        for ref in world.books.withdrawn:
            if b"r" + ref.bytes in view.items:
                raise Broken("withdrawn_is_nowhere", f"{station} holds a rider again who withdrew")


def no_tap_lost(world: "World") -> None:
    """Every tap for which a barrier opened is on the edge's disk or in the cloud."""
    kept = {sealed.tap.tap_id for sealed in world.cloud.tap_log._log}
    for node in world.nodes:
        kept.update(sealed.tap.tap_id for sealed in node.outbox._kept)
    lost = world.books.opened.keys() - kept
    if lost:
        raise Broken(
            "no_tap_lost", f"{len(lost)} taps are nowhere, of {world.books.opened[min(lost)]}"
        )


def acknowledged_is_stored(world: "World", batch: Batch, receipt: Receipt) -> None:
    """What a receipt says is durable lies in the log without a gap, as it was sent."""
    log = world.cloud.tap_log
    stored = {tap.seq: tap for tap in log._log if tap.outbox_id == batch.outbox_id}
    aside = {
        item.sealed.seq
        for item in log._aside
        if item.is_settled and item.sealed.outbox_id == batch.outbox_id
    }
    for seq in range(1, receipt.durable_seq + 1):
        if seq not in stored and seq not in aside:
            raise Broken(
                "acknowledged_is_stored",
                f"{batch.edge_id} is told {receipt.durable_seq}, {seq} is missing",
            )
    for sealed in batch.taps:
        is_held = sealed.seq <= receipt.durable_seq and sealed.seq in stored
        if is_held and stored[sealed.seq] != sealed:
            detail = f"{batch.edge_id} has another tap at {sealed.seq}"
            raise Broken("acknowledged_is_stored", detail)


def bounded(session: "Session") -> None:
    """A node that does not acknowledge costs the cloud and the line no more than two windows.

    The log keeps to one; expulsions may go although it is full, since they must overtake.
    """
    if session.sent_nonce - session.answered_nonce > 2 * WINDOW:
        raise Broken(
            "bounded", f"{session.sent_nonce - session.answered_nonce} chunks on their way"
        )
    if len(session.state.credit.unacked) > 2 * WINDOW or session.link.under_way > 16 * WINDOW:
        raise Broken("bounded", f"{session.link.under_way} messages on their way")


SAFETY = (
    gone_means_gone,
    no_divergence,
    own_space,
    once,
    renewed_only_when_caught_up,
    acknowledged_is_held,
    published,
    withdrawn_is_nowhere,
    no_tap_lost,
    acknowledged_is_stored,
    bounded,
)


# Liveness.


def behind(world: "World") -> list[str]:
    """Return who has not caught up with their view, or has no lease on it."""
    found: list[str] = []
    for node in world.nodes:
        head = world.cloud.views.head(node.station_id)
        assert head is not None
        standing = node.disk.standing()
        if (standing.epoch, standing.applied_rev) != (head.epoch, head.head_rev):
            found.append(f"{node.edge_id} at {standing.applied_rev} of {head.head_rev}")
        elif not node.is_up or not node.may_use():
            found.append(f"{node.edge_id} has no lease though it is caught up")
    return found


def stragglers(world: "World") -> list[str]:
    """Return who and what has not arrived; nobody may be left a while after the last fault."""
    found = behind(world)
    for node in world.nodes:
        if node.outbox.depth():
            found.append(f"{node.edge_id} keeps {node.outbox.depth()} taps")
    arrived = {sealed.tap.tap_id for sealed in world.cloud.tap_log._log}
    missing = world.books.opened.keys() - arrived
    if missing:
        edge_id = world.books.opened[min(missing)]
        found.append(f"{len(missing)} taps never arrived, of {edge_id}")
    return found


def in_step(world: "World") -> None:
    """In the end all edges hold their view, with a lease, and all taps have arrived."""
    left = stragglers(world)
    if left:
        raise Broken("in_step", "; ".join(left[:3]))


def rotten(world: "World") -> list[str]:
    """Return whose disk holds something else than was written."""
    return [node.edge_id for node in world.nodes if node.is_rotten]


def rot_is_mended(world: "World") -> None:
    """What changes on a disk by itself is found by the digests, an hour apart, and repaired."""
    left = rotten(world)
    if left:
        raise Broken("rot_is_mended", f"{', '.join(left)} hold something else than their view")


def all_alarmed(world: "World") -> None:
    """Whatever was taken out of a view, a person was called for it."""
    for station, view in world.cloud.views._views.items():
        if view.quarantine.keys() - world.books.alarms:
            raise Broken("all_alarmed", f"{station} took an item out and told nobody")


def dense(world: "World") -> None:
    """In the end each outbox lies in the cloud from 1 on without a gap, each tap once."""
    for node in world.nodes:
        stored = world.cloud.tap_log.stored(node.outbox.outbox_id)
        if [sealed.seq for sealed in stored] != list(range(1, len(stored) + 1)):
            raise Broken("dense", f"{node.edge_id} has gaps in the cloud")
        if len({sealed.tap.tap_id for sealed in stored}) != len(stored):
            raise Broken("dense", f"{node.edge_id} has a tap twice in the cloud")


LIVENESS = (in_step, rot_is_mended, all_alarmed, dense)
