"""What stations get besides changes: the issuer's key, and everything when they join."""

from collections.abc import Callable

from cloud_sync.gallery import PutKey
from enroll.code import published
from enroll.stationing import put
from enroll.store import IssuerSecret, RiderStore


def welcome_stations(store: RiderStore) -> tuple[str, ...]:
    """Fill stations that joined since the last call with keys and templates; return them.

    Args:
        store: The riders.
    """
    with store.begin() as unit:
        stations = unit.new_stations()
        if stations:
            keys = [PutKey(published(key)) for key in unit.issuer_keys()]
            faces = [put(template) for template in unit.stationed()]
            for station in stations:
                unit.fill_station(station, [*keys, *faces])
        return stations


def issuer_key(store: RiderStore, make: Callable[[], IssuerSecret]) -> IssuerSecret:
    """Return the key that signs ride codes now, made and published if there is none.

    Args:
        store: Where it is kept.
        make: Makes a key pair; called at most once.
    """
    with store.begin() as unit:
        keys = unit.issuer_keys()
        if keys:
            return keys[-1]
        key = make()
        unit.add_issuer_key(key)
        unit.tell_stations([PutKey(published(key))])
        return key
