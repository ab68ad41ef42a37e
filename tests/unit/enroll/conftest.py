"""A served rider app over real PostgreSQL, and the portraits."""

from collections.abc import Iterator

import httpx
import pytest
import sqlalchemy as sa

from cloud_sync.adapters.postgres import view_log as cloud
from cloud_sync.stream.view import EdgeNode
from edge_gate.face import Image
from enroll.adapters.postgres import PostgresRiderStore
from enroll.web.desk import Desk
from tests.cloud_city import small_city
from tests.keys import LEDGER, SAFE
from tests.people import portraits
from tests.phone import browser
from tests.riders import MONDAY, assessor, desk


@pytest.fixture(scope="module")
def people() -> dict[str, Image]:
    """Give the portraits by name."""
    return portraits()


@pytest.fixture
def office(engine: sa.Engine) -> Desk:
    """Give a counter over real riders and two real stations."""
    views = cloud.PostgresViewLog(engine, SAFE)
    for station in ("S1", "S2"):
        views.admit(EdgeNode(f"edge-{station}", station, bytes(32)), MONDAY)
    return desk(PostgresRiderStore(engine, small_city(), LEDGER.append), judge=assessor())


@pytest.fixture
def web(office: Desk) -> Iterator[httpx.Client]:
    """Give a browser without memory: cookies are sent only where a test does so."""
    with browser(office) as client:
        yield client
