"""The cloud's `DeviceService`: all of it on the device port, renewal alone on the main port."""

import asyncio
import hashlib
import hmac
import logging
from collections.abc import Callable

import grpc
from gateline.sync.v1 import device_service_pb2 as pb
from gateline.sync.v1 import device_service_pb2_grpc

from cloud_sync.adapters.grpc.device_trust import DeviceTrust
from cloud_sync.adapters.grpc.guard import Guard, peer_of
from cloud_sync.clock import Clock
from cloud_sync.secrecy.key_store import KeysFailed
from cloud_sync.stream.view import EdgeNode, ViewLog, ViewLogFailed
from cloud_sync.taps.tap_log import EdgeUnknown, TapLog, TapLogFailed
from cloud_sync.trust import possession
from cloud_sync.trust.authority import (
    SERIAL_BYTES,
    AuthorityFailed,
    bundle,
    serial_of,
    sign_node,
    signer,
)
from cloud_sync.trust.bootstrap import Applicant, TokenFlaw, digest_of
from cloud_sync.trust.certificate import CertificateRefused, Request, read_node, read_request
from cloud_sync.trust.device import ALLOWED, CertificateState, Certified, Identity, Power
from cloud_sync.trust.registry import RegistryFailed, What
from cloud_sync.wire import WireBroken, batch_from_proto, batch_request_of, receipt_to_proto
from fare.log import say

_LOG = logging.getLogger(__name__)
_AWAY = (AuthorityFailed, KeysFailed, RegistryFailed, TapLogFailed, ViewLogFailed)
_TOKEN_REFUSED = "the token lets nobody in here: unknown, used, too old, or for another node"  # noqa: S105
_KEY_REUSED = "this key is another edge's; remove the node's trust folder and join anew"
_CHALLENGE_S = 60.0
"""How long a challenge is good, seconds."""
_MAC_BYTES = 16


class Challenges:
    """Challenges that need not be remembered: each carries its age under a key of this process."""

    def __init__(self, clock: Clock, entropy: Callable[[int], bytes]) -> None:
        """Make the key.

        Args:
            clock: The time.
            entropy: Gives that many random bytes.
        """
        self._clock = clock
        self._entropy = entropy
        self._key = entropy(32)

    def new(self) -> bytes:
        """Return a fresh challenge."""
        made_ms = int(self._clock.monotonic_s() * 1_000)
        body = made_ms.to_bytes(8, "big") + self._entropy(16)
        return body + self._mac(body)

    def is_good(self, challenge: bytes) -> bool:
        """Return whether a challenge is ours and young enough.

        Args:
            challenge: As received.
        """
        body, mac = challenge[:-_MAC_BYTES], challenge[-_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(body)):
            return False
        age_s = self._clock.monotonic_s() - int.from_bytes(body[:8], "big") / 1_000
        return -0.001 <= age_s <= _CHALLENGE_S  # a stamp is rounded to a millisecond

    def _mac(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, hashlib.sha256)[:_MAC_BYTES]


class _Issuer:
    """Gives badges."""

    def __init__(self, trust: DeviceTrust, clock: Clock) -> None:
        self._trust = trust
        self._clock = clock

    def badge(self, request: Request, identity: Identity) -> tuple[Certified, pb.Badge]:
        """Sign, note, and return; blocks on the database."""
        now = self._clock.wall()
        authorities = self._trust.authority.authorities()
        serial = serial_of(self._trust.entropy(SERIAL_BYTES))
        by = signer(authorities)
        pem = sign_node(by, request.public_key, identity, serial=serial, now=now)
        certified = read_node(pem).certified
        self._trust.registry.issued(certified, now)
        badge = pb.Badge(
            certificate=pem, trusted=bundle(authorities), cloud_key=self._trust.cloud_key()
        )
        return certified, badge


