"""Erasures that a restored database has forgotten are carried out again before anything is served.

What the copy outside has and the database lacks was lost: by a backup that is older, or by a
standby that lagged. Their revisions are lost with them, so every view begins a new history.
"""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa

from cloud_sync.adapters.postgres import erasures as ledger
from cloud_sync.adapters.postgres.membership import Membership
from cloud_sync.adapters.postgres.publish import VIEW_CHANNEL, announce, views
from cloud_sync.adapters.postgres.tables import VIEW
from cloud_sync.fleet.erasure import Erasure, ErasureCopy
from cloud_sync.master.gallery import Erase, MasterChange, Withdraw
from cloud_sync.prefilter.sourcing import Sourcing
from cloud_sync.secrecy.safe import Safe
from fare.city import shipped
from fare.log import say

_LOG = logging.getLogger(__name__)
_CODE_LIFE = timedelta(minutes=5)
"""Until when a replayed withdrawal denies ride codes, too: none lives longer than 125 s."""
SLACK = timedelta(days=1)
"""How far before the newest erasure that is known the copy is compared: a restored database has all
of them up to some moment, but for clocks that differ."""

Settle = Callable[[sa.Connection, Sequence[MasterChange], datetime], None]
"""Changes the master gallery and every view that this concerns, in the caller's transaction."""


def replay(connection: sa.Connection, copy: ErasureCopy, settle: Settle, now: datetime) -> int:
    """Carry out what was lost, in the caller's transaction; return how many erasures.

    What the copy has lost, as when its newest file was cut, it is given again.

    Args:
        connection: With a transaction begun that holds no lock on a rider or view yet.
        copy: Outside the database.
        settle: What makes riders leave.
        now: Aware UTC.

    Raises:
        LedgerFailed: The copy cannot be read or was tampered with; nothing may be served.
        sqlalchemy.exc.SQLAlchemyError: The database did not take it.
    """
    newest = ledger.newest(connection)
    since = newest and newest - SLACK
    told = copy.read(since)
    _mend(connection, copy, told, since)
    # Each waits for a withdrawal that is under way; one that came through was not lost.
    lost = [one for one in ledger.unknown(connection, told) if ledger.note(connection, one)]
    if not lost:
        return 0
    stale = ledger.superseded(connection, lost)
    settle(connection, [_change(one, now) for one in lost if one not in stale], now)
    renew_all(connection)
    for one in lost:
        ledger.expose(connection, one)
    say(_LOG, "erasures_replayed", level=logging.WARNING, count=len(lost))
    return len(lost)


def _mend(
    connection: sa.Connection,
    copy: ErasureCopy,
    told: Sequence[Erasure],
    since: datetime | None,
) -> None:
    if since is None:
        return
    copied = {(one.rider_ref, one.at) for one in told}
    # A day's file is read whole, so what the copy should have begins somewhat later than it does.
    lacking = [
        one
        for one in ledger.known_since(connection, since)
        if (one.rider_ref, one.at) not in copied
    ]
    for one in lacking:
        copy.append(one)
    if lacking:
        say(_LOG, "ledger_copy_lacked", level=logging.ERROR, count=len(lacking))


def renew_all(connection: sa.Connection) -> None:
    """Start a new history of every view, and let what waits for acknowledgements follow.

    Args:
        connection: With a transaction begun.
    """
    connection.execute(sa.update(VIEW).values(epoch=sa.func.gen_random_uuid()))
    ledger.follow_epochs(connection)
    for view_id in views(connection):
        announce(connection, VIEW_CHANNEL, view_id)


def leaving(safe: Safe) -> Settle:
    """Return what makes riders leave: the rule of views, which asks no city's sources for that.

    Args:
        safe: Seals and opens templates.
    """
    city = shipped()
    return Membership(Sourcing(city.network, city.tariff.timezone), safe).settle


def _change(erasure: Erasure, now: datetime) -> MasterChange:
    if erasure.is_final:
        return Withdraw(erasure.rider_ref, now + _CODE_LIFE)
    return Erase(erasure.rider_ref)
