"""Templates for tests: small, deterministic, and people with names."""

from datetime import UTC, datetime
from uuid import UUID, uuid5

import numpy as np

from cloud_sync.content import Space, content_hash, pack, root_hash, unpack
from cloud_sync.gallery import (
    Change,
    Denial,
    DenialReason,
    PutDenial,
    PutSetting,
    PutTemplate,
    Setting,
    SettingName,
    Template,
)
from cloud_sync.stream.messages import Snapshot

SPACE = Space("model-a", "plain", 8)
"""A space of eight dimensions, so that tests stay fast."""
EPOCH = UUID(int=0xE0)
_PEOPLE = UUID(int=0x9E0)


def rider(name: str) -> UUID:
    """Return the reference of a person."""
    return uuid5(_PEOPLE, name)


def template(
    name: str,
    *,
    version: int = 1,
    space: Space = SPACE,
    expires: datetime | None = None,
    tier: int = 1,
) -> Template:
    """Return a person's template; another version is another vector."""
    seed = uuid5(_PEOPLE, f"{name}/{version}").int % 2**32
    vector = np.random.default_rng(seed).standard_normal(space.dimension).astype(np.float32)
    vector /= np.linalg.norm(vector)
    vector = unpack(pack(vector))
    return Template(rider(name), version, space.model_id, space.transform_id, vector, expires, tier)


def put(name: str, *, version: int = 1, space: Space = SPACE) -> PutTemplate:
    """Return the change that brings a person's template."""
    return PutTemplate(template(name, version=version, space=space))


def deny(
    name: str, reason: DenialReason = DenialReason.DEBT, until: datetime | None = None
) -> PutDenial:
    """Return the change that puts a person on the deny list."""
    return PutDenial(Denial(rider(name), reason, datetime(2026, 5, 4, tzinfo=UTC), until))


def setting(name: SettingName = SettingName.MODE, body: bytes = b'{"modes":[]}') -> PutSetting:
    """Return the change that gives the station a document."""
    return PutSetting(Setting(name, body))


def poison(name: str) -> PutTemplate:
    """Return a template that is no number at all."""
    good = template(name)
    vector = np.full(good.vector.shape, np.nan, np.float32)
    bad = Template(good.rider_ref, 9, good.model_id, good.transform_id, vector)
    return PutTemplate(bad)


def snapshot(*changes: Change, rev: int = 7, chunks: int = 1, epoch: UUID = EPOCH) -> Snapshot:
    """Return the announcement of a snapshot of these changes."""
    return Snapshot(
        epoch=epoch,
        rev=rev,
        chunk_count=chunks,
        template_count=sum(isinstance(change, PutTemplate) for change in changes),
        root_hash=root_hash(content_hash(change) for change in changes),
    )
