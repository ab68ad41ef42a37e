"""Words and figures of the back office, without the web."""

import pytest

from fare import board
from fare.adapters.memory import MemoryStore
from fare.adapters.memory_statements import MemoryStatements
from fare.charge import State
from fare.city import shipped
from fare.decision import Outcome
from fare.ledger import BANK_CLEARING, CASH_COUNTER, REVENUE_FARES
from fare.money import Money


class TestWords:
    """What staff read."""

    def test_every_outcome_state_and_account_has_words(self) -> None:
        """Nothing that the books can hold is shown to staff without words of its own."""
        assert set(Outcome) == set(board.OUTCOME_WORDS)
        assert set(State) == set(board.STATE_WORDS)
        assert {BANK_CLEARING, CASH_COUNTER, REVENUE_FARES} < set(board.ACCOUNT_WORDS)

    def test_an_unknown_station_is_named_by_its_id(self) -> None:
        """A tap from a station that the network lacks is still shown."""
        assert board.station(shipped().network, "atlantis").name == "atlantis"

    @pytest.mark.parametrize(
        ("background", "ink"),
        [
            ("#000000", "#fff"),
            ("#ffffff", "#000"),
            ("#757575", "#fff"),  # white 4.61, black 4.56
            ("#767676", "#000"),  # white 4.54, black 4.62
            ("#67c9c0", "#000"),  # line 4
        ],
    )
    def test_ink_reads_on_its_line(self, background: str, ink: str) -> None:
        """Black on light lines, white on dark ones."""
        assert ink == board.ink(background)


class TestFigures:
    """What programs read."""

    def test_all_states_are_there_before_any_charge(self) -> None:
        """An empty book has every state and outcome, all of them zero."""
        books = MemoryStatements(MemoryStore()).overview()

        told = board.figures(books, shipped().network)

        assert told["charges"] == {
            state.value: {"count": 0, "minor_units": 0, "currency": "CNY"} for state in State
        }
        assert told["trips"] == {outcome.value: 0 for outcome in Outcome}
        assert [amount for _, _, amount in board.by_state(books)] == [Money(0)] * len(State)
