"""What every master gallery promises, asked of all of them."""

import os
import threading
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import numpy as np
import pytest
import sqlalchemy as sa

from cloud_sync.adapters.memory.keys import MemoryKeyStore
from cloud_sync.adapters.memory.master import MemoryMasterGallery
from cloud_sync.adapters.postgres import master as functions
from cloud_sync.adapters.postgres.master import PostgresMasterGallery
from cloud_sync.content import Space, TemplateRefused
from cloud_sync.master.gallery import (
    Activate,
    Deactivate,
    Erase,
    MasterChange,
    MasterGallery,
    MasterLine,
    PutMaster,
    Standing,
    Withdraw,
)
from cloud_sync.master.intake import Cohort, IntakeConfig
from cloud_sync.secrecy.safe import Safe
from tests.keys import SAFE
from tests.templates import SPACE, poison, rider, template

ANA, BEN = rider("Ana"), rider("Ben")
OTHER = Space("model-b", "plain", SPACE.dimension)


@pytest.fixture(params=["memory", "postgres"])
def gallery(request: pytest.FixtureRequest) -> MasterGallery:
    """Give an empty gallery of each kind."""
    if request.param == "memory":
        return MemoryMasterGallery(dimension=SPACE.dimension)
    engine = request.getfixturevalue("cloud")
    return PostgresMasterGallery(engine, SAFE, dimension=SPACE.dimension)


def put(name: str, *, version: int = 1, space: Space = SPACE) -> PutMaster:
    """Return the change that keeps a person's template."""
    return PutMaster(template(name, version=version, space=space))


def feed(gallery: MasterGallery) -> dict[tuple[object, str], MasterLine]:
    """Return all lines by rider and model."""
    return {(line.rider_ref, line.model_id): line for line in gallery.changes_since(0, 1_000).lines}


class TestStanding:
    """Who may be held by stations."""

    def test_nobody_is_known_at_first(self, gallery: MasterGallery) -> None:
        """An empty gallery knows nobody and has no revision."""
        assert gallery.standing(ANA) is Standing.UNKNOWN
        assert gallery.head() == 0
        assert gallery.active([ANA]) == frozenset()

    def test_a_template_alone_makes_nobody_active(
        self, gallery: MasterGallery, noon: datetime
    ) -> None:
        """A rider is active by an own change only, and not any more after another."""
        gallery.apply([put("Ana"), put("Ben")], noon)
        assert gallery.standing(ANA) is Standing.INACTIVE

        gallery.apply([Activate(ANA)], noon)
        assert gallery.active([ANA, BEN]) == {ANA}

        gallery.apply([Deactivate(ANA)], noon)
        assert gallery.active([ANA, BEN]) == frozenset()

    def test_an_active_rider_stays_active_with_the_next_template(
        self, gallery: MasterGallery, noon: datetime
    ) -> None:
        """A new version is active at once, and so is one of another model."""
        gallery.apply([put("Ana"), Activate(ANA)], noon)

        gallery.apply([put("Ana", version=2), put("Ana", version=3, space=OTHER)], noon)

        lines = feed(gallery)
        assert all(line.is_active for line in lines.values())
        assert [line.version for line in lines.values()] == [2, 3]

    @pytest.mark.parametrize(
        "late",
        [
            (put("Ana", version=9),),  # a photo that was judged when the rider left
            (put("Ana", version=9, space=OTHER),),  # a re-embedding for the next model
            (Activate(ANA),),  # a pause that is ended on another phone
            (put("Ana", version=9), Activate(ANA)),
            (Erase(ANA), put("Ana", version=9), Activate(ANA)),
            (Deactivate(ANA), Activate(ANA)),
        ],
    )
    def test_gone_is_final(
        self, late: tuple[MasterChange, ...], gallery: MasterGallery, noon: datetime
    ) -> None:
        """Nothing that comes after a withdrawal brings the rider or a vector back."""
        gallery.apply([put("Ana"), Activate(ANA), Withdraw(ANA, noon + timedelta(minutes=3))], noon)

        gallery.apply(late, noon)

        assert gallery.standing(ANA) is Standing.GONE
        assert gallery.active([ANA]) == frozenset()
        assert {(line.is_active, line.template) for line in feed(gallery).values()} == {
            (False, None)
        }

    def test_gone_before_anything_was_known(self, gallery: MasterGallery, noon: datetime) -> None:
        """A rider who withdraws before the first photo is gone all the same."""
        gallery.apply([Withdraw(ANA, noon)], noon)
        gallery.apply([put("Ana"), Activate(ANA)], noon)

        assert gallery.standing(ANA) is Standing.GONE
        assert feed(gallery) == {}


