"""Access keys."""

from datetime import datetime
from uuid import UUID

import pytest

from enroll import session
from enroll.adapters.memory import MemoryRiderStore
from enroll.rider import Rider, RiderState
from enroll.session import AccessKey

ADA = UUID(int=0xADA, version=4)
KEY = AccessKey(ADA, bytes(range(32)))


@pytest.fixture
def store(noon: datetime) -> MemoryRiderStore:
    """Give a store with one rider."""
    riders = MemoryRiderStore()
    with riders.begin() as unit:
        unit.add_rider(
            Rider(ADA, "Ada", minor=False, state=RiderState.ACTIVE, created=noon), KEY.hash()
        )
    return riders


class TestParse:
    """Text to key and back."""

    def test_round_trip(self) -> None:
        """A key's text is read back as the same key."""
        assert session.parse(KEY.text()) == KEY

    @pytest.mark.parametrize(
        "text",
        ["", ".", ADA.hex, f"{ADA.hex}.", f"{ADA.hex}.short", "x.y.z", f"{ADA.hex}.!!!!", "é.ü"],
    )
    def test_no_key(self, text: str) -> None:
        """Anything else is no key, and raises nothing."""
        assert session.parse(text) is None

    def test_secret_is_not_shown(self) -> None:
        """Printing a key shows the rider and not the secret."""
        assert "secret" not in repr(KEY)
        assert str(KEY.secret) not in repr(KEY)


class TestOpened:
    """What a key opens."""

    def test_right_key(self, store: MemoryRiderStore) -> None:
        """The rider's own key opens the rider's dossier."""
        found = session.opened(store, KEY.text())
        assert found is not None
        assert found.rider.ref == ADA

    @pytest.mark.parametrize(
        "key",
        [
            AccessKey(ADA, bytes(32)),  # the right rider, another secret
            AccessKey(UUID(int=5), KEY.secret),  # nobody
            AccessKey(UUID(int=5), b"\0" * 32),
        ],
    )
    def test_wrong_key(self, key: AccessKey, store: MemoryRiderStore) -> None:
        """A wrong secret or an unknown rider opens nothing."""
        assert session.opened(store, key.text()) is None

    def test_reference_alone(self, store: MemoryRiderStore) -> None:
        """The reference, which taps and logs carry, opens nothing."""
        assert session.opened(store, str(ADA)) is None
        assert session.opened(store, ADA.hex) is None
