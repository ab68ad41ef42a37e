"""A server in a thread of this process, for benches and tests."""

import asyncio
import threading

import sqlalchemy as sa

from cloud_sync.adapters.grpc.server import Ports, ServerConfig, Stores, serve
from cloud_sync.adapters.postgres.wakes import Wakes, conninfo, listen
from cloud_sync.clock import Clock

_WAIT_S = 120.0


class ServerThread:
    """Serves from `start` to `stop`, once."""

    def __init__(
        self, stores: Stores, config: ServerConfig, clock: Clock, *, engine: sa.Engine
    ) -> None:
        """Take what it serves from.

        Args:
            stores: On the engine.
            config: Where it listens.
            clock: The time.
            engine: Whose notifications wake streams.
        """
        self._stores, self._config, self._clock = stores, config, clock
        self._engine = engine
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.port = 0
        """The main port, once it serves."""

    def start(self) -> None:
        """Serve; return when it does.

        Raises:
            TimeoutError: It does not.
        """
        self._thread.start()
        if not self._ready.wait(_WAIT_S):
            raise TimeoutError("the server did not start")

    def stop(self) -> None:
        """End the server; nothing happens where it has ended."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        # A call that still asks the database gives its connection back before anybody closes that.
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    async def _serve(self) -> None:
        wakes = Wakes()
        chore = asyncio.create_task(listen(wakes, conninfo(self._engine)))
        await serve(
            self._stores,
            self._config,
            wakes=wakes,
            clock=self._clock,
            stop=self._stop,
            on_ready=self._is_ready,
        )
        chore.cancel()
        await asyncio.gather(chore, return_exceptions=True)

    def _is_ready(self, ports: Ports) -> None:
        self.port = ports.main
        self._ready.set()
