"""One gallery stream of the cloud, with its shelf of snapshots."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID

import sqlalchemy as sa
from gateline.sync.v1 import gallery_service_pb2 as pb

from cloud_sync.adapters.grpc.session import Session, Tools
from cloud_sync.adapters.grpc.shelf import Shelf
from cloud_sync.adapters.memory.view_log import MemoryViewLog
from cloud_sync.adapters.postgres.view_log import PostgresViewLog
from cloud_sync.adapters.postgres.wakes import Wakes
from cloud_sync.adapters.system_clock import SystemClock
from cloud_sync.content import key_of
from cloud_sync.stream.messages import Ack, Chunk, Hello, Nack, Snapshot
from cloud_sync.stream.serve_view import ServeConfig
from cloud_sync.stream.view import CHUNK_ITEMS, EdgeNode, ViewLog, Whole
from cloud_sync.wire import request_to_proto, response_from_proto
from tests.keys import SAFE
from tests.templates import SPACE, poison, put, rider

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


async def roots_until_clean(*, has_begun: bool) -> list[bytes]:
    """Refuse every chunk that holds the poison; return the roots of the snapshots offered."""
    numbers = itertools.count(1)
    views = MemoryViewLog(lambda: UUID(int=next(numbers)), dimension=SPACE.dimension)
    views.admit(EdgeNode("edge-1", "bei", bytes(32)), NOON)
    views.publish(["bei"], [put("Ana"), put("Ben")])
    views.damage("bei", poison("Cleo"))
    shelf, fresh = Shelf(1), Hello("edge-1", "bei", None, 0, SPACE.model_id, "plain", 0, NOON)
    begun = (
        (await shelf.parcel(views, fresh.station_id, fresh)).snapshot.root_hash
        if has_begun
        else b""
    )
    hello = Hello(
        *("edge-1", "bei", None, 0, SPACE.model_id, "plain", 0, NOON),
        staged_root=begun,
    )
    answers: asyncio.Queue[Nack] = asyncio.Queue()
    roots: list[bytes] = []
    is_clean = asyncio.Event()

    async def hear(response: pb.FollowResponse) -> None:
        match response_from_proto(response, SPACE):
            case Snapshot(root_hash=root):
                roots.append(root)
            case Chunk(nonce=nonce, refusals=(first, *_)):
                await answers.put(Nack(nonce, first.code, first.detail, (first.content_hash,)))
            case Chunk(changes=changes) if changes:
                is_clean.set()

    async def requests() -> AsyncIterator[pb.FollowRequest]:
        while True:
            yield request_to_proto(await answers.get())

    tools = Tools(views, ServeConfig(), shelf, Wakes(), SystemClock())
    running = asyncio.create_task(Session(hello, "edge-1", tools, write=hear).run(requests()))
    try:
        await asyncio.wait_for(is_clean.wait(), 10)
    finally:
        running.cancel()
        await asyncio.wait([running])
    assert rider("Cleo").bytes not in {key[1:] for key in views._views["bei"].items}
    return roots


class TestPoison:
    """An item that no edge takes, in a snapshot."""

    def test_a_fresh_edge_is_given_another_snapshot(self) -> None:
        """Once the item is out, the view without it is sent."""
        first, *later = asyncio.run(roots_until_clean(has_begun=False))

        assert first not in later
        assert len(later) == 1

    def test_an_edge_that_had_begun_is_given_another_one_too(self) -> None:
        """The snapshot that the line broke in lies on the shelf; it is not sent for ever."""
        first, *later = asyncio.run(roots_until_clean(has_begun=True))

        assert first not in later
        assert len(later) == 1


class TestDamage:
    """Records that do not open, in a snapshot that is on its way."""

    def test_leave_the_view_and_the_rest_is_sent_anew(self, cloud: sa.Engine) -> None:
        """The first snapshot breaks off at the part with one; a second one has everybody else."""
        views = PostgresViewLog(cloud, SAFE, dimension=SPACE.dimension)
        views.admit(EdgeNode("edge-1", "bei", bytes(32)), NOON)
        people = [put(f"rider {number}") for number in range(8 * CHUNK_ITEMS)]
        views.publish(["bei"], people)
        in_order = sorted(map(key_of, people))
        first_bad, other_bad = in_order[4 * CHUNK_ITEMS], in_order[7 * CHUNK_ITEMS]
        with cloud.begin() as connection:  # by the first of them several parts go at once
            cut = "UPDATE cloud_sync.view_item SET body = substr(body, 1, 50) WHERE item_key = :key"
            connection.execute(sa.text(cut), [{"key": first_bad}, {"key": other_bad}])

        (_, before), (_, after) = asyncio.run(snapshots(views, len(people) - 2))

        first = [key_of(each) for chunk in before for each in chunk.changes]
        assert 0 < len(first) <= 4 * CHUNK_ITEMS
        assert first == in_order[: len(first)]  # and nothing of what is behind the damage
        in_order.remove(first_bad)
        in_order.remove(other_bad)
        assert [key_of(each) for chunk in after for each in chunk.changes] == in_order

    def test_a_snapshot_that_cannot_be_read_is_not_kept(self, cloud: sa.Engine) -> None:
        """A record that is good again at the same revision is read again, not found broken."""
        views = PostgresViewLog(cloud, SAFE, dimension=SPACE.dimension)
        views.admit(EdgeNode("edge-1", "bei", bytes(32)), NOON)
        views.publish(["bei"], [put("Ana")])
        with cloud.begin() as connection:
            good = connection.execute(sa.text("SELECT body FROM cloud_sync.view_item")).scalar()
            connection.execute(
                sa.text("UPDATE cloud_sync.view_item SET body = substr(body, 1, 50)")
            )
        mended: list[bool] = []

        class Mended(PostgresViewLog):
            """A database whose damage is mended right after a view was read from it."""

            def whole(self, view_id: str) -> Whole:
                """Read the view, then mend it."""
                found = super().whole(view_id)
                with cloud.begin() as connection:
                    connection.execute(
                        sa.text("UPDATE cloud_sync.view_item SET body = :body"), {"body": good}
                    )
                mended.append(True)
                return found

        offered = asyncio.run(snapshots(Mended(cloud, SAFE, dimension=SPACE.dimension), 1))

        assert len(mended) == 2
        assert [len(chunk.changes) for _, chunks in offered for chunk in chunks] == [1]


async def snapshots(views: ViewLog, count: int) -> list[tuple[Snapshot, list[Chunk]]]:
    """Follow until a snapshot has come to its end; return each with its chunks."""
    offered: list[tuple[Snapshot, list[Chunk]]] = []
    answers: asyncio.Queue[Ack | None] = asyncio.Queue()

    async def hear(response: pb.FollowResponse) -> None:
        match response_from_proto(response, SPACE):
            case Snapshot() as snapshot:
                offered.append((snapshot, []))
            case Chunk(is_snapshot=True) as chunk:
                offered[-1][1].append(chunk)
                await answers.put(Ack(chunk.nonce, 0))
        if offered and sum(len(chunk.changes) for chunk in offered[-1][1]) == count:
            await answers.put(None)

    async def requests() -> AsyncIterator[pb.FollowRequest]:
        while (answer := await answers.get()) is not None:
            yield request_to_proto(answer)

    hello = Hello("edge-1", "bei", None, 0, SPACE.model_id, "plain", 0, NOON)
    tools = Tools(views, ServeConfig(), Shelf(1), Wakes(), SystemClock())
    session = Session(hello, "edge-1", tools, write=hear)
    await asyncio.wait_for(session.run(requests()), 10)
    return offered


class SlowLog(MemoryViewLog):
    """A database that is so busy that a whole view takes its time."""

    seconds = 0.6
    asked = 0

    def whole(self, view_id: str) -> Whole:
        """Return the view after a while."""
        self.asked += 1
        time.sleep(self.seconds)
        return super().whole(view_id)


def slow_station() -> SlowLog:
    """Return a station with somebody in its view."""
    numbers = itertools.count(1)
    views = SlowLog(lambda: UUID(int=next(numbers)), dimension=SPACE.dimension)
    views.admit(EdgeNode("edge-1", "bei", bytes(32)), NOON)
    views.publish(["bei"], [put("Ana")])
    return views


async def heard(views: SlowLog, shelf: Shelf, *, bookmark_s: float, patience_s: float) -> list[str]:
    """Follow as an edge that hangs up after so long a silence; return what it heard till then."""
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def hear(response: pb.FollowResponse) -> None:
        await heard.put(type(response_from_proto(response, SPACE)).__name__)

    async def requests() -> AsyncIterator[pb.FollowRequest]:
        await asyncio.Event().wait()
        yield pb.FollowRequest()

    hello = Hello("edge-1", "bei", None, 0, SPACE.model_id, "plain", 0, NOON)
    config = ServeConfig(bookmark_s=bookmark_s)
    tools = Tools(views, config, shelf, Wakes(), SystemClock())
    running = asyncio.create_task(Session(hello, "edge-1", tools, write=hear).run(requests()))
    messages: list[str] = []
    try:
        while "Snapshot" not in messages:
            messages.append(await asyncio.wait_for(heard.get(), patience_s))
    except TimeoutError:
        messages.append("silence")
    finally:
        running.cancel()
        await asyncio.wait([running])
    return messages


class TestSlowShelf:
    """A snapshot that takes longer to prepare than an edge listens to nothing."""

    def test_the_edge_hears_from_the_cloud_meanwhile(self) -> None:
        """Bookmarks that lease nothing come while the view is read, and then the snapshot."""
        views = slow_station()

        told = asyncio.run(heard(views, Shelf(1), bookmark_s=0.1, patience_s=0.4))

        assert told[-1] == "Snapshot"
        assert set(told[:-1]) == {"Bookmark"}
        assert len(told) >= 4

    def test_control_without_bookmarks(self) -> None:
        """Control: where none is sent in time the edge hangs up, as it did."""
        told = asyncio.run(heard(slow_station(), Shelf(1), bookmark_s=5, patience_s=0.4))

        assert told == ["silence"]

    def test_whoever_asks_again_finds_it_made(self) -> None:
        """An edge that hung up all the same is not the reason for reading the view once more."""
        views = slow_station()

        async def impatient() -> list[list[str]]:
            shelf = Shelf(1)
            return [await heard(views, shelf, bookmark_s=5, patience_s=0.25) for _ in range(4)]

        tries = asyncio.run(impatient())

        assert tries[0] == ["silence"]
        assert tries[-1] == ["Snapshot"]
        assert views.asked == 1
