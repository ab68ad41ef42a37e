"""What every feed of taps promises, and that an announcement wakes the reader at once."""

import threading
import time
from collections.abc import Callable, Iterator
from uuid import UUID

import pytest
import sqlalchemy as sa

from fare.adapters.feed import PostgresTapFeed
from fare.adapters.memory import MemoryTapFeed
from fare.feed import PlacedTap, TapFeed
from fare.store import StoreFailed
from fare.tap import Tap, flags_text
from tests.taps import tap

Logged = Callable[[Tap], None]
_COLUMNS = (
    "position, tap_id, edge_id, outbox_id, seq, prev_hash, hash, signature, rider_ref, station_id,"
    " lane_id, direction, medium, tap_time, clock_error_ms, model_id, score_e4, code_id,"
    " flags, received_at"
)


def cloud_log(engine: sa.Engine) -> Logged:
    """Return what appends a tap to the cloud's log as `cloud_sync` does."""
    names = ", ".join(f":{name.strip()}" for name in _COLUMNS.split(","))
    insert = sa.text(f"INSERT INTO cloud_sync.tap ({_COLUMNS}) VALUES ({names})")
    positions = iter(range(1, 1_000))

    def append(each: Tap) -> None:
        position = next(positions)
        row = {name: getattr(each, name) for name in Tap.__slots__} | {
            "position": position,
            "edge_id": "edge-1",
            "outbox_id": UUID(int=1),
            "seq": position,
            "prev_hash": bytes(32),
            "hash": bytes(32),
            "signature": bytes(64),
            "flags": flags_text(each.flags),
            "received_at": each.tap_time,
        }
        with engine.begin() as connection:
            connection.execute(insert, row)
            connection.exec_driver_sql("NOTIFY gateline_tap")

    return append


@pytest.fixture(params=["memory", "postgres"])
def feed(request: pytest.FixtureRequest) -> Iterator[tuple[TapFeed, Logged]]:
    """Give each feed with what appends to it."""
    if request.param == "memory":
        memory = MemoryTapFeed()
        yield memory, memory.append
        return
    engine: sa.Engine = request.getfixturevalue("engine")
    postgres = PostgresTapFeed(engine)
    yield postgres, cloud_log(engine)
    postgres.close()


class TestTapFeed:
    """The contract."""

    def test_reads_in_order_behind_a_position(self, feed: tuple[TapFeed, Logged]) -> None:
        """Taps come back whole, in the order of arrival, behind the position asked for."""
        reader, append = feed
        for number in (3, 1, 2):
            append(tap(number))

        assert list(reader.read_after(0, 2)) == [PlacedTap(1, tap(3)), PlacedTap(2, tap(1))]
        assert list(reader.read_after(2, 9)) == [PlacedTap(3, tap(2))]
        assert list(reader.read_after(3, 9)) == []

    def test_wakes_for_a_new_tap(self, feed: tuple[TapFeed, Logged]) -> None:
        """A reader that waits is woken by a tap, long before its time-out."""
        reader, append = feed
        reader.wait(0.05)  # listening from now on
        late = threading.Timer(0.1, append, args=(tap(1),))
        late.start()

        began = time.monotonic()
        reader.wait(30)

        assert time.monotonic() - began < 10
        late.join()
        assert len(reader.read_after(0, 9)) == 1

    def test_gives_up_waiting(self, feed: tuple[TapFeed, Logged]) -> None:
        """Without a tap the wait ends by its time-out."""
        began = time.monotonic()

        feed[0].wait(0.2)

        assert 0.1 < time.monotonic() - began < 10


class TestPostgresql:
    """Troubles of the real one."""

    def test_without_the_clouds_log(self, empty: sa.Engine) -> None:
        """Before `cloud_sync` has made its table, reading fails as a store does."""
        with pytest.raises(StoreFailed):
            PostgresTapFeed(empty).read_after(0, 1)

    def test_listens_again_after_a_lost_connection(self, engine: sa.Engine) -> None:
        """A reader whose connection is cut polls on, and is woken again afterwards."""
        append = cloud_log(engine)
        reader = PostgresTapFeed(engine)
        reader.wait(0.05)
        with engine.begin() as connection:
            connection.exec_driver_sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND datname = current_database()"
            )

        reader.wait(0.05)  # finds the connection gone
        reader.wait(0.05)  # listens again
        late = threading.Timer(0.1, append, args=(tap(1),))
        late.start()
        began = time.monotonic()
        reader.wait(30)

        assert time.monotonic() - began < 10
        late.join()
        reader.close()
