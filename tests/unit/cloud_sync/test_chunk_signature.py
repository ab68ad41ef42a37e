"""Nobody but the cloud can put a chunk into the stream, and none can be passed off as another."""

from dataclasses import replace
from uuid import UUID

import pytest

from cloud_sync.secrecy.chunk_signature import ChunkStamp, ChunkVerifier, CloudKey

CLOUD = CloudKey(b"\x31" * 32)
STAMP = ChunkStamp("S1", UUID(int=5), 900, 3, is_snapshot=True, sha256=bytes(range(32)))
SIGNATURE = CLOUD.sign(STAMP)
VERIFIER = ChunkVerifier(CLOUD.public_key)


class TestChunkVerifier:
    """Checking."""

    def test_knows_the_clouds(self) -> None:
        """Control: what the cloud signed is genuine."""
        assert VERIFIER.is_genuine(STAMP, SIGNATURE)

    @pytest.mark.parametrize(
        "stamp",
        [
            replace(STAMP, station_id="S2"),
            replace(STAMP, epoch=UUID(int=6)),
            replace(STAMP, to_rev=901),
            replace(STAMP, index=4),
            replace(STAMP, is_snapshot=False),
            replace(STAMP, sha256=bytes(32)),
            replace(STAMP, from_rev=1),
            replace(STAMP, span=2),
        ],
        ids=["station", "epoch", "revision", "index", "kind", "digest", "start", "span"],
    )
    def test_refuses_another_chunk(self, stamp: ChunkStamp) -> None:
        """A signature taken from one chunk fits no other place, station or history."""
        assert not VERIFIER.is_genuine(stamp, SIGNATURE)

    @pytest.mark.parametrize("signature", [b"", SIGNATURE[:-1], SIGNATURE + b"\0", bytes(64)])
    def test_refuses_what_is_no_signature(self, signature: bytes) -> None:
        """An empty, cut, longer or zero signature is refused, not raised about."""
        assert not VERIFIER.is_genuine(STAMP, signature)

    def test_refuses_another_signer(self) -> None:
        """A proxy with a key of its own is not the cloud."""
        assert not VERIFIER.is_genuine(STAMP, CloudKey(b"\x32" * 32).sign(STAMP))
