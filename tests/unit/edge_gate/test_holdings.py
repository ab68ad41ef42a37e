"""What the station holds, and what its gallery is worth."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cloud_sync.content import Space
from cloud_sync.gallery import (
    Denial,
    DenialReason,
    DropKey,
    DropSetting,
    DropTemplate,
    IssuerKey,
    PutDenial,
    PutKey,
    PutSetting,
    PutTemplate,
    Setting,
    SettingName,
    Template,
)
from cloud_sync.setting import Mode, StationMode, ThresholdOverride, written
from cloud_sync.stream.lease import Anchor, Lease
from cloud_sync.stream.replica import Holding
from edge_gate.adapters.numpy_gallery import NumpyGallery
from edge_gate.holdings import Holdings, ThresholdFor, TiersConfig
from edge_gate.search import Probe, sort_changes
from edge_gate.tiers import CANARIES, Tiers

SPACE = Space("test/4", dimension=8)


def _threshold(size: int, target_fpir: float) -> float | None:
    return None if size > 5 else 0.4 + size / 100


def _put(
    rider: int, *, model: str = "test/4", expires: datetime | None = None, tier: int = 1
) -> PutTemplate:
    vector = np.eye(8, dtype=np.float32)[rider % 8]
    return PutTemplate(Template(UUID(int=rider), 1, model, "plain", vector, expires, tier))


def _holding(*changes: PutTemplate | PutKey | PutDenial | PutSetting) -> Holding:
    """Return what a replica holds that was brought these."""
    return Holding(
        None,
        1,
        tuple(each.template for each in changes if isinstance(each, PutTemplate)),
        tuple(each.key for each in changes if isinstance(each, PutKey)),
        tuple(each.denial for each in changes if isinstance(each, PutDenial)),
        tuple(each.setting for each in changes if isinstance(each, PutSetting)),
    )


def _poisoned(rider: int, poison: str) -> PutTemplate:
    of = {"nan": np.nan, "zero": 0.0, "huge": 1e9, "infinite": np.inf}
    vector = np.full(8, of[poison], np.float32)
    return PutTemplate(Template(UUID(int=rider), 2, "test/4", "plain", vector))


def _found(holdings: Holdings, rider: int) -> UUID:
    probe = Probe(_put(rider).template.vector, SPACE)
    return holdings.gallery.search(probe).riders[0]


def _deny(rider: int) -> PutDenial:
    since = datetime(2026, 5, 4, tzinfo=UTC)
    return PutDenial(Denial(UUID(int=rider), DenialReason.DEBT, since))


def _tiered(threshold: ThresholdFor, config: TiersConfig | None = None) -> Holdings:
    tiers = Tiers(NumpyGallery(SPACE), NumpyGallery(SPACE))
    return Holdings(tiers, threshold, config=config)


def _damage(holdings: Holdings) -> None:
    """Turn every vector of the first tier's index round, as damaged memory would."""
    gallery = holdings.gallery._galleries[1]
    assert isinstance(gallery, NumpyGallery)
    gallery._view = gallery._view._replace(matrix=-gallery._view.matrix)


def _key(key_id: int) -> PutKey:
    public = Ed25519PrivateKey.from_private_bytes(bytes([key_id]) * 32).public_key()
    return PutKey(IssuerKey(key_id, public.public_bytes_raw()))


