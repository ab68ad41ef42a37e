"""The bench of the candidate index: it measures what it says."""

import time
from functools import partial

from cloud_sync.adapters.bench import master as bench_master
from cloud_sync.adapters.index.faiss_codec import CodecConfig
from cloud_sync.adapters.index.faiss_index import FaissIndexConfig


def test_counts_what_a_coarse_scan_loses() -> None:
    """A fine scan agrees with exhaustive search; one that looks at two candidates does not.

    The second is the control: a bench that compares an index with itself would not notice.
    """
    fine = FaissIndexConfig(codec=CodecConfig(axes=64, quantizers=64), flat_max=16)
    blind = FaissIndexConfig(codec=CodecConfig(axes=16, quantizers=8), refine=2, flat_max=16)
    measure = partial(
        bench_master.master,
        2_000,
        looks=12,
        now_s=time.perf_counter,
        cpu_s=time.thread_time,
        dimension=64,
    )

    good, bad = measure(config=fine), measure(config=blind)

    assert good.equal == (1, 1, 1)
    assert bad.equal[0] < 1
    assert bad.equal[2] < 0.5
    assert good.found[0] > good.found[1]
    assert "2,000 templates" in str(good)
    assert "% of the hard probes" in str(good)
