"""A TCP proxy between the two ends that cuts, freezes and counts."""

import contextlib
import socket
import threading
import time


class Proxy:
    """Forwards connections to a port until told otherwise."""

    def __init__(self, target_port: int) -> None:
        """Listen on a free port.

        Args:
            target_port: On this host.
        """
        self._target_port = target_port
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

    def slow_down(self, down_bytes_s: float) -> None:
        """Let no more than so much come down from now on, bytes a second."""
        self._down_bytes_s = down_bytes_s

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
            for source, sink in ((near, far), (far, near)):
                arguments = (source, sink, source is far)
                threading.Thread(target=self._pump, args=arguments, daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, is_down: bool) -> None:
        with contextlib.suppress(OSError), source, sink:
            while data := source.recv(1_024 if is_down and self._down_bytes_s else 16_384):
                self._moving.wait()
                if is_down and self._down_bytes_s:
                    time.sleep(len(data) / self._down_bytes_s)
                if is_down:
                    self.down_bytes += len(data)
                    if self._cut_at is not None and self.down_bytes >= self._cut_at:
                        self._cut_at = None
                        self.cut()
                        return
                sink.sendall(data)
