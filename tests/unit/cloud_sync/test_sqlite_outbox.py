"""The outbox on disk: restarts, second openers, failing disks, damaged files, killed processes."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

import apsw
import pytest

from cloud_sync.adapters.disk.outbox_file import new_enough
from cloud_sync.adapters.disk.sqlite_outbox import SqliteConfig, SqliteOutbox
from cloud_sync.taps.outbox import OutboxFailed, OutboxInUse
from cloud_sync.taps.signing import NodeKey
from fare.tap import Tap
from tests.power.faults import failing
from tests.taps import START, tap

KEY = NodeKey(bytes(range(32)))
ROOT = Path(__file__).parents[3]


def _open(path: Path, *, vfs: str = "", key: NodeKey = KEY) -> SqliteOutbox:
    config = SqliteConfig(vfs=vfs, wal_pages=8)
    return SqliteOutbox(path, key, new_id=uuid4, config=config)


def _filled(path: Path, count: int, *, acknowledged: int = 0) -> None:
    with _open(path) as outbox:
        for number in range(count):
            outbox.append(tap(number))
        outbox.acknowledge(outbox.outbox_id, acknowledged)


def _taps(outbox: SqliteOutbox) -> list[Tap]:
    return [sealed.tap for sealed in outbox.since(0, 10_000)]


class TestRestart:
    """The file outlives the process."""

    def test_goes_on(self, tmp_path: Path) -> None:
        """After a restart taps, queue, id and sequence are as they were."""
        with _open(tmp_path / "o.db") as before:
            sealed = [before.append(tap(number)) for number in range(5)]
            before.acknowledge(before.outbox_id, 2)

        with _open(tmp_path / "o.db") as after:
            assert list(after.since(0, 100)) == sealed
            assert list(after.pending(100)) == sealed[2:]
            assert after.append(tap(5)).prev_hash == sealed[4].digest()
            assert after.opening.damage == ""

    def test_a_new_file_has_a_new_id(self, tmp_path: Path) -> None:
        """Two files never share an outbox id."""
        with _open(tmp_path / "one.db") as one, _open(tmp_path / "two.db") as two:
            assert one.outbox_id != two.outbox_id

    def test_killed_at_any_moment(self, tmp_path: Path) -> None:
        """A process that is killed while taps pour in has lost none that it had reported."""
        path = tmp_path / "o.db"
        for _ in range(3):
            child = subprocess.Popen(
                [sys.executable, "-c", _POUR, str(path)], stdout=subprocess.PIPE, cwd=ROOT
            )
            assert child.stdout is not None
            reported = [int(child.stdout.readline()) for _ in range(40)]
            child.send_signal(signal.SIGKILL)
            reported += [int(line) for line in child.stdout.read().splitlines()]
            child.wait()
            child.stdout.close()

            with _open(path) as outbox:
                assert outbox.opening.damage == ""
                assert outbox.opening.end.seq >= reported[-1]
                assert [s.seq for s in outbox.since(0, 100_000)][: len(reported)]


_POUR = """
import sys
from itertools import count
from pathlib import Path
from uuid import uuid4
from cloud_sync.adapters.disk.sqlite_outbox import SqliteOutbox
from cloud_sync.taps.signing import NodeKey
from tests.taps import tap

outbox = SqliteOutbox(Path(sys.argv[1]), NodeKey(bytes(range(32))), new_id=uuid4)
for number in count():
    print(outbox.append(tap(number)).seq, flush=True)
"""


class TestSecondOpener:
    """One outbox, one process."""

    def test_is_refused(self, tmp_path: Path) -> None:
        """While one has the outbox, another cannot open it, and the first goes on undisturbed."""
        with _open(tmp_path / "o.db") as first:
            first.append(tap(0))

            with pytest.raises(OutboxInUse, match="another process"):
                _open(tmp_path / "o.db")

            assert first.append(tap(1)).seq == 2

    def test_in_another_process_is_refused(self, tmp_path: Path) -> None:
        """The same from another process, which says so."""
        with _open(tmp_path / "o.db"):
            tried = subprocess.run(
                [sys.executable, "-c", _POUR, str(tmp_path / "o.db")],
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=False,
            )

        assert tried.returncode != 0
        assert "OutboxInUse" in tried.stderr

    def test_sqlite_tools_are_refused_too(self, tmp_path: Path) -> None:
        """Somebody who opens the file by hand cannot write into a running gate's outbox."""
        with _open(tmp_path / "o.db"):
            by_hand = apsw.Connection(str(tmp_path / "o.db"))
            with pytest.raises(apsw.BusyError):
                by_hand.execute("DELETE FROM tap")
            by_hand.close()

    def test_may_open_after_close(self, tmp_path: Path) -> None:
        """A closed outbox takes nothing more, and the next one may have the file."""
        first = _open(tmp_path / "o.db")
        first.close()
        first.close()

        with _open(tmp_path / "o.db") as second:
            with pytest.raises(OutboxFailed, match="closed"):
                first.append(tap(0))
            assert second.append(tap(0)).seq == 1


