"""The edge's end of the stream, event by event."""

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import pytest

from cloud_sync.content import content_hash
from cloud_sync.gallery import Change, DropTemplate
from cloud_sync.stream.digest import DIGEST_BYTES
from cloud_sync.stream.follow import (
    DIGEST_AGAIN_S,
    DIGEST_S,
    SILENCE_S,
    Applied,
    Apply,
    BeginSnapshot,
    Connected,
    DigestTaken,
    Effect,
    Event,
    Expel,
    Expelled,
    Failed,
    FinishSnapshot,
    Follower,
    HangUp,
    Mend,
    Mended,
    NoteTime,
    Received,
    RenewLease,
    Replaced,
    Say,
    SnapshotBegun,
    Stage,
    Staged,
    TakeDigest,
    TakeGrant,
    Tick,
    step,
)
from cloud_sync.stream.messages import (
    Ack,
    Bookmark,
    Chunk,
    Deny,
    Digest,
    FromCloud,
    Hello,
    Nack,
    NackCode,
    Refusal,
    Repair,
    Resume,
    UpgradeRequired,
)
from cloud_sync.stream.replica import Standing
from tests.templates import EPOCH, SPACE, put, rider, snapshot

OTHER = UUID(int=99)
SNAPSHOT = snapshot(put("Ana"), put("Ben"), rev=30, chunks=2, epoch=OTHER)


class Edge:
    """An edge's end to talk to."""

    def __init__(self, *, rev: int = 7) -> None:
        """Stand at a revision of EPOCH, with a stream just opened."""
        self.state = Follower("edge-1", "bell-tower", SPACE, EPOCH, rev)

    def on(self, event: Event, *, now_s: float = 1.0) -> tuple[Effect, ...]:
        """Take an event; return the effects."""
        self.state, effects = step(self.state, event, now_s)
        return effects

    def hears(self, message: FromCloud, *, now_s: float = 1.0) -> tuple[Effect, ...]:
        """Take a message of the cloud."""
        return self.on(Received(message), now_s=now_s)


def delta(from_rev: int, to_rev: int, *, nonce: int = 5, epoch: UUID = EPOCH) -> Chunk:
    """Return a chunk of the log."""
    change = put(f"rider {to_rev}")
    return Chunk(nonce, epoch, from_rev, to_rev, (change,), (content_hash(change),))


def part(index: int, *, nonce: int = 5, rev: int = 30, epoch: UUID = OTHER) -> Chunk:
    """Return a chunk of a snapshot."""
    change = put(["Ana", "Ben"][index])
    hashes = (content_hash(change),)
    return Chunk(nonce, epoch, 0, rev, (change,), hashes, index, is_snapshot=True)


def poisoned(chunk: Chunk, code: NackCode = NackCode.BAD_ITEM) -> Chunk:
    """Return the chunk as it arrives when an item of it is refused."""
    refusal = Refusal(b"h" * 32, code, "bad")
    return Chunk(
        chunk.nonce,
        chunk.epoch,
        chunk.from_rev,
        chunk.to_rev,
        chunk.changes,
        chunk.hashes,
        chunk.index,
        chunk.is_snapshot,
        refusals=(refusal,),
    )


@pytest.fixture
def edge() -> Edge:
    """Give an edge at revision 7 that was told to resume."""
    made = Edge()
    made.hears(Resume(EPOCH, 7))
    return made