@pytest.fixture
def holdings() -> Holdings:
    """Give empty holdings that support five templates."""
    return Holdings(Tiers(NumpyGallery(SPACE), NumpyGallery(SPACE)), _threshold)


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

    @pytest.mark.parametrize("poison", ["nan", "zero", "huge", "infinite"])
    def test_a_poisoned_template_is_refused_at_the_edge(
        self, holdings: Holdings, poison: str
    ) -> None:
        """A vector that no embedder made is not held, nor is what the rider had before."""
        holdings.apply([_put(1), _put(2)])

        holdings.apply([_poisoned(2, poison)])
        after_change = holdings.standing.size
        holdings.replace(_holding(_put(1), _poisoned(2, poison)))

        assert (after_change, holdings.standing.size) == (1, 1)
        assert _found(holdings, 1) == UUID(int=1)

    def test_control_a_poisoned_template_would_be_everybody(self) -> None:
        """Control: held, a vector of length 1e9 is the best match for everybody."""
        gallery = NumpyGallery(SPACE)
        gallery.replace([_put(1).template, _poisoned(2, "huge").template])

        probe = Probe(_put(1).template.vector, SPACE)

        assert gallery.search(probe).riders[0] == UUID(int=2)

    def test_keys_come_and_go(self, holdings: Holdings) -> None:
        """A dropped issuer key is trusted no more."""
        holdings.apply([_key(1), _key(2)])
        assert holdings.keys.find(1) is not None

        holdings.apply([DropKey(1)])
        assert holdings.keys.find(1) is None
        assert holdings.keys.find(2) is not None

    def test_a_holding_leaves_nothing_of_before(self, holdings: Holdings) -> None:
        """After a snapshot exactly its templates, keys and foreigners are there."""
        holdings.apply([_put(1), _put(2), _key(1), _put(9, model="other/4")])

        holdings.replace(
            _holding(_put(3), _key(2), _put(4, model="other/4"), _put(5, model="other/4"))
        )

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

    def test_denials_end_by_the_time_that_has_passed(
        self, holdings: Holdings, noon: datetime
    ) -> None:
        """A denial is forgotten at its very end by the cloud's time, however the wall clock runs.

        The deny list keeps who has no end, and whom a later denial keeps.
        """
        second = timedelta(seconds=1)
        ends = {1: noon, 2: noon + second, 3: None}
        holdings.apply(
            [
                PutDenial(Denial(UUID(int=n), DenialReason.DEBT, noon - second, until))
                for n, until in ends.items()
            ]
        )
        assert holdings.end_denials() == 0  # no time is known
        holdings.renew(Lease(noon + 99 * second, noon - second), Anchor(noon + 99 * second, 0.0))
        assert holdings.end_denials() == 0

        holdings.renew(Lease(noon + 99 * second, noon), None)

        assert holdings.end_denials() == 1
        assert set(holdings.orders.denials) == {UUID(int=2), UUID(int=3)}
        before = holdings.orders
        assert holdings.end_denials() == 0
        assert holdings.orders is before

    def test_a_growing_gallery_is_never_judged_too_kindly(self) -> None:
        """While templates are being added, the threshold in force is already the stricter one."""
        seen: list[float | None] = []

        class Watched(NumpyGallery):
            def apply(self, puts: object, drops: object) -> None:
                seen.append(watched.standing.threshold)
                super().apply(puts, drops)  # type: ignore[arg-type]

        watched = Holdings(Tiers(Watched(SPACE), NumpyGallery(SPACE)), _threshold)
        watched.apply([_put(1)])
        watched.apply([_put(2), _put(3)])

        assert seen == pytest.approx([0.41, 0.43])


class TestTiers:
    """Two tiers, one promise."""

    def test_the_promise_is_split_between_both_searches(self) -> None:
        """The targets of both searches add up to the station's, and the chance stays below it."""
        asked: dict[int, float] = {}

        def threshold(size: int, target_fpir: float) -> float | None:
            asked[size] = target_fpir
            return 0.5

        holdings = _tiered(threshold, TiersConfig(target_fpir=0.01, second_share=0.25))
        holdings.apply([_put(1), _put(2), *(_put(i, tier=2) for i in range(3, 8))])

        assert asked[2] == pytest.approx(0.0075)
        assert asked[5] == pytest.approx(0.0025)
        assert 1 - (1 - asked[2]) * (1 - asked[5]) < 0.01

    @pytest.mark.parametrize("second", [0, 6])
    def test_without_an_opening_second_tier_the_first_has_it_all(self, second: int) -> None:
        """A second tier that is empty, or larger than the model supports, costs nothing."""
        asked: list[float] = []

        def threshold(size: int, target_fpir: float) -> float | None:
            if size <= 5:
                asked.append(target_fpir)
            return None if size > 5 else 0.5

        holdings = _tiered(threshold, TiersConfig(target_fpir=0.01))
        holdings.apply([_put(1), *(_put(2 + i, tier=2) for i in range(second))])

        assert asked[-1] == 0.01
        assert (holdings.standing.threshold, holdings.standing.second_threshold) == (0.5, None)

    def test_an_order_for_another_target_counts_at_once(self) -> None:
        """The operator's target and margin replace the station's, until they are dropped."""
        holdings = _tiered(lambda _, target: target * 10)
        holdings.apply([_put(1)])
        stricter = written(ThresholdOverride(target_fpir=1e-3, margin_min=0.2))

        holdings.apply([PutSetting(stricter)])
        assert (holdings.target_fpir, holdings.standing.margin_min) == (1e-3, 0.2)
        assert holdings.standing.threshold == pytest.approx(1e-2)

        holdings.apply([DropSetting(SettingName.THRESHOLD)])
        assert (holdings.target_fpir, holdings.standing.margin_min) == (1e-2, None)
        assert holdings.standing.threshold == pytest.approx(1e-1)


