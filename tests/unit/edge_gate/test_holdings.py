"""What the station holds, and what its gallery is worth."""

from datetime import datetime, timedelta
from uuid import UUID

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cloud_sync.content import Space
from cloud_sync.gallery import DropKey, DropTemplate, IssuerKey, PutKey, PutTemplate, Template
from cloud_sync.lease import Anchor, Lease
from edge_gate.adapters.numpy_gallery import NumpyGallery
from edge_gate.holdings import Holdings
from edge_gate.search import sort_changes

SPACE = Space("test/4", dimension=8)


def _threshold(size: int) -> float | None:
    return None if size > 5 else 0.4 + size / 100


def _put(rider: int, *, model: str = "test/4", expires: datetime | None = None) -> PutTemplate:
    vector = np.eye(8, dtype=np.float32)[rider % 8]
    return PutTemplate(Template(UUID(int=rider), 1, model, "plain", vector, expires))


def _key(key_id: int) -> PutKey:
    public = Ed25519PrivateKey.from_private_bytes(bytes([key_id]) * 32).public_key()
    return PutKey(IssuerKey(key_id, public.public_bytes_raw()))


@pytest.fixture
def holdings() -> Holdings:
    """Give empty holdings that support five templates."""
    return Holdings(NumpyGallery(SPACE), _threshold)


class TestHoldings:
    """Changes in, standing out."""

    def test_start_with_nothing_and_no_lease(self, holdings: Holdings) -> None:
        """A new node trusts nothing."""
        standing = holdings.standing

        assert (standing.size, standing.lease) == (0, Lease())
        assert holdings.keys.find(1) is None

    def test_threshold_follows_the_size(self, holdings: Holdings) -> None:
        """Each change of the gallery brings the threshold of its new size."""
        holdings.apply([_put(1), _put(2)])
        assert holdings.standing.threshold == pytest.approx(0.42)

        holdings.apply([_put(3)])
        assert holdings.standing.threshold == pytest.approx(0.43)

        holdings.apply([DropTemplate(UUID(int=1)), DropTemplate(UUID(int=2))])
        assert holdings.standing.threshold == pytest.approx(0.41)

    def test_past_the_model_s_limit_there_is_no_threshold(self, holdings: Holdings) -> None:
        """Six templates where five are supported leave no face to open."""
        holdings.apply([_put(i) for i in range(6)])

        assert holdings.standing.threshold is None

    def test_foreign_templates_are_counted_not_held(self, holdings: Holdings) -> None:
        """A rider whose newest template is of another model is no longer matched."""
        holdings.apply([_put(1), _put(2)])
        holdings.apply([_put(1, model="other/4")])

        assert (holdings.standing.size, holdings.standing.foreign) == (1, 1)

        holdings.apply([_put(1)])
        assert (holdings.standing.size, holdings.standing.foreign) == (2, 0)

    def test_keys_come_and_go(self, holdings: Holdings) -> None:
        """A dropped issuer key is trusted no more."""
        holdings.apply([_key(1), _key(2)])
        assert holdings.keys.find(1) is not None

        holdings.apply([DropKey(1)])
        assert holdings.keys.find(1) is None
        assert holdings.keys.find(2) is not None

    def test_reset_leaves_nothing_of_before(self, holdings: Holdings) -> None:
        """After a snapshot exactly its templates, keys and foreigners are there."""
        holdings.apply([_put(1), _put(2), _key(1), _put(9, model="other/4")])

        holdings.reset([_put(3), _key(2), _put(4, model="other/4"), _put(5, model="other/4")])

        assert (holdings.standing.size, holdings.standing.foreign) == (1, 2)
        assert holdings.keys.find(1) is None
        assert holdings.keys.find(2) is not None

    def test_a_lease_is_taken_as_it_is_told(self, holdings: Holdings, noon: datetime) -> None:
        """Lease and anchor reach the decision unchanged, and survive changes of the gallery."""
        lease, anchor = Lease(noon, noon), Anchor(noon, 5.0)
        holdings.renew(lease, anchor)
        holdings.apply([_put(1)])

        assert (holdings.standing.lease, holdings.standing.anchor) == (lease, anchor)

    def test_sweep_forgets_what_has_expired(self, holdings: Holdings, noon: datetime) -> None:
        """A template past its own time is gone after the next sweep, the others stay."""
        holdings.apply([_put(1, expires=noon), _put(2, expires=noon + timedelta(seconds=1))])

        assert holdings.sweep(noon) == 1
        assert holdings.standing.size == 1
        assert holdings.sweep(noon) == 0

    def test_a_growing_gallery_is_never_judged_too_kindly(self) -> None:
        """While templates are being added, the threshold in force is already the stricter one."""
        seen: list[float | None] = []

        class Watched(NumpyGallery):
            def apply(self, puts: object, drops: object) -> None:
                seen.append(watched.standing.threshold)
                super().apply(puts, drops)  # type: ignore[arg-type]

        watched = Holdings(Watched(SPACE), _threshold)
        watched.apply([_put(1)])
        watched.apply([_put(2), _put(3)])

        assert seen == pytest.approx([0.41, 0.43])


class TestSortChanges:
    """A run of changes as one step."""

    def test_the_last_word_on_a_rider_counts(self) -> None:
        """Put then drop is a drop; drop then put is a put."""
        fold = sort_changes(
            [_put(1), DropTemplate(UUID(int=1)), DropTemplate(UUID(int=2)), _put(2)], SPACE
        )

        assert fold.drops == (UUID(int=1),)
        assert [template.rider_ref.int for template in fold.puts] == [2]
