"""The gallery stream's messages as protobuf and back.

What comes back is checked here, item by item: a chunk arrives with its refusals beside its
changes, so that the state machine can say no without looking into a message.
"""

import hashlib
from collections.abc import Sequence

from gateline.sync.v1 import gallery_service_pb2 as pb

from cloud_sync.columns import ArrivedPuts
from cloud_sync.content import Space, root_hash
from cloud_sync.gallery import Change
from cloud_sync.secrecy.chunk_signature import ChunkStamp
from cloud_sync.secrecy.opener import Trust
from cloud_sync.secrecy.sealer import Sealer
from cloud_sync.stream.messages import (
    Ack,
    Bookmark,
    Chunk,
    Deny,
    Digest,
    FromCloud,
    FromEdge,
    Hello,
    Nack,
    NackCode,
    Plan,
    Refusal,
    Repair,
    Resume,
    Snapshot,
    UpgradeRequired,
)
from cloud_sync.wire.change import changes_from_proto, changes_to_proto
from cloud_sync.wire.primitive import WireBroken, time_of, uuid_of

_PLAIN = Trust("")


def request_to_proto(message: FromEdge) -> pb.FollowRequest:
    """Return what the edge says, as protobuf."""
    match message:
        case Hello():
            return pb.FollowRequest(hello=_hello_to_proto(message))
        case Ack(nonce, durable_rev):
            return pb.FollowRequest(ack=pb.Ack(nonce=nonce, durable_rev=durable_rev))
        case Nack(nonce, code, detail, hashes):
            nack = pb.Nack(
                nonce=nonce,
                code=pb.Nack.Code.Name(code.value),
                detail=detail,
                content_hashes=hashes,
            )
            return pb.FollowRequest(nack=nack)
        case Digest(epoch, rev, buckets):
            digest = pb.Digest(epoch=epoch.bytes, rev=rev, buckets=buckets)
            return pb.FollowRequest(digest=digest)


def request_from_proto(request: pb.FollowRequest) -> FromEdge:
    """Return what the edge said.

    Raises:
        WireBroken: No message this cloud knows.
    """
    match request.WhichOneof("event"):
        case "hello":
            return _hello_from_proto(request.hello)
        case "ack":
            return Ack(request.ack.nonce, request.ack.durable_rev)
        case "nack":
            nack = request.nack
            try:
                code = NackCode(nack.code)
            except ValueError as problem:
                raise WireBroken(f"nack of unknown code {nack.code}") from problem
            return Nack(nack.nonce, code, nack.detail, tuple(nack.content_hashes))
        case "digest":
            digest = request.digest
            return Digest(uuid_of(digest.epoch), digest.rev, digest.buckets)
        case other:
            raise WireBroken(f"the edge said {other}")


def response_to_proto(message: FromCloud, sealer: Sealer | None = None) -> pb.FollowResponse:
    """Return what the cloud says, as protobuf.

    Args:
        message: What it says.
        sealer: Of the station and epoch; None leaves templates plain and chunks unsigned.
    """
    match message:
        case Chunk():
            return pb.FollowResponse(chunk=_chunk_to_proto(message, sealer))
        case Repair():
            return pb.FollowResponse(repair=_repair_to_proto(message, sealer))
        case Bookmark():
            bookmark = pb.Bookmark(
                epoch=message.epoch.bytes,
                head_rev=message.head_rev,
                lease_until_time=message.lease_until,
                cloud_time=message.cloud_time,
                grant=message.grant,
            )
            return pb.FollowResponse(bookmark=bookmark)
        case _:
            return pb.FollowResponse(plan=_plan_to_proto(message))


def response_from_proto(
    response: pb.FollowResponse, space: Space, trust: Trust = _PLAIN
) -> FromCloud:
    """Return what the cloud said; items that this space cannot take are listed as refusals.

    Args:
        response: As received.
        space: What the station's loaded model can compare.
        trust: What opens templates and checks signatures; nothing is sealed or signed by default.

    Raises:
        WireBroken: No message this edge knows.
    """
    match response.WhichOneof("event"):
        case "plan":
            return _plan_from_proto(response.plan)
        case "chunk":
            return _chunk_from_proto(response.chunk, space, trust)
        case "repair":
            return _repair_from_proto(response.repair, space, trust)
        case "bookmark":
            mark = response.bookmark
            return Bookmark(
                epoch=uuid_of(mark.epoch),
                head_rev=mark.head_rev,
                lease_until=time_of(mark.lease_until_time),
                cloud_time=time_of(mark.cloud_time),
                grant=mark.grant,
            )
        case other:
            raise WireBroken(f"the cloud said {other}")