class TestHello:
    """The first words."""

    def test_says_what_the_disk_holds(self, noon: datetime) -> None:
        """The hello is read from the disk, whatever was believed before."""
        edge = Edge(rev=99)
        standing = Standing(OTHER, 12, 400, staged_root=b"r" * 32, staged_chunks=3)

        effects = edge.on(Connected(standing, noon, outbox_depth=8))

        assert effects == (
            Say(
                Hello(
                    "edge-1",
                    "bell-tower",
                    OTHER,
                    12,
                    "model-a",
                    "plain",
                    400,
                    noon,
                    staged_root=b"r" * 32,
                    staged_chunks=3,
                    outbox_depth=8,
                )
            ),
        )

    @pytest.mark.parametrize("plan", [Deny("who?"), UpgradeRequired("too old")])
    def test_a_refusal_is_an_alarm(self, plan: Deny | UpgradeRequired) -> None:
        """An edge that is turned away keeps what it has and calls for a person."""
        effects = Edge().hears(plan)

        assert effects == (HangUp(plan.detail, alarm=True),)

    @pytest.mark.parametrize("plan", [Resume(EPOCH, 6), Resume(EPOCH, 8), Resume(OTHER, 7)])
    def test_does_not_resume_from_elsewhere(self, plan: Resume) -> None:
        """A plan that does not start where the disk stands ends the connection."""
        (effect,) = Edge().hears(plan)

        assert isinstance(effect, HangUp)


class TestDeltas:
    """Following the log."""

    def test_acknowledges_after_the_commit_and_not_before(self, edge: Edge) -> None:
        """The chunk is applied first; the acknowledgement answers the report of the disk."""
        effects = edge.hears(delta(7, 9))
        after = edge.on(Applied(5, 9))

        assert [type(effect) for effect in effects] == [Apply]
        assert after == (Say(Ack(5, 9)),)
        assert edge.state.applied_rev == 9

    def test_a_duplicate_is_acknowledged_again(self, edge: Edge) -> None:
        """A chunk that is on disk already costs no work but its answer."""
        assert edge.hears(delta(5, 7, nonce=3)) == (Say(Ack(3, 7)),)

    @pytest.mark.parametrize("chunk", [delta(8, 9), delta(6, 9), delta(7, 9, epoch=OTHER)])
    def test_hangs_up_on_a_chunk_that_does_not_fit(self, edge: Edge, chunk: Chunk) -> None:
        """A gap, an overlap and another history are refused, and a new hello follows."""
        effects = edge.hears(chunk)

        assert [type(effect) for effect in effects] == [Say, HangUp]
        assert edge.state.applied_rev == 7

    def test_nothing_is_applied_without_a_plan(self) -> None:
        """A chunk before the plan is no chunk."""
        assert not any(isinstance(effect, Apply) for effect in Edge().hears(delta(7, 9)))

    def test_refuses_a_poisoned_chunk_as_a_whole(self, edge: Edge) -> None:
        """One bad item keeps the last good state and is named."""
        effects = edge.hears(poisoned(delta(7, 9)))

        assert effects == (Say(Nack(5, NackCode.BAD_ITEM, "bad", (b"h" * 32,))),)
        assert edge.state.applied_rev == 7

    def test_drops_what_was_in_flight_behind_it(self, edge: Edge) -> None:
        """After a refusal the chunks behind are dropped without a word until one fits again."""
        edge.hears(poisoned(delta(7, 9)))

        behind = edge.hears(delta(9, 11, nonce=6))
        again = edge.hears(delta(7, 9, nonce=7))

        assert behind == ()
        assert [type(effect) for effect in again] == [Apply]

    def test_refuses_a_chunk_that_is_not_intact(self, edge: Edge) -> None:
        """A chunk whose digest does not fit is asked for again."""
        chunk = delta(7, 9)
        bent = Chunk(chunk.nonce, chunk.epoch, 7, 9, chunk.changes, chunk.hashes, intact=False)

        (effect,) = edge.hears(bent)

        assert isinstance(effect, Say)
        assert isinstance(effect.message, Nack)
        assert effect.message.code is NackCode.BAD_HASH

    def test_a_failed_disk_is_no_acknowledgement(self, edge: Edge) -> None:
        """What could not be written is refused, and a person is called."""
        edge.hears(delta(7, 9))

        effects = edge.on(Failed(5, "full"))

        assert effects == (
            Say(Nack(5, NackCode.DISK, "full")),
            HangUp("the disk failed: full", alarm=True),
        )
        assert edge.state.applied_rev == 7