class TestTemplates:
    """What is kept of whom."""

    def test_comes_back_bit_for_bit(self, gallery: MasterGallery, noon: datetime) -> None:
        """A template is read as it was put."""
        ana = put("Ana")

        gallery.apply([ana], noon)

        found = feed(gallery)[ANA, SPACE.model_id].template
        assert found is not None
        assert np.array_equal(found.vector, ana.template.vector)
        assert (found.version, found.transform_id) == (1, "plain")

    def test_late_versions_change_nothing(self, gallery: MasterGallery, noon: datetime) -> None:
        """An older version, and the very same one again, leave the feed where it is."""
        gallery.apply([put("Ana", version=5)], noon)
        head = gallery.head()

        gallery.apply([put("Ana", version=4), put("Ana", version=5)], noon)

        assert gallery.head() == head
        assert feed(gallery)[ANA, SPACE.model_id].version == 5

    def test_erased_versions_do_not_come_back(self, gallery: MasterGallery, noon: datetime) -> None:
        """After an erasure the erased version is refused; a new enrollment is taken."""
        gallery.apply([put("Ana", version=2), Activate(ANA), Erase(ANA)], noon)
        gallery.apply([put("Ana", version=2)], noon)
        assert feed(gallery)[ANA, SPACE.model_id].template is None
        assert gallery.standing(ANA) is Standing.INACTIVE

        gallery.apply([put("Ana", version=3)], noon)

        line = feed(gallery)[ANA, SPACE.model_id]
        assert line.template is not None
        assert not line.is_active

    def test_poison_is_refused_with_all_beside_it(
        self, gallery: MasterGallery, noon: datetime
    ) -> None:
        """One vector that is no number stops the whole transaction."""
        with pytest.raises(TemplateRefused):
            gallery.apply([put("Ana"), PutMaster(poison("Ben").template)], noon)

        assert (gallery.head(), gallery.standing(ANA)) == (0, Standing.UNKNOWN)


class TestFeed:
    """An index follows by revision."""

    def test_every_change_has_its_own_revision(
        self, gallery: MasterGallery, noon: datetime
    ) -> None:
        """A changed template moves to the end; drops are in the feed like puts."""
        gallery.apply([put("Ana"), put("Ben")], noon)
        gallery.apply([Activate(ANA), Withdraw(BEN, noon)], noon)

        page = gallery.changes_since(2, 100)

        assert [(line.rev, line.rider_ref, line.is_active) for line in page.lines] == [
            (3, ANA, True),
            (4, BEN, False),
        ]
        assert page.lines[1].template is None
        assert page.to_rev == gallery.head() == 4

    def test_pages(self, gallery: MasterGallery, noon: datetime) -> None:
        """Pages of two read everything once, and the page after the last is empty."""
        gallery.apply([put(f"rider {number}") for number in range(5)], noon)
        read: list[int] = []
        rev = 0

        for _ in range(4):
            page = gallery.changes_since(rev, 2)
            read += [line.rev for line in page.lines]
            rev = page.to_rev

        assert read == [1, 2, 3, 4, 5]
        assert gallery.changes_since(rev, 2).lines == ()

    def test_changes_twice_in_one_transaction(self, gallery: MasterGallery, noon: datetime) -> None:
        """Of two versions in one transaction the later one stays."""
        gallery.apply([put("Ana", version=1), put("Ana", version=2), Activate(ANA)], noon)

        line = feed(gallery)[ANA, SPACE.model_id]
        assert (line.version, line.is_active) == (2, True)


class TestFeedUnderLoad:
    """Revisions commit in their order, whoever writes."""

    def test_a_follower_misses_nothing(self, cloud: sa.Engine, noon: datetime) -> None:
        """A slow writer holds up a fast one, so that nobody reads past a line still to come."""
        gallery = PostgresMasterGallery(cloud, SAFE, dimension=SPACE.dimension)
        fast = threading.Thread(target=gallery.apply, args=([put("Ben")], noon))

        with cloud.begin() as slow:
            functions.apply(slow, [put("Ana")], noon, safe=SAFE, dimension=SPACE.dimension)
            fast.start()
            fast.join(0.3)
            seen = gallery.changes_since(0, 10)
            # Were the revision not taken under a lock, Ben would be here with revision 2.
            assert (seen.lines, fast.is_alive()) == ((), True)
        fast.join()

        later = gallery.changes_since(seen.to_rev, 10)
        assert [line.rider_ref for line in later.lines] == [ANA, BEN]


class TestIntake:
    """What is taken into the gallery."""

    def test_a_hub_is_refused_whatever_its_rotation(self, cloud: sa.Engine, noon: datetime) -> None:
        """A template that matches too much of the cohort changes nothing."""
        safe = Safe(MemoryKeyStore(entropy=os.urandom), entropy=os.urandom, dimension=8)
        crowd = Cohort(IntakeConfig(cohort_size=1_000), dimension=8)
        plain = template("Ana")
        turned_id = safe.ring.rotation.transform_id
        turned = replace(
            plain,
            transform_id=turned_id,
            vector=safe.turn(plain.vector, source="plain", target=turned_id),
        )

        for limit, is_taken in ((1_000, True), (0, False)):
            crowd.matches_max = limit
            for rider_template in (plain, turned):
                with cloud.connect() as connection, connection.begin() as transaction:
                    changes: list[MasterChange] = [PutMaster(rider_template)]
                    put_in = partial(
                        functions.apply, connection, changes, noon, safe=safe, dimension=8
                    )
                    if is_taken:
                        assert put_in(cohort=crowd) == {ANA}
                    else:
                        with pytest.raises(TemplateRefused, match="hub"):
                            put_in(cohort=crowd)
                    transaction.rollback()