def _stamp(chunk: pb.Chunk, station_id: str) -> ChunkStamp:
    return ChunkStamp(
        station_id=station_id,
        epoch=uuid_of(chunk.epoch),
        to_rev=chunk.to_rev,
        index=chunk.index,
        is_snapshot=chunk.is_snapshot,
        sha256=chunk.sha256,
        from_rev=chunk.from_rev,
        span=chunk.span or 1,
    )


def _repair_stamp(repair: pb.Repair, station_id: str) -> ChunkStamp:
    return ChunkStamp(
        station_id=station_id,
        epoch=uuid_of(repair.epoch),
        to_rev=repair.rev,
        index=0,
        is_snapshot=False,
        sha256=repair.sha256,
        from_rev=repair.rev,
        span=0,
    )


def _repair_sha256(hashes: Sequence[bytes], buckets: bytes) -> bytes:
    return hashlib.sha256(b"".join(hashes) + buckets).digest()


def _is_genuine(stamp: ChunkStamp, signature: bytes, trust: Trust) -> bool:
    return trust.verifier is None or trust.verifier.is_genuine(stamp, signature)


def _chunk_to_proto(chunk: Chunk, sealer: Sealer | None) -> pb.Chunk:
    made = pb.Chunk(
        nonce=chunk.nonce,
        epoch=chunk.epoch.bytes,
        from_rev=chunk.from_rev,
        to_rev=chunk.to_rev,
        sha256=root_hash(chunk.hashes),
        index=chunk.index,
        is_snapshot=chunk.is_snapshot,
        span=0 if chunk.span == 1 else chunk.span,
    )
    changes_to_proto(chunk.changes, chunk.hashes, made, sealer)
    if sealer is not None:
        made.signature = sealer.sign(_stamp(made, sealer.station_id))
    return made


def _chunk_from_proto(chunk: pb.Chunk, space: Space, trust: Trust) -> Chunk:
    came = list(chunk.changes)  # once: each look at one makes its object anew
    intact = root_hash(change.content_hash for change in came) == chunk.sha256
    # Nothing of a chunk that is not the cloud's is opened.
    intact = intact and _is_genuine(_stamp(chunk, trust.station_id), chunk.signature, trust)
    changes, hashes, refusals = _sorted(came if intact else (), space, trust)
    return Chunk(
        nonce=chunk.nonce,
        epoch=uuid_of(chunk.epoch),
        from_rev=chunk.from_rev,
        to_rev=chunk.to_rev,
        changes=changes,
        hashes=hashes,
        index=chunk.index,
        is_snapshot=chunk.is_snapshot,
        intact=intact,
        refusals=refusals,
        span=chunk.span or 1,
    )


def _sorted(
    changes: Sequence[pb.Change], space: Space, trust: Trust
) -> tuple[Sequence[Change], Sequence[bytes], tuple[Refusal, ...]]:
    """Return what may be applied, its content hashes, and what may not."""
    parsed = changes_from_proto(changes, space, trust.opener)
    if isinstance(parsed, ArrivedPuts):
        return parsed, parsed.hashes, ()
    pairs = [
        (item, change.content_hash)
        for item, change in zip(parsed, changes, strict=True)
        if not isinstance(item, Refusal)
    ]
    return (
        tuple(item for item, _ in pairs),
        tuple(digest for _, digest in pairs),
        tuple(item for item in parsed if isinstance(item, Refusal)),
    )


def _repair_to_proto(repair: Repair, sealer: Sealer | None) -> pb.Repair:
    buckets = bytes(repair.buckets)
    made = pb.Repair(
        nonce=repair.nonce,
        epoch=repair.epoch.bytes,
        rev=repair.rev,
        buckets=buckets,
        sha256=_repair_sha256(repair.hashes, buckets),
    )
    changes_to_proto(repair.changes, repair.hashes, made, sealer)
    if sealer is not None:
        made.signature = sealer.sign(_repair_stamp(made, sealer.station_id))
    return made


