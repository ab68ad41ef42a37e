"""What a node hears on its gallery stream, opened one message ahead."""

from collections.abc import Iterator
from uuid import UUID

import pytest

from cloud_sync.adapters.grpc.inbox import Inbox, StreamLost
from cloud_sync.content import content_hash
from cloud_sync.stream.messages import Chunk, FromCloud
from cloud_sync.wire import response_to_proto
from tests.sealed import sealer, trust
from tests.templates import SPACE, put

NEW = sealer()
GRANTED, OTHER = trust(NEW), trust(sealer(epoch=UUID(int=2)))


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    """Give one in which three parts of a snapshot and the end of the stream wait."""
    made = Inbox(SPACE)
    for index, name in enumerate(("Ana", "Ben", "Cleo")):
        change = put(name)
        chunk = Chunk(
            index + 1,
            NEW.epoch,
            0,
            9,
            (change,),
            (content_hash(change),),
            index,
            is_snapshot=True,
        )
        assert made.put(response_to_proto(chunk, NEW), 1)
    assert made.put(StreamLost("the cloud hung up"), 1)
    yield made
    made.close()


def parts(*heard: FromCloud | None) -> list[tuple[int, int, int]]:
    """Return each part's place, and how many templates of it were taken and refused."""
    chunks = [each for each in heard if isinstance(each, Chunk)]
    return [(chunk.index, len(chunk.changes), len(chunk.refusals)) for chunk in chunks]


class TestInbox:
    """The messages that wait."""

    def test_come_in_order_and_then_the_end(self, inbox: Inbox) -> None:
        """Nothing is lost or exchanged by looking ahead; the end comes behind all of it."""
        heard = [inbox.heard(1, GRANTED) for _ in range(3)]

        assert parts(*heard) == [(0, 1, 0), (1, 1, 0), (2, 1, 0)]
        with pytest.raises(StreamLost, match="hung up"):
            inbox.heard(1, GRANTED)
        assert inbox.heard(0.01, GRANTED) is None

    def test_are_judged_by_what_is_trusted_when_they_are_asked_for(self, inbox: Inbox) -> None:
        """Keys that were forgotten meanwhile open nothing, also where it was opened ahead."""
        heard = [inbox.heard(1, each) for each in (GRANTED, OTHER, GRANTED)]

        assert parts(*heard) == [(0, 1, 0), (1, 0, 1), (2, 1, 0)]

    def test_have_room_for_so_many(self) -> None:
        """Whoever puts more than the window waits, and is told so."""
        inbox = Inbox(SPACE)

        room = [inbox.put(StreamLost("x"), 0.01) for _ in range(17)]

        assert room == [True] * 16 + [False]
        inbox.close()
