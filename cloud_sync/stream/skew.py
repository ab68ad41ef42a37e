"""Which version of the protocol two ends go on in, and what the older one knows.

A version-1 edge is sent what version 1 has, under the hashes of version 1, and nothing that it
would have to ignore: a template that is in the second tier now is a drop to it.
"""

from collections.abc import Sequence

from cloud_sync.content import content_hash
from cloud_sync.gallery import Change, DropKey, DropTemplate, PutKey, PutTemplate
from cloud_sync.stream.messages import PROTOCOL, PROTOCOL_MIN, Hello

Pairs = list[tuple[Change, bytes]]
"""Changes with their content hashes."""


def agreed(hello: Hello, *, oldest: int = PROTOCOL_MIN) -> int | None:
    """Return the newest version that both ends speak; None when there is none.

    Args:
        hello: The edge's.
        oldest: What the operator still allows.
    """
    newest = min(hello.proto_max, PROTOCOL)
    return newest if newest >= max(hello.proto_min, oldest) else None


def as_known(
    changes: Sequence[Change], hashes: Sequence[bytes], protocol: int
) -> tuple[tuple[Change, ...], tuple[bytes, ...]]:
    """Return the changes that a version knows, with their content hashes.

    Args:
        changes: Of a page or a whole view.
        hashes: The content hash of each.
        protocol: The version that the stream goes on in.
    """
    if protocol >= PROTOCOL:
        return tuple(changes), tuple(hashes)
    pairs: Pairs = []
    for change, digest in zip(changes, hashes, strict=True):
        match change:
            case PutTemplate(template) if template.tier != 1:
                drop = DropTemplate(template.rider_ref)
                pairs.append((drop, content_hash(drop)))
            case PutTemplate() | DropTemplate() | PutKey() | DropKey():
                pairs.append((change, digest))
            case _:
                continue  # the deny list and settings: version 1 never had them
    return tuple(change for change, _ in pairs), tuple(digest for _, digest in pairs)
