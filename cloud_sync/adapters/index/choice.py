"""Which candidate index a process searches: its own in memory, or Milvus past one machine."""

import argparse
import hashlib
from dataclasses import dataclass

from cloud_sync.adapters.index.faiss_index import FaissCandidateIndex
from cloud_sync.adapters.index.milvus_index import MilvusCandidateIndex, MilvusConfig
from cloud_sync.content import Space
from cloud_sync.master.candidate import CandidateIndex


@dataclass(frozen=True, slots=True)
class IndexChoice:
    """Where the master gallery is searched."""

    milvus: str = ""
    """URI of a Milvus server, or a file's name for `milvus-lite`; empty is an index in process."""
    collection: str = "gateline"
    """Beginning of its collections' names: letters, digits, underscores. One for each process, as
    each keeps its own copy and fills it anew at its start."""

    def __post_init__(self) -> None:
        """Refuse a name that Milvus would refuse.

        Raises:
            ValueError: It is no identifier.
        """
        if not self.collection.isidentifier():
            raise ValueError(f"no name for a collection: {self.collection!r}")

    def make(self, space: Space) -> CandidateIndex:
        """Return an index for the templates of a space.

        Args:
            space: Of every template that will come.

        Raises:
            IndexFailed: Milvus does not answer, or its client is not installed.
        """
        if not self.milvus:
            return FaissCandidateIndex(space)
        model = hashlib.sha256(space.model_id.encode()).hexdigest()[:12]
        return MilvusCandidateIndex(space, self.milvus, MilvusConfig(f"{self.collection}_{model}"))


def chosen_index(arguments: argparse.Namespace) -> IndexChoice:
    """Return what was asked for.

    Args:
        arguments: Of a command with `arguments.add_choice`.

    Raises:
        ValueError: The name is none.
    """
    return IndexChoice(arguments.milvus, arguments.collection)
