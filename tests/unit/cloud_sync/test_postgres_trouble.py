"""The cloud's database refuses: nothing is acknowledged or half stored, and it goes on later."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from uuid import UUID

import pytest
import sqlalchemy as sa

from cloud_sync.adapters.memory.outbox import MemoryOutbox
from cloud_sync.adapters.postgres.taps import PostgresTapLog
from cloud_sync.adapters.postgres.view_log import PostgresViewLog
from cloud_sync.stream.view import EdgeNode, ViewLogFailed
from cloud_sync.taps.signing import NodeKey
from cloud_sync.taps.tap_log import Batch, Receipt, TapLogFailed
from tests.keys import SAFE
from tests.taps import tap
from tests.templates import put, rider

KEY = NodeKey(bytes(range(32)))
NODE = EdgeNode("edge-1", "bell-tower", KEY.public_key)
_IS_FULL = """
CREATE FUNCTION {schema}.is_full() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$;
CREATE TRIGGER is_full BEFORE INSERT ON {schema}.tap EXECUTE FUNCTION {schema}.is_full();
CREATE TRIGGER is_full BEFORE INSERT ON {schema}.view_log EXECUTE FUNCTION {schema}.is_full();
"""

Trouble = Callable[[sa.Engine, sa.Engine], AbstractContextManager[None]]


@contextmanager
def locked(admin: sa.Engine, _: sa.Engine) -> Iterator[None]:
    """Somebody else holds the rows for longer than a lock is waited for."""
    with admin.begin() as connection:
        connection.execute(sa.text("SELECT * FROM cloud_sync.tap_head FOR UPDATE"))
        connection.execute(sa.text("SELECT * FROM cloud_sync.view FOR UPDATE"))
        yield


@contextmanager
def crowded(_: sa.Engine, engine: sa.Engine) -> Iterator[None]:
    """All connections are taken."""
    with engine.connect():
        yield


@contextmanager
def full(admin: sa.Engine, _: sa.Engine) -> Iterator[None]:
    """The server answers as it does when its disk is full."""
    with admin.begin() as connection:
        connection.execute(sa.text(_IS_FULL.format(schema="cloud_sync")))
    try:
        yield
    finally:
        with admin.begin() as connection:
            connection.execute(sa.text("DROP FUNCTION cloud_sync.is_full() CASCADE"))


@pytest.fixture
def engine(cloud: sa.Engine) -> Iterator[sa.Engine]:
    """Give an engine with one connection that waits for a lock 100 ms at most."""
    engine = sa.create_engine(
        cloud.url,
        pool_size=1,
        max_overflow=0,
        pool_timeout=0.1,
        connect_args={"options": "-c timezone=UTC -c lock_timeout=100ms"},
    )
    yield engine
    engine.dispose()


@pytest.mark.parametrize("trouble", [locked, crowded, full])
class TestTrouble:
    """What the database may do."""

    def test_a_batch_is_not_acknowledged_and_comes_again(
        self, cloud: sa.Engine, engine: sa.Engine, noon: datetime, trouble: Trouble
    ) -> None:
        """The edge hears no receipt, the log holds nothing, and later it takes the same batch."""
        PostgresViewLog(cloud, SAFE).admit(NODE, noon)
        outbox, log = MemoryOutbox(UUID(int=1), KEY), PostgresTapLog(engine)
        batch = Batch("edge-1", outbox.outbox_id, tuple(outbox.append(tap(n)) for n in range(3)))

        with trouble(cloud, engine), pytest.raises(TapLogFailed):
            log.ingest(batch, noon)
        held = log.stored(outbox.outbox_id)

        assert held == ()
        assert log.ingest(batch, noon) == Receipt(3)
        assert log.stored(outbox.outbox_id) == batch.taps

    def test_a_change_is_published_whole_or_not(
        self, cloud: sa.Engine, engine: sa.Engine, noon: datetime, trouble: Trouble
    ) -> None:
        """The view stands where it stood, and takes the same change later."""
        views = PostgresViewLog(engine, SAFE, dimension=8)
        views.admit(NODE, noon)

        with trouble(cloud, engine), pytest.raises(ViewLogFailed):
            views.publish(["bell-tower"], [put("Ana")])
        before = views.head("bell-tower")
        views.publish(["bell-tower"], [put("Ana")])

        assert before is not None
        assert before.head_rev == 0
        assert [one.template.rider_ref for one in views.whole("bell-tower").changes] == [  # type: ignore[union-attr]
            rider("Ana")
        ]
