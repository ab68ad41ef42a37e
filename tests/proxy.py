"""A TCP proxy between the two ends that delays, cuts, freezes and counts."""

import contextlib
import queue
import socket
import threading
import time
from typing import Self


class Proxy:
    """Forwards connections to a port until told otherwise."""

    def __init__(self, target_port: int, *, delay_s: float = 0.0) -> None:
        """Listen on a free port.

        Args:
            target_port: On this host.
            delay_s: How much later each byte arrives, either way.
        """
        self._target_port = target_port
        self._delay_s = delay_s
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.down_bytes = 0
        """From the target to whoever dialled, over all connections."""
        self.connections = 0
        self._cut_at: int | None = None
        self._down_bytes_s = 0.0
        self._moving = threading.Event()
        self._moving.set()
        self._open: list[socket.socket] = []
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._is_closed = False
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_after(self, down_bytes: int) -> None:
        """Cut the connection once so many more bytes have come down."""
        self._cut_at = self.down_bytes + down_bytes

    def cut(self) -> None:
        """Cut all connections now."""
        for end in self._open:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def freeze(self) -> None:
        """Hold every byte back, without closing anything."""
        self._moving.clear()

    def come_near(self) -> None:
        """Delay nothing any more; cuts all connections, so that new ones are made."""
        self._delay_s = 0.0
        self.cut()

    def thaw(self) -> None:
        """Let what was held back go on."""
        self._moving.set()

    def slow_down(self, down_bytes_s: float) -> None:
        """Let no more than so much come down from now on, bytes a second."""
        self._down_bytes_s = down_bytes_s

    def ends(self) -> "list[tuple[socket.socket, socket.socket]]":
        """Return the ends of the connections that are open now: near, far."""
        return [pair for pair in self._pairs if all(is_open(end) for end in pair)]

    def close(self) -> None:
        """Stop."""
        self._is_closed = True
        self._moving.set()
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while not self._is_closed:
            try:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target_port))
            except OSError:
                continue
            self.connections += 1
            self._open += [near, far]
            self._pairs.append((near, far))
            for source, sink in ((near, far), (far, near)):
                arguments = (source, sink, source is far)
                threading.Thread(target=self._pump, args=arguments, daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, is_down: bool) -> None:
        with contextlib.suppress(OSError), source, _Line(sink, self._delay_s) as line:
            while True:
                data = source.recv(1_024 if is_down and self._down_bytes_s else 65_536)
                self._moving.wait()  # an end, too, is held back
                if not data:
                    return
                if is_down and self._down_bytes_s:
                    time.sleep(len(data) / self._down_bytes_s)
                if is_down:
                    self.down_bytes += len(data)
                    if self._cut_at is not None and self.down_bytes >= self._cut_at:
                        self._cut_at = None
                        self.cut()
                        return
                line.send(data)


def is_open(end: socket.socket) -> bool:
    """Say whether neither side of a connection has closed it, also while nothing is read."""
    try:
        return end.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) == _ESTABLISHED
    except OSError:
        return False


_ESTABLISHED = b"\x01"
"""The first byte of Linux's `tcp_info` while a connection is whole."""


class _Line:
    """One way to one end: what is sent arrives later, in order; closes the end after the last."""

    def __init__(self, sink: socket.socket, delay_s: float) -> None:
        self._sink = sink
        self._delay_s = delay_s
        self._late: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()
        if delay_s:
            threading.Thread(target=self._deliver, daemon=True).start()

    def send(self, data: bytes) -> None:
        if self._delay_s:
            self._late.put((time.monotonic() + self._delay_s, data))
        else:
            self._sink.sendall(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._delay_s:
            self.send(b"")
        else:
            self._sink.close()

    def _deliver(self) -> None:
        with contextlib.suppress(OSError), self._sink:
            while True:
                due_s, data = self._late.get()
                time.sleep(max(0.0, due_s - time.monotonic()))
                if not data:
                    return
                self._sink.sendall(data)
