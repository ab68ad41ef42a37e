"""Every key store keeps the promises of the port, and the folder lets nobody else in."""

import itertools
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from cloud_sync.adapters.disk.key_folder import FolderKeyStore
from cloud_sync.adapters.disk.private_folder import write_private
from cloud_sync.adapters.memory.keys import MemoryKeyStore
from cloud_sync.secrecy.key_store import KeyRing, KeysFailed, KeyStore


@pytest.fixture(params=["memory", "folder"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> KeyStore:
    """Give each adapter in turn."""
    if request.param == "memory":
        return MemoryKeyStore(entropy=os.urandom)
    return FolderKeyStore(tmp_path / "var" / "keys", entropy=os.urandom)


class TestKeyStore:
    """What every adapter promises."""

    def test_makes_keys_once(self, store: KeyStore) -> None:
        """The first call makes one root key, one rotation and the cloud's key; they stay."""
        first, again = store.ring(), store.ring()

        assert first.roots == again.roots
        assert first.rotations == again.rotations
        assert first.cloud_key.public_key == again.cloud_key.public_key
        assert first.is_settled

    def test_renews(self, store: KeyStore) -> None:
        """New keys are current, the old ones still there behind them, the signature the same."""
        old = store.ring()

        new = store.renew()

        assert new.roots[1:] == old.roots
        assert new.rotations[1:] == old.rotations
        assert new.root.secret != old.root.secret
        assert new.rotation.secret != old.rotation.secret
        assert new.cloud_key.public_key == old.cloud_key.public_key
        assert not new.is_settled
        assert store.ring().roots == new.roots

    def test_destroys_old_keys(self, store: KeyStore) -> None:
        """Destroyed keys are gone from the ring, and what is not there is passed over."""
        old, new = store.ring(), store.renew()

        left = store.destroy([old.root.key_id, old.rotation.rotation_id, "ffffffff"])

        assert left.roots == new.roots[:1]
        assert left.rotations == new.rotations[:1]
        assert left.is_settled
        assert store.ring().root_of(old.root.key_id) is None
        assert store.ring().seed_of(old.rotation.transform_id) is None

    @pytest.mark.parametrize("which", ["root", "rotation"])
    def test_keeps_current_keys(self, store: KeyStore, which: str) -> None:
        """A current key is never destroyed, whatever else is asked."""
        old, new = store.ring(), store.renew()
        current = new.root.key_id if which == "root" else new.rotation.rotation_id

        with pytest.raises(ValueError, match="current"):
            store.destroy([old.root.key_id, current])

        assert store.ring().roots == new.roots

    def test_shows_no_secret(self, store: KeyStore) -> None:
        """A ring in a log line would show ids alone."""
        ring = store.renew()
        secrets = [root.secret for root in ring.roots] + [seed.secret for seed in ring.rotations]

        assert ring.root.key_id in repr(ring)
        for secret in secrets:
            assert secret.hex() not in repr(ring)
            assert repr(secret)[2:-1] not in repr(ring)

    def test_finds_by_name(self, store: KeyStore) -> None:
        """Records name their root key, templates their transform."""
        ring = store.renew()

        assert ring.root_of(ring.roots[1].key_id) == ring.roots[1]
        assert ring.seed_of(ring.rotations[1].transform_id) == ring.rotations[1]
        assert ring.knows("plain")
        assert not ring.knows("rot-ffffffff")


def _same(one: KeyRing, other: KeyRing) -> bool:
    return (one.roots, one.rotations) == (other.roots, other.rotations)


class TestFolderKeyStore:
    """What the folder promises beside."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """Give a folder with keys in it, renewed once."""
        FolderKeyStore(tmp_path / "keys", entropy=os.urandom).renew()
        return tmp_path / "keys"

    def test_another_process_sees_the_same(self, folder: Path) -> None:
        """Keys outlive the process, and a store that is open sees what another one changes."""
        here, there = (FolderKeyStore(folder, entropy=os.urandom) for _ in range(2))
        assert _same(here.ring(), there.ring())

        new = there.renew()
        assert _same(here.ring(), new)

        there.destroy([each.key_id for each in new.roots[1:]])
        assert len(here.ring().roots) == 1

    def test_two_that_start_together_agree(self, tmp_path: Path) -> None:
        """Eight processes' first calls at once make one set of keys."""
        stores = [FolderKeyStore(tmp_path / "keys", entropy=os.urandom) for _ in range(8)]
        rings: list[KeyRing] = []
        threads = [threading.Thread(target=lambda s=s: rings.append(s.ring())) for s in stores]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len(rings) == 8
        assert all(_same(rings[0], ring) for ring in rings)

    def test_only_the_owner_reads(self, folder: Path) -> None:
        """The folder has mode 0700, every file 0600, and nothing half-written is left."""
        names = sorted(path.name for path in folder.iterdir())

        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
        assert len(names) == 6
        assert not any(name.endswith(".new") for name in names)

    @pytest.mark.parametrize("mode", [0o710, 0o701, 0o750, 0o777])
    def test_refuses_a_folder_that_others_can_enter(self, folder: Path, mode: int) -> None:
        """Keys that others may have read are not used silently."""
        folder.chmod(mode)

        with pytest.raises(KeysFailed, match="700"):
            FolderKeyStore(folder, entropy=os.urandom).ring()

    @pytest.mark.parametrize("name", ["ring", "cloud.key", "root-", "rotation-"])
    def test_refuses_a_file_that_others_can_read(self, folder: Path, name: str) -> None:
        """One readable file is enough to stop the start."""
        next(path for path in folder.iterdir() if path.name.startswith(name)).chmod(0o640)

        with pytest.raises(KeysFailed, match="600"):
            FolderKeyStore(folder, entropy=os.urandom).ring()

    @pytest.mark.parametrize("name", ["ring", "cloud.key", "root-", "rotation-"])
    @pytest.mark.parametrize("content", [b"", b"00" * 31, b"zz" * 32, b"\xff" * 64, b"root \n"])
    def test_refuses_damage(self, folder: Path, name: str, content: bytes) -> None:
        """A damaged file stops the start and stays as it is; new keys would lose every record."""
        path = next(path for path in folder.iterdir() if path.name.startswith(name))
        secret = path.read_bytes().strip().decode()
        path.write_bytes(content)

        with pytest.raises(KeysFailed) as refused:
            FolderKeyStore(folder, entropy=os.urandom).ring()

        assert path.read_bytes() == content
        assert secret not in str(refused.value)

    def test_refuses_a_missing_key(self, folder: Path) -> None:
        """A key that the ring names and the folder lacks stops the start."""
        next(folder.glob("root-*")).unlink()

        with pytest.raises(KeysFailed):
            FolderKeyStore(folder, entropy=os.urandom).ring()

    def test_a_crash_leaves_the_old_ring(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Cut after any file of a renewal, the old keys are current, and the next renewal works."""
        old = FolderKeyStore(folder, entropy=os.urandom).ring()
        for allowed in range(3):  # root key, rotation, ring
            with monkeypatch.context() as patched:
                patched.setattr(
                    "cloud_sync.adapters.disk.key_folder.write_private", _failing_after(allowed)
                )
                with pytest.raises(KeysFailed):
                    FolderKeyStore(folder, entropy=os.urandom).renew()
            assert _same(FolderKeyStore(folder, entropy=os.urandom).ring(), old)

        new = FolderKeyStore(folder, entropy=os.urandom).renew()

        assert new.roots[1:] == old.roots
        assert len(list(folder.glob("root-*"))) == len(new.roots)

    def test_destroyed_keys_leave_the_folder(self, folder: Path) -> None:
        """No file of a destroyed key is left, nor its bytes in any other."""
        store = FolderKeyStore(folder, entropy=os.urandom)
        old = store.ring().roots[1]

        store.destroy([old.key_id])

        assert not list(folder.glob(f"*{old.key_id}*"))
        assert not any(old.secret.hex().encode() in path.read_bytes() for path in folder.iterdir())


def _failing_after(allowed: int) -> Callable[[Path, bytes], None]:
    calls = itertools.count()

    def write(path: Path, content: bytes) -> None:
        if next(calls) >= allowed:
            raise OSError("the power is cut")
        write_private(path, content)

    return write
