"""An index that follows the master gallery, on a real database."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import numpy as np
import pytest
import sqlalchemy as sa

from cloud_sync.adapters.index.faiss_codec import CodecConfig
from cloud_sync.adapters.index.faiss_index import FaissCandidateIndex, FaissIndexConfig
from cloud_sync.adapters.memory.index import MemoryCandidateIndex
from cloud_sync.adapters.postgres import master
from cloud_sync.adapters.postgres.master_follower import MasterFollower
from cloud_sync.content import Space
from cloud_sync.gallery import Template
from cloud_sync.master.candidate import CandidateIndex
from cloud_sync.master.gallery import Activate, Deactivate, Erase, MasterChange, PutMaster, Withdraw
from tests.keys import SAFE
from tests.templates import SPACE, rider, template

ANA, BEN, CEM = rider("Ana"), rider("Ben"), rider("Cem")


@pytest.fixture(params=["memory", "faiss"])
def follower(request: pytest.FixtureRequest) -> MasterFollower:
    """Give a follower with an empty index; pages are small, so that there are several."""
    index: CandidateIndex = MemoryCandidateIndex(SPACE)
    if request.param == "faiss":
        codec = CodecConfig(axes=8, quantizers=8, train_max=64)
        index = FaissCandidateIndex(SPACE, FaissIndexConfig(codec=codec, flat_max=16, head_max=2))
    return MasterFollower(index, SAFE, page=2)


@pytest.fixture
def gallery(cloud: sa.Engine, noon: datetime) -> "Gallery":
    """Give the master gallery of an emptied database."""
    return Gallery(cloud, noon)


class Gallery:
    """The master gallery, and a follower's look at it."""

    def __init__(self, engine: sa.Engine, noon: datetime) -> None:
        self.engine = engine
        self.noon = noon

    def change(self, *changes: MasterChange) -> None:
        """Commit changes."""
        with self.engine.begin() as connection:
            self.write(connection, changes)

    def write(self, connection: sa.Connection, changes: Sequence[MasterChange]) -> None:
        """Make changes in somebody's transaction."""
        master.apply(connection, changes, self.noon, safe=SAFE, dimension=SPACE.dimension)

    def refresh(self, follower: MasterFollower) -> int:
        """Let a follower read on."""
        with self.engine.begin() as connection:
            return follower.refresh(connection)

    def find(self, follower: MasterFollower, name: str, *, version: int = 1) -> dict[UUID, bool]:
        """Return who is found within 0.01 of a person's look, and whether each is active."""
        with self.engine.begin() as connection:
            found = follower.nearest(connection, template(name, version=version).vector, 3)
        return {each.rider_ref: each.is_active for each in found if each.score > 0.99}


def put(name: str, *, version: int = 1, space: Space = SPACE) -> PutMaster:
    """Return the change that keeps a person's template."""
    return PutMaster(template(name, version=version, space=space))