class TestSnapshots:
    """Taking a whole view."""

    def test_goes_from_plan_to_swap(self) -> None:
        """Chunks are staged in order, and the last one is followed by the swap."""
        edge = Edge()

        assert edge.hears(SNAPSHOT) == (BeginSnapshot(SNAPSHOT),)
        assert edge.on(SnapshotBegun(0)) == ()
        assert [type(effect) for effect in edge.hears(part(0))] == [Stage]
        assert edge.on(Staged(5, 0)) == (Say(Ack(5, 7)),)
        edge.hears(part(1, nonce=6))
        assert edge.on(Staged(6, 1)) == (Say(Ack(6, 7)), FinishSnapshot(SNAPSHOT))
        assert edge.on(Replaced(OTHER, 30)) == (Say(Ack(0, 30)),)
        assert (edge.state.epoch, edge.state.applied_rev) == (OTHER, 30)

    def test_goes_on_where_it_stopped(self) -> None:
        """With the first chunk staged in an earlier connection the second one is due."""
        edge = Edge()
        edge.hears(SNAPSHOT)
        edge.on(SnapshotBegun(1))

        assert [type(effect) for effect in edge.hears(part(1))] == [Stage]

    def test_a_staged_chunk_that_comes_again_is_acknowledged(self) -> None:
        """A duplicate is not staged twice."""
        edge = Edge()
        edge.hears(SNAPSHOT)
        edge.on(SnapshotBegun(1))

        assert edge.hears(part(0)) == (Say(Ack(5, 7)),)

    def test_an_empty_view_is_a_snapshot_without_chunks(self) -> None:
        """Nothing to wait for: the swap follows at once."""
        edge = Edge()
        empty = snapshot(rev=0, chunks=0)
        edge.hears(empty)

        assert edge.on(SnapshotBegun(0)) == (FinishSnapshot(empty),)

    def test_all_chunks_staged_before_means_the_swap_alone(self) -> None:
        """A crash between the last chunk and the swap costs only the swap."""
        edge = Edge()
        edge.hears(SNAPSHOT)

        assert edge.on(SnapshotBegun(2)) == (FinishSnapshot(SNAPSHOT),)

    @pytest.mark.parametrize("chunk", [part(1), part(0, rev=31), part(0, epoch=EPOCH), delta(7, 9)])
    def test_hangs_up_on_a_chunk_of_something_else(self, chunk: Chunk) -> None:
        """A chunk out of turn, of another snapshot, or of the log does not fit."""
        edge = Edge()
        edge.hears(SNAPSHOT)
        edge.on(SnapshotBegun(0))

        assert isinstance(edge.hears(chunk)[-1], HangUp)

    def test_a_later_plan_replaces_the_first(self, edge: Edge) -> None:
        """In the middle of deltas the cloud may start over with a snapshot."""
        edge.hears(delta(7, 9))
        edge.on(Applied(5, 9))

        assert edge.hears(SNAPSHOT) == (BeginSnapshot(SNAPSHOT),)


class TestLease:
    """What renews trust, and what does not."""

    def bookmark(self, noon: datetime, head_rev: int, epoch: UUID = EPOCH) -> Bookmark:
        """Return a bookmark of a day."""
        return Bookmark(epoch, head_rev, noon + timedelta(days=1), noon)

    def test_renews_when_caught_up(self, edge: Edge, noon: datetime) -> None:
        """A bookmark at the very revision that is durable here renews the lease."""
        effects = edge.hears(self.bookmark(noon, 7))

        assert effects[0] == RenewLease(noon + timedelta(days=1), noon)

    @pytest.mark.parametrize(("head_rev", "epoch"), [(8, EPOCH), (6, EPOCH), (7, OTHER)])
    def test_does_not_renew_otherwise(
        self, edge: Edge, noon: datetime, head_rev: int, epoch: UUID
    ) -> None:
        """A slow edge may lack a deletion: it learns the time and nothing else."""
        assert edge.hears(self.bookmark(noon, head_rev, epoch)) == (NoteTime(noon),)

    def test_does_not_renew_before_the_commit(self, edge: Edge, noon: datetime) -> None:
        """A chunk received but not yet durable does not count."""
        edge.hears(delta(7, 9))

        assert edge.hears(self.bookmark(noon, 9)) == (NoteTime(noon),)

    def test_silence_ends_the_connection(self, edge: Edge, noon: datetime) -> None:
        """A cloud that says nothing for three bookmarks is gone, whatever the transport says."""
        edge.hears(self.bookmark(noon, 7), now_s=100.0)

        assert edge.on(Tick(), now_s=100.0 + SILENCE_S) == ()
        (effect,) = edge.on(Tick(), now_s=100.1 + SILENCE_S)
        assert isinstance(effect, HangUp)


