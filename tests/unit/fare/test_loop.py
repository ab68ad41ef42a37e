"""The worker's threads on memory adapters: they work, they bear a lost store, they stop."""

import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime

from fare.account import BankCard
from fare.adapters.loop import Crew, Loop
from fare.adapters.memory import MemoryStore
from fare.store import Store, StoreFailed, Transaction
from tests.purse import Rig, ride, rider

ADA = rider("Ada")


class Shaky:
    """A store that fails a few times before it works."""

    def __init__(self, real: Store, error: Exception, times: int) -> None:
        self._real = real
        self._error = error
        self._times = times

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Open a transaction, or fail."""
        if self._times > 0:
            self._times -= 1
            raise self._error
        return self._real.transaction()


@contextmanager
def running(rig: Rig, store: Store) -> Iterator[list[bool]]:
    """Run a loop beside the block, and stop it afterwards; its result is put into the list."""
    crew = Crew(
        store=store,
        feed=rig.feed,
        gateway=rig.bank,
        city=rig.city,
        clock=lambda: datetime.now(UTC),
        rules=rig.rules,
        senders=2,
        poll_s=0.05,
    )
    loop = Loop(crew)
    ended: list[bool] = []
    thread = threading.Thread(target=lambda: ended.append(loop.run()))
    thread.start()
    try:
        yield ended
    finally:
        loop.stop()
        thread.join(timeout=20)
        assert not thread.is_alive()


def wait_for_payment(rig: Rig) -> None:
    """Wait until Ada's ride is taken by the bank."""
    until = time.monotonic() + 20
    while rig.net("tok_yes") == 0:
        assert time.monotonic() < until
        time.sleep(0.01)


class TestLoop:
    """What `python -m fare work` runs."""

    def test_charges_what_comes(self) -> None:
        """Taps that arrive while it runs are charged; stopped, it ends well."""
        rig = Rig(MemoryStore())
        rig.pays_by(ADA, BankCard("tok_yes"))

        with running(rig, rig.store) as ended:
            rig.hears(*ride(ADA, "zhonglou", "xiaozhai"))
            wait_for_payment(rig)

        assert ended == [True]
        assert rig.net("tok_yes") == 200

    def test_bears_a_lost_store(self) -> None:
        """A database that is gone for a while delays the charge, and nothing else."""
        rig = Rig(MemoryStore())
        rig.pays_by(ADA, BankCard("tok_yes"))
        rig.hears(*ride(ADA, "zhonglou", "xiaozhai"))

        with running(rig, Shaky(rig.store, StoreFailed("gone"), 4)) as ended:
            wait_for_payment(rig)

        assert ended == [True]

    def test_ends_on_a_bug(self) -> None:
        """An error that nobody expected ends the process, so that it starts afresh."""
        rig = Rig(MemoryStore())

        with running(rig, Shaky(rig.store, RuntimeError("bug"), 1)) as ended:
            until = time.monotonic() + 20
            while not ended and time.monotonic() < until:
                time.sleep(0.01)

        assert ended == [False]
