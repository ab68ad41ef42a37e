"""Whether two ends hold the same at the same revision, in 4 kB.

A view is cut into 256 buckets by what an item is about. A bucket's value is the XOR of one keyed
hash an item, so it does not depend on order, and a difference shows in its own bucket alone: at
50,000 items a repair is some 200 of them (reference/reliability.md, 2.3). The hash is keyed
because XOR is linear: without the key nobody can choose items whose hashes cancel out.
"""

import hashlib
from collections.abc import Iterable
from uuid import UUID

BUCKETS = 256
VALUE_BYTES = 16
"""128 bits a bucket."""
DIGEST_BYTES = BUCKETS * VALUE_BYTES
UNREADABLE = bytes(32)
"""Stands for the content hash of an item that no longer reads as what was stored."""


def bucket_of(item_key: bytes) -> int:
    """Return which bucket an item belongs to.

    Args:
        item_key: As `content.key_of` returns it: its second byte is the first of a rider's
            random reference, so riders spread evenly.
    """
    return item_key[1]


def summed(items: Iterable[tuple[bytes, bytes]], key: bytes) -> bytes:
    """Return the digest of a view.

    Args:
        items: Item key and content hash of each, in any order, each item once.
        key: Of this station and epoch, 1 to 64 bytes.

    Returns:
        256 values of 16 bytes.
    """
    values = [0] * BUCKETS
    for item_key, content_hash in items:
        hashed = hashlib.blake2b(item_key + content_hash, digest_size=VALUE_BYTES, key=key)
        values[bucket_of(item_key)] ^= int.from_bytes(hashed.digest(), "big")
    return b"".join(value.to_bytes(VALUE_BYTES, "big") for value in values)


def differing(mine: bytes, theirs: bytes) -> tuple[int, ...]:
    """Return the buckets in which two digests differ; all of them when one is no digest.

    Args:
        mine: 4,096 bytes.
        theirs: As received.
    """
    if len(theirs) != DIGEST_BYTES:
        return tuple(range(BUCKETS))
    spans = (slice(at, at + VALUE_BYTES) for at in range(0, DIGEST_BYTES, VALUE_BYTES))
    return tuple(number for number, span in enumerate(spans) if mine[span] != theirs[span])


def grouped(sizes: Iterable[tuple[int, int]], *, limit: int) -> tuple[tuple[int, ...], ...]:
    """Return buckets in groups that travel together.

    Args:
        sizes: Bucket and the bytes of its items.
        limit: Bytes in a group, unless one bucket alone has more.
    """
    groups: list[list[int]] = []
    room = 0
    for bucket, size in sizes:
        if not groups or size > room:
            groups.append([])
            room = limit
        groups[-1].append(bucket)
        room -= size
    return tuple(tuple(group) for group in groups)


def open_key(station_id: str, epoch: UUID) -> bytes:
    """Return the key of a digest where nothing is sealed: it is no secret, nor are the templates.

    Args:
        station_id: The station.
        epoch: The view's history.
    """
    return hashlib.blake2b(station_id.encode() + epoch.bytes, digest_size=32).digest()
