"""One ride code at two places."""

import logging
from dataclasses import replace

import pytest

from fare.account import BankCard
from fare.adapters.memory import MemoryStore
from fare.replay import replayed
from fare.tap import Tap
from tests.purse import Rig, rider, tap

ADA = rider("Ada")
CODE = bytes(18)


def _by_code(station: str, direction: str, minute: float, code_id: bytes = CODE) -> Tap:
    return replace(tap(ADA, station, direction, minute, medium="code"), code_id=code_id)


class TestReplayed:
    """`replayed`."""

    def test_finds_a_code_used_at_two_stations(self) -> None:
        """Ada's code opened a gate at two stations; both taps are named, the earlier first."""
        late, early = _by_code("xiaozhai", "entry", 1), _by_code("zhonglou", "entry", 0)

        assert replayed([late, early]) == ((early, late),)

    def test_leaves_honest_taps_alone(self) -> None:
        """Faces, fresh codes, and one tap that arrived twice are no replay."""
        once = _by_code("zhonglou", "entry", 0)
        honest = [once, once, _by_code("xiaozhai", "exit", 20, bytes([1]) * 18)]

        assert replayed([*honest, tap(ADA, "zhonglou", "entry", 60)]) == ()


class TestWarning:
    """What the worker says."""

    def test_is_said_once(self, caplog: pytest.LogCaptureFixture) -> None:
        """Staff read of a replay when its second tap arrives, and not again with later taps."""
        rig = Rig(MemoryStore())
        rig.pays_by(ADA, BankCard("tok_yes"))
        rig.hears(_by_code("zhonglou", "entry", 0))
        rig.rest()
        with caplog.at_level(logging.WARNING, logger="fare.work"):
            rig.hears(_by_code("xiaozhai", "entry", 1))
            rig.rest()
            rig.hears(tap(ADA, "xiaozhai", "exit", 30))
            rig.rest()

        warnings = [one for one in caplog.records if one.levelno >= logging.WARNING]
        assert [one.getMessage() for one in warnings] == ["code_used_twice"]