class TestFailingDisk:
    """EIO and ENOSPC."""

    @pytest.mark.parametrize(
        ("error", "lasts"), [(apsw.IOError, 1), (apsw.IOError, 5), (apsw.FullError, 2)]
    )
    def test_fails_clean_at_every_operation(
        self, tmp_path: Path, error: type[apsw.Error], lasts: int
    ) -> None:
        """Wherever the disk fails, refused taps never appear and returned ones never vanish."""
        refusals = 0
        for at in range(32):
            path = tmp_path / f"{at}.db"
            with failing(error) as (faults, vfs), _open(path, vfs=vfs) as outbox:
                faults.seen, faults.at, faults.lasts = 0, at, lasts
                returned, refused = _push(outbox, 10)
                refusals += len(refused)
                faults.mend()
                returned.append(outbox.append(tap(99)).tap)

                assert _taps(outbox) == returned
                assert outbox.opening.damage == ""
            with _open(path) as again:
                assert [s.tap for s in again.pending(100)] == returned
                assert again.opening.damage == ""
        assert refusals > 15

    def test_control_a_trusting_outbox_keeps_refused_taps(self, tmp_path: Path) -> None:
        """Control: SQLite alone, opened again after a failed sync, has the refused tap."""
        kept = 0
        for at in range(12):
            path = tmp_path / f"{at}.db"
            _filled(path, 1)
            with failing(apsw.IOError) as (faults, vfs):
                outbox = _open(path, vfs=vfs)
                faults.seen, faults.at = 0, at
                _, refused = _push(outbox, 3)
                outbox.close()
            with _open(path) as trusting:
                kept += any(each in _taps(trusting) for each in refused)
        assert kept > 0

    def test_other_calls_fail_clean_too(self, tmp_path: Path) -> None:
        """Acknowledging, rewinding and pruning on a full disk raise, and change nothing."""
        with failing(apsw.FullError) as (faults, vfs), _open(tmp_path / "o.db", vfs=vfs) as outbox:
            _push(outbox, 6)
            outbox.acknowledge(outbox.outbox_id, 3)
            for call in (
                lambda: outbox.acknowledge(outbox.outbox_id, 5),
                lambda: outbox.rewind(outbox.outbox_id, 1),
                lambda: outbox.prune(tap(5).tap_time),
            ):
                faults.seen, faults.at, faults.lasts = 0, 0, 1_000
                with pytest.raises(OutboxFailed):
                    call()
                faults.mend()

                assert [s.seq for s in outbox.since(0, 100)] == [1, 2, 3, 4, 5, 6]
                assert [s.seq for s in outbox.pending(100)] == [4, 5, 6]

    def test_a_folder_in_the_way(self, tmp_path: Path) -> None:
        """A path that cannot be an outbox is a clear failure at the start."""
        (tmp_path / "o.db").mkdir()

        with pytest.raises(OutboxFailed, match=r"o\.db"):
            _open(tmp_path / "o.db")


def _push(outbox: SqliteOutbox, count: int) -> tuple[list[Tap], list[Tap]]:
    """Try so many taps; return those that were taken and those that were refused."""
    returned, refused = [], []
    for number in range(count):
        try:
            returned.append(outbox.append(tap(number)).tap)
        except OutboxFailed:
            refused.append(tap(number))
    return returned, refused


