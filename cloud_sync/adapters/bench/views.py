"""What it costs to keep the views of large stations, and how many stations one core keeps.

One station is made and measured, in real PostgreSQL and on one thread; what so many stations cost
together is reckoned from it.
"""

import os
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from cloud_sync.adapters.bench.database import own_database
from cloud_sync.adapters.postgres import master
from cloud_sync.adapters.postgres.membership import Membership
from cloud_sync.adapters.postgres.prefilter.reconcile import ReconcileConfig, Reconciled, Reconciler
from cloud_sync.adapters.postgres.tables import HABIT, HOME, LAST_TAP, RECONCILE
from cloud_sync.adapters.postgres.view_log import PostgresViewLog
from cloud_sync.generate import templates
from cloud_sync.master.gallery import PutMaster
from cloud_sync.prefilter.habit import bucket_of
from cloud_sync.prefilter.sourcing import Sourcing
from cloud_sync.stream.view import EdgeNode

_DATABASE = "gateline_bench_views"
_MODEL = "bench"
_SLICE = 1_000
_RUSH = datetime(2026, 5, 4, 0, 30, tzinfo=UTC)
"""Half past eight on a Monday in Xi'an: more riders are likely than at any other hour."""
_HOMES, _TRAVELLERS = 0.28, 0.22
"""Shares of the claimed riders: 34,000 live at a station of a city like Xi'an, 60,000 use it by
habit and 28,000 of the city's travellers may leave there, of 122,000."""
_COMMUTERS = 0.06
"""Share of the riders by habit who come at this hour: 3,600 of 60,000."""
_GOAL_S = 60
_STEP = timedelta(seconds=30)
_STEPS = 8


@dataclass(frozen=True, slots=True)
class ViewFigures:
    """What was measured at one station, and what that makes for many; seconds are of one core."""

    claimed: int
    likely: int
    """Of the claimed, who are likely to come: the first tier."""
    look_s: float
    """To look at everybody, where nothing has changed."""
    glance_s: float
    """To glance at the likely riders, where nothing has changed."""
    change_s: float
    """For one rider who comes, goes or changes tier, beside the glance."""
    changes: float
    """Such changes at this station in a minute."""
    hour_s: float
    """For the glance after the full hour, when other habits count."""
    hour_changes: int
    stations: int
    within: bool
    """Whether the view kept its budget all the time."""
    config: ReconcileConfig

    @property
    def busy_s(self) -> float:
        """Return the seconds of a core that all stations need in a minute, glances left out."""
        looks = self.look_s * 60 / self.config.enough(self.claimed).total_seconds()
        return self.stations * (looks + self.change_s * self.changes)

    @property
    def lag_s(self) -> float:
        """Return how old a view is at most when one core keeps all: one round of glances."""
        spare = 60.0 - self.busy_s
        round_s = 60.0 * self.stations * self.glance_s / spare if spare > 0 else float("inf")
        return max(self.config.every.total_seconds(), round_s)

    @property
    def before_s(self) -> float:
        """Return the lag where each time is a look at everybody."""
        return self.stations * self.look_s

    def __str__(self) -> str:
        """Return lines for people."""
        goal = "met" if self.lag_s <= _GOAL_S and self.within else "missed"
        kept = "kept" if self.within else "broken"
        looks = self.look_s / self.glance_s
        less = self.before_s / self.lag_s
        lines = [
            f"views, {self.claimed:,} claimed riders at a station, {self.likely:,} likely;",
            "seconds of one core, database included:",
            f"a look at everybody {self.look_s:.2f} s, a glance {1e3 * self.glance_s:.0f} ms,",
            f"{looks:.0f} times less; {self.changes:.0f} changes a minute,",
            f"{1e3 * self.change_s:.1f} ms each; {self.hour_changes:,} at the full hour,",
            f"{self.hour_s:.2f} s together",
        ]
        told = [
            f"{self.stations} such stations on one core, reckoned from one: lag {self.lag_s:.0f} s",
            f"by glances (goal {_GOAL_S}, budgets {kept}: {goal}),",
            f"{self.before_s:.0f} s by looks alone, {less:.0f} times more; after the full hour",
            f"all have caught up in {self.stations * self.hour_s:.0f} s",
        ]
        return "\n".join((" ".join(lines), "  " + " ".join(told)))


