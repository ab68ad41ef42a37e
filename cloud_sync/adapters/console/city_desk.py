"""What the console asks of the city in PostgreSQL beside the fleet, each in one short look."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from uuid import UUID

import sqlalchemy as sa

from cloud_sync.adapters.postgres import claims
from cloud_sync.adapters.postgres.item_row import put_of
from cloud_sync.adapters.postgres.membership import Membership
from cloud_sync.adapters.postgres.prefilter.why import sizes, why
from cloud_sync.adapters.postgres.publish import stations
from cloud_sync.adapters.postgres.tables import VIEW_ITEM
from cloud_sync.adapters.postgres.view_log import PostgresViewLog
from cloud_sync.fleet.health import FleetLogFailed
from cloud_sync.gallery import Change, Denial, PutDenial, PutSetting, SettingName
from cloud_sync.order import StationOrders
from cloud_sync.prefilter.explain import Explanation
from cloud_sync.prefilter.store import HitRate, ViewSize
from cloud_sync.setting import Mode, StationMode, read
from cloud_sync.stream.view import ViewLogFailed

_DENIALS = (VIEW_ITEM.c.item_key >= b"d", VIEW_ITEM.c.item_key < b"e")
"""By the index on the key; see `content.key_of`."""


class PostgresCityDesk:
    """Reads views, claims and orders, and gives orders."""

    def __init__(self, engine: sa.Engine, membership: Membership) -> None:
        """Take an engine on a migrated database.

        Args:
            engine: The database.
            membership: Sources and budget, as `serve` has them.
        """
        self._engine = engine
        self._membership = membership

    def why(self, rider_ref: UUID, station_id: str, now: datetime) -> Explanation | None:
        """Return why a rider is in a view, or is not; None when there is no such station.

        Raises:
            FleetLogFailed: Nothing can be read.
        """
        with self._looking() as connection:
            return why(connection, self._membership, rider_ref, station_id, now)

    def rates(self, since: date) -> tuple[HitRate, ...]:
        """Return how well each source has guessed from a day on.

        Raises:
            FleetLogFailed: Nothing can be read.
        """
        with self._looking() as connection:
            return claims.rates(connection, since)

    def sizes(self) -> tuple[ViewSize, ...]:
        """Return every view against its budget.

        Raises:
            FleetLogFailed: Nothing can be read.
        """
        with self._looking() as connection:
            return sizes(connection, self._membership.budget)

    def orders(self) -> tuple[StationOrders, ...]:
        """Return what every station is ordered to do, by station.

        Raises:
            FleetLogFailed: Nothing can be read.
        """
        names = [b"s" + name.encode() for name in SettingName]
        settings = sa.select(VIEW_ITEM).where(VIEW_ITEM.c.item_key.in_(names))
        counts = sa.select(VIEW_ITEM.c.station_id, sa.func.count()).where(*_DENIALS)
        with self._looking() as connection:
            found = [(row.station_id, self._of(row)) for row in connection.execute(settings)]
            rows = connection.execute(counts.group_by(VIEW_ITEM.c.station_id))
            denied: dict[str, int] = {station: int(count) for station, count in rows}
            known = stations(connection)
        modes: dict[str, frozenset[Mode]] = {}
        thresholds: dict[str, str] = {}
        for station, change in found:
            if not isinstance(change, PutSetting):
                continue
            document = read(change.setting)
            if isinstance(document, StationMode):
                modes[station] = document.modes
            elif change.setting.name is SettingName.THRESHOLD:
                thresholds[station] = change.setting.body.decode()
        return tuple(
            StationOrders(
                each, modes.get(each, frozenset()), thresholds.get(each, ""), denied.get(each, 0)
            )
            for each in known
        )

    def denials(self, station_id: str, limit: int) -> tuple[Denial, ...]:
        """Return the newest lines of a station's deny list, newest first.

        Raises:
            FleetLogFailed: Nothing can be read.
        """
        query = sa.select(VIEW_ITEM).where(VIEW_ITEM.c.station_id == station_id, *_DENIALS)
        with self._looking() as connection:
            rows = connection.execute(query.order_by(VIEW_ITEM.c.rev.desc()).limit(limit)).all()
        changes = [self._of(row) for row in rows]
        return tuple(change.denial for change in changes if isinstance(change, PutDenial))

    def order(self, station_id: str, change: Change) -> None:
        """Give one station an order.

        Raises:
            LookupError: There is no such station.
            FleetLogFailed: It was not given.
        """
        try:
            PostgresViewLog(self._engine, self._membership.safe).publish([station_id], [change])
        except ViewLogFailed as problem:
            raise FleetLogFailed(str(problem)) from problem

    def _of(self, row: sa.Row[tuple[object, ...]]) -> Change:
        return put_of(row, self._membership.safe)

    @contextmanager
    def _looking(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.connect() as connection:
                connection.execution_options(isolation_level="REPEATABLE READ")
                yield connection
        except sa.exc.SQLAlchemyError as problem:
            raise FleetLogFailed(type(problem).__name__) from problem
