"""The candidate index in Milvus, for a gallery past one machine; `milvus-lite` serves the tests.

Milvus answers with entities it was told to delete, by design (milvus#50194), and they may come back
a day later (milvus#33015): it proposes candidates like every index, and the database decides. The
client is the extra `milvus`, imported when the first index is made. One writer changes the
collection; a build fills a second one and drops the first, so that searches go on meanwhile.
"""

import importlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt

from cloud_sync.content import Space
from cloud_sync.master.candidate import Candidate, Drop, Entries, IndexFailed, check_probes

_BATCH = 1_000
"""Entities in one request: 2 MB at D = 512, of the 64 MB that a server takes by default."""
_OUTPUT = ["version"]


@dataclass(frozen=True, slots=True)
class MilvusConfig:
    """Which collection, and how it is searched."""

    name: str
    """Letters, digits and underscores; the collections are called `<name>_a` and `<name>_b`."""
    index_type: str = "FLAT"
    """Milvus's index: exhaustive by default, since HNSW and IVF lost 10 to 25 points of rank 1 on
    hard probes (DESIGN, section 4)."""
    timeout_s: float = 10.0
    """Deadline of each request, seconds, above 0."""


class MilvusCandidateIndex:
    """Templates of one space in a Milvus collection; its follower fills it anew at each start."""

    def __init__(self, space: Space, uri: str, config: MilvusConfig) -> None:
        """Connect, and make the collection where there is none.

        Args:
            space: Of every template that will come.
            uri: Of the server, or a file's name for `milvus-lite`.
            config: Which collection.

        Raises:
            IndexFailed: The client is not installed, or the server does not answer.
        """
        self._space = space
        self._config = config
        try:
            self._milvus = importlib.import_module("pymilvus")
        except ImportError as problem:
            raise IndexFailed("Milvus needs the extra: pip install gateline[milvus]") from problem
        with self._asking():
            self._client: Any = self._milvus.MilvusClient(uri=uri, timeout=config.timeout_s)
            self._current = self._found() or self._made(f"{config.name}_a")

    @property
    def space(self) -> Space:
        """The space of every template in it."""
        return self._space

    @property
    def size(self) -> int:
        """How many riders it holds."""
        with self._asking():
            rows = self._client.query(self._current, filter="", output_fields=["count(*)"])
            return int(rows[0]["count(*)"])

    def search(self, vectors: npt.NDArray[np.float32], k: int) -> tuple[tuple[Candidate, ...], ...]:
        """Return the k best riders for each probe, best first."""
        check_probes(self._space, vectors)
        with self._asking():
            answers = self._client.search(
                self._current, data=list(vectors), limit=k, output_fields=_OUTPUT
            )
            return tuple(
                tuple(
                    Candidate(UUID(hex=hit["rider_ref"]), hit["entity"]["version"], hit["distance"])
                    for hit in hits
                )
                for hits in answers
            )

    def apply(self, puts: Entries, drops: Iterable[Drop] = ()) -> None:
        """Forget `drops`, then hold `puts`."""
        check_probes(self._space, puts.vectors)
        gone = {each.rider_ref.hex: each.version for each in drops}
        with self._asking():
            held = self._versions(list(gone))
            self._forget([ref for ref, version in held.items() if version <= gone[ref]])
            self._put(self._current, puts)

    def build(self, batches: Iterable[Entries]) -> None:
        """Hold what comes and nothing else."""
        name = self._config.name
        with self._asking():
            fresh = self._made(f"{name}_b" if self._current.endswith("_a") else f"{name}_a")
        for batch in batches:  # outside: a failure of the stream is the stream's own
            check_probes(self._space, batch.vectors)
            with self._asking():
                self._put(fresh, batch)
        with self._asking():
            old, self._current = self._current, fresh
            self._client.drop_collection(old)

    def seal(self) -> bool:
        """Do nothing: a Milvus server compacts by itself."""
        return False

    def close(self) -> None:
        """End the connection."""
        self._client.close()

    @contextmanager
    def _asking(self) -> Iterator[None]:
        try:
            yield
        except self._milvus.MilvusException as problem:
            # The server's words can quote a request, hence a face: only the kind is told.
            raise IndexFailed(f"Milvus: {type(problem).__name__} {problem.code}") from None

    def _found(self) -> str | None:
        name = self._config.name
        kept = [each for each in (f"{name}_a", f"{name}_b") if self._client.has_collection(each)]
        return kept[0] if kept else None

    def _made(self, name: str) -> str:
        """Make a collection anew; what a build that was broken off has left goes."""
        kinds = self._milvus.DataType
        if self._client.has_collection(name):
            self._client.drop_collection(name)
        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("rider_ref", kinds.VARCHAR, is_primary=True, max_length=32)
        schema.add_field("version", kinds.INT64)
        schema.add_field("vector", kinds.FLOAT_VECTOR, dim=self._space.dimension)
        index = self._client.prepare_index_params()
        index.add_index("vector", index_type=self._config.index_type, metric_type="IP")
        self._client.create_collection(
            name, schema=schema, index_params=index, consistency_level="Strong"
        )
        return name

    def _versions(self, refs: list[str]) -> dict[str, int]:
        if not refs:
            return {}
        rows = self._client.get(self._current, ids=refs, output_fields=_OUTPUT)
        return {row["rider_ref"]: int(row["version"]) for row in rows}

    def _forget(self, refs: list[str]) -> None:
        for part in _parts(refs):
            self._client.delete(self._current, ids=part)

    def _put(self, collection: str, puts: Entries) -> None:
        newest: dict[str, tuple[int, npt.NDArray[np.float32]]] = {}
        for ref, version, vector in zip(puts.rider_refs, puts.versions, puts.vectors, strict=True):
            known = newest.get(ref.tobytes().hex())
            if known is None or known[0] <= version:
                newest[ref.tobytes().hex()] = int(version), vector
        for part in _parts(list(newest)):
            rows = self._client.get(collection, ids=part, output_fields=_OUTPUT)
            held = {row["rider_ref"]: int(row["version"]) for row in rows}
            fresh = [
                {"rider_ref": ref, "version": newest[ref][0], "vector": newest[ref][1]}
                for ref in part
                if held.get(ref, 0) <= newest[ref][0]
            ]
            if fresh:
                self._client.upsert(collection, fresh)


def _parts(items: list[str]) -> Iterable[list[str]]:
    return (items[start : start + _BATCH] for start in range(0, len(items), _BATCH))
