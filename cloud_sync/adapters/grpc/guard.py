"""Who calls, and whether they may: every call on the main port comes past here.

TLS has proven that the caller holds the key of a certificate of ours that is in time. What else
counts (the deny set, the station it is enrolled at, a copied key) is looked up for each call, and
again while a stream runs.
"""

import asyncio
import functools
import logging
from collections.abc import Coroutine
from typing import Any

import grpc
from cryptography import x509

from cloud_sync.adapters.grpc.device_trust import DeviceTrust
from cloud_sync.adapters.postgres.wakes import Wakes
from cloud_sync.clock import Clock
from cloud_sync.restraint import Restraint
from cloud_sync.trust.authority import AuthorityFailed
from cloud_sync.trust.certificate import CertificateRefused, NodeCertificate, read_node
from cloud_sync.trust.device import CertificateState, Certified, state_of
from cloud_sync.trust.registry import AuditLine, RegistryFailed, What
from fare.log import say

_LOG = logging.getLogger(__name__)
_LOOK_S = 10.0
"""Between two looks at a running stream's certificate, should a notice of PostgreSQL be lost."""


class Guard:
    """Knows callers by their certificates; lives in one event loop."""

    def __init__(self, trust: DeviceTrust, wakes: Wakes, clock: Clock) -> None:
        """Take what it needs.

        Args:
            trust: By what nodes are known.
            wakes: Tells which edges were revoked.
            clock: The time.
        """
        self._trust = trust
        self._wakes = wakes
        self._clock = clock
        self._restraint = Restraint()

    async def caller(self, context: grpc.aio.ServicerContext) -> Certified:
        """Return who is calling: the one place where identity is established.

        Args:
            context: Of the call; it is aborted when the caller may not be here.
        """
        pem = context.auth_context().get("x509_pem_cert", [b""])[0]
        try:
            found = (await self.read(context, pem)).certified
        except CertificateRefused:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "no certificate of a node")
            raise  # never: abort raises
        state = await self.state(context, found)
        if state is not CertificateState.VALID:
            await self.refuse(context, found, What.REFUSED, state.value)
        return found

    async def read(self, context: grpc.aio.ServicerContext, pem: bytes) -> NodeCertificate:
        """Return what a certificate says by the authorities that are trusted now.

        Args:
            context: Of the call; it is aborted when the authorities cannot be read.
            pem: As shown.

        Raises:
            CertificateRefused: It is none of a node.
        """
        try:
            held = await asyncio.to_thread(self._trust.authority.authorities)
        except AuthorityFailed as problem:
            say(_LOG, "authority_failed", level=logging.ERROR, detail=str(problem))
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the authorities are not available")
            raise  # never: abort raises
        return _read(pem, tuple(each.certificate for each in held))

    async def state(
        self, context: grpc.aio.ServicerContext, certified: Certified
    ) -> CertificateState:
        """Return what a certificate is worth now.

        Args:
            context: Of the call; it is aborted when the database is away.
            certified: Whose.
        """
        try:
            return await self._state(certified)
        except RegistryFailed as problem:
            say(_LOG, "registry_failed", level=logging.ERROR, detail=str(problem))
            await context.abort(grpc.StatusCode.UNAVAILABLE, "no database")
            raise  # never: abort raises

    async def check_names(
        self,
        context: grpc.aio.ServicerContext,
        certified: Certified,
        edge_id: str,
        station_id: str = "",
    ) -> None:
        """Abort, and tell the audit, when a message names somebody else than the certificate does.

        Args:
            context: Of the call.
            certified: Who calls.
            edge_id: As the message has it; empty says nothing.
            station_id: The same.
        """
        me = certified.identity
        if edge_id in ("", me.edge_id) and station_id in ("", me.station_id):
            return
        asked = f"{edge_id or me.edge_id} at {station_id or me.station_id}"
        await self.refuse(context, certified, What.IMPERSONATION, f"spoke as {asked}")

    async def watch(
        self,
        context: grpc.aio.ServicerContext,
        certified: Certified,
        work: Coroutine[Any, Any, None],
    ) -> None:
        """Let a stream run while its certificate is good; end it within seconds after.

        Args:
            context: Of the call; it is aborted when the certificate is not good any more.
            certified: Whose stream.
            work: Serves it.
        """
        running = asyncio.create_task(work)
        looked = asyncio.Event()
        try:
            with self._wakes.watched(certified.identity.edge_id, looked.set):
                while not running.done():
                    state = await self._state_if_known(certified)
                    if state is not CertificateState.VALID:
                        break
                    await _either(running, looked, _LOOK_S)
                    looked.clear()
                    await self._tell_left_out()
                else:
                    running.result()
                    return
        finally:
            if not running.done():
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
        await self.refuse(context, certified, What.STREAM_ENDED, state.value)

    async def refuse(
        self, context: grpc.aio.ServicerContext, certified: Certified, what: What, detail: str
    ) -> None:
        """Abort a call, with a line in log and audit.

        Args:
            context: Of the call.
            certified: Who calls.
            what: What happened.
            detail: For people; the caller reads it too.
        """
        edge_id = certified.identity.edge_id
        await self.note(edge_id, certified.serial, what, detail, source=edge_id)
        await context.abort(grpc.StatusCode.PERMISSION_DENIED, f"{what.value}: {detail}")

    async def note(
        self, edge_id: str, serial: str, what: What, detail: str, *, source: str
    ) -> None:
        """Write a line into log and audit, unless there are too many of its kind (`restraint`).

        A database that is away leaves the log alone.

        Args:
            edge_id: Whom it is about; empty when unknown.
            serial: Of the certificate; empty without one.
            what: What happened.
            detail: For people.
            source: Whose doing it is: the edge where it has proven who it is, else `peer_of`.
        """
        if self._restraint.admits(what, source, self._clock.monotonic_s()):
            await self._write(edge_id, serial, what, detail)
        await self._tell_left_out()

    async def _tell_left_out(self) -> None:
        told = self._restraint.left_out(self._clock.monotonic_s())
        if told:
            await self._write("", "", What.LEFT_OUT, told)

    async def _write(self, edge_id: str, serial: str, what: What, detail: str) -> None:
        is_bad = what not in (What.ENROLLED, What.RENEWED)
        level = logging.WARNING if is_bad else logging.INFO
        say(_LOG, what.value, level=level, edge_id=edge_id, serial=serial, detail=detail)
        line = AuditLine(self._clock.wall(), edge_id, serial, what, detail)
        try:
            await asyncio.to_thread(self._trust.registry.note, line)
        except RegistryFailed as problem:
            say(_LOG, "audit_failed", level=logging.ERROR, detail=str(problem))

    async def _state(self, certified: Certified) -> CertificateState:
        whose = certified.identity.edge_id
        known = await asyncio.to_thread(
            self._trust.registry.known, whose, certified.serial, certified.key_digest
        )
        return state_of(certified, known, self._clock.wall())

    async def _state_if_known(self, certified: Certified) -> CertificateState:
        """Return the state; a stream that runs is not ended because the database is away."""
        try:
            return await self._state(certified)
        except RegistryFailed as problem:
            say(_LOG, "registry_failed", level=logging.ERROR, detail=str(problem))
            return CertificateState.VALID


def peer_of(context: grpc.aio.ServicerContext) -> str:
    """Return the address that a call comes from, without its port.

    Args:
        context: Of the call.
    """
    return str(context.peer()).rpartition(":")[0]


async def _either(task: asyncio.Task[None], event: asyncio.Event, timeout_s: float) -> None:
    """Return when a task is done, an event is set, or the time is up."""
    waiting = asyncio.create_task(event.wait())
    try:
        await asyncio.wait((task, waiting), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


@functools.lru_cache(maxsize=2_048)  # a city's nodes: parsing and checking takes 0.4 ms a call
def _read(pem: bytes, trusted: tuple[x509.Certificate, ...]) -> NodeCertificate:
    return read_node(pem, trusted)