def views(
    engine: sa.Engine,
    membership: Membership,
    *,
    claimed: int,
    stations: int,
    cpu_s: Callable[[], float],
) -> ViewFigures:
    """Make a station with so many claimed riders, and look and glance at it.

    Args:
        engine: The server to make a database on; on this machine, so that its time can be read.
        membership: Of the city; its network has stations.
        claimed: Riders with a claim on the station, 20,000 or more so that the city does not fit.
        stations: How many such stations to reckon with.
        cpu_s: The seconds that this process has used.

    Raises:
        OSError: The database's process is not to be seen.
        sqlalchemy.exc.SQLAlchemyError: No database could be made.
    """
    station = min(membership.sourcing.network.stations)
    with own_database(engine, _DATABASE) as own:
        PostgresViewLog(own, membership.safe).admit(EdgeNode("bench", station, bytes(32)), _RUSH)
        riders = _enroll(own, membership, claimed)
        lives = _Lives(own, membership.sourcing, station, riders)
        lives.lead()
        reconciler = Reconciler(own, membership, ReconcileConfig(batches_max=claimed))
        reconciler.look(station, _RUSH)
        _settle(own)
        return _measured(reconciler, lives, stations, _Core(own, cpu_s))


def _measured(reconciler: Reconciler, lives: "_Lives", stations: int, core: "_Core") -> ViewFigures:
    station, now = lives.station, _RUSH
    dice = random.Random(2)  # noqa: S311  # a bench
    for _ in range(2):  # the first one pays for what is remembered afterwards
        reconciler.glance(station, now, since=now)
    sizes = [_size(reconciler.engine, station)]
    settled: list[float] = []
    more: list[float] = []
    changes = 0
    for _ in range(_STEPS):
        lives.move(dice, now, now + _STEP)
        since, now = now, now + _STEP
        moved_s, done = core.used(partial(reconciler.glance, station, now, since=since))
        settled_s, _ = core.used(partial(reconciler.glance, station, now, since=now))
        settled.append(settled_s)
        more.append(moved_s - settled_s)
        changes += done.puts + done.drops
        sizes.append(_size(reconciler.engine, station))
    core.used(lambda: reconciler.look(station, now))
    look_s, _ = core.used(lambda: reconciler.look(station, now))
    turned = _RUSH.replace(hour=_RUSH.hour + 1, minute=0)
    hour_s, hour = core.used(lambda: reconciler.glance(station, turned, since=now))
    sizes.append(_size(reconciler.engine, station))
    return ViewFigures(
        claimed=len(lives.riders),
        likely=sizes[0].first_bound,
        look_s=look_s,
        glance_s=median(settled),
        change_s=max(0.0, median(more)) * _STEPS / max(1, changes),
        changes=changes / (_STEPS * _STEP / timedelta(minutes=1)),
        hour_s=hour_s,
        hour_changes=hour.puts + hour.drops,
        stations=stations,
        within=all(size.first <= size.first_bound for size in sizes),
        config=ReconcileConfig(),
    )


class _Core:
    """What one core has worked for this process and for its one connection to the database."""

    def __init__(self, engine: sa.Engine, cpu_s: Callable[[], float]) -> None:
        with engine.begin() as connection:  # one process of the database does all the work
            quiet = f"ALTER DATABASE {_DATABASE} SET max_parallel_workers_per_gather = 0"
            connection.execute(sa.text(quiet))
        engine.dispose()
        self._engine, self._cpu_s = engine, cpu_s
        self._tick_s = 1.0 / os.sysconf("SC_CLK_TCK")

    def used(self, work: Callable[[], Reconciled]) -> tuple[float, Reconciled]:
        """Do some work; return the seconds that it took of a core, and what it returned."""
        began_s = self._seconds()
        done = work()
        return self._seconds() - began_s, done

    def _seconds(self) -> float:
        with self._engine.connect() as connection:
            pid = connection.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks = int(after_name[11]) + int(after_name[12])  # user and system time: man 5 proc
        return self._cpu_s() + ticks * self._tick_s


def _size(engine: sa.Engine, station: str) -> Any:
    with engine.connect() as connection:
        query = sa.select(RECONCILE).where(RECONCILE.c.station_id == station)
        return connection.execute(query).one()


def _enroll(engine: sa.Engine, membership: Membership, count: int) -> tuple[UUID, ...]:
    """Fill the master gallery; everybody is active, and no view follows."""
    everybody = templates(count, seed=1, model_id=_MODEL)
    for start in range(0, count, _SLICE):
        with engine.begin() as connection:
            puts = [PutMaster(each) for each in everybody[start : start + _SLICE]]
            master.apply(connection, puts, _RUSH, safe=membership.safe)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE cloud_sync.master_rider SET standing = 'active'"))
        connection.execute(sa.text("UPDATE cloud_sync.master_template SET is_active = true"))
    return tuple(each.rider_ref for each in everybody)