class Renewal(device_service_pb2_grpc.DeviceServiceServicer):
    """What a node with a good certificate may ask of the main port."""

    def __init__(self, trust: DeviceTrust, guard: Guard, clock: Clock) -> None:
        """Take what it needs.

        Args:
            trust: By what nodes are known.
            guard: Knows callers.
            clock: The time.
        """
        self._trust = trust
        self._guard = guard
        self._issuer = _Issuer(trust, clock)

    def join(self, server: grpc.aio.Server) -> None:
        """Be served by this server."""
        add = device_service_pb2_grpc.add_DeviceServiceServicer_to_server
        add(self, server)  # type: ignore[no-untyped-call]  # generated

    async def Renew(  # noqa: N802
        self, request: pb.RenewRequest, context: grpc.aio.ServicerContext
    ) -> pb.RenewResponse:
        """Give a new certificate to the holder of a good one."""
        certified = await self._guard.caller(context)
        return await self._renewed(request, certified, context)

    async def _renewed(
        self, request: pb.RenewRequest, certified: Certified, context: grpc.aio.ServicerContext
    ) -> pb.RenewResponse:
        asked = await _request_in(request.certificate_request, context)
        identity = certified.identity
        await self._guard.check_names(
            context, certified, asked.identity.edge_id, asked.identity.station_id
        )
        try:
            bind = self._trust.registry.bind_key
            if not await asyncio.to_thread(bind, asked.key_digest, identity.edge_id):
                await self._guard.refuse(context, certified, What.REFUSED, _KEY_REUSED)
            new, badge = await asyncio.to_thread(self._issuer.badge, asked, identity)
        except _AWAY as problem:
            await _away(problem, context)
            raise  # never: abort raises
        await self._guard.note(
            identity.edge_id,
            new.serial,
            What.RENEWED,
            f"after {certified.serial}",
            source=identity.edge_id,
        )
        return pb.RenewResponse(badge=badge)