class TestCanary:
    """A gallery that does not find itself."""

    def test_a_damaged_index_is_shut_and_built_anew(self, holdings: Holdings) -> None:
        """A flipped vector in the index is noticed, alarmed and repaired from the templates."""
        holdings.apply([_put(1)])
        assert holdings.examine()
        _damage(holdings)

        shut: list[bool] = []
        rebuild = holdings.gallery.rebuild

        def noting() -> None:
            shut.append(holdings.standing.intact)
            rebuild()

        holdings.gallery.rebuild = noting  # type: ignore[method-assign]

        assert holdings.examine()
        assert shut == [False]
        assert holdings.standing.intact

    def test_what_cannot_be_repaired_stays_shut(self, holdings: Holdings) -> None:
        """Where building anew does not help, no face opens until it does."""
        holdings.apply([_put(1)])
        _damage(holdings)
        holdings.gallery.rebuild = lambda: None  # type: ignore[method-assign]

        assert not holdings.examine()
        assert not holdings.standing.intact

    def test_each_change_looks_for_one(self, holdings: Holdings) -> None:
        """After as many changes as there are canaries, damage to any of them has been found."""
        holdings.apply([_put(1)])
        _damage(holdings)
        holdings.gallery.rebuild = lambda: None  # type: ignore[method-assign]

        # The damage is not healed: each change of this oracle would build its matrix anew.
        for _ in range(CANARIES):
            holdings.apply([])

        assert not holdings.standing.intact


class TestOrders:
    """The deny list and documents, with the gallery."""

    def test_come_with_a_snapshot_and_go_with_one(self, holdings: Holdings) -> None:
        """A snapshot brings its denials and documents, and leaves none of before."""
        mode = written(StationMode(frozenset({Mode.FARE_EXEMPT})))
        holdings.apply([_deny(1), PutSetting(mode)])

        holdings.replace(_holding(_deny(2)))

        assert set(holdings.orders.denials) == {UUID(int=2)}
        assert holdings.orders.mode == StationMode()

    def test_a_document_that_cannot_be_read_leaves_the_last_good_one(
        self, holdings: Holdings
    ) -> None:
        """A malformed mode is refused as a whole, in a change and in a snapshot."""
        good = PutSetting(written(StationMode(frozenset({Mode.TIME_EXEMPT}))))
        bad = PutSetting(Setting(SettingName.MODE, b'{"modes":["time_exempt","free_beer"]}'))
        holdings.apply([good])

        holdings.apply([bad])
        after_change = holdings.orders
        holdings.replace(_holding(bad))

        for orders in (after_change, holdings.orders):
            assert orders.mode.modes == {Mode.TIME_EXEMPT}
            assert orders.refused == {SettingName.MODE}
        holdings.apply([good])
        assert holdings.orders.refused == frozenset()


class TestSortChanges:
    """A run of changes as one step."""

    def test_the_last_word_on_a_rider_counts(self) -> None:
        """Put then drop is a drop; drop then put is a put."""
        fold = sort_changes(
            [_put(1), DropTemplate(UUID(int=1)), DropTemplate(UUID(int=2)), _put(2)], SPACE
        )

        assert fold.drops == (UUID(int=1),)
        assert [template.rider_ref.int for template in fold.puts] == [2]
