"""The worker's threads: one reads taps, some send charges, one asks after unknown ones."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from fare.charge import ChargeRules
from fare.city import City
from fare.feed import TapFeed
from fare.log import say
from fare.payment import PaymentGateway
from fare.store import Store, StoreFailed
from fare.work import Clock, WorkRules, ask_one, send_one, settle_flagged, take_in

_LOG = logging.getLogger(__name__)
_RETRY_S = 1.0  # a lost database is tried again each second


@dataclass(frozen=True, slots=True)
class Crew:
    """What the threads work with."""

    store: Store
    feed: TapFeed
    gateway: PaymentGateway
    city: City
    clock: Clock
    rules: WorkRules
    senders: int = 4
    """Charges on their way at one time; a bank that is silent for 5 s must not hold up the others.
    1 to 50."""
    poll_s: float = 1.0
    """Longest pause between two looks for work, seconds; announcements shorten it."""


class Loop:
    """Runs a crew until it is stopped, or until one of its threads meets the unexpected."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._stop = threading.Event()
        self._work = threading.Condition()
        self._failed = False

    def stop(self) -> None:
        """Ask the threads to end after what they are at; safe in a signal handler."""
        self._stop.set()

    def run(self) -> bool:
        """Work until stopped.

        Returns:
            Whether it ended because it was asked to.
        """
        crew = self._crew
        jobs: list[tuple[str, Callable[[], None]]] = [("reader", self._read)]
        jobs += [(f"sender-{n}", partial(self._repeat, send_one)) for n in range(crew.senders)]
        jobs += [("janitor", partial(self._repeat, ask_one))]
        threads = [
            threading.Thread(target=self._guard, args=(job,), name=name) for name, job in jobs
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return not self._failed

    def _guard(self, job: Callable[[], None]) -> None:
        """Do a job until the end, through losses of the database."""
        while not self._stop.is_set():
            try:
                job()
            except StoreFailed as error:
                say(_LOG, "store_failed", level=logging.WARNING, what=error)
                self._stop.wait(_RETRY_S)
            except Exception:  # noqa: BLE001  # logged whole, and the process ends
                # A bug: whatever it left half done is undone, and a new process starts clean.
                _LOG.exception("worker_failed")
                self._failed = True
                self._stop.set()

    def _read(self) -> None:
        crew = self._crew
        worked = take_in(crew.store, crew.feed, crew.city, crew.clock(), crew.rules)
        worked += settle_flagged(crew.store, crew.clock())
        if worked:
            self._wake()
        else:
            crew.feed.wait(crew.poll_s)

    def _repeat(self, step: Callable[[Store, PaymentGateway, Clock, ChargeRules], bool]) -> None:
        crew = self._crew
        if step(crew.store, crew.gateway, crew.clock, crew.rules.charge):
            self._wake()
        else:
            with self._work:
                self._work.wait(crew.poll_s)

    def _wake(self) -> None:
        with self._work:
            self._work.notify_all()
