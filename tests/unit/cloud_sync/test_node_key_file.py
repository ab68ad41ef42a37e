"""A node keeps its key, and keeps it to itself."""

import os
import stat
from pathlib import Path

import pytest

from cloud_sync.adapters.disk.node_key_file import KeyFileRefused, load_or_make


class TestLoadOrMake:
    """The key file."""

    def test_makes_it_once(self, tmp_path: Path) -> None:
        """The second start finds the first start's key, whatever randomness there is now."""
        path = tmp_path / "var" / "node.key"

        first = load_or_make(path, entropy=os.urandom)
        second = load_or_make(path, entropy=os.urandom)

        assert first.public_key == second.public_key

    def test_two_nodes_differ(self, tmp_path: Path) -> None:
        """Control: another file is another key."""
        one = load_or_make(tmp_path / "one", entropy=os.urandom)

        assert one.public_key != load_or_make(tmp_path / "two", entropy=os.urandom).public_key

    def test_only_the_owner_reads_it(self, tmp_path: Path) -> None:
        """The file has mode 0600, and nothing else is left beside it."""
        path = tmp_path / "node.key"
        load_or_make(path, entropy=os.urandom)

        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert [p.name for p in tmp_path.iterdir()] == ["node.key"]

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o777])
    def test_refuses_a_file_that_others_can_read(self, tmp_path: Path, mode: int) -> None:
        """A key that others may have read is not used silently."""
        path = tmp_path / "node.key"
        load_or_make(path, entropy=os.urandom)
        path.chmod(mode)

        with pytest.raises(KeyFileRefused, match="600"):
            load_or_make(path, entropy=os.urandom)

    @pytest.mark.parametrize("content", [b"", b"00" * 31, b"00" * 33, b"zz" * 32, b"\xff" * 64])
    def test_refuses_what_is_no_key(self, tmp_path: Path, content: bytes) -> None:
        """A damaged file stops the start; a new key would make the node a stranger."""
        path = tmp_path / "node.key"
        path.write_bytes(content)
        path.chmod(0o600)

        with pytest.raises(KeyFileRefused, match="does not hold a key"):
            load_or_make(path, entropy=os.urandom)

        assert path.read_bytes() == content
