"""The node's side of `DeviceService`: join, renew, and bring taps past the main port."""

import hashlib
import socket
import ssl
from typing import Any

import grpc
from gateline.sync.v1 import device_service_pb2 as pb
from gateline.sync.v1 import device_service_pb2_grpc, tap_service_pb2

from cloud_sync.adapters.grpc.channel import (
    DEVICE_DEADLINE_S,
    TAPS_DEADLINE_S,
    Badge,
    dial,
    dial_device,
)
from cloud_sync.adapters.grpc.node_trust import NodeTrust
from cloud_sync.taps.signing import NodeKey
from cloud_sync.taps.tap_log import Batch, Receipt
from cloud_sync.taps.uplink import LinkDown, LinkRefused
from cloud_sync.trust import possession
from cloud_sync.trust.certificate import key_of_pem, new_request
from cloud_sync.trust.device import Identity
from cloud_sync.wire import batch_to_proto, receipt_from_proto

_CONNECT_S = 10.0
"""For a look at the cloud's certificate, seconds."""
_DOWN = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


class DeviceRefused(Exception):
    """The cloud said no; the words are its own."""


class DeviceAway(Exception):
    """The cloud did not answer, or is not who it should be."""


def join(
    trust: NodeTrust, identity: Identity, tap_key: NodeKey, token: str, *, target: str, ca: bytes
) -> Badge:
    """Let this node be enrolled, and keep what it is known by.

    Args:
        trust: The node's folder.
        identity: Who it is, by its configuration.
        tap_key: What its taps are signed with.
        token: As the operator typed it.
        target: `host:port` of the cloud's device port.
        ca: The authority by which the cloud is known, PEM.

    Raises:
        DeviceAway: No answer; the token may be used again for this node.
        DeviceRefused: The cloud said no.
        NoBadge: The folder cannot be used.
    """
    request = new_request(trust.key(), identity)
    asked = pb.EnrollRequest(
        token=token,
        certificate_request=request,
        tap_key=tap_key.public_key,
        tap_key_proof=tap_key.sign(possession.tap_key_statement(request)),
    )
    with dial_device(target, ca) as channel:
        try:
            response = _stub(channel).Enroll(asked, timeout=DEVICE_DEADLINE_S)
        except grpc.RpcError as problem:
            raise _translated(problem) from problem
    return _saved(trust, response.badge)


def renew(trust: NodeTrust, *, target: str) -> Badge:
    """Take a new certificate at the main port, which the old one opens.

    Args:
        trust: The node's folder.
        target: `host:port` of the main port.

    Raises:
        DeviceAway: No answer, or the handshake failed, e.g. as the certificate has expired.
        DeviceRefused: The cloud said no.
        NoBadge: The folder cannot be used.
    """
    badge = trust.badge()
    asked = pb.RenewRequest(certificate_request=_request(badge))
    with dial(target, badge) as channel:
        try:
            response = _stub(channel).Renew(asked, timeout=DEVICE_DEADLINE_S)
        except grpc.RpcError as problem:
            raise _translated(problem) from problem
    return _saved(trust, response.badge)


def renew_late(trust: NodeTrust, *, target: str) -> Badge:
    """Take a new certificate at the device port, where an expired one may still prove itself.

    Args:
        trust: The node's folder.
        target: `host:port` of the device port.

    Raises:
        DeviceAway: No answer.
        DeviceRefused: The cloud said no.
        NoBadge: The folder cannot be used.
    """
    badge = trust.badge()
    request = _request(badge)
    with dial_device(target, badge.trusted) as channel:
        stub = _stub(channel)
        try:
            proof = _proof(stub, badge, possession.RENEW, request)
            asked = pb.RenewRequest(certificate_request=request, proof=proof)
            response = stub.Renew(asked, timeout=DEVICE_DEADLINE_S)
        except grpc.RpcError as problem:
            raise _translated(problem) from problem
    return _saved(trust, response.badge)


class GraceTapSink:
    """A `TapSink` on the device port."""

    def __init__(
        self, channel: grpc.Channel, badge: Badge, *, deadline_s: float = TAPS_DEADLINE_S
    ) -> None:
        """Take a channel.

        Args:
            channel: To the device port; not closed here.
            badge: Whose taps.
            deadline_s: For one batch, seconds, above 0.
        """
        self._stub = _stub(channel)
        self._badge = badge
        self._deadline_s = deadline_s

    def send(self, batch: Batch) -> Receipt:
        """See `TapSink.send`."""
        payload = batch_to_proto(batch).SerializeToString()
        try:
            proof = _proof(self._stub, self._badge, possession.TAPS, payload)
            asked = pb.UploadTapsRequest(batch=payload, proof=proof)
            response = self._stub.UploadTaps(asked, timeout=self._deadline_s)
        except grpc.RpcError as problem:
            detail = f"{problem.code().name}: {problem.details()}"
            if problem.code() in _DOWN:
                raise LinkDown(detail) from problem
            raise LinkRefused(detail) from problem
        receipt = tap_service_pb2.BatchCreateTapsResponse.FromString(response.receipt)
        return receipt_from_proto(receipt)


def fetched_ca(target: str, fingerprint: str) -> bytes:
    """Return the authority of a fingerprint that the cloud shows, PEM.

    Nothing the cloud says is believed but what has this fingerprint.

    Args:
        target: `host:port` of the cloud's device port.
        fingerprint: SHA-256 in hex, as `python -m cloud_sync ca list` prints it.

    Raises:
        DeviceAway: No answer, or no such authority in it.
    """
    host, _, port = target.rpartition(":")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the fingerprint decides, below
    context.set_alpn_protocols(["h2"])
    wanted = fingerprint.replace(":", "").strip().lower()
    try:
        with (
            socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S) as line,
            context.wrap_socket(line) as secured,
        ):
            # Public from Python 3.13 on; the same method lies one layer lower before.
            inner: Any = getattr(secured, "_sslobj", secured)
            shown: list[str] = [each.public_bytes() for each in inner.get_unverified_chain()]
    except (OSError, ValueError) as problem:
        raise DeviceAway(f"{target} shows no certificate: {problem}") from problem
    for pem in shown:
        if hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest() == wanted:
            return pem.encode("ascii")
    raise DeviceAway(f"{target} is not known by an authority of this fingerprint")


def _request(badge: Badge) -> bytes:
    return new_request(key_of_pem(badge.key), badge.certified.identity)


def _proof(
    stub: device_service_pb2_grpc.DeviceServiceStub, badge: Badge, purpose: str, payload: bytes
) -> pb.Proof:
    given = stub.GetChallenge(pb.GetChallengeRequest(), timeout=DEVICE_DEADLINE_S)
    signature = possession.prove(key_of_pem(badge.key), purpose, given.challenge, payload)
    return pb.Proof(certificate=badge.certificate, challenge=given.challenge, signature=signature)


def _saved(trust: NodeTrust, given: pb.Badge) -> Badge:
    return trust.save(given.certificate, given.trusted, given.cloud_key)


def _stub(channel: grpc.Channel) -> device_service_pb2_grpc.DeviceServiceStub:
    stub = device_service_pb2_grpc.DeviceServiceStub
    return stub(channel)  # type: ignore[no-untyped-call]  # generated


def _translated(problem: grpc.RpcError) -> DeviceAway | DeviceRefused:
    detail = f"{problem.code().name}: {problem.details()}"
    return DeviceAway(detail) if problem.code() in _DOWN else DeviceRefused(detail)
