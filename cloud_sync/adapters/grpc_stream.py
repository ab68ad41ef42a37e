"""One connection of an edge to the cloud's gallery service."""

import contextlib
import queue
import threading
from collections.abc import Iterator
from typing import Any, Self

import grpc
from gateline.sync.v1 import gallery_service_pb2 as pb
from gateline.sync.v1 import gallery_service_pb2_grpc

from cloud_sync.adapters.grpc_channel import Badge, dial
from cloud_sync.content import Space
from cloud_sync.opener import Trust
from cloud_sync.wire import response_from_proto

_POLL_S = 0.1
"""How soon the reading thread sees that it must stop, seconds."""
_INBOX_MAX = 16
"""Messages of the cloud that wait: its window of 8 chunks and some bookmarks."""


class StreamLost(Exception):
    """The other end, or the network, closed the stream."""


class Stream:
    """One connection with its reading thread; a bounded queue lies between."""

    def __init__(self, target: str, badge: Badge, space: Space) -> None:
        self._space = space
        self._inbox: queue.Queue[pb.FollowResponse | StreamLost] = queue.Queue(_INBOX_MAX)
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

    def say(self, request: pb.FollowRequest) -> None:
        """Send a message."""
        self._outgoing.put(request)

    def heard(self, timeout_s: float, trust: Trust) -> Any:
        """Return the next message, None when none came in time.

        Args:
            timeout_s: For how long to wait, seconds.
            trust: What it is believed by.

        Raises:
            StreamLost: There will be none.
            WireBroken: It cannot be read.
        """
        try:
            response = self._inbox.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if isinstance(response, StreamLost):
            raise response
        return response_from_proto(response, self._space, trust)

    def _read(self) -> None:
        for item in self._responses():
            while not self._is_closed.is_set():
                with contextlib.suppress(queue.Full):
                    self._inbox.put(item, timeout=_POLL_S)
                    break

    def _responses(self) -> Iterator[pb.FollowResponse | StreamLost]:
        try:
            yield from self._call
        except grpc.RpcError as problem:
            yield StreamLost(f"{problem.code().name}: {problem.details()}")
        else:
            yield StreamLost("the cloud hung up")
