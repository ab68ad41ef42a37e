"""The ledger's copy outside the database: durable, chained, signed, and kept long enough."""

import os
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from cloud_sync.adapters.disk.erasure_file import KEEP, ErasureFile
from cloud_sync.fleet.erasure import Erasure, LedgerFailed
from cloud_sync.fleet.erasure_line import LedgerBroken
from cloud_sync.secrecy.chunk_signature import CloudKey
from tests.fleet import NOON
from tests.templates import rider

KEY = CloudKey(bytes(range(32)))
DAY = timedelta(days=1)


def gone(name: str, *, days: float = 0) -> Erasure:
    """Give somebody's erasure, so many days after noon."""
    return Erasure(rider(name), NOON + days * DAY, "withdraw", is_final=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder that is not there yet."""
    return tmp_path / "ledger"


def copy(folder: Path, key: CloudKey = KEY) -> ErasureFile:
    """Open the copy, as each process does for itself."""
    return ErasureFile(folder, lambda: key)


def only(folder: Path) -> Path:
    """Return the one file of lines."""
    (path,) = folder.glob("*.jsonl")
    return path


class TestCopy:
    """Writing and reading."""

    def test_gives_back_what_it_took(self, folder: Path) -> None:
        """Across days and processes, in order, each day in its own file."""
        told = [gone("Ana"), gone("Ben"), gone("Cleo", days=1), gone("Dan", days=5)]
        for each in told:
            copy(folder).append(each)

        assert list(copy(folder).read()) == told
        assert len(list(folder.glob("*.jsonl"))) == 3
        assert list(copy(folder).read(NOON + DAY)) == told[2:]
        assert copy(folder / "none").read() == ()

    def test_is_its_owners_alone(self, folder: Path) -> None:
        """Nobody else reads who left, and a folder that others could read is refused."""
        copy(folder).append(gone("Ana"))
        modes = {path.stat().st_mode & 0o077 for path in (folder, *folder.iterdir())}
        folder.chmod(0o755)

        assert modes == {0}
        with pytest.raises(LedgerFailed):
            copy(folder).append(gone("Ben"))

    def test_a_clock_set_back_starts_no_old_day(self, folder: Path) -> None:
        """The chain goes on in the newest file, so that its order is the order of the names."""
        told = [gone("Ana", days=2), gone("Ben")]
        for each in told:
            copy(folder).append(each)

        assert list(copy(folder).read()) == told
        assert len(list(folder.glob("*.jsonl"))) == 1

    def test_a_torn_line_is_no_line(self, folder: Path) -> None:
        """A crash in mid-line loses an erasure that nobody was told of, and no other."""
        copy(folder).append(gone("Ana"))
        with only(folder).open("ab") as file:
            file.write(b'{"at":"2026-05-04T12')

        before = copy(folder).read()
        copy(folder).append(gone("Ben"))

        assert before == (gone("Ana"),)
        assert copy(folder).read() == (gone("Ana"), gone("Ben"))

    def test_many_at_once_make_one_chain(self, folder: Path) -> None:
        """Processes that write at the same time do not fork it."""
        names = [f"rider {number}" for number in range(24)]

        def write(part: list[str]) -> None:
            for name in part:
                copy(folder).append(gone(name))

        threads = [threading.Thread(target=write, args=(names[start::4],)) for start in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert {one.rider_ref for one in copy(folder).read()} == set(map(rider, names))

    def test_old_days_go_and_the_tail_stays(self, folder: Path) -> None:
        """What no backup reaches back to is removed; the newest day stays however old it is."""
        for days in (0, 1, 40):
            copy(folder).append(gone("Ana", days=days))

        removed = copy(folder).prune(NOON + KEEP)
        all_old = copy(folder).prune(NOON + 1_000 * DAY)
        copy(folder).append(gone("Ben", days=1_000))

        assert (removed, all_old) == (0, 2)
        assert [one.rider_ref for one in copy(folder).read()] == [rider("Ana"), rider("Ben")]

    def test_a_full_disk_is_told(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """What is not durable was not written: the caller must not confirm."""
        copy(folder).append(gone("Ana"))

        def full(_: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(LedgerFailed, match="No space"):
            copy(folder).append(gone("Ben"))


class TestTampering:
    """What somebody who can write to the folder achieves: nothing unseen."""

    @pytest.fixture
    def lines(self, folder: Path) -> list[bytes]:
        """Give three lines as they stand in the file."""
        for name in ("Ana", "Ben", "Cleo"):
            copy(folder).append(gone(name))
        return only(folder).read_bytes().splitlines(keepends=True)

    def test_control(self, folder: Path, lines: list[bytes]) -> None:
        """Written back as they were, the lines are good."""
        only(folder).write_bytes(b"".join(lines))

        assert len(copy(folder).read()) == 3

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda lines: [lines[0], lines[2]],
            lambda lines: [lines[0], lines[2], lines[1]],
            lambda lines: [lines[0], lines[1].replace(b"withdraw", b"sickness"), lines[2]],
            lambda lines: [lines[0], lines[1].replace(b'"final":true', b'"final":false'), lines[2]],
            lambda lines: [*lines, b"{}\n"],
            lambda lines: [*lines, b"no json\n"],
            lambda lines: [*lines, lines[2]],
        ],
    )
    def test_is_seen(self, folder: Path, lines: list[bytes], spoil: object) -> None:
        """A line taken out, moved, changed, added or repeated is refused as a whole."""
        only(folder).write_bytes(b"".join(spoil(lines)))  # type: ignore[operator]

        with pytest.raises(LedgerBroken):
            copy(folder).read()

    def test_another_cloud_cannot_sign(self, folder: Path) -> None:
        """A chain that somebody else has made, without the cloud's key, is refused."""
        copy(folder, CloudKey(bytes(32))).append(gone("Ana"))

        with pytest.raises(LedgerBroken, match="not signed"):
            copy(folder).read()

    def test_a_cut_tail_is_not_seen_by_the_file_alone(
        self, folder: Path, lines: list[bytes]
    ) -> None:
        """Whoever cuts the newest lines off is found by the database's own ledger, not here."""
        only(folder).write_bytes(lines[0])

        assert copy(folder).read() == (gone("Ana"),)
