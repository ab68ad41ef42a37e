"""What a cloud seals for a station, and what a node that was granted the keys believes by."""

import random
from datetime import UTC, datetime
from uuid import UUID

from cloud_sync.adapters.memory.keys import MemoryKeyStore
from cloud_sync.secrecy.chunk_signature import ChunkVerifier
from cloud_sync.secrecy.grant import StreamKey, unwrap
from cloud_sync.secrecy.opener import Opener, Trust
from cloud_sync.secrecy.sealer import Sealer
from tests.templates import EPOCH, SPACE

OPERATOR = MemoryKeyStore(entropy=random.Random(5).randbytes).ring()


def sealer(station_id: str = "bell-tower", epoch: UUID = EPOCH) -> Sealer:
    """Return what seals for a station."""
    entropy = random.Random(6).randbytes
    return Sealer(OPERATOR, OPERATOR.root, station_id=station_id, epoch=epoch, entropy=entropy)


def trust(maker: Sealer) -> Trust:
    """Return what a node of the sealer's station believes messages by."""
    key = StreamKey(bytes(range(32)))
    until = datetime(2026, 5, 5, tzinfo=UTC)
    wrapped = maker.granted(until, edge_id="edge-1", recipient=key.public_key)
    station, epoch = maker.station_id, maker.epoch
    grant = unwrap(wrapped, key, station_id=station, edge_id="edge-1", epoch=epoch)
    verifier = ChunkVerifier(OPERATOR.cloud_key.public_key)
    return Trust(station, Opener(grant, dimension=SPACE.dimension), verifier)
