"""Who waits for whom in the station views."""

import threading
from datetime import datetime

import sqlalchemy as sa

from cloud_sync.adapters.postgres.view_log import PostgresViewLog, publish
from cloud_sync.content import content_hash
from cloud_sync.gallery import DropTemplate, PutTemplate
from cloud_sync.generate import templates
from cloud_sync.stream.view import EdgeNode
from tests.keys import SAFE

_WAITS = sa.text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")


class TestQuarantine:
    """`PostgresViewLog.quarantine` beside a rider's own change."""

    def test_a_withdrawal_and_a_quarantine_never_block_each_other(
        self, engine: sa.Engine, noon: datetime
    ) -> None:
        """Both lock the view before its items, so the withdrawal goes through, then the other."""
        views = PostgresViewLog(engine, SAFE)
        views.admit(EdgeNode("edge-1", "bei", bytes(32)), noon)
        (one,) = templates(1, seed=1, model_id="m")
        views.publish(["bei"], [PutTemplate(one)])
        digest = content_hash(PutTemplate(one))
        problems: list[Exception] = []

        def take_out() -> None:
            try:
                views.quarantine("bei", digest, "refused", noon)
            except Exception as problem:  # noqa: BLE001  # told to the test's own thread
                problems.append(problem)

        other = threading.Thread(target=take_out)
        with engine.begin() as rider:
            lock = sa.text("SELECT 1 FROM cloud_sync.view WHERE station_id = 'bei' FOR UPDATE")
            rider.execute(lock)
            other.start()
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as watch:
                while not watch.execute(_WAITS).scalar_one():
                    pass
            publish(rider, ["bei"], [DropTemplate(one.rider_ref)], safe=SAFE)
        other.join()

        assert problems == []
        assert len(views.whole("bei").changes) == 0
