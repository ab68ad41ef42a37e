"""What stations get besides changes: the issuer's key, and everything when they join."""

from collections.abc import Callable
from datetime import datetime

from cloud_sync.gallery import PutKey
from enroll.code import published
from enroll.store import IssuerSecret, RiderStore


def welcome_stations(store: RiderStore, now: datetime) -> tuple[str, ...]:
    """Fill stations that joined since the last call with keys and faces; return them.

    Each in a unit of its own: filling one holds up who checks in there, and only there.

    Args:
        store: The riders.
        now: Aware UTC.
    """
    with store.begin() as unit:
        joined = unit.new_stations()
    for station in joined:
        with store.begin() as unit:
            keys = [PutKey(published(key)) for key in unit.issuer_keys()]
            unit.fill_station(station, keys, now)
    return joined


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