class TestMasterFollower:
    """Following, checking, starting anew."""

    def test_reads_everything_and_then_what_is_new(
        self, gallery: Gallery, follower: MasterFollower
    ) -> None:
        """The first refresh reads all pages, the next only changes, and one without any nothing."""
        gallery.change(put("Ana"), put("Ben"), put("Cem"), put("Dua"), put("Eva"), Activate(ANA))
        first = gallery.refresh(follower)
        gallery.change(put("Ben", version=2), Erase(CEM))

        assert (first, gallery.refresh(follower), gallery.refresh(follower)) == (5, 2, 0)
        assert follower.index.size == 4
        assert gallery.find(follower, "Ana") == {ANA: True}
        assert gallery.find(follower, "Ben") == {}
        assert gallery.find(follower, "Ben", version=2) == {BEN: False}
        assert gallery.find(follower, "Cem") == {}

    def test_a_stale_index_never_proposes_what_the_database_does_not_hold(
        self, gallery: Gallery, follower: MasterFollower
    ) -> None:
        """Between two refreshes an erased rider is not found and a paused one is not active.

        The control is the index itself, which still names both.
        """
        gallery.change(put("Ana"), put("Ben"), put("Cem"), *map(Activate, (ANA, BEN, CEM)))
        gallery.refresh(follower)

        gallery.change(Deactivate(ANA), Withdraw(BEN, gallery.noon + timedelta(minutes=3)))
        gallery.change(put("Cem", version=2))

        (named,) = follower.index.search(template("Ben").vector[np.newaxis], 1)
        assert named[0].rider_ref == BEN
        assert gallery.find(follower, "Ana") == {ANA: False}
        assert gallery.find(follower, "Ben") == {}
        assert gallery.find(follower, "Cem") == {}, "scored with the template that counts now"

    def test_meets_one_model_only(self, gallery: Gallery, follower: MasterFollower) -> None:
        """Another model's templates are neither held nor compared."""
        other = Space("model-b", "plain", SPACE.dimension)
        gallery.change(put("Ana"), put("Ana", version=2, space=other), put("Ben", space=other))

        gallery.refresh(follower)

        assert follower.index.size == 1
        assert gallery.find(follower, "Ana") == {ANA: False}

    def test_templates_meet_whatever_their_rotation(
        self, gallery: Gallery, follower: MasterFollower
    ) -> None:
        """A template that lies rotated in the database is found by a probe in the model's space."""
        plain = template("Ana")
        turn = SAFE.ring.rotation.transform_id
        small = type(SAFE)(SAFE._keys, entropy=SAFE._entropy, dimension=SPACE.dimension)
        vector = small.turn(plain.vector, source="plain", target=turn)
        follower._safe = small
        turned = Template(ANA, 1, plain.model_id, turn, vector)
        gallery.change(PutMaster(turned), put("Ben"))

        gallery.refresh(follower)

        assert abs(float(vector @ plain.vector)) < 0.99, "the rotation does turn it"
        assert gallery.find(follower, "Ana") == {ANA: False}

    def test_refuses_to_read_its_own_transaction(
        self, gallery: Gallery, follower: MasterFollower
    ) -> None:
        """A refresh after a write of the same transaction is refused; before it, it is not."""
        gallery.change(put("Ana"))
        with gallery.engine.connect() as connection, connection.begin() as unit:
            assert follower.refresh(connection) == 1
            gallery.write(connection, [put("Ben")])
            with pytest.raises(ValueError, match="committed"):
                follower.refresh(connection)
            unit.rollback()
        gallery.change(put("Cem"))  # takes the very revision that was rolled back

        assert gallery.refresh(follower) == 1
        assert gallery.find(follower, "Cem") == {CEM: False}
        assert follower.index.size == 2

    def test_starts_anew_when_the_database_lost_history(
        self, gallery: Gallery, follower: MasterFollower
    ) -> None:
        """After a restore that took revisions back, the index holds what the database holds."""
        gallery.change(put("Ana"), put("Ben"), put("Cem"))
        gallery.refresh(follower)
        with gallery.engine.begin() as connection:
            connection.execute(sa.text("DELETE FROM cloud_sync.master_template WHERE rev > 1"))
            connection.execute(sa.text("UPDATE cloud_sync.master_head SET rev = 1"))

        gallery.refresh(follower)

        assert follower.index.size == 1

    def test_starts_anew_on_another_timeline(
        self, gallery: Gallery, follower: MasterFollower
    ) -> None:
        """A promoted standby gives known revisions to other content: everything is read again.

        The control: without the change of the timeline the new content goes unread.
        """
        gallery.change(put("Ana"), put("Ben"))
        gallery.refresh(follower)
        with gallery.engine.begin() as connection:
            connection.execute(sa.text("DELETE FROM cloud_sync.master_template WHERE rev = 2"))
            connection.execute(sa.text("UPDATE cloud_sync.master_head SET rev = 1"))
        gallery.change(put("Cem"))

        blind = gallery.refresh(follower)
        follower._place = follower._place._replace(timeline="00000000")
        seeing = gallery.refresh(follower)

        assert (blind, seeing) == (0, 2)
        assert gallery.find(follower, "Cem") == {CEM: False}
        assert gallery.find(follower, "Ben") == {}

    def test_finds_everybody_alike_however_many(
        self, gallery: Gallery, follower: MasterFollower
    ) -> None:
        """All riders above a score come back, more than one search would fetch."""
        look = template("Ana").vector
        near = []
        for place in range(40):
            vector = look + 0.1 * template(f"near {place}").vector
            vector /= np.linalg.norm(vector)
            near.append(Template(rider(f"near {place}"), 1, SPACE.model_id, "plain", vector))
        gallery.change(*map(PutMaster, near), *(put(f"far {place}") for place in range(20)))
        gallery.refresh(follower)

        with gallery.engine.begin() as connection:
            found = follower.alike(connection, look, 0.98)

        assert {each.rider_ref for each in found} == {each.rider_ref for each in near}
        assert [each.score for each in found] == sorted((e.score for e in found), reverse=True)