class TestDamage:
    """A damaged file is set aside, kept, and read as far as possible."""

    def test_readable_pending_taps_open_the_new_outbox(self, tmp_path: Path) -> None:
        """One of six rows is spoiled: the other pending ones go on, the file is kept."""
        path = tmp_path / "o.db"
        _filled(path, 6, acknowledged=2)
        _by_hand(path, "UPDATE tap SET body = x'00' WHERE seq = 4")

        with _open(path) as outbox:
            opening = outbox.opening
            assert [s.tap for s in outbox.pending(100)] == [tap(2), tap(4), tap(5)]
            assert [s.seq for s in opening.salvaged] == [3, 5, 6]
            assert opening.salvaged[0].outbox_id != outbox.outbox_id
            assert "tap 4" in opening.damage
            assert opening.set_aside is not None
            assert opening.set_aside.read_bytes().startswith(b"SQLite format 3")
        with _open(path) as again:
            assert again.opening.damage == ""

    @pytest.mark.parametrize(
        ("how", "readable"),
        [
            ("DELETE FROM tap WHERE seq = 4", [0, 1, 2, 4, 5]),
            ("DELETE FROM outbox", [0, 1, 2, 3, 4, 5]),
            ("UPDATE outbox SET acknowledged = 6", [0, 1, 2, 3, 4, 5]),
            ("UPDATE outbox SET outbox_id = zeroblob(16)", [0, 1, 2, 3, 4, 5]),
            ("UPDATE tap SET tap_time_us = 0 WHERE seq = 1", [1, 2, 3, 4, 5]),
            ("UPDATE tap SET seq = 60 WHERE seq = 6", [0, 1, 2, 3, 4]),
            ("DROP TABLE tap", []),
        ],
    )
    def test_each_kind_is_noticed(self, tmp_path: Path, how: str, readable: Sequence[int]) -> None:
        """A missing row, a changed ledger, a moved row, a missing table: all are noticed."""
        path = tmp_path / "o.db"
        _filled(path, 6)
        _by_hand(path, how)

        with _open(path) as outbox:
            assert outbox.opening.damage
            assert _taps(outbox) == [tap(number) for number in readable]

    def test_a_lost_end_is_noticed(self, tmp_path: Path) -> None:
        """Taps cut off the end leave a perfect shorter chain; the note beside it tells."""
        path = tmp_path / "o.db"
        _filled(path, 6)
        _by_hand(path, "DELETE FROM tap WHERE seq > 4")

        with _open(path) as outbox:
            assert "had come to tap 6" in outbox.opening.damage
            assert _taps(outbox) == [tap(number) for number in range(4)]

    def test_control_without_the_note_a_lost_end_goes_unnoticed(self, tmp_path: Path) -> None:
        """Control: it is the note, and only the note, that notices."""
        path = tmp_path / "o.db"
        _filled(path, 6)
        _by_hand(path, "DELETE FROM tap WHERE seq > 4")
        (tmp_path / "o.db.head").unlink()

        with _open(path) as outbox:
            assert outbox.opening.damage == ""

    @pytest.mark.parametrize("content", [b"", b"not a database" * 400, b"SQLite format 3\0"])
    def test_nothing_readable(self, tmp_path: Path, content: bytes) -> None:
        """A file that is no database is kept, and an empty outbox begins."""
        path = tmp_path / "o.db"
        path.write_bytes(content)

        with _open(path) as outbox:
            assert outbox.opening.damage
            assert outbox.append(tap(0)).seq == 1
        assert (tmp_path / "o.db.damaged-1").read_bytes() == content

    def test_a_later_releases_file_is_left_alone(self, tmp_path: Path) -> None:
        """After a step back to an older release the file is refused, not set aside."""
        path = tmp_path / "o.db"
        _filled(path, 3)
        _by_hand(path, "PRAGMA user_version = 2")

        with pytest.raises(OutboxFailed, match="later release"):
            _open(path)

        assert not (tmp_path / "o.db.damaged-1").exists()

    @pytest.mark.parametrize("at", [18, 19])  # the header's write and read version
    def test_a_file_that_only_looks_read_only(self, tmp_path: Path, at: int) -> None:
        """A flipped byte that makes SQLite refuse every write is found before the first rider."""
        path = tmp_path / "o.db"
        _filled(path, 3)
        _by_hand(path, "PRAGMA wal_checkpoint(TRUNCATE)")
        content = bytearray(path.read_bytes())
        content[at] ^= 0xFF
        path.write_bytes(content)

        with _open(path) as outbox:
            assert outbox.opening.damage
            assert outbox.append(tap(3)).tap == tap(3)

    def test_damaged_twice(self, tmp_path: Path) -> None:
        """A second damaged file does not overwrite the first one kept."""
        path = tmp_path / "o.db"
        for content in (b"first" * 500, b"second" * 500):
            path.write_bytes(content)
            _open(path).close()

        kept = [(tmp_path / f"o.db.damaged-{n}").read_bytes()[:5] for n in (1, 2)]
        assert kept == [b"first", b"secon"]

    def test_a_strangers_wal_is_not_read(self, tmp_path: Path) -> None:
        """A WAL left behind by a file that is gone does not flow into the new outbox."""
        path = tmp_path / "o.db"
        _filled(path, 6)
        path.unlink()

        with _open(path) as outbox:
            assert _taps(outbox) == []
            assert outbox.opening.damage == ""
        assert (tmp_path / "o.db.damaged-1-wal").exists()

    def test_a_new_key_delivers_old_taps(self, tmp_path: Path) -> None:
        """A node whose key was replaced seals its pending taps anew instead of losing them."""
        path = tmp_path / "o.db"
        _filled(path, 3)

        with _open(path, key=NodeKey(bytes(range(1, 33)))) as outbox:
            assert _taps(outbox) == [tap(0), tap(1), tap(2)]

    def test_damage_in_service(self, tmp_path: Path) -> None:
        """Rows that rot while the gate runs: the call fails, the next one begins a new outbox."""
        path = tmp_path / "o.db"
        with _open(path) as outbox:
            for number in range(5):
                outbox.append(tap(number))
            old_id = outbox.outbox_id
            connection = outbox._connection
            assert connection is not None
            connection.execute("UPDATE tap SET seal = zeroblob(32) WHERE seq = 2")

            with pytest.raises(OutboxFailed):
                outbox.pending(100)

            assert [s.tap for s in outbox.pending(100)] == [tap(0), tap(2), tap(3), tap(4)]
            assert outbox.outbox_id != old_id
            outbox.acknowledge(old_id, 4)
            assert outbox.depth() == 4

    @pytest.mark.parametrize("step", [397, pytest.param(3, marks=pytest.mark.power)])
    @pytest.mark.timeout(1_800)
    def test_flipped_bytes(self, tmp_path: Path, step: int) -> None:
        """Whichever byte of file or WAL is flipped, no wrong tap is ever read.

        Either every tap is there as written, or the damage was noticed and what is left is
        genuine. (Bytes in unused space harm nothing.)
        """
        noticed = _flip_everywhere(tmp_path, step)

        assert noticed > 5


