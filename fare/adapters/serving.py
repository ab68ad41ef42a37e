"""A web application as a process: says when it is ready, ends with status 0 on SIGTERM."""

import logging
import signal
import socket

import uvicorn
from fastapi import FastAPI

from fare.log import say

_LOG = logging.getLogger(__name__)


class _Server(uvicorn.Server):
    """Says that it is ready once it listens, not before."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started:
            say(_LOG, "ready", listen=f"{self.config.host}:{self.config.port}")


def serve(app: FastAPI, listen: str, *, grace_s: int = 2) -> None:
    """Serve an application until SIGTERM or SIGINT.

    Args:
        app: The application.
        listen: `host:port`.
        grace_s: How long answers under way, and streams, may still last at the end.
    """
    # The server raises the signal again when it is done; without a handler that would look like a
    # crash to whoever waits for the exit status.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    host, _, port = listen.rpartition(":")
    config = uvicorn.Config(
        app,
        host=host,
        port=int(port),
        log_config=None,
        access_log=False,  # an address may hold a rider's reference
        timeout_graceful_shutdown=grace_s,
    )
    _Server(config).run()
