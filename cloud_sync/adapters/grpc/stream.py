"""One connection of an edge to the cloud's gallery service."""

import queue
import threading
from collections.abc import Iterator
from typing import Self

import grpc
from gateline.sync.v1 import gallery_service_pb2 as pb
from gateline.sync.v1 import gallery_service_pb2_grpc

from cloud_sync.adapters.grpc.channel import Badge, dial
from cloud_sync.adapters.grpc.inbox import Inbox, StreamLost
from cloud_sync.content import Space
from cloud_sync.secrecy.opener import Trust
from cloud_sync.stream.messages import FromCloud

_POLL_S = 0.1
"""How soon the reading thread sees that it must stop, seconds."""


class Stream:
    """One connection with its reading thread; a bounded queue lies between."""

    def __init__(self, target: str, badge: Badge, space: Space) -> None:
        self._inbox = Inbox(space)
        self._outgoing: queue.SimpleQueue[pb.FollowRequest | None] = queue.SimpleQueue()
        self._is_closed = threading.Event()
        self._channel = dial(target, badge)
        make = gallery_service_pb2_grpc.GalleryServiceStub
        stub = make(self._channel)  # type: ignore[no-untyped-call]  # generated
        self._call = stub.Follow(iter(self._outgoing.get, None))
        self._reader = threading.Thread(target=self._read, name="gallery-reader", daemon=True)

    def __enter__(self) -> Self:
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_closed.set()
        self._outgoing.put(None)
        self._call.cancel()
        self._channel.close()
        self._reader.join()
        self._inbox.close()

    def say(self, request: pb.FollowRequest) -> None:
        """Send a message."""
        self._outgoing.put(request)

    def heard(self, timeout_s: float, trust: Trust) -> FromCloud | None:
        """Return the next message, None when none came in time; see `Inbox.heard`."""
        return self._inbox.heard(timeout_s, trust)

    def _read(self) -> None:
        for came in self._responses():
            while not self._is_closed.is_set() and not self._inbox.put(came, _POLL_S):
                pass

    def _responses(self) -> Iterator[pb.FollowResponse | StreamLost]:
        try:
            yield from self._call
        except grpc.RpcError as problem:
            yield StreamLost(f"{problem.code().name}: {problem.details()}")
        else:
            yield StreamLost("the cloud hung up")