def _by_hand(path: Path, statement: str) -> None:
    connection = apsw.Connection(str(path))
    connection.execute(statement)
    connection.close()


def _flip_everywhere(folder: Path, step: int) -> int:
    whole = folder / "whole"
    _filled(whole / "o.db", 9)
    expected = [tap(number) for number in range(9)]
    noticed = 0
    for name in ("o.db", "o.db-wal"):
        size = (whole / name).stat().st_size
        assert size > 8_000, name
        for at in range(0, size, step):
            spoiled = folder / "spoiled"
            shutil.rmtree(spoiled, ignore_errors=True)
            shutil.copytree(whole, spoiled)
            content = bytearray((spoiled / name).read_bytes())
            content[at] ^= 0xFF
            (spoiled / name).write_bytes(content)
            if name == "o.db" and 60 <= at < 64:
                # The header's format number: looks like a later release's file, so is refused.
                continue
            with _open(spoiled / "o.db") as outbox:
                if outbox.opening.damage:
                    noticed += 1
                    assert set(_taps(outbox)) <= set(expected), (name, at)
                else:
                    assert _taps(outbox) == expected, (name, at)
                assert outbox.append(tap(9)).seq == outbox.opening.end.seq + 1
    return noticed


class TestSqliteConfig:
    """Its ranges, and SQLite's age."""

    @pytest.mark.parametrize("wal_pages", [0, 100_001])
    def test_refuses_out_of_range(self, wal_pages: int) -> None:
        """A WAL limit outside its range stops the start."""
        with pytest.raises(ValueError):
            SqliteConfig(wal_pages=wal_pages)

    @pytest.mark.parametrize(
        ("version", "good"), [("3.40.1", False), ("3.52.9", False), ("3.53.0", True), ("4.0", True)]
    )
    def test_knows_old_sqlite(self, version: str, good: bool) -> None:
        """Releases from before the mended WAL reset are refused."""
        assert new_enough(version) is good

    def test_the_lock_is_the_files_own(self, tmp_path: Path) -> None:
        """Two outboxes in one folder do not block each other; old taps are pruned by time."""
        with _open(tmp_path / "a.db") as one, _open(tmp_path / "b.db") as other:
            one.append(tap(0))
            one.acknowledge(one.outbox_id, 1)

            assert one.prune(START) == 0
            assert other.depth() == 0
