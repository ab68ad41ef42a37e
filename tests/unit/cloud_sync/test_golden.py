"""Bytes recorded from each release of the protocol: what was said then is understood now."""

import json
from pathlib import Path
from typing import Any

import pytest
from gateline.sync.v1 import gallery_service_pb2 as pb

from cloud_sync.content import Space
from cloud_sync.gallery import DenialReason, DropTemplate, PutDenial, PutTemplate
from cloud_sync.stream.messages import Chunk, Hello, Refusal, Repair, Resume, Snapshot
from cloud_sync.stream.skew import agreed
from cloud_sync.wire import (
    request_from_proto,
    request_to_proto,
    response_from_proto,
    response_to_proto,
)

SPACE = Space("model-a", "plain", 8)
FROM_EDGE = {"hello", "ack", "nack", "digest"}
RECORDED = {
    (version, name): bytes.fromhex(raw)
    for version in (1, 2)
    for name, raw in json.loads(
        (Path(__file__).parents[2] / "golden" / f"protocol_{version}.json").read_text()
    ).items()
}


def read(version: int, name: str) -> Any:
    """Return a recorded message as this release understands it."""
    raw = RECORDED[version, name]
    if name in FROM_EDGE:
        return request_from_proto(pb.FollowRequest.FromString(raw))
    return response_from_proto(pb.FollowResponse.FromString(raw), SPACE)


class TestGolden:
    """Versions 1 and 2."""

    @pytest.mark.parametrize(("version", "name"), RECORDED)
    def test_is_said_again_byte_for_byte(self, version: int, name: str) -> None:
        """What this release reads it writes as the release wrote it: neither end can tell."""
        message = read(version, name)
        write: Any = request_to_proto if name in FROM_EDGE else response_to_proto

        raw = write(message).SerializeToString(deterministic=True)

        assert raw == RECORDED[version, name]

    @pytest.mark.parametrize("version", [1, 2])
    def test_a_chunk_is_believed(self, version: int) -> None:
        """Content hashes of both versions fit what this release computes; nothing is refused."""
        chunk = read(version, "chunk")

        assert isinstance(chunk, Chunk)
        assert chunk.intact
        assert chunk.refusals == ()
        assert len(chunk.changes) == (4 if version == 1 else 9)

    def test_version_1_is_known_as_such(self) -> None:
        """A hello and a plan of version 1 lead to a stream of version 1, those of 2 to one of 2."""
        versions = {}
        for version in (1, 2):
            hello, resume = read(version, "hello"), read(version, "resume")
            whole = read(version, "snapshot")
            assert isinstance(hello, Hello)
            assert isinstance(resume, Resume)
            assert isinstance(whole, Snapshot)
            versions[version] = (agreed(hello), resume.protocol, whole.protocol)

        assert versions == {1: (1, 1, 1), 2: (2, 2, 2)}

    def test_version_2_means_what_it_meant(self) -> None:
        """Denials, tiers, expulsions, spans and repairs are read as they were written."""
        chunk, expulsion = read(2, "chunk"), read(2, "expulsion")
        parts, repair = read(2, "parts"), read(2, "repair")

        assert isinstance(chunk, Chunk)
        assert isinstance(expulsion, Chunk)
        assert isinstance(parts, Chunk)
        assert isinstance(repair, Repair)
        tiers = [one.template.tier for one in chunk.changes if isinstance(one, PutTemplate)]
        (denial,) = [one.denial for one in chunk.changes if isinstance(one, PutDenial)]
        assert tiers == [1, 2]
        assert denial.reason is DenialReason.LOST
        assert expulsion.is_expulsion
        assert isinstance(expulsion.changes[0], DropTemplate)
        assert parts.span == 4
        assert (repair.buckets, len(repair.changes), repair.intact) == ((0, 17), 2, True)

    def test_version_1_refuses_what_is_new(self) -> None:
        """What a version-1 edge would do with version 2: unknown, never ignored.

        Its own reader saw an operation that it does not know as a change without content.
        """
        message = pb.FollowResponse.FromString(RECORDED[2, "chunk"])
        change = message.chunk.changes[5]
        change.ClearField("put_denial")

        arrived = response_from_proto(message, SPACE)

        assert isinstance(arrived, Chunk)
        (refusal,) = arrived.refusals
        assert isinstance(refusal, Refusal)
        assert refusal.code.name == "UNSUPPORTED"
