"""Many templates at once, by columns: to make an object of each takes as long as to open it.

A station has 50,000. All of these are sequences like any other; who reads one item gets its object,
made then.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import compress
from typing import Any, NamedTuple, overload
from uuid import UUID

import numpy as np
import numpy.typing as npt

from cloud_sync.content import unpack, unpack_all
from cloud_sync.gallery import Change, PutTemplate, Sealed, Template
from cloud_sync.secrecy.opener import Opener
from cloud_sync.secrecy.seal import Label, label_of

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

    riders: Sequence[bytes]
    """The references, 16 bytes each."""
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

        Raises:
            ValueError: They are of several dimensions.
        """
        if isinstance(templates, Templates):
            return templates
        all_ = tuple(templates)
        dimension = len(all_[0].vector) if all_ else 0
        vectors = np.empty((len(all_), dimension), np.float32)
        for first in range(0, len(all_), _COPIED):
            some = all_[first : first + _COPIED]
            vectors[first : first + len(some)] = np.stack([each.vector for each in some])
        return cls(
            [each.rider_ref.bytes for each in all_],
            [each.version for each in all_],
            [each.model_id for each in all_],
            [each.transform_id for each in all_],
            [each.expires for each in all_],
            [each.tier for each in all_],
            vectors,
        )

    def where(self, kept: npt.NDArray[np.bool_]) -> "Templates":
        """Return some of them, in the same order.

        Args:
            kept: bool, shape (N,); all of them are what they were.
        """
        if kept.all():
            return self
        vectors = np.empty((int(kept.sum()), self.vectors.shape[1]), np.float32)
        start = 0
        for first in range(0, len(self), _COPIED):
            last = first + _COPIED
            some = self.vectors[first:last][kept[first:last]]
            vectors[start : start + len(some)] = some
            start += len(some)
        chosen = kept.tolist()
        return _templates([list(compress(column, chosen)) for column in self.columns], vectors)

    @property
    def columns(self) -> tuple[Sequence[Any], ...]:
        """All but the vectors, in the order of the fields."""
        return (
            self.riders,
            self.versions,
            self.model_ids,
            self.transform_ids,
            self.expires,
            self.tiers,
        )

    def __len__(self) -> int:
        return len(self.riders)

    @overload
    def __getitem__(self, index: int) -> Template: ...
    @overload
    def __getitem__(self, index: slice) -> "Templates": ...
    def __getitem__(self, index: int | slice) -> "Template | Templates":
        if isinstance(index, slice):
            return _templates([column[index] for column in self.columns], self.vectors[index])
        return Template(
            UUID(bytes=self.riders[index]),
            self.versions[index],
            self.model_ids[index],
            self.transform_ids[index],
            self.vectors[index],
            self.expires[index],
            self.tiers[index],
        )


def _templates(columns: Sequence[Sequence[Any]], vectors: npt.NDArray[np.float32]) -> Templates:
    riders, versions, model_ids, transform_ids, expires, tiers = columns
    return Templates(riders, versions, model_ids, transform_ids, expires, tiers, vectors)


class Gathering:
    """Templates that come in parts: each vector is copied once, to where it stays."""

    _ROWS = 131_072
    """Of a block at most: more than both tiers of a large station, so that one is enough. 256 MB,
    of which the system gives what is written to."""

    def __init__(self, count: int) -> None:
        """Start empty.

        Args:
            count: How many are announced; more may come, or fewer.
        """
        self._left = count
        self._blocks: list[npt.NDArray[np.float32]] = []
        self._used = 0
        """Rows of the last block."""
        self._columns: tuple[list[Any], ...] = ([], [], [], [], [], [])

    def add(self, part: Templates) -> None:
        """Take some more, of the same dimension as the others."""
        for column, more in zip(self._columns, part.columns, strict=True):
            column.extend(more)
        rows = part.vectors
        while len(rows):
            if not self._blocks or self._used == len(self._blocks[-1]):
                size = min(max(self._left, len(rows)), self._ROWS)
                self._blocks.append(np.empty((size, rows.shape[1]), np.float32))
                self._used = 0
            block = self._blocks[-1]
            some = rows[: len(block) - self._used]
            block[self._used : self._used + len(some)] = some
            self._used += len(some)
            self._left -= len(some)
            rows = rows[len(some) :]

    def all(self) -> Templates:
        """Return what came, in its order; nothing may be added afterwards."""
        if not self._blocks:
            return Templates.of(())
        blocks = [*self._blocks[:-1], self._blocks[-1][: self._used]]
        vectors = blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
        return _templates(self._columns, vectors)


def comparable(rows: Sequence[Packed], opener: Opener | None) -> Templates:
    """Return templates as they can be compared: unpacked, and all in the opener's own transform.

    All at once: one by one it takes four times as long.

    Args:
        rows: Of one dimension.
        opener: Knows the rotations; None leaves the vectors in the transforms of their labels.

    Raises:
        TemplateRefused: Half a value is left over, or the vectors differ in length.
    """
    if not rows:
        return Templates.of(())
    labels, expires, tiers, bodies = zip(*rows, strict=True)
    riders, versions, model_ids, transforms = zip(*labels, strict=True)
    vectors = unpack_all(bodies)
    if opener is not None:
        vectors, home = opener.brought_home(vectors, transforms)
        transforms = (home,) * len(rows)
    return Templates(riders, versions, model_ids, transforms, expires, tiers, vectors)


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
