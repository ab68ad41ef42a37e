"""Proving an outbox file whole, and reading out of a damaged one whatever can still be read."""

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import apsw

from cloud_sync.adapters.disk.outbox_file import DAMAGE, Ledger, OutboxDamaged, read_ledger, select
from cloud_sync.taps.outbox import OutboxFailed, SealedTap
from cloud_sync.taps.signing import Forked, Gap, Intact, Verdict, verify_chain

_LOOKUPS_MAX = 1_000_000
"""Single rows tried between two damaged places: a week of a very busy station."""


def prove(connection: apsw.Connection, public_key: bytes) -> tuple[Ledger, Intact]:
    """Check the whole file: its pages, every row, the chain, and the signatures that still matter.

    The chain's last signature covers everything before it; those of pending taps will be checked
    by the cloud. The others are under their rows' seals.

    Returns:
        Where the outbox stands, and its last tap.

    Raises:
        OutboxDamaged: Something does not fit.
        OutboxFailed: The disk does not answer.
    """
    try:
        findings = [row[0] for row in connection.execute("PRAGMA integrity_check")]
        if findings != ["ok"]:
            raise OutboxDamaged(f"integrity check: {findings[0]}")
        ledger = read_ledger(connection)
        end = _prove_taps(connection, ledger, public_key)
    except DAMAGE as error:
        raise OutboxDamaged(str(error)) from error
    except apsw.Error as error:
        raise OutboxFailed(f"cannot read the outbox: {error}") from error
    return ledger, end


def _prove_taps(connection: apsw.Connection, ledger: Ledger, public_key: bytes) -> Intact:
    end = ledger.base
    last_seq = connection.execute("SELECT max(seq) FROM tap").get or ledger.base.seq
    for sealed in select(connection, "TRUE ORDER BY seq", ()):
        if sealed.seq > ledger.acknowledged or sealed.seq == last_seq:
            verdict = verify_chain(
                [sealed], outbox_id=ledger.outbox_id, after=end, public_key=public_key
            )
        else:
            verdict = _continues(sealed, ledger.outbox_id, end)
        if not isinstance(verdict, Intact):
            raise OutboxDamaged(f"the chain breaks at tap {sealed.seq}: {verdict}")
        end = verdict
    if not ledger.base.seq <= ledger.acknowledged <= end.seq:
        raise OutboxDamaged(f"taps up to {ledger.acknowledged} were known, now up to {end.seq}")
    return end


def _continues(sealed: SealedTap, outbox_id: UUID, end: Intact) -> Verdict:
    """As `verify_chain` for one tap, without the signature: 0.1 ms saved for each old tap."""
    if sealed.seq != end.seq + 1:
        return Gap(end.seq + 1, sealed.seq)
    if (sealed.outbox_id, sealed.prev_hash) != (outbox_id, end.head):
        return Forked(sealed.seq)
    return Intact(sealed.seq, sealed.digest())


def salvage(path: Path, *, vfs: str) -> tuple[SealedTap, ...]:
    """Read every undamaged tap of a damaged file that is not known to be acknowledged.

    Rows are read from the front until damage, from the back until damage, and one by one between.
    A row's seal decides, not its signature: a node that has got a new key must still deliver what
    it sealed under the old one. Where the ledger is unreadable all taps count as pending: the
    cloud merges what it has twice.

    Args:
        path: The file; it and its WAL are left as they are.
        vfs: The SQLite VFS; empty for the usual one.

    Returns:
        The taps in order of their places; empty when nothing is readable.
    """
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE, vfs=vfs or None)
    except apsw.Error:
        return ()
    try:
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        found = _readable(connection)
        acknowledged = _acknowledged(connection)
    except apsw.Error:
        return ()
    finally:
        connection.close()
    pending = [sealed for sealed in found.values() if sealed.seq > acknowledged]
    return tuple(sorted(pending, key=lambda sealed: sealed.seq))


def _readable(connection: apsw.Connection) -> dict[int, SealedTap]:
    front = _until_damage(connection, "ORDER BY seq")
    back = _until_damage(connection, "ORDER BY seq DESC")
    found = front | back
    first_lost, last_lost = max(front, default=0) + 1, min(back, default=0) - 1
    for seq in range(first_lost, min(last_lost + 1, first_lost + _LOOKUPS_MAX)):
        found |= _until_damage(connection, f"AND seq = {seq}")
    return found


def _until_damage(connection: apsw.Connection, rest: str) -> dict[int, SealedTap]:
    found: dict[int, SealedTap] = {}
    rows = _undamaged(connection, rest)
    for sealed in rows:
        found[sealed.seq] = sealed
    return found


def _undamaged(connection: apsw.Connection, rest: str) -> Iterator[SealedTap]:
    try:
        yield from select(connection, f"TRUE {rest}", ())
    except (*DAMAGE, apsw.IOError):
        # The end of what can be read in this direction; the other ways go on.
        return


def _acknowledged(connection: apsw.Connection) -> int:
    try:
        return read_ledger(connection).acknowledged
    except (*DAMAGE, OutboxDamaged, apsw.IOError):
        return 0