class DevicePort(Renewal):
    """What anybody may ask of the device port."""

    def __init__(
        self, trust: DeviceTrust, guard: Guard, views: ViewLog, taps: TapLog, clock: Clock
    ) -> None:
        """Take what it needs.

        Args:
            trust: By what nodes are known.
            guard: Knows callers.
            views: Where enrolled edges are admitted.
            taps: Where taps become durable.
            clock: The time.
        """
        super().__init__(trust, guard, clock)
        self._views = views
        self._taps = taps
        self._clock = clock
        self._challenges = Challenges(clock, trust.entropy)

    async def Enroll(  # noqa: N802
        self, request: pb.EnrollRequest, context: grpc.aio.ServicerContext
    ) -> pb.EnrollResponse:
        """Let a node in by its token."""
        asked = await _request_in(request.certificate_request, context)
        if not possession.is_tap_key_proven(
            request.tap_key, request.tap_key_proof, request.certificate_request
        ):
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the tap key is not proven")
        applicant = Applicant(asked.identity, asked.key_digest, request.tap_key)
        try:
            found = await asyncio.to_thread(self._admitted, request.token, applicant)
            if isinstance(found, TokenFlaw | CertificateState):
                await self._turn_away(applicant, found, context)
            assert isinstance(found, Identity)
            certified, badge = await asyncio.to_thread(self._issuer.badge, asked, found)
        except _AWAY as problem:
            await _away(problem, context)
            raise  # never: abort raises
        await self._guard.note(
            found.edge_id,
            certified.serial,
            What.ENROLLED,
            f"at {found.station_id}",
            source=found.edge_id,
        )
        return pb.EnrollResponse(badge=badge)

    def _admitted(
        self, token: str, applicant: Applicant
    ) -> Identity | TokenFlaw | CertificateState:
        now = self._clock.wall()
        found = self._trust.registry.redeem(digest_of(token), applicant, now)
        if isinstance(found, Identity):
            self._views.admit(EdgeNode(found.edge_id, found.station_id, applicant.tap_key), now)
        return found

    async def _turn_away(
        self,
        applicant: Applicant,
        why: TokenFlaw | CertificateState,
        context: grpc.aio.ServicerContext,
    ) -> None:
        """Tell the audit what is wrong, and the stranger as little as possible."""
        who = applicant.identity
        detail = f"{why.value}, as {who.edge_id} at {who.station_id}"
        peer = peer_of(context)  # whom the stranger names, anybody may name
        await self._guard.note(who.edge_id, "", What.TOKEN_REFUSED, detail, source=peer)
        words = _KEY_REUSED if isinstance(why, CertificateState) else _TOKEN_REFUSED
        await context.abort(grpc.StatusCode.PERMISSION_DENIED, words)

    async def GetChallenge(  # noqa: N802
        self, request: pb.GetChallengeRequest, context: grpc.aio.ServicerContext
    ) -> pb.GetChallengeResponse:
        """Give something fresh to sign."""
        del request, context
        return pb.GetChallengeResponse(challenge=self._challenges.new())

    async def Renew(  # noqa: N802
        self, request: pb.RenewRequest, context: grpc.aio.ServicerContext
    ) -> pb.RenewResponse:
        """Give a new certificate to the holder of one that may be renewed."""
        payload = request.certificate_request
        certified, _ = await self._proven(
            request.proof, possession.RENEW, payload, (Power.RENEW,), context
        )
        return await self._renewed(request, certified, context)

    async def UploadTaps(  # noqa: N802
        self, request: pb.UploadTapsRequest, context: grpc.aio.ServicerContext
    ) -> pb.UploadTapsResponse:
        """Store a batch; answer after the commit."""
        powers = (Power.TAPS, Power.TAPS_ASIDE)
        certified, state = await self._proven(
            request.proof, possession.TAPS, request.batch, powers, context
        )
        try:
            sent = batch_request_of(request.batch)
            await self._guard.check_names(context, certified, sent.edge_id)
            sent.edge_id = certified.identity.edge_id
            is_suspect = Power.TAPS_ASIDE in ALLOWED[state]
            batch = batch_from_proto(sent, is_suspect=is_suspect)
            receipt = await asyncio.to_thread(self._taps.ingest, batch, self._clock.wall())
        except WireBroken as problem:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"not a batch: {problem}")
            raise  # never: abort raises
        except EdgeUnknown as problem:
            await self._guard.refuse(context, certified, What.REFUSED, str(problem))
            raise  # never: abort raises
        except TapLogFailed as problem:
            await _away(problem, context)
            raise  # never: abort raises
        count = f"{len(batch.taps)} taps, certificate {state.value}"
        source = certified.identity.edge_id
        await self._guard.note(source, certified.serial, What.GRACE_TAPS, count, source=source)
        return pb.UploadTapsResponse(receipt=receipt_to_proto(receipt).SerializeToString())

    async def _proven(
        self,
        proof: pb.Proof,
        purpose: str,
        payload: bytes,
        powers: tuple[Power, ...],
        context: grpc.aio.ServicerContext,
    ) -> tuple[Certified, CertificateState]:
        """Return who has proven to hold a certificate that allows one of these."""
        try:
            shown = await self._guard.read(context, proof.certificate)
        except CertificateRefused as problem:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, str(problem))
            raise  # never: abort raises
        is_proven = self._challenges.is_good(proof.challenge) and possession.is_proven(
            shown.public_key, proof.signature, purpose, proof.challenge, payload
        )
        if not is_proven:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "not proven, or too late")
        certified = shown.certified
        state = await self._guard.state(context, certified)
        if ALLOWED[state].isdisjoint(powers):
            detail = f"{state.value}, asked for {purpose}"
            await self._guard.refuse(context, certified, What.REFUSED, detail)
        return certified, state


async def _request_in(der: bytes, context: grpc.aio.ServicerContext) -> Request:
    try:
        return read_request(der)
    except CertificateRefused as problem:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(problem))
        raise  # never: abort raises


async def _away(problem: Exception, context: grpc.aio.ServicerContext) -> None:
    say(_LOG, "device_service_failed", level=logging.ERROR, detail=str(problem))
    await context.abort(grpc.StatusCode.UNAVAILABLE, "not available, try again")