@dataclass(frozen=True, slots=True)
class _Lives:
    """Where generated riders live, ride and are."""

    engine: sa.Engine
    sourcing: Sourcing
    station: str
    riders: Sequence[UUID]

    def lead(self) -> None:
        """Write down homes, habits and travellers, drawn from one seed."""
        dice = random.Random(1)  # noqa: S311  # a bench
        homes, travellers = round(_HOMES * len(self.riders)), round(_TRAVELLERS * len(self.riders))
        with self.engine.begin() as connection:
            _write(connection, HOME, self._homes(self.riders[:homes]))
            _write(connection, HABIT, self._habits(dice, self.riders[homes:-travellers]))
            _write(connection, LAST_TAP, self._taps(dice, self.riders[-travellers:]))
        _settle(self.engine)

    def move(self, dice: random.Random, since: datetime, until: datetime) -> None:
        """Let some leave here, and some of those who live or ride here enter elsewhere.

        A million passages a day at 200 stations with the peak ten minutes at 3.67 times the mean
        of 18 hours are 17 a minute at one station; here it is 50.
        """
        minutes = (until - since) / timedelta(minutes=1)
        some = dice.sample(range(len(self.riders)), round(50 * minutes))
        half = len(some) // 2
        rows = [
            self._tap(self.riders[each], self.station, "exit", since + dice.random() * _STEP)
            for each in some[:half]
        ]
        rows += [
            self._tap(self.riders[each], self._elsewhere(dice), "entry", since)
            for each in some[half:]
        ]
        refs = [row["rider_ref"] for row in rows]
        with self.engine.begin() as connection:
            connection.execute(sa.delete(LAST_TAP).where(LAST_TAP.c.rider_ref.in_(refs)))
            _write(connection, LAST_TAP, rows)

    def _homes(self, riders: Iterable[UUID]) -> Iterator[dict[str, Any]]:
        since = _RUSH - timedelta(days=100)
        for ref in riders:
            yield {"rider_ref": ref, "station_id": self.station, "place": 0, "since": since}

    def _habits(self, dice: random.Random, riders: Sequence[UUID]) -> Iterator[dict[str, Any]]:
        """Return commuters of this hour, with five buckets, and visitors at any, with three."""
        now = bucket_of(self.sourcing.local(_RUSH))
        commuters = round(_COMMUTERS * len(riders))
        for place, ref in enumerate(riders):
            often = place < commuters
            buckets = range(now, now + 120, 24) if often else dice.sample(range(168), 3)
            for bucket in buckets:
                yield {
                    "station_id": self.station,
                    "rider_ref": ref,
                    "bucket": bucket,
                    "weight": 1.0 + often * 4 * dice.random(),
                    "at": _RUSH - timedelta(days=1 + 13 * dice.random()),
                }

    def _taps(self, dice: random.Random, riders: Iterable[UUID]) -> Iterator[dict[str, Any]]:
        """Return travellers who may leave here now."""
        for ref in riders:
            entry = self._elsewhere(dice)
            window = self.sourcing.window(entry, self.station)
            share = 0.02 + 0.96 * dice.random()
            elapsed = window.opens + share * (window.closes - window.opens)
            yield self._tap(ref, entry, "entry", _RUSH - elapsed)

    def _elsewhere(self, dice: random.Random) -> str:
        return dice.choice(sorted(set(self.sourcing.network.stations) - {self.station}))

    def _tap(self, ref: UUID, station: str, direction: str, at: datetime) -> dict[str, Any]:
        return {"rider_ref": ref, "station_id": station, "direction": direction, "at": at}


def _settle(engine: sa.Engine) -> None:
    """Do what the database does by itself after a while."""
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(sa.text("VACUUM ANALYZE"))


def _write(connection: sa.Connection, table: sa.Table, rows: Iterable[dict[str, Any]]) -> None:
    """Copy rows in: tens of thousands in a second."""
    names = list(table.columns.keys())
    cursor = connection.connection.cursor()
    target = f"cloud_sync.{table.name} ({', '.join(names)})"
    with cursor.copy(f"COPY {target} FROM STDIN") as copy:
        for row in rows:
            copy.write_row([row[name] for name in names])
    cursor.close()
