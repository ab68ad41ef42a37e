"""Every vault keeps one grant and forgets it; the folder is memory and lets nobody else in."""

import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from cloud_sync.adapters.disk.tmpfs_vault import TmpfsVault, default_folder
from cloud_sync.adapters.disk.vault_sweep import UNTOLD, home_of, remove, sweep_vaults
from cloud_sync.adapters.memory.keys import MemoryVault
from cloud_sync.secrecy.grant import KeyGrant
from cloud_sync.secrecy.rotation import RotationSeed
from cloud_sync.secrecy.vault import Vault, VaultFailed

GRANT = KeyGrant(
    station_id="S1",
    epoch=UUID(int=5),
    key_id="0a1b2c3d",
    data_key=bytes(range(32)),
    digest_key=bytes(range(32, 64)),
    rotations=(RotationSeed("00000001", b"\7" * 32),),
    valid_until=datetime(2026, 5, 5, 12, tzinfo=UTC),
)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Give the default folder of a node that does not exist, removed afterwards."""
    path = default_folder(f"test-{uuid4().hex}")
    yield path
    remove(path)


@pytest.fixture(params=["memory", "tmpfs"])
def vault(request: pytest.FixtureRequest, folder: Path) -> Vault:
    """Give each adapter in turn."""
    return MemoryVault() if request.param == "memory" else TmpfsVault(folder)


class TestVault:
    """What every adapter promises."""

    def test_begins_empty(self, vault: Vault) -> None:
        """Without a grant there is none, and nothing to forget."""
        vault.forget()

        assert vault.load() is None

    def test_keeps_the_last(self, vault: Vault) -> None:
        """A new grant takes the place of the one before."""
        later = replace(GRANT, epoch=UUID(int=6), data_key=b"\1" * 32)

        vault.keep(GRANT)
        assert vault.load() == GRANT
        vault.keep(later)
        assert vault.load() == later

    def test_forgets(self, vault: Vault) -> None:
        """Forgotten is gone; a new grant can be kept afterwards."""
        vault.keep(GRANT)

        vault.forget()

        assert vault.load() is None
        vault.keep(GRANT)
        assert vault.load() == GRANT


class TestTmpfsVault:
    """What the folder promises beside."""

    def test_outlives_the_process(self, folder: Path) -> None:
        """Another vault on the same folder has the grant: a restart needs no cloud."""
        TmpfsVault(folder).keep(GRANT)

        assert TmpfsVault(folder).load() == GRANT

    def test_only_the_owner_reads(self, folder: Path) -> None:
        """The folder has mode 0700, the grant 0600, and nothing else is left beside it."""
        TmpfsVault(folder).keep(GRANT)

        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert [path.name for path in folder.iterdir()] == ["grant"]
        assert stat.S_IMODE((folder / "grant").stat().st_mode) == 0o600

    def test_refuses_a_disk(self, tmp_path: Path) -> None:
        """A folder on a disk is refused before it is made, unless that is asked for."""
        mounts = tmp_path / "mounts"
        mounts.write_text(f"/dev/sda1 / ext4 rw 0 0\ntmpfs {tmp_path}/me\\040mory tmpfs rw 0 0\n")

        with pytest.raises(VaultFailed, match="ext4"):
            TmpfsVault(tmp_path / "vault", mounts=mounts)
        assert not (tmp_path / "vault").exists()
        TmpfsVault(tmp_path / "vault", mounts=mounts, is_any_disk=True).keep(GRANT)
        TmpfsVault(tmp_path / "me mory" / "vault", mounts=mounts).keep(GRANT)

    def test_a_link_to_a_disk_is_a_disk(self, tmp_path: Path, folder: Path) -> None:
        """A link in memory that leads to a disk is judged by where it leads."""
        mounts = tmp_path / "mounts"
        mounts.write_text(f"/dev/sda1 / ext4 rw 0 0\ntmpfs {folder} tmpfs rw 0 0\n")
        folder.mkdir(mode=0o700)
        (folder / "grant").symlink_to(tmp_path)

        with pytest.raises(VaultFailed, match="ext4"):
            TmpfsVault(folder / "grant", mounts=mounts)

    @pytest.mark.parametrize("mode", [0o710, 0o755, 0o777])
    def test_refuses_a_folder_that_others_can_enter(self, folder: Path, mode: int) -> None:
        """A folder that somebody else has laid out is not filled with keys."""
        folder.mkdir()
        folder.chmod(mode)

        with pytest.raises(VaultFailed, match="700"):
            TmpfsVault(folder)

    def test_refuses_a_grant_that_others_can_read(self, folder: Path) -> None:
        """Keys that others may have read are not used silently."""
        vault = TmpfsVault(folder)
        vault.keep(GRANT)
        (folder / "grant").chmod(0o644)

        with pytest.raises(VaultFailed, match="600"):
            vault.load()

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
    def test_refuses_anothers_folder(self, folder: Path) -> None:
        """A folder of another user is refused even where this process could read it."""
        folder.mkdir(mode=0o700)
        os.chown(folder, 12345, 12345)

        with pytest.raises(VaultFailed, match="another user"):
            TmpfsVault(folder)

    @pytest.mark.parametrize("content", [b"", b"half a grant", bytes(300)])
    def test_takes_damage_for_none(self, folder: Path, content: bytes) -> None:
        """A damaged grant is no grant: the node asks the cloud for another."""
        vault = TmpfsVault(folder)
        vault.keep(GRANT)
        (folder / "grant").write_bytes(content)

        assert vault.load() is None

    def test_names_a_folder_a_node(self) -> None:
        """An edge id with a slash stays below /dev/shm, and two ids have two folders."""
        folders = {default_folder(each) for each in ("E1", "../E1", "..%2fE1", "E/1", "E 1")}

        assert len(folders) == 5
        assert {each.parent for each in folders} == {Path("/dev/shm")}


class TestSweep:
    """A node that starts looks after the vaults of those that are gone."""

    @pytest.fixture
    def memory(self, tmp_path: Path) -> Path:
        """Give a folder in the place of shared memory."""
        return tmp_path / "shm"

    def vault(self, memory: Path, name: str, home: Path | None) -> TmpfsVault:
        """Give a vault with a grant in it."""
        made = TmpfsVault(memory / f"gateline-{name}", home=home, is_any_disk=True)
        made.keep(GRANT)
        return made

    def test_goes_with_its_data_folder(self, memory: Path, tmp_path: Path) -> None:
        """A vault stays as long as the data folder that it names, however old its grant is."""
        here, gone = tmp_path / "here", tmp_path / "gone"
        here.mkdir()
        gone.mkdir()
        kept = self.vault(memory, "here", here)
        self.vault(memory, "gone", gone)
        later = GRANT.valid_until + timedelta(days=99)
        assert sweep_vaults(later, parent=memory) == ()  # control: both have their data
        assert home_of(memory / "gateline-gone") == gone

        gone.rmdir()

        assert sweep_vaults(later, parent=memory) == ("gateline-gone",)
        assert not (memory / "gateline-gone").exists()
        assert kept.load() == GRANT

    def test_without_a_note_it_goes_with_its_grant(self, memory: Path) -> None:
        """A vault of an older version stays while its grant is good or it has just been made."""
        old = self.vault(memory, "old", None)
        made = datetime.fromtimestamp((memory / "gateline-old").stat().st_mtime, UTC)
        over, unused = GRANT.valid_until, made + UNTOLD
        assert over < unused  # the grant's end lies before this test was written

        assert sweep_vaults(unused - timedelta(seconds=1), parent=memory) == ()
        old.keep(replace(GRANT, valid_until=unused + timedelta(seconds=1)))
        os.utime(memory / "gateline-old", (made.timestamp(), made.timestamp()))
        assert sweep_vaults(unused, parent=memory) == ()
        assert sweep_vaults(unused + timedelta(seconds=1), parent=memory) == ("gateline-old",)

    def test_leaves_alone_what_is_no_vault_of_ours(self, memory: Path, tmp_path: Path) -> None:
        """Other names, links and files stay, whatever they say."""
        gone = tmp_path / "gone"
        TmpfsVault(memory / "other", home=gone, is_any_disk=True)
        (memory / "gateline-link").symlink_to(memory / "other")
        (memory / "gateline-file").write_text("")

        assert sweep_vaults(GRANT.valid_until, parent=memory) == ()
        assert len(list(memory.iterdir())) == 3