def expulsion(rev: int, *, nonce: int = 8, epoch: UUID = EPOCH) -> Chunk:
    """Return a chunk that shuts Ana out ahead of the log."""
    change = DropTemplate(rider("Ana"))
    return Chunk(nonce, epoch, rev, rev, (change,), (content_hash(change),))


class TestExpulsions:
    """What comes ahead of its revision."""

    def test_is_applied_without_moving_the_revision(self, edge: Edge) -> None:
        """Whoever withdrew is out at once, is acknowledged then, and the log goes on as before."""
        (effect,) = edge.hears(expulsion(7))
        after = edge.on(Expelled(8))

        assert isinstance(effect, Expel)
        assert effect.changes == (DropTemplate(rider("Ana")),)
        assert after == (Say(Ack(8, 7)),)
        assert isinstance(edge.hears(delta(7, 9))[0], Apply)

    def test_one_that_was_overtaken_is_not_applied(self, edge: Edge) -> None:
        """One that comes again after the log went on could take away who came back since."""
        edge.hears(delta(7, 9))
        edge.on(Applied(5, 9))

        assert edge.hears(expulsion(7)) == (Say(Ack(8, 9)),)

    def test_is_applied_behind_a_refused_chunk(self, edge: Edge) -> None:
        """Whoever withdrew is out, though what comes before that must be sent anew; not if bent."""
        edge.hears(poisoned(delta(7, 9)))
        bent = replace(expulsion(9), intact=False)

        (effect,) = edge.hears(expulsion(9))

        assert isinstance(effect, Expel)
        assert edge.hears(bent) == edge.hears(poisoned(expulsion(9))) == ()
        assert edge.on(Expelled(8)) == (Say(Ack(8, 7)),)
        assert isinstance(edge.hears(delta(7, 9, nonce=7))[0], Apply)

    def test_is_applied_in_the_middle_of_a_snapshot(self) -> None:
        """A withdrawal does not wait for the end of a resync."""
        edge = Edge()
        edge.hears(SNAPSHOT)
        edge.on(SnapshotBegun(0))

        (effect,) = edge.hears(expulsion(30, epoch=OTHER))

        assert isinstance(effect, Expel)
        assert isinstance(edge.hears(part(0))[0], Stage)

    @pytest.mark.parametrize("chunk", [expulsion(29, epoch=OTHER), expulsion(30), expulsion(7)])
    def test_of_another_history_does_not_fit(self, chunk: Chunk) -> None:
        """In a snapshot only what comes after that very snapshot counts."""
        edge = Edge()
        edge.hears(SNAPSHOT)
        edge.on(SnapshotBegun(0))

        assert isinstance(edge.hears(chunk)[-1], HangUp)


