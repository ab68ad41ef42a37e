"""One gallery stream of the cloud, with its shelf of snapshots."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID

from gateline.sync.v1 import gallery_service_pb2 as pb

from cloud_sync.adapters.grpc_session import Session, Tools
from cloud_sync.adapters.memory_view import MemoryViewLog
from cloud_sync.adapters.shelf import Shelf
from cloud_sync.adapters.system_clock import SystemClock
from cloud_sync.adapters.wakes import Wakes
from cloud_sync.messages import Chunk, Hello, Nack, Snapshot
from cloud_sync.serve_view import ServeConfig
from cloud_sync.view import EdgeNode
from cloud_sync.wire import request_to_proto, response_from_proto
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
