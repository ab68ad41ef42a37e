"""What the cloud has said on one stream, opened as it is asked for, and a few messages ahead."""

import queue
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from gateline.sync.v1 import gallery_service_pb2 as pb

from cloud_sync.content import Space
from cloud_sync.secrecy.opener import Trust
from cloud_sync.stream.messages import Chunk, FromCloud
from cloud_sync.wire import response_from_proto

_MAX = 16
"""Messages that wait: the cloud's window of 8 chunks and some bookmarks."""
_AHEAD_MAX = 8
"""Of a snapshot, opened before they are asked for: the writer waits for its disk at times, and the
opener goes on meanwhile."""


class StreamLost(Exception):
    """The other end, or the network, closed the stream."""


@dataclass(frozen=True, slots=True)
class _Ahead:
    """A message that nobody has asked for yet."""

    came: pb.FollowResponse | StreamLost
    trust: Trust
    message: Future[FromCloud] | None
    """Being opened, as this trust has it; None where there is nothing to open."""


class Inbox:
    """A bounded queue; one thread puts, another one asks."""

    def __init__(self, space: Space) -> None:
        """Start empty.

        Args:
            space: What the station's loaded model can compare.
        """
        self._space = space
        self._waiting: queue.Queue[pb.FollowResponse | StreamLost] = queue.Queue(_MAX)
        self._opening = ThreadPoolExecutor(1, "gallery-opening")
        self._ahead: deque[_Ahead] = deque()

    def put(self, came: pb.FollowResponse | StreamLost, timeout_s: float) -> bool:
        """Take what has come; return whether there was room in time.

        Args:
            came: A message, or the end of the stream.
            timeout_s: For how long to wait, seconds.
        """
        try:
            self._waiting.put(came, timeout=timeout_s)
        except queue.Full:
            return False
        return True

    def heard(self, timeout_s: float, trust: Trust) -> FromCloud | None:
        """Return the next message, None when none came in time.

        Behind a part of a snapshot the following messages are opened ahead, while the caller writes
        this one to its disk. They count only where they are believed by the very same.

        Args:
            timeout_s: For how long to wait, seconds.
            trust: What it is believed by.

        Raises:
            StreamLost: There will be none.
            WireBroken: It cannot be read.
        """
        try:
            ahead = self._ahead.popleft() if self._ahead else None
            came = self._waiting.get(timeout=timeout_s) if ahead is None else ahead.came
        except queue.Empty:
            return None
        if isinstance(came, StreamLost):
            raise came
        if ahead is not None and ahead.message is not None and ahead.trust == trust:
            message = ahead.message.result()
        else:
            message = response_from_proto(came, self._space, trust)
        if isinstance(message, Chunk) and message.is_snapshot:
            self._look_ahead(trust)
        return message

    def close(self) -> None:
        """Open nothing more; what is being opened is waited for."""
        self._opening.shutdown(cancel_futures=True)

    def _look_ahead(self, trust: Trust) -> None:
        while len(self._ahead) < _AHEAD_MAX:
            try:
                came = self._waiting.get_nowait()
            except queue.Empty:
                return
            message = None
            if not isinstance(came, StreamLost):
                message = self._opening.submit(response_from_proto, came, self._space, trust)
            self._ahead.append(_Ahead(came, trust, message))
