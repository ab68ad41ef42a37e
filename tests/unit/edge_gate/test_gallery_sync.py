"""A large gallery while it is being filled, and right after a restart."""

import threading
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest

from cloud_sync.adapters.disk.sqlite_replica import SqliteReplica
from cloud_sync.content import Space, content_hash, root_hash
from cloud_sync.gallery import PutTemplate, Template
from cloud_sync.stream.messages import Snapshot
from edge_gate.adapters.faiss_gallery import FaissConfig, FaissGallery
from edge_gate.holdings import Holdings
from edge_gate.search import Candidates, Gallery, Probe
from edge_gate.tiers import Tiers

SPACE = Space("test/512")
COUNT = 50_000
CHUNK = 256
"""As a view's chunks are (`cloud_sync.stream.view`)."""


class _Locked(FaissGallery):
    """The control: a search waits until the change that is being made is done."""

    def __init__(self) -> None:
        super().__init__(SPACE)
        self._door = threading.Lock()

    def search(self, probe: Probe, k: int = 2) -> Candidates:
        with self._door:
            return super().search(probe, k)

    def apply(self, puts: Sequence[Template], drops: Sequence[UUID]) -> None:
        with self._door:
            super().apply(puts, drops)


@pytest.fixture(scope="module")
def crowd() -> tuple[Template, ...]:
    """Give 50,000 templates of the second tier and a hundred of the first."""
    rng = np.random.default_rng(3)
    vectors = rng.standard_normal((COUNT + 100, 512)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return tuple(
        Template(UUID(int=i + 1), 1, SPACE.model_id, "plain", row, tier=2 if i < COUNT else 1)
        for i, row in enumerate(vectors)
    )


def _searched_while_filled(gallery: Gallery, crowd: Sequence[Template]) -> list[float]:
    """Return how long each search took while the crowd came chunk by chunk, seconds."""
    waits: list[float] = []
    stop = threading.Event()
    probes = [Probe(template.vector, SPACE) for template in crowd[-100:]]
    gallery.replace(crowd[-100:])

    def lane() -> None:
        turn = 0
        while not stop.is_set():
            began_s = time.perf_counter()
            found = gallery.search(probes[turn % 100])
            waits.append(time.perf_counter() - began_s)
            assert found.riders[0] == crowd[COUNT + turn % 100].rider_ref
            turn += 1
            time.sleep(0.002)

    thread = threading.Thread(target=lane)
    thread.start()
    for start in range(0, COUNT, CHUNK):
        gallery.apply(crowd[start : start + CHUNK], [])
    stop.set()
    thread.join()
    assert gallery.size == len(crowd)
    return waits


class TestSync:
    """Searches never wait for a sync."""

    def test_searches_go_on_while_50_000_templates_come(self, crowd: Sequence[Template]) -> None:
        """The 99th percentile during a sync is a fraction of what waiting for it would cost."""
        free = _searched_while_filled(FaissGallery(SPACE), crowd)
        waiting = _searched_while_filled(_Locked(), crowd)

        print(*(f"p99 {1000 * np.percentile(each, 99):.1f} ms" for each in (free, waiting)))
        assert len(free) > 2 * len(waiting) or 3 * max(free) < max(waiting)

    @pytest.mark.parametrize(
        ("gallery", "answers"), [(FaissGallery(SPACE), True), (_Locked(), False)]
    )
    def test_a_search_needs_nothing_that_a_change_holds(
        self, gallery: FaissGallery, answers: bool, crowd: Sequence[Template]
    ) -> None:
        """A change that stands still in the middle holds up no search; the control's does."""
        gallery.replace(crowd[:10])
        found: list[Candidates] = []
        probe = Probe(crowd[0].vector, SPACE)
        held = gallery._door if isinstance(gallery, _Locked) else gallery._writer

        with held:
            thread = threading.Thread(target=lambda: found.append(gallery.search(probe)))
            thread.start()
            thread.join(2)
            assert (len(found) == 1) is answers
        thread.join()

    def test_the_heads_stay_few(self, crowd: Sequence[Template]) -> None:
        """However many changes come, a search looks into a handful of segments."""
        gallery = FaissGallery(SPACE, FaissConfig(head_max=10**9))
        heads = []
        for start in range(0, 20_000, 100):
            gallery.apply(crowd[start : start + 100], [crowd[max(0, start - 50)].rider_ref])
            heads.append(len(gallery._view.heads))

        assert max(heads) <= 9
        assert gallery.size == 20_000 - 199


class TestRestart:
    """A node with 50,000 riders begins."""

    def test_the_first_match_comes_within_5_s(
        self, crowd: Sequence[Template], tmp_path: Path, noon: datetime
    ) -> None:
        """From the file to the first rider found takes under 5 s of one core; then it is sealed."""
        puts = tuple(PutTemplate(template) for template in crowd)
        _fill(tmp_path / "gallery.db", puts, noon)
        tiers = Tiers(FaissGallery(SPACE), FaissGallery(SPACE))
        holdings = Holdings(tiers, lambda _size, _target: 0.5)

        began_s = time.process_time()
        replica = SqliteReplica(tmp_path / "gallery.db")
        holding = replica.load()
        holdings.follow(holding)
        found = tiers.search(Probe(crowd[7].vector, SPACE))
        took_s = time.process_time() - began_s
        replica.close()

        print(f"restart to first match with {COUNT}: {took_s:.2f} s")
        assert found.riders[0] == crowd[7].rider_ref
        assert took_s < 5
        assert (tiers.size, tiers.second_size) == (100, COUNT)
        assert tiers.seal()  # off the hot path: the quantised segment
        assert tiers.search(Probe(crowd[7].vector, SPACE)).riders == found.riders


def _fill(path: Path, puts: tuple[PutTemplate, ...], now: datetime) -> None:
    replica = SqliteReplica(path)
    root = root_hash(content_hash(put) for put in puts)
    replica.begin_snapshot(Snapshot(UUID(int=5), 1, -(-len(puts) // 4_096), len(puts), root))
    for index, start in enumerate(range(0, len(puts), 4_096)):
        replica.stage(index, puts[start : start + 4_096])
    replica.finish_snapshot()
    replica.renew_lease(now + timedelta(hours=1), now)
    replica.close()
