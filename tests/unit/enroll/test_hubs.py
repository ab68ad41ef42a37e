"""A template that would match strangers never comes to be, whichever way it is found."""

from dataclasses import replace
from uuid import UUID

import pytest

from cloud_sync.master.intake import IntakeFault
from edge_gate.face import Embedding
from enroll.adapters.memory import MemoryRiderStore
from enroll.enrollment import Enrollment
from enroll.lookalike import LookalikeConfig
from enroll.refusal import Refusal, Refused
from enroll.store import Dossier
from tests.riders import FACE_CONSENTS, MONDAY, Office, direction, takes

HUB = direction(99)


def judge(vector: Embedding) -> IntakeFault | None:
    """Find one direction to be a hub."""
    return IntakeFault.HUB if float(vector @ HUB) > 0.9 else None


@pytest.fixture
def store() -> MemoryRiderStore:
    """Give a store with a station."""
    return MemoryRiderStore(["S1"])


@pytest.fixture
def office(store: MemoryRiderStore) -> Office:
    """Give the use cases."""
    return Office(store)


def adds(enrollment: Enrollment, ref: UUID, face: Embedding, number: int = 1) -> object:
    """Add a photo on which this face is seen."""
    return enrollment.add_photo(
        ref, b"any", assess=takes(face), photo_id=UUID(int=number), now=MONDAY
    )


class TestCohort:
    """What the cohort finds."""

    def test_a_hub_is_refused_and_leaves_nothing(
        self, office: Office, store: MemoryRiderStore
    ) -> None:
        """The photo that makes one is refused with a reason; without the check it gets in."""
        ada = office.sign_up("Ada", *FACE_CONSENTS)

        refused = adds(replace(office.enrollment, judge=judge), ada, HUB)

        assert refused == Refused(Refusal.UNUSABLE)
        assert office.dossier(ada).photos == ()
        assert store.view("S1") == ()
        assert isinstance(adds(office.enrollment, ada, HUB), Dossier)  # the control
        assert office.dossier(ada).template is not None

    def test_what_is_left_may_be_a_hub(self, office: Office) -> None:
        """When the photo that told a rider apart is deleted, the rider rides by code."""
        ada = office.sign_up("Ada", *FACE_CONSENTS)
        near = direction(5, near=HUB, cosine=0.45)
        adds(office.enrollment, ada, HUB, 1)
        adds(office.enrollment, ada, near, 2)
        assert office.dossier(ada).stationed == 2

        strict = replace(office.enrollment, judge=judge)
        after = strict.drop_photo(ada, UUID(int=2), now=MONDAY)

        assert isinstance(after, Dossier)
        assert after.template is None
        assert after.stationed == 0
        assert len(after.photos) == 1


class TestGallery:
    """What the real gallery finds."""

    def test_a_template_like_many_riders_sends_none_of_them_away(self, office: Office) -> None:
        """Who looks like more riders than chance allows is refused, and the others ride on."""
        few = replace(office.enrollment, lookalike=LookalikeConfig(matches_max=2))
        riders = [office.sign_up(f"Rider {n}", *FACE_CONSENTS) for n in range(3)]
        for number, ref in enumerate(riders):
            office.photo(ref, direction(20 + number, near=HUB, cosine=0.6))
        mallory = office.sign_up("Mallory", *FACE_CONSENTS)

        refused = adds(few, mallory, HUB)

        assert refused == Refused(Refusal.UNUSABLE)
        assert all(office.dossier(ref).stationed == 1 for ref in riders)
        assert office.dossier(mallory).alike == ()

    def test_twins_are_still_a_pair(self, office: Office) -> None:
        """Control: below the limit, a look-alike is held back as a pair, not refused."""
        few = replace(office.enrollment, lookalike=LookalikeConfig(matches_max=2))
        ada, eve = (office.sign_up(name, *FACE_CONSENTS) for name in ("Ada", "Eve"))
        office.photo(ada, direction(20, near=HUB, cosine=0.6))

        assert isinstance(adds(few, eve, HUB), Dossier)
        assert len(office.dossier(ada).alike) == 1
        assert office.dossier(ada).stationed == 0