def _repair_from_proto(repair: pb.Repair, space: Space, trust: Trust) -> Repair:
    came = list(repair.changes)
    stated = [change.content_hash for change in came]
    stamp = _repair_stamp(repair, trust.station_id)
    intact = _repair_sha256(stated, repair.buckets) == repair.sha256
    intact = intact and _is_genuine(stamp, repair.signature, trust)
    changes, hashes, refusals = _sorted(came if intact else (), space, trust)
    return Repair(
        nonce=repair.nonce,
        epoch=uuid_of(repair.epoch),
        rev=repair.rev,
        buckets=tuple(repair.buckets),
        changes=tuple(changes),
        hashes=tuple(hashes),
        intact=intact,
        refusals=refusals,
    )


def _plan_to_proto(plan: Plan) -> pb.Plan:
    match plan:
        case Resume():
            return pb.Plan(
                mode=pb.Plan.MODE_RESUME,
                epoch=plan.epoch.bytes,
                rev=plan.rev,
                protocol=_stated(plan.protocol),
                grant=plan.grant,
            )
        case Snapshot():
            return pb.Plan(
                mode=pb.Plan.MODE_SNAPSHOT,
                epoch=plan.epoch.bytes,
                rev=plan.rev,
                chunk_count=plan.chunk_count,
                template_count=plan.template_count,
                root_hash=plan.root_hash,
                protocol=_stated(plan.protocol),
                grant=plan.grant,
            )
        case UpgradeRequired(detail):
            return pb.Plan(mode=pb.Plan.MODE_UPGRADE_REQUIRED, detail=detail)
        case Deny(detail):
            return pb.Plan(mode=pb.Plan.MODE_DENY, detail=detail)


def _stated(protocol: int) -> int:
    """Return what a plan says of the version: version 1 says nothing, then as now."""
    return 0 if protocol == 1 else protocol


def _plan_from_proto(plan: pb.Plan) -> Plan:
    match plan.mode:
        case pb.Plan.MODE_RESUME:
            return Resume(uuid_of(plan.epoch), plan.rev, plan.protocol or 1, plan.grant)
        case pb.Plan.MODE_SNAPSHOT:
            return Snapshot(
                epoch=uuid_of(plan.epoch),
                rev=plan.rev,
                chunk_count=plan.chunk_count,
                template_count=plan.template_count,
                root_hash=plan.root_hash,
                protocol=plan.protocol or 1,
                grant=plan.grant,
            )
        case pb.Plan.MODE_UPGRADE_REQUIRED:
            return UpgradeRequired(plan.detail)
        case pb.Plan.MODE_DENY:
            return Deny(plan.detail)
        case other:
            raise WireBroken(f"plan of unknown mode {other}")


def _hello_to_proto(hello: Hello) -> pb.Hello:
    return pb.Hello(
        edge_id=hello.edge_id,
        station_id=hello.station_id,
        proto_min=hello.proto_min,
        proto_max=hello.proto_max,
        epoch=hello.epoch.bytes if hello.epoch else b"",
        applied_rev=hello.applied_rev,
        model_id=hello.model_id,
        transform_id=hello.transform_id,
        template_count=hello.template_count,
        clock=pb.Clock(utc_time=hello.utc_time, boot_id=hello.boot_id),
        disk_free_bytes=hello.disk_free_bytes,
        outbox_depth=hello.outbox_depth,
        staged_root_hash=hello.staged_root,
        staged_chunks=hello.staged_chunks,
        stream_key=hello.stream_key,
    )


def _hello_from_proto(hello: pb.Hello) -> Hello:
    return Hello(
        edge_id=hello.edge_id,
        station_id=hello.station_id,
        epoch=uuid_of(hello.epoch) if hello.epoch else None,
        applied_rev=hello.applied_rev,
        model_id=hello.model_id,
        transform_id=hello.transform_id,
        template_count=hello.template_count,
        utc_time=time_of(hello.clock.utc_time),
        proto_min=hello.proto_min,
        proto_max=hello.proto_max,
        staged_root=hello.staged_root_hash,
        staged_chunks=hello.staged_chunks,
        boot_id=hello.clock.boot_id,
        disk_free_bytes=hello.disk_free_bytes,
        outbox_depth=hello.outbox_depth,
        stream_key=hello.stream_key,
    )
