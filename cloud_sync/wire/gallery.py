"""The gallery stream's messages as protobuf and back.

What comes back is checked here, item by item: a chunk arrives with its refusals beside its
changes, so that the state machine can say no without looking into a message.
"""

from gateline.sync.v1 import gallery_service_pb2 as pb

from cloud_sync.content import Space, root_hash
from cloud_sync.messages import (
    Ack,
    Bookmark,
    Chunk,
    Deny,
    FromCloud,
    FromEdge,
    Hello,
    Nack,
    NackCode,
    Plan,
    Refusal,
    Resume,
    Snapshot,
    UpgradeRequired,
)
from cloud_sync.wire.change import change_from_proto, change_to_proto
from cloud_sync.wire.primitive import WireBroken, time_of, uuid_of


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
        case other:
            raise WireBroken(f"the edge said {other}")


def response_to_proto(message: FromCloud) -> pb.FollowResponse:
    """Return what the cloud says, as protobuf."""
    match message:
        case Chunk():
            return pb.FollowResponse(chunk=_chunk_to_proto(message))
        case Bookmark():
            bookmark = pb.Bookmark(
                epoch=message.epoch.bytes,
                head_rev=message.head_rev,
                lease_until_time=message.lease_until,
                cloud_time=message.cloud_time,
            )
            return pb.FollowResponse(bookmark=bookmark)
        case _:
            return pb.FollowResponse(plan=_plan_to_proto(message))


def response_from_proto(response: pb.FollowResponse, space: Space) -> FromCloud:
    """Return what the cloud said; items that this space cannot take are listed as refusals.

    Args:
        response: As received.
        space: What the station's loaded model can compare.

    Raises:
        WireBroken: No message this edge knows.
    """
    match response.WhichOneof("event"):
        case "plan":
            return _plan_from_proto(response.plan)
        case "chunk":
            return _chunk_from_proto(response.chunk, space)
        case "bookmark":
            mark = response.bookmark
            return Bookmark(
                epoch=uuid_of(mark.epoch),
                head_rev=mark.head_rev,
                lease_until=time_of(mark.lease_until_time),
                cloud_time=time_of(mark.cloud_time),
            )
        case other:
            raise WireBroken(f"the cloud said {other}")


def _chunk_to_proto(chunk: Chunk) -> pb.Chunk:
    pairs = zip(chunk.changes, chunk.hashes, strict=True)
    return pb.Chunk(
        nonce=chunk.nonce,
        epoch=chunk.epoch.bytes,
        from_rev=chunk.from_rev,
        to_rev=chunk.to_rev,
        changes=[change_to_proto(change, digest) for change, digest in pairs],
        sha256=root_hash(chunk.hashes),
        index=chunk.index,
        is_snapshot=chunk.is_snapshot,
    )


def _chunk_from_proto(chunk: pb.Chunk, space: Space) -> Chunk:
    parsed = [change_from_proto(change, space) for change in chunk.changes]
    stated = [bytes(change.content_hash) for change in chunk.changes]
    pairs = list(zip(parsed, stated, strict=True))
    return Chunk(
        nonce=chunk.nonce,
        epoch=uuid_of(chunk.epoch),
        from_rev=chunk.from_rev,
        to_rev=chunk.to_rev,
        changes=tuple(item for item in parsed if not isinstance(item, Refusal)),
        hashes=tuple(digest for item, digest in pairs if not isinstance(item, Refusal)),
        index=chunk.index,
        is_snapshot=chunk.is_snapshot,
        intact=root_hash(stated) == chunk.sha256,
        refusals=tuple(item for item in parsed if isinstance(item, Refusal)),
    )


def _plan_to_proto(plan: Plan) -> pb.Plan:
    match plan:
        case Resume(epoch, rev):
            return pb.Plan(mode=pb.Plan.MODE_RESUME, epoch=epoch.bytes, rev=rev)
        case Snapshot():
            return pb.Plan(
                mode=pb.Plan.MODE_SNAPSHOT,
                epoch=plan.epoch.bytes,
                rev=plan.rev,
                chunk_count=plan.chunk_count,
                template_count=plan.template_count,
                root_hash=plan.root_hash,
            )
        case UpgradeRequired(detail):
            return pb.Plan(mode=pb.Plan.MODE_UPGRADE_REQUIRED, detail=detail)
        case Deny(detail):
            return pb.Plan(mode=pb.Plan.MODE_DENY, detail=detail)


def _plan_from_proto(plan: pb.Plan) -> Plan:
    match plan.mode:
        case pb.Plan.MODE_RESUME:
            return Resume(uuid_of(plan.epoch), plan.rev)
        case pb.Plan.MODE_SNAPSHOT:
            return Snapshot(
                epoch=uuid_of(plan.epoch),
                rev=plan.rev,
                chunk_count=plan.chunk_count,
                template_count=plan.template_count,
                root_hash=plan.root_hash,
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
    )
