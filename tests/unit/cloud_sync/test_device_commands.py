"""What an operator types about devices, and what comes back."""

import argparse
import os
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import uuid4

import pytest
import sqlalchemy as sa

from cloud_sync.adapters.device_commands import Desk, add_to
from cloud_sync.adapters.memory.authority import MemoryAuthority
from cloud_sync.adapters.memory.registry import MemoryRegistry
from cloud_sync.adapters.memory.view_log import MemoryViewLog
from cloud_sync.stream.view import EdgeNode
from cloud_sync.trust.authority import OVERLAP
from cloud_sync.trust.bootstrap import Applicant, digest_of
from cloud_sync.trust.device import BACKDATED, LIFETIME, Certified, Identity
from cloud_sync.trust.registry import What

BELL = Identity("bell-tower", "edge-1")


@dataclass
class Operator:
    """Somebody who types, with a clock of their own."""

    now: datetime
    said: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Sit down at an empty desk."""
        self.views = MemoryViewLog(uuid4)
        self.registry = MemoryRegistry(self.views)
        self.authority = MemoryAuthority(self)
        self._parser = argparse.ArgumentParser()
        add_to(self._parser.add_subparsers(required=True), self._desk)

    def wall(self) -> datetime:
        """Return the time."""
        return self.now

    def monotonic_s(self) -> float:
        """Return nothing of interest."""
        return 0.0

    def types(self, *words: str) -> int:
        """Run one command; return its exit status."""
        self.said.clear()
        self.complaints.clear()
        chosen = self._parser.parse_args(words)
        status: int = chosen.run(chosen, None)
        return status

    def _desk(self, _: sa.Engine) -> Desk:
        return Desk(
            self.registry,
            self.authority,
            self.wall,
            os.urandom,
            self.said.append,
            self.complaints.append,
        )


@pytest.fixture
def operator(noon: datetime) -> Operator:
    """Give an operator at noon, with one edge that is enrolled."""
    made = Operator(noon)
    made.views.admit(EdgeNode("edge-1", "bell-tower", bytes(32)), noon)
    certified = Certified(BELL, "a1", b"k" * 32, noon - BACKDATED, noon + LIFETIME)
    made.registry.issued(certified, noon)
    return made


class TestToken:
    """A way in for new nodes."""

    def test_lets_its_node_in(self, operator: Operator) -> None:
        """Several at once, one a line; what is printed opens, and the audit has no token."""
        assert operator.types("token", "bell-tower", "edge-1", "drum-tower", "edge-2") == 0

        first, second = operator.said
        for token, who in ((first, BELL), (second, Identity("drum-tower", "edge-2"))):
            applicant = Applicant(who, who.edge_id.encode() * 5, bytes(32))
            assert operator.registry.redeem(digest_of(token), applicant, operator.now) == who
        lines = operator.registry.audited(9)
        assert [line.what for line in lines] == [What.TOKEN_MADE] * 2
        assert not any(token in line.detail for token in (first, second) for line in lines)

    @pytest.mark.parametrize(
        "words", [("bell-tower",), ("bell-tower", "edge-1", "--minutes", "61")]
    )
    def test_refuses_what_is_none(self, operator: Operator, words: tuple[str, ...]) -> None:
        """Half a pair, or more than an hour, makes no token."""
        assert operator.types("token", *words) == 1
        assert operator.said == []


class TestRevoke:
    """Putting a node out."""

    @pytest.mark.parametrize("name", ["edge-1", "a1"])
    def test_by_either_name(self, operator: Operator, name: str) -> None:
        """By edge or serial, and `devices` and `audit` show it."""
        operator.types("devices")
        assert operator.said[0].startswith("edge-1 at bell-tower: valid, certificate a1 until")

        assert operator.types("revoke", name) == 0

        operator.types("devices")
        assert operator.said[0].startswith("edge-1 at bell-tower: revoked, certificate a1")
        operator.types("audit", "--count", "1")
        [line] = operator.said
        assert line.endswith(f"revoked: edge-1: by the name {name}")

    def test_a_mistyped_name_is_told(self, operator: Operator) -> None:
        """Nobody is revoked, and the operator hears it."""
        assert operator.types("revoke", "edge-9") == 1
        assert operator.complaints == ["no edge and no certificate is named edge-9"]


class TestAuthority:
    """Rotation by command."""

    def test_rotates_and_retires_in_time(self, operator: Operator) -> None:
        """The new one signs nodes, the old one the listeners, until nobody needs it any more."""
        [old] = operator.authority.authorities()

        assert operator.types("ca", "rotate") == 0
        operator.types("ca", "list")
        first, second = operator.said
        assert first.startswith(old.authority_id)
        assert "signs the cloud's listeners, sha256" in first
        assert "signs nodes, sha256" in second
        assert operator.types("ca", "retire", old.authority_id) == 1
        assert "--at-once locks it out" in operator.complaints[0]

        operator.now += OVERLAP + timedelta(seconds=1)
        assert operator.types("ca", "retire", old.authority_id) == 0
        operator.types("ca", "list")
        assert len(operator.said) == 1
        assert [line.what for line in operator.registry.audited(2)] == [What.AUTHORITY] * 2

    def test_retires_at_once_when_it_must(self, operator: Operator) -> None:
        """A stolen authority goes at once, the newest never."""
        [old] = operator.authority.authorities()
        assert operator.types("ca", "retire", old.authority_id) == 1
        operator.types("ca", "rotate")

        assert operator.types("ca", "retire", "--at-once", old.authority_id) == 0
        assert operator.types("ca", "retire", "ffffffff") == 1

    def test_reminds_after_a_year(self, operator: Operator) -> None:
        """An old authority is named as such, and its certificate can be shown to nodes."""
        operator.now += timedelta(days=366)
        operator.types("ca", "list")
        assert "ca rotate" in operator.said[-1]

        operator.types("ca", "show")
        [text] = operator.said
        assert text.encode() == operator.authority.authorities()[0].pem.rstrip()