class TestAntiEntropy:
    """Comparing what is held with the view."""

    BUCKETS = bytes(DIGEST_BYTES)

    def mark(self, noon: datetime, rev: int = 7) -> Bookmark:
        """Return a bookmark."""
        return Bookmark(EPOCH, rev, noon + timedelta(days=1), noon)

    def repair(self, *buckets: int, rev: int = 7) -> Repair:
        """Return a repair that brings Ana."""
        changes: tuple[Change, ...] = (put("Ana"),) if buckets else ()
        return Repair(9, EPOCH, rev, buckets, changes, tuple(map(content_hash, changes)))

    def test_sums_up_when_caught_up_and_not_before(self, edge: Edge, noon: datetime) -> None:
        """The first digest goes out with the first bookmark at the edge's own revision."""
        behind = edge.hears(self.mark(noon, 8))
        level = edge.hears(self.mark(noon, 7))
        said = edge.on(DigestTaken(EPOCH, 7, self.BUCKETS))

        assert TakeDigest() not in behind
        assert TakeDigest() in level
        assert said == (Say(Digest(EPOCH, 7, self.BUCKETS)),)

    def test_asks_again_until_it_is_answered(self, edge: Edge, noon: datetime) -> None:
        """Without an answer it is due after a minute, after a good one in an hour."""
        edge.hears(self.mark(noon), now_s=100.0)
        early = edge.hears(self.mark(noon), now_s=99.0 + DIGEST_AGAIN_S)
        late = edge.hears(self.mark(noon), now_s=100.0 + DIGEST_AGAIN_S)
        edge.hears(self.repair(), now_s=200.0)
        within = edge.hears(self.mark(noon), now_s=199.0 + DIGEST_S)
        after = edge.hears(self.mark(noon), now_s=200.0 + DIGEST_S)

        found = [TakeDigest() in effects for effects in (early, late, within, after)]
        assert found == [False, True, False, True]

    def test_says_nothing_to_version_1(self, noon: datetime) -> None:
        """A cloud of version 1 has no ear for digests."""
        edge = Edge()
        edge.hears(Resume(EPOCH, 7, protocol=1))

        assert TakeDigest() not in edge.hears(self.mark(noon))

    def test_mends_and_acknowledges(self, edge: Edge) -> None:
        """Differing buckets are made what the view has, and only then acknowledged."""
        repair = self.repair(3)

        (effect,) = edge.hears(repair)
        after = edge.on(Mended(9))

        assert isinstance(effect, Mend)
        assert effect.repair is repair
        assert after == (Say(Ack(9, 7)),)

    @pytest.mark.parametrize("rev", [6, 8])
    def test_does_not_mend_at_another_revision(self, edge: Edge, rev: int) -> None:
        """A repair of another revision would undo what came since: it is only acknowledged."""
        assert edge.hears(self.repair(3, rev=rev)) == (Say(Ack(9, 7)),)

    def test_refuses_a_poisoned_repair(self, edge: Edge) -> None:
        """A repair with an item that may not be applied changes nothing."""
        refusal = Refusal(b"h" * 32, NackCode.BAD_ITEM, "bad")

        effects = edge.hears(replace(self.repair(3), refusals=(refusal,)))

        assert effects == (Say(Nack(9, NackCode.BAD_ITEM, "bad", (b"h" * 32,))),)

    def test_a_snapshot_is_compared_at_once(self, noon: datetime) -> None:
        """After a swap the next bookmark asks for a digest, whenever the last one was."""
        edge = Edge()
        edge.hears(SNAPSHOT)
        edge.state = replace(edge.state, digest_due_s=1e9)
        edge.on(SnapshotBegun(2))
        edge.on(Replaced(OTHER, 30))

        effects = edge.hears(Bookmark(OTHER, 30, noon, noon))

        assert TakeDigest() in effects


class TestGrants:
    """Keys that come with plan and bookmark."""

    def test_are_taken_before_anything_under_them(self, noon: datetime) -> None:
        """A plan's grant is opened before the snapshot begins, a bookmark's before the lease."""
        edge = Edge()

        effects = edge.hears(replace(SNAPSHOT, grant=b"g"))
        mark = edge.hears(Bookmark(OTHER, 30, noon, noon, grant=b"h"))

        assert effects[0] == TakeGrant(OTHER, b"g")
        assert mark[0] == TakeGrant(OTHER, b"h")
        assert edge.on(SnapshotBegun(0)) == ()

    def test_are_not_asked_for_where_there_are_none(self, edge: Edge) -> None:
        """The control: a plan without a grant takes none."""
        assert edge.hears(Resume(EPOCH, 7)) == ()
