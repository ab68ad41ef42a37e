"""Every store of authorities keeps the promises of the port, and the folder lets nobody in."""

import os
import threading
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from cloud_sync.adapters.disk.authority_folder import FolderAuthority
from cloud_sync.adapters.disk.key_folder import FolderKeyStore
from cloud_sync.adapters.memory.authority import MemoryAuthority
from cloud_sync.trust.authority import AuthorityFailed, CertificateAuthority


class Clock:
    """A clock that a test turns."""

    def __init__(self, now: datetime) -> None:
        """Start at a moment."""
        self.now = now

    def wall(self) -> datetime:
        """Return the moment."""
        return self.now

    def monotonic_s(self) -> float:
        """Return nothing of interest."""
        return 0.0


@pytest.fixture
def clock(noon: datetime) -> Clock:
    """Give a clock that stands at noon."""
    return Clock(noon)


@pytest.fixture(params=["memory", "folder"])
def store(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> CertificateAuthority:
    """Give each adapter in turn."""
    if request.param == "memory":
        return MemoryAuthority(clock)
    return folder(tmp_path, clock)


def folder(tmp_path: Path, clock: Clock) -> FolderAuthority:
    """Return the folder's adapter, as another process would open it."""
    return FolderAuthority(tmp_path / "var" / "keys", clock=clock, entropy=os.urandom)


def ids(store: CertificateAuthority) -> list[str]:
    """Return the ids in their order."""
    return [each.authority_id for each in store.authorities()]


class TestAuthorities:
    """What every adapter promises."""

    def test_makes_one_once(self, store: CertificateAuthority, noon: datetime) -> None:
        """The first call makes one authority, and it stays."""
        [first], [again] = store.authorities(), store.authorities()

        assert (first.pem, first.since) == (again.pem, noon)

    def test_rotates_with_overlap(
        self, store: CertificateAuthority, clock: Clock, noon: datetime
    ) -> None:
        """The new one is last, the old one stays, and a clock set back changes no order."""
        [old] = ids(store)
        clock.now = noon - timedelta(days=3)

        made = [store.rotate().authority_id for _ in range(2)]

        assert ids(store) == [old, *made]

    def test_retires(self, store: CertificateAuthority) -> None:
        """An old one goes; the newest and a stranger do not."""
        [old], new = ids(store), store.rotate().authority_id

        with pytest.raises(ValueError, match="newest"):
            store.retire(new)
        with pytest.raises(LookupError):
            store.retire("ffffffff")
        store.retire(old)

        assert ids(store) == [new]


class TestFolder:
    """The folder's own promises."""

    def test_another_process_has_the_same(self, tmp_path: Path, clock: Clock) -> None:
        """What one process makes, rotates and retires, another sees at its next look."""
        one, two = folder(tmp_path, clock), folder(tmp_path, clock)
        assert ids(one) == ids(two)

        new = one.rotate().authority_id
        assert ids(two)[-1] == new
        before = (tmp_path / "var" / "keys").stat()
        one.retire(ids(one)[0])
        # As within one tick of the kernel's clock: the folder's time stays.
        os.utime(tmp_path / "var" / "keys", ns=(before.st_atime_ns, before.st_mtime_ns))
        assert ids(two) == [new]
        assert not list((tmp_path / "var" / "keys").glob(f"ca-*[!{new}].key"))

    def test_many_at_once_make_one(self, tmp_path: Path, clock: Clock) -> None:
        """Processes that start together agree on one authority."""
        found: list[str] = []
        threads = [
            threading.Thread(target=lambda: found.extend(ids(folder(tmp_path, clock))))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len(found) == 8
        assert len(set(found)) == 1

    def test_lives_beside_the_key_store(self, tmp_path: Path, clock: Clock) -> None:
        """Neither takes a file of the other away, whatever both do."""
        keys = FolderKeyStore(tmp_path / "var" / "keys", entropy=os.urandom)
        keys.ring()
        authority = folder(tmp_path, clock)
        authority.authorities()

        old = keys.renew()
        authority.rotate()
        keys.destroy([old.roots[-1].key_id])

        assert len(folder(tmp_path, clock).authorities()) == 2
        again = FolderKeyStore(tmp_path / "var" / "keys", entropy=os.urandom)
        assert len(again.ring().roots) == 1

    @pytest.mark.parametrize("name", ["ca-*.key", "ca-*.crt", "."])
    def test_refuses_what_others_can_read(self, tmp_path: Path, clock: Clock, name: str) -> None:
        """A key, certificate or folder that is not private is not used."""
        folder(tmp_path, clock).authorities()
        where = tmp_path / "var" / "keys"
        [path] = [where] if name == "." else where.glob(name)
        path.chmod(0o755)

        with pytest.raises(AuthorityFailed, match="mode 755"):
            folder(tmp_path, clock).authorities()

    def test_refuses_a_swapped_certificate(self, tmp_path: Path, clock: Clock) -> None:
        """A certificate that is not of the key beside it would make every node a stranger."""
        store = folder(tmp_path, clock)
        store.rotate()
        one, two = sorted((tmp_path / "var" / "keys").glob("ca-*.crt"))
        two.write_bytes(one.read_bytes())

        with pytest.raises(AuthorityFailed, match="not the certificate of the key"):
            folder(tmp_path, clock).authorities()

    @pytest.mark.parametrize("name", ["ca-*.key", "ca-*.crt"])
    def test_tells_nothing_of_a_damaged_file(self, tmp_path: Path, clock: Clock, name: str) -> None:
        """A damaged file is named, none of it is shown."""
        folder(tmp_path, clock).authorities()
        [path] = (tmp_path / "var" / "keys").glob(name)
        path.write_bytes(path.read_bytes()[:60])

        with pytest.raises(AuthorityFailed) as failed:
            folder(tmp_path, clock).authorities()

        assert "BEGIN" not in str(failed.value)
        assert "MI" not in str(failed.value)

    def test_sweeps_what_a_crash_left(self, tmp_path: Path, clock: Clock) -> None:
        """A key without a certificate counts for nothing and is gone at the next rotation."""
        store = folder(tmp_path, clock)
        [held] = ids(store)
        orphan = tmp_path / "var" / "keys" / "ca-00000000.key"
        orphan.write_bytes(b"half")
        orphan.chmod(0o600)

        assert ids(folder(tmp_path, clock)) == [held]
        store.rotate()
        assert not orphan.exists()
