"""A snapshot that arrives: a second file beside the replica, until it is complete."""

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import apsw
import numpy as np

from cloud_sync.adapters.disk.replica_file import roll_back, transaction
from cloud_sync.adapters.disk.replica_rows import take
from cloud_sync.columns import ArrivedPuts, Gathering, Templates
from cloud_sync.content import content_hash, root_hash
from cloud_sync.gallery import Change, DropTemplate, PutTemplate
from cloud_sync.secrecy.opener import Opener
from cloud_sync.secrecy.rotation import PLAIN
from cloud_sync.stream.messages import Snapshot
from cloud_sync.stream.replica import SnapshotRefused, WrongRevision
from cloud_sync.stream.view import CHUNK_ITEMS

_COMMIT_ITEMS = 2_048
"""Changes in a commit: eight full chunks, each of which a fast line brings in milliseconds. Each
commit writes some pages twice."""


@dataclass(frozen=True, slots=True)
class Fresh:
    """What a snapshot has just brought, opened already."""

    key_ids: frozenset[str]
    """Of the root keys behind what is sealed of it."""
    templates: Templates

    def opens_with(self, opener: Opener | None, epoch: UUID | None) -> bool:
        """Return whether a node with this opener may read all of it, and compares it as it is.

        It does not where the grant has changed while parts came: they are in other transforms.
        """
        if opener is not None and opener.epoch != epoch:
            opener = None  # the keys of another history open nothing here
        if self.key_ids and (opener is None or self.key_ids != {opener.key_id}):
            return False
        home = None if opener is None else opener.home
        return set(self.templates.transform_ids) <= {home.transform_id if home else PLAIN}


class Staging:
    """One file, whose connection is this object's; it raises `apsw.Error` where the disk fails."""

    def __init__(self, connection: apsw.Connection) -> None:
        """Take a file that was begun, perhaps by a process before this one."""
        self._file = connection
        self._uncommitted = 0
        self._arrived: Gathering | None = None
        """Of all parts; None where not all came to this process."""
        self._key_ids: set[str] = set()

    def standing(self) -> tuple[bytes, int]:
        """Return the root hash of what was begun, and how many parts are there."""
        sql = "SELECT root_hash, chunks FROM standing"
        row: tuple[Any, ...] = self._file.execute(sql).fetchall()[0]
        return row[0], row[1]

    def is_of(self, snapshot: Snapshot) -> bool:
        """Return whether what was begun is this snapshot."""
        sql = "SELECT epoch, applied_rev, root_hash, template_count FROM standing"
        return self._file.execute(sql).fetchall()[0] == _announced(snapshot)

    def begin(self, snapshot: Snapshot) -> None:
        """Note what is to come; the file is new."""
        sql = "UPDATE standing SET epoch = ?, applied_rev = ?, root_hash = ?, template_count = ?"
        self._file.execute(sql, _announced(snapshot))
        self._arrived = Gathering(snapshot.template_count)

    def keep(self, index: int, changes: Sequence[Change], span: int) -> None:
        """Write some parts; several such calls are committed together.

        A crash loses the last of them, and the cloud sends those again.

        Raises:
            WrongRevision: Another part is due.
        """
        try:
            self._write(index, changes, span)
        except apsw.Error:
            self._arrived = None  # what is rolled back is in memory alone
            roll_back(self._file)
            raise
        if self._arrived is not None:
            templates, key_ids = _templates_of(changes)
            self._arrived.add(templates)
            self._key_ids |= key_ids

    def _write(self, index: int, changes: Sequence[Change], span: int) -> None:
        due = self._file.execute("SELECT chunks FROM standing").fetchall()[0][0]
        if due != index:
            raise WrongRevision(f"chunk {index} is not due, {due} is")
        if not self._file.in_transaction:
            self._uncommitted = 0
            self._file.execute("BEGIN IMMEDIATE")
        take(self._file, changes)
        hashes = changes.hashes if isinstance(changes, ArrivedPuts) else map(content_hash, changes)
        self._file.execute("INSERT INTO staged_hash (content_hash) VALUES (?)", (b"".join(hashes),))
        self._file.execute("UPDATE standing SET chunks = chunks + ?", (span,))
        self._uncommitted += len(changes)
        is_slow = len(changes) < CHUNK_ITEMS  # a slow line brings less at a time: all of it counts
        if is_slow or self._uncommitted >= _COMMIT_ITEMS:
            self._file.execute("COMMIT")

    def finish(self, expelled: Sequence[Change], lease: tuple[Any, ...]) -> Fresh | None:
        """Check count and root hash, add what the file must not lack, and close it without a WAL.

        Args:
            expelled: What was shut out meanwhile.
            lease: Its end, the mark and its beginning, as they are stored.

        Returns:
            What it holds, opened; None where not all of it came to this process.

        Raises:
            SnapshotRefused: It is not what was announced.
        """
        try:
            self._commit()
        except apsw.Error:
            self._arrived = None
            raise
        announced = self._verify()
        with transaction(self._file):
            take(self._file, expelled)
            self._file.execute("UPDATE standing SET lease_until = ?, mark = ?, renewed = ?", lease)
        self._file.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        self._file.close()
        arrived = None if self._arrived is None else self._arrived.all()
        if arrived is None or len(arrived) != announced:  # or somebody came twice: one is on disk
            return None
        return Fresh(frozenset(self._key_ids), _without(expelled, arrived))

    def close(self) -> None:
        """Let go of the file; what came stays in it."""
        with contextlib.suppress(apsw.Error):  # else the cloud sends it again
            self._commit()
        self._file.close()

    def _commit(self) -> None:
        if self._file.in_transaction:
            self._file.execute("COMMIT")

    def _verify(self) -> int:
        """Return how many templates there are."""
        sql = "SELECT (SELECT count(*) FROM template), template_count, root_hash FROM standing"
        row: tuple[Any, ...] = self._file.execute(sql).fetchall()[0]
        count, announced, root = row
        if count != announced:
            raise SnapshotRefused(f"{count} templates of {announced}")
        hashes = self._file.execute("SELECT content_hash FROM staged_hash ORDER BY id")
        if root_hash(row[0] for row in hashes) != root:
            raise SnapshotRefused("the root hash does not fit")
        return int(count)


def _announced(snapshot: Snapshot) -> tuple[bytes, int, bytes, int]:
    return snapshot.epoch.bytes, snapshot.rev, snapshot.root_hash, snapshot.template_count


def _templates_of(changes: Sequence[Change]) -> tuple[Templates, set[str]]:
    """Return the templates of a part, and the root keys behind what is sealed of it."""
    if isinstance(changes, ArrivedPuts):
        return changes.templates, {changes.key_id} - {""}
    puts = [change for change in changes if isinstance(change, PutTemplate)]
    key_ids = {put.sealed.key_id for put in puts if put.sealed is not None}
    return Templates.of(put.template for put in puts), key_ids


def _without(expelled: Iterable[Change], templates: Templates) -> Templates:
    gone = {one.rider_ref.bytes for one in expelled if isinstance(one, DropTemplate)}
    if not gone:
        return templates
    return templates.where(np.array([rider not in gone for rider in templates.riders]))
