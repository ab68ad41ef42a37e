"""Keys, and stations that join later."""

import pytest

from cloud_sync.gallery import PutKey, PutTemplate
from enroll.adapters.memory import MemoryRiderStore
from enroll.code import make_key
from enroll.rider import RiderEvent
from enroll.welcome import issuer_key, welcome_stations
from tests.riders import FACE_CONSENTS, MONDAY, Office, direction


@pytest.fixture
def store() -> MemoryRiderStore:
    """Give a store with two stations."""
    return MemoryRiderStore(["S1", "S2"])


@pytest.fixture
def office(store: MemoryRiderStore) -> Office:
    """Give the use cases."""
    return Office(store)


class TestStations:
    """Keys, and stations that join later."""

    def test_key_is_made_once(self, office: Office, store: MemoryRiderStore) -> None:
        """The first start makes and publishes the issuer's key; later starts find it."""
        first = issuer_key(store, lambda: make_key(1, bytes(32), MONDAY))
        again = issuer_key(store, lambda: make_key(2, bytes(32), MONDAY))

        assert first == again
        assert [c.key.key_id for c in store.view("S2") if isinstance(c, PutKey)] == [1]

    def test_late_station(self, office: Office, store: MemoryRiderStore) -> None:
        """A station that joins later gets the key and the faces that are on, and no other."""
        issuer_key(store, lambda: make_key(1, bytes(32), MONDAY))
        on, paused = (office.sign_up(name, *FACE_CONSENTS) for name in ("Ona", "Pat"))
        office.photo(on, direction(1))
        office.photo(paused, direction(2))
        office.enrollment.move(paused, RiderEvent.PAUSE, now=MONDAY)
        welcome_stations(store, MONDAY)
        store.add_station("S3")

        assert welcome_stations(store, MONDAY) == ("S3",)
        assert welcome_stations(store, MONDAY) == ()
        assert [type(change) for change in store.view("S3")] == [PutKey, PutTemplate]
        (face,) = (c.template for c in store.view("S3") if isinstance(c, PutTemplate))
        assert face.rider_ref == on
