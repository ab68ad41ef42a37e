"""The rider's states."""

from datetime import datetime
from itertools import product
from uuid import UUID

import pytest

from enroll.rider import TRANSITIONS, NotPossible, Rider, RiderEvent, RiderState, step


def rider(state: RiderState, noon: datetime) -> Rider:
    """Give a rider in a state."""
    return Rider(UUID(int=1), "Ada", minor=False, state=state, created=noon)


class TestStep:
    """Every state against every event."""

    @pytest.mark.parametrize(("state", "event"), list(product(RiderState, RiderEvent)))
    def test_table(self, state: RiderState, event: RiderEvent, noon: datetime) -> None:
        """What the table has happens, and what it has not is refused without a change."""
        after = step(rider(state, noon), event)

        wanted = TRANSITIONS.get((state, event))
        if wanted is None:
            assert after == NotPossible(state, event)
        else:
            assert isinstance(after, Rider)
            assert after.state is wanted

    def test_withdrawn_is_final(self) -> None:
        """No event leads out of WITHDRAWN."""
        ends = {to for (state, _), to in TRANSITIONS.items() if state is RiderState.WITHDRAWN}
        assert ends == {RiderState.WITHDRAWN}

    def test_withdrawal_takes_the_name(self, noon: datetime) -> None:
        """A withdrawn rider keeps the reference and loses the name; a paused one keeps both."""
        gone = step(rider(RiderState.ACTIVE, noon), RiderEvent.WITHDRAW)
        paused = step(rider(RiderState.ACTIVE, noon), RiderEvent.PAUSE)

        assert isinstance(gone, Rider)
        assert isinstance(paused, Rider)
        assert (gone.display_name, paused.display_name) == ("", "Ada")
        assert gone.ref == UUID(int=1)
