"""Many templates at once, by columns: to make an object of each takes as long as to open it.

A station has 50,000. All of these are sequences like any other; who reads one item gets its object,
made then.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, TypeVar, overload
from uuid import UUID

import numpy as np
import numpy.typing as npt

from cloud_sync.content import unpack, unpack_all
from cloud_sync.gallery import Change, PutTemplate, Sealed, Template
from cloud_sync.secrecy.opener import Opener
from cloud_sync.secrecy.rotation import PLAIN
from cloud_sync.secrecy.seal import Label, label_of

T = TypeVar("T")
_COPIED = 1_024
"""Vectors copied at once, 2 MB: one call for all of them would hold up every other thread."""


class Packed(NamedTuple):
    """A template as it is inside its record."""

    label: Label
    expires: datetime | None
    tier: int
    body: bytes
    """Its vector, float16 little-endian, in the transform of the label."""


@dataclass(frozen=True, slots=True, eq=False)
class Templates(Sequence[Template]):
    """Templates that can be compared; all columns are of one length."""

    rider_refs: Sequence[UUID]
    versions: Sequence[int]
    model_ids: Sequence[str]
    transform_ids: Sequence[str]
    expires: Sequence[datetime | None]
    tiers: Sequence[int]
    vectors: npt.NDArray[np.float32] = field(repr=False)
    """float32, shape (N, D), each row of unit length."""

    @classmethod
    def of(cls, templates: Iterable[Template]) -> "Templates":
        """Return templates of one dimension by columns; those that are so already stay as they are.

        Args:
            templates: Any number.
        """
        if isinstance(templates, Templates):
            return templates
        all_ = tuple(templates)
        return cls(
            [each.rider_ref for each in all_],
            [each.version for each in all_],
            [each.model_id for each in all_],
            [each.transform_id for each in all_],
            [each.expires for each in all_],
            [each.tier for each in all_],
            np.stack([each.vector for each in all_]) if all_ else np.empty((0, 0), np.float32),
        )

    @classmethod
    def joined(cls, parts: Sequence["Templates"]) -> "Templates":
        """Return several after one another.

        Args:
            parts: All of one dimension.
        """
        parts = [part for part in parts if part]
        if not parts:
            return cls.of(())
        total = sum(map(len, parts))
        vectors = np.empty((total, parts[0].vectors.shape[1]), np.float32)
        start = 0
        for part in parts:
            for first in range(0, len(part), _COPIED):
                rows = part.vectors[first : first + _COPIED]
                vectors[start : start + len(rows)] = rows
                start += len(rows)
        return cls(
            _chained(part.rider_refs for part in parts),
            _chained(part.versions for part in parts),
            _chained(part.model_ids for part in parts),
            _chained(part.transform_ids for part in parts),
            _chained(part.expires for part in parts),
            _chained(part.tiers for part in parts),
            vectors,
        )

    def at(self, rows: Sequence[int]) -> "Templates":
        """Return some of them, in this order.

        Args:
            rows: Their places; all of them in order is what it was.
        """
        if len(rows) == len(self) and all(row == place for place, row in enumerate(rows)):
            return self
        vectors = np.empty((len(rows), self.vectors.shape[1]), np.float32)
        for first in range(0, len(rows), _COPIED):
            some = rows[first : first + _COPIED]
            vectors[first : first + len(some)] = self.vectors[some]
        return Templates(
            [self.rider_refs[row] for row in rows],
            [self.versions[row] for row in rows],
            [self.model_ids[row] for row in rows],
            [self.transform_ids[row] for row in rows],
            [self.expires[row] for row in rows],
            [self.tiers[row] for row in rows],
            vectors,
        )

    def __len__(self) -> int:
        return len(self.rider_refs)

    @overload
    def __getitem__(self, index: int) -> Template: ...
    @overload
    def __getitem__(self, index: slice) -> "Templates": ...
    def __getitem__(self, index: int | slice) -> "Template | Templates":
        if isinstance(index, slice):
            return self.at(range(len(self))[index])
        return Template(
            self.rider_refs[index],
            self.versions[index],
            self.model_ids[index],
            self.transform_ids[index],
            self.vectors[index],
            self.expires[index],
            self.tiers[index],
        )


def comparable(rows: Sequence[Packed], opener: Opener | None) -> Templates:
    """Return templates as they can be compared: unpacked, and turned back by the granted keys.

    All at once: one by one it takes four times as long.

    Args:
        rows: Of one dimension.
        opener: Undoes rotations; None leaves the vectors in the transforms of their labels.

    Raises:
        TemplateRefused: Half a value is left over, or the vectors differ in length.
    """
    if not rows:
        return Templates.of(())
    labels = [row.label for row in rows]
    vectors = unpack_all([row.body for row in rows])
    transforms = [label.transform_id for label in labels]
    if opener is not None:
        vectors = opener.turned_back(vectors, transforms)
        transforms = [PLAIN] * len(rows)
    return Templates(
        [UUID(bytes=label.rider) for label in labels],
        [label.version for label in labels],
        [label.model_id for label in labels],
        transforms,
        [row.expires for row in rows],
        [row.tier for row in rows],
        vectors,
    )


@dataclass(frozen=True, slots=True, eq=False)
class PackedChanges(Sequence[Change]):
    """In the cloud: changes whose templates are as they were in their records."""

    rows: Sequence[Change | Packed]
    """No `PutTemplate` is among them."""

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> Change: ...
    @overload
    def __getitem__(self, index: slice) -> "PackedChanges": ...
    def __getitem__(self, index: int | slice) -> "Change | PackedChanges":
        if isinstance(index, slice):
            return PackedChanges(self.rows[index])
        row = self.rows[index]
        return unpacked(row) if isinstance(row, Packed) else row


def packed_of(template: Template, body: bytes) -> Packed:
    """Return a template as it is inside its record.

    Args:
        template: Everything but the vector is read from it.
        body: The vector as float16 little-endian bytes.
    """
    return Packed(label_of(template), template.expires, template.tier, body)


def unpacked(row: Packed) -> PutTemplate:
    """Return the change that brings a template.

    Raises:
        TemplateRefused: Half a value is left over.
    """
    rider, version, model_id, transform_id = row.label
    vector = unpack(row.body)
    return PutTemplate(
        Template(UUID(bytes=rider), version, model_id, transform_id, vector, row.expires, row.tier)
    )


@dataclass(frozen=True, slots=True, eq=False)
class ArrivedPuts(Sequence[PutTemplate]):
    """At a node: templates as they can be compared, and as its disk keeps them."""

    templates: Templates
    labels: Sequence[Label]
    """As their records have them: the transform is the one inside the record."""
    bodies: Sequence[bytes] = field(repr=False)
    """Nonce, ciphertext and tag; where nothing is sealed, the packed vector."""
    hashes: Sequence[bytes]
    """The content hash of each, 32 bytes."""
    key_id: str
    """The root key behind the data key of all of them; empty where nothing is sealed."""

    def __len__(self) -> int:
        return len(self.labels)

    @overload
    def __getitem__(self, index: int) -> PutTemplate: ...
    @overload
    def __getitem__(self, index: slice) -> "ArrivedPuts": ...
    def __getitem__(self, index: int | slice) -> "PutTemplate | ArrivedPuts":
        if isinstance(index, slice):
            return ArrivedPuts(
                self.templates[index],
                self.labels[index],
                self.bodies[index],
                self.hashes[index],
                self.key_id,
            )
        if not self.key_id:
            return PutTemplate(self.templates[index])
        transform_id = self.labels[index].transform_id
        sealed = Sealed(self.key_id, transform_id, self.bodies[index], self.hashes[index])
        return PutTemplate(self.templates[index], sealed)


def _chained(columns: Iterable[Sequence[T]]) -> list[T]:
    return [each for column in columns for each in column]
